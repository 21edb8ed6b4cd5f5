"""Outlier images by the sizes of scores at many noise levels, over seeds."""

import operator
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

from matplotlib.figure import Figure as Canvas

from scorewise.comparison.seeds import mean_of
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.outlier_scores import nested, statistics_of
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import judged, mean_of_shares, said, seeds_said

STATISTIC = "multiscale_norms"
MEAN = "mean"


@final
class OutlierProfiles(Figure):
    """AUROC of the statistics of noise-conditional models on every outlier set, with intervals over seeds.

    Args:
        out: outlier sets by the data that models were trained on.
        images: per set.
        resamples: of the bootstrap of every test.
        wanted: the mean AUROC over sets that is claimed.
    """

    def __init__(self, out: Mapping[str, Sequence[str]], images: int, resamples: int, wanted: float) -> None:
        self.out, self.wanted = out, wanted
        self.settings = (f"task.images={images}", f"task.resamples={resamples}")

    def _tested(self, bench: Bench, inside: str, run: FinishedRun) -> Mapping[str, Any]:
        words = ("task=ood", f"task.out=[{','.join(self.out[inside])}]", *self.settings)
        name = f"{inside}-{run.seed}"
        measured = bench.once_of(run, name, {"words": words}, partial(run.tested, *words))
        found: Mapping[str, Any] = nested(measured)["auroc"]
        return found

    def measure(self, bench: Bench) -> Results:
        """Return the table of every data set, and whether one statistic finds outliers on all sets together."""
        tables, claims, notes = list[ResultTable](), list[Claim](), list[Mapping[str, Any]]()
        data: dict[str, Any] = {}
        for inside, runs in bench.runs.items():
            by_seed = [self._tested(bench, inside, run) for run in runs]
            sets = [*self.out[inside], MEAN]
            found = {
                name: {label: [auroc[name][label][0] for auroc in by_seed] for label in sets}
                for name in statistics_of(by_seed[0])
            }
            rows = [
                [name, *(said(mean_of_shares(of_set[label]), ".3f") for label in sets)]
                for name, of_set in found.items()
            ]
            tables.append(ResultTable("auroc", rows, ("statistic", *sets), inside=inside, seeds=seeds_said(len(runs))))
            mean = mean_of_shares(found[STATISTIC][MEAN])
            claims.append(judged("all", mean, ".3f", lambda auroc: auroc >= self.wanted, inside=inside))
            best = max(mean_of(of_set[MEAN]).mean for name, of_set in found.items() if name != STATISTIC)
            claims.append(judged("ahead", mean, ".3f", partial(operator.lt, best), inside=inside, best=best))
            seconds = sum(run.summary["seconds"] for run in runs) / len(runs)
            notes.append(
                {"inside": inside, **runs[0].summary, "minutes": seconds / 60, "noise": _noise(bench, runs[0])}
            )
            data[inside] = {"sets": sets, "auroc": found}
        return Results(tables, claims, {"wanted": self.wanted}, {"run": notes}, data)

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw the AUROC of every seed and their mean, one panel per data set."""
        canvas.set_size_inches(5.4 * len(data), 0.5 * max(len(part["sets"]) for part in data.values()) + 1.4)
        for i, (inside, part) in enumerate(data.items(), 1):
            axes = canvas.add_subplot(1, len(data), i)
            rows = range(len(part["sets"]))
            for number, (name, of_set) in enumerate(part["auroc"].items()):
                heights = [row + 0.14 * (number - (len(part["auroc"]) - 1) / 2) for row in rows]
                means = [mean_of(of_set[label]).mean for label in part["sets"]]
                axes.plot(means, heights, "|", ms=9, mew=2, color=f"C{number}", label=name)
                for values, height in zip((of_set[label] for label in part["sets"]), heights, strict=True):
                    axes.plot(values, [height] * len(values), "o", ms=3.5, color=f"C{number}")
            axes.axvline(0.5, color="grey", lw=0.8, ls=":")
            axes.set_yticks(rows, part["sets"])
            axes.invert_yaxis()
            axes.set_xlim(-0.02, 1.02)
            axes.set(xlabel=text.panels["auroc"], title=text.panels["inside"].format(inside=inside))
            if i == len(data):
                axes.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0.0, 0.02))


def _noise(bench: Bench, run: FinishedRun) -> float:
    """Return the noise of a trained model's law."""
    return bench.once_of(run, f"noise-{run.seed}", {}, lambda: float(run.model.noise))
