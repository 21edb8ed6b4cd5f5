"""Figure 3a: the likelihood of one tractable MADE fitted by score matching and by maximum likelihood."""

from collections.abc import Mapping, Sequence
from typing import Any, final

from matplotlib.figure import Figure as Canvas

from scorewise.comparison.seeds import mean_of
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.seed_curves import curve_of, draw_curve
from scorewise.figures.spread import apart, judged, said, seeds_said

FLOOR, OURS = "MLE", "CSM"
FORMATS = {"nll": ".1f", "bits_per_dim": ".3f", "csm": ".1f"}
Found = Mapping[str, Mapping[str, Sequence[float]]]
"""Metrics by training, one value per seed."""


@final
class Fig3a(Figure):
    """Held-out NLL of the same model under every objective, on the same smoothed law and budget of steps."""

    def measure(self, bench: Bench) -> Results:
        """Return the NLL of every run, and whether CSM is the best of the score-matching runs."""
        found = {
            name: {key: [run.summary["metrics"][key] for run in runs] for key in (*FORMATS, "nll_se")}
            for name, runs in bench.runs.items()
        }
        return Results(
            [ResultTable("nll", [_row(name, found) for name in found])],
            claims(found),
            {"first": bench.first.summary, "seeds": seeds_said(len(bench.runs[OURS]))},
            data={
                "nll": {name: each["nll"] for name, each in found.items()},
                "curves": {name: curve_of(runs, "val/nll") for name, runs in bench.runs.items()},
            },
        )

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw validation NLL over steps, all trainings on one axis."""
        canvas.set_size_inches(7.5, 4.2)
        axes = canvas.add_subplot()
        for name, curve in data["curves"].items():
            draw_curve(axes, curve, "o-" if name in (OURS, FLOOR) else "o--", ms=3, label=name)
        ends = sorted(seed[-1] for curve in data["curves"].values() for seed in curve["seeds"])
        span = ends[-1] - ends[0]
        axes.set_ylim(ends[0] - 0.1 * span, ends[-1] + 0.35 * span)
        axes.set(xlabel="step", ylabel=text.panels["nll"], title=text.title)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))


def claims(found: Found) -> list[Claim]:
    """Return whether CSM is the best of the score-matching trainings, and maximum likelihood of all, seed by seed.

    Args:
        found: with the nll of every training.
    """
    nll = {name: each["nll"] for name, each in found.items()}
    means = {name: mean_of(values).mean for name, values in nll.items()}
    others = [name for name in nll if name not in (FLOOR, OURS)]
    best = min(others, key=means.__getitem__)
    to_others = apart(nll[OURS], _least([nll[name] for name in others]))
    to_all = apart(nll[FLOOR], _least([nll[name] for name in (OURS, *others)]))
    facts = {"csm": means[OURS], "best": best, "other": means[best], "floor": means[FLOOR]}
    return [
        judged("lowest", to_others, ".1f", lambda less: less < 0, **facts),
        judged("floor", to_all, ".1f", lambda less: less < 0, **facts),
    ]


def _least(nll_NS: Sequence[Sequence[float]]) -> list[float]:
    """Return the least of every seed."""
    return [min(nll_N) for nll_N in zip(*nll_NS, strict=True)]


def _row(name: str, found: Found) -> list[Any]:
    each = found[name]
    nll, bits, csm = (said(mean_of(each[key]), spec) for key, spec in FORMATS.items())
    against = "" if name == OURS else said(apart(each["nll"], found[OURS]["nll"]), "+.1f")
    return [name, nll, against, f"{mean_of(each['nll_se']).mean:.1f}", bits, csm]
