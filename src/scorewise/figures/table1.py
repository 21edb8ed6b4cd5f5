"""Table 1: how well outlier scores of several models tell other images from those they were trained on."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import numpy as np
from matplotlib.figure import Figure as Canvas

from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.outlier_scores import ScoresBySet, nested, statistics_of
from scorewise.figures.results import Claim, Facts, Results, ResultTable, Text
from scorewise.outliers import MEANINGS


@final
class Table1(Figure):
    """AUROC, AUPR and FPR at 95 % TPR of every statistic of every model on every outlier set.

    Args:
        out: outlier sets by the data that models were trained on.
        choose_on: the set that a statistic is chosen on.
        images: per set.
        likelihood_images: per set, for likelihoods that are sums over nodes or steps.
        resamples: of the bootstrap.
        words: further words of the test: trainer=gpu, say.
    """

    def __init__(
        self,
        out: Mapping[str, Sequence[str]],
        choose_on: str,
        images: int,
        likelihood_images: int,
        resamples: int,
        words: Sequence[str] = (),
    ) -> None:
        self.out, self.choose_on, self.words = out, choose_on, tuple(words)
        self.settings = (
            f"task.choose_on={choose_on}",
            f"task.images={images}",
            f"task.likelihood_images={likelihood_images}",
            f"task.resamples={resamples}",
        )

    def _tested(self, bench: Bench, name: str, run: FinishedRun, out: Sequence[str]) -> dict[str, Any]:
        """Return AUROC, AUPR and FPR by metric, statistic and set: value, low and high."""
        words = ("task=ood", f"task.out=[{','.join(out)}]", *self.settings, *self.words)
        return nested(bench.once_of(run, f"{name}-{run.seed}", {"words": words}, partial(run.tested, *words)))

    def measure(self, bench: Bench) -> Results:
        """Return the table of every data set, and whether the statistics do what the paper says."""
        tables: list[ResultTable] = []
        claims: list[Claim] = []
        notes: list[Facts] = []
        data: dict[str, Any] = {}
        for inside, out in self.out.items():
            runs = bench.of(inside)
            by_seed = {
                model: [self._tested(bench, f"{inside}/{model}", run, out) for run in few]
                for model, few in runs.items()
            }
            of_data = ScoresBySet(inside, out, self.choose_on, by_seed)
            tables += [of_data.table(), of_data.other_metrics()]
            claims += of_data.claims()
            notes += [_of_run(bench, inside, model, few[0]) for model, few in runs.items()]
            data[inside] = {"out": list(out), "chosen": of_data.chosen, "found": of_data.found}
        meanings = "; ".join(f"{name}: {meaning}" for name, meaning in MEANINGS.items())
        return Results(tables, claims, {"meanings": meanings}, {"run": notes}, data)

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw every AUROC as a coloured number, one panel per data set; chosen statistics are marked."""
        counts = [sum(len(statistics_of(each["auroc"])) for each in part["found"].values()) for part in data.values()]
        canvas.set_size_inches(6.2 * len(data) + 0.6, 0.27 * max(counts) + 1.6)
        for i, (inside, part) in enumerate(data.items(), 1):
            columns = [*part["out"], "mean"]
            labels, values = [], []
            for model, each in part["found"].items():
                for name in statistics_of(each["auroc"]):
                    labels.append(f"{model}  {name}{' *' if name == part['chosen'][model] else ''}")
                    values.append([each["auroc"][name][column][0] for column in columns])
            axes = canvas.add_subplot(1, len(data), i)
            axes.imshow(np.array(values), cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
            for y, row in enumerate(values):
                for x, value in enumerate(row):
                    axes.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7)
            axes.set_yticks(range(len(labels)), labels, fontsize=7)
            axes.set_xticks(range(len(columns)), columns, fontsize=7, rotation=25, ha="right")
            axes.axvline(len(columns) - 1.5, color="white", lw=2)
            axes.set_title(f"AUROC, {inside} in", fontsize=9)


def _of_run(bench: Bench, inside: str, model: str, run: FinishedRun) -> Facts:
    noise = bench.once_of(run, f"{inside}-{model}-noise", {}, lambda: float(run.model.noise))
    clean = f"examples with noise {noise:g} in [-1, 1]" if noise else "clean examples"
    return {"inside": inside, "model": model, **run.summary, "minutes": run.summary["seconds"] / 60, "examples": clean}
