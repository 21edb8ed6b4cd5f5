"""Figure 3a: the likelihood of one tractable MADE fitted by score matching and by maximum likelihood."""

from collections.abc import Mapping
from typing import Any, final

from matplotlib.figure import Figure as Canvas

from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import thinned

FLOOR = "MLE"
DIGITS = {"nll": 1, "nll_se": 1, "bits_per_dim": 3, "csm": 1}


@final
class Fig3a(Figure):
    """Held-out NLL of the same model under every objective, on the same smoothed law and budget of steps."""

    def measure(self, bench: Bench) -> Results:
        """Return the NLL of every run, and whether CSM is the best of the score-matching runs."""
        found = {name: run.summary["metrics"] for name, run in bench.firsts.items()}
        matching = {name: metrics["nll"] for name, metrics in found.items() if name != FLOOR}
        least = min(matching.values())
        best = min((name for name in matching if name != "CSM"), key=lambda name: matching[name])
        rows = [
            [name, *(round(metrics[key], digits) for key, digits in DIGITS.items())] for name, metrics in found.items()
        ]
        floor = found[FLOOR]["nll"]
        return Results(
            [ResultTable("nll", rows)],
            [
                Claim("lowest", matching["CSM"] < matching[best], best=best, other=matching[best]),
                Claim("floor", floor < least),
            ],
            {"csm": matching["CSM"], "floor": floor, "least": least, "first": bench.first.summary},
            data={"curves": {name: thinned(run.curves["val/nll"]) for name, run in bench.firsts.items()}},
        )

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw validation NLL over steps, all runs on one axis."""
        canvas.set_size_inches(7.5, 4.2)
        axes = canvas.add_subplot()
        for name, curve in data["curves"].items():
            steps, values = zip(*curve, strict=True)
            axes.plot([step + 1 for step in steps], values, "o-" if name in ("CSM", FLOOR) else "o--", ms=3, label=name)
        ends = sorted(curve[-1][1] for curve in data["curves"].values())
        span = ends[-1] - ends[0]
        axes.set_ylim(ends[0] - 0.1 * span, ends[-1] + 0.35 * span)
        axes.set(xlabel="step", ylabel="validation NLL, nats per example", title=text.title)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
