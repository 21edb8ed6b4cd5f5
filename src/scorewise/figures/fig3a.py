"""Figure 3a: the likelihood of one tractable MADE fitted by score matching and by maximum likelihood."""

from collections.abc import Mapping
from typing import Any, final

from matplotlib.figure import Figure as Canvas

from scorewise.figures.figure import Bench, Claim, Figure, Results, Table, thinned

FLOOR = "MLE"


@final
class Fig3a(Figure):
    """Held-out NLL of the same model under every objective, on the same smoothed law and budget of steps."""

    title = "NLL of one MADE by CSM, DSM, SSM and maximum likelihood (figure 3a)"

    def measure(self, bench: Bench) -> Results:
        """Return the NLL of every run, and whether CSM is the best of the score-matching runs."""
        found = {name: run.summary["metrics"] for name, (run, *_) in bench.runs.items()}
        first = next(iter(bench.runs.values()))[0]
        conventions = first.summary["conventions"]
        rows = [
            [name, round(m["nll"], 1), round(m["nll_se"], 1), round(m["bits_per_dim"], 3), round(m["csm"], 1)]
            for name, m in found.items()
        ]
        matching = {name: metrics["nll"] for name, metrics in found.items() if name != FLOOR}
        order = sorted(matching, key=lambda name: matching[name])
        others = [name for name in order if name != "CSM"]
        best = others[0]
        return Results(
            [
                Table(
                    f"Held-out, {first.summary['steps']:,} steps each, {first.summary['parameters']:,} parameters. "
                    f"nll: {conventions['nll']}; bits_per_dim: {conventions['bits_per_dim']}.",
                    ("objective", "nll", "s.e.", "bits_per_dim", "csm"),
                    rows,
                )
            ],
            [
                Claim(
                    "CSM has the lowest NLL of the score-matching runs (one seed)",
                    matching["CSM"] < matching[best],
                    f"CSM {matching['CSM']:.1f}, best other {best} {matching[best]:.1f}, "
                    f"floor {FLOOR} {found[FLOOR]['nll']:.1f} nats",
                ),
                Claim(
                    "maximum likelihood is the floor",
                    found[FLOOR]["nll"] < min(matching.values()),
                    f"{found[FLOOR]['nll']:.1f} against {min(matching.values()):.1f} nats",
                ),
            ],
            [
                "One model: MADE with Gaussian conditionals, which cannot hold the two modes of a pixel, so the minima "
                "of different objectives differ even without any noise in training.",
                "All runs see data with the same smoothing; DSM adds its sigma on top and is scored on the law without "
                "it.",
            ],
            {"curves": {name: thinned(run.curves["val/nll"]) for name, (run, *_) in bench.runs.items()}},
        )

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
        """Draw validation NLL over steps, all runs on one axis."""
        canvas.set_size_inches(7.5, 4.2)
        axes = canvas.add_subplot()
        for name, curve in data["curves"].items():
            steps, values = zip(*curve, strict=True)
            axes.plot([step + 1 for step in steps], values, "o-" if name in ("CSM", FLOOR) else "o--", ms=3, label=name)
        ends = sorted(curve[-1][1] for curve in data["curves"].values())
        span = ends[-1] - ends[0]
        axes.set_ylim(ends[0] - 0.1 * span, ends[-1] + 0.35 * span)
        axes.set(xlabel="step", ylabel="validation NLL, nats per example", title=self.title)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
