"""A table of white wines: held-out log-density and outliers found, beside scikit-learn's on the same split."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.comparison.seeds import Mean, mean_of
from scorewise.data.source import Source, Split
from scorewise.data.tables import Table
from scorewise.data.tabular.source import Tabular
from scorewise.figures.bench import Bench
from scorewise.figures.density_estimators import GAUSSIANS, KERNELS, NEIGHBOURS, Method, fitted, ours
from scorewise.figures.figure import Figure
from scorewise.figures.noisy_copies import noisy_copies
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import apart, judged, said, seeds_said
from scorewise.outliers import detection, replicates

SPLITS: tuple[Split, ...] = ("train", "val", "test")
PERMUTED = "permuted columns"


@final
class TableWine(Figure):
    """A density of a table: of white wines, standardised, with the noise of the smoothing in every method.

    Args:
        copies: draws of the noise per held-out row.
        resamples: of the bootstrap.
        components: of GaussianMixture, to choose from.
        bandwidths: of KernelDensity, to choose from.
        steps: of ScoreDensity, to choose from.
        other: a table of outliers, below the data folder, with the same columns; None: only permuted columns.
    """

    def __init__(
        self,
        copies: int,
        resamples: int,
        components: Sequence[int],
        bandwidths: Sequence[float],
        steps: Sequence[int],
        other: str | None,
    ) -> None:
        self.copies, self.resamples, self.other = copies, resamples, other
        self.components, self.bandwidths, self.steps = components, bandwidths, steps

    def measure(self, bench: Bench) -> Results:
        """Return log-densities and AUROC of every method, and whether ours are ahead, over seeds."""
        by_seed = [self._of_seed(bench, place) for place in range(len(next(iter(bench.runs.values()))))]
        first, methods = by_seed[0], [found["methods"] for found in by_seed]
        columns = ("method", "log-density", f"against {GAUSSIANS}", *map("AUROC, {}".format, first["sets"]), "settings")
        rows = [_row(name, [each[name] for each in methods]) for name in methods[0]]
        facts = {"rows": first["rows"], "dims": first["dims"], "noise": first["noise"], "neighbours": NEIGHBOURS}
        return Results(
            [ResultTable("methods", rows, columns)],
            claims(methods, first["sets"]),
            {**facts, "seeds": seeds_said(len(by_seed))},
            data={"sets": first["sets"], "methods": methods},
        )

    def _of_seed(self, bench: Bench, place: int) -> dict[str, Any]:
        runs = {name: few[place].summary["identity"] for name, few in bench.runs.items()}
        seed = bench.runs[next(iter(runs))][place].seed
        settings = {**vars(self), "runs": runs}
        return bench.once(f"methods-{seed}", settings, lambda: self._compared(bench, place, seed))

    def _compared(self, bench: Bench, place: int, seed: int) -> dict[str, Any]:
        source, noise = bench.first.source, float(bench.first.model.noise)
        clean = {split: _rows(source, split) for split in SPLITS}
        val_ND, test_ND = (noisy_copies(clean[split], noise, self.copies) for split in ("val", "test"))
        sets = self._outside(source, clean["test"])
        theirs = fitted(clean["train"], val_ND, noise, self.steps, self.components, self.bandwidths, seed)
        methods = {**ours(bench, place), **theirs}
        _, same_N = torch.unique(clean["test"], dim=0, return_inverse=True)
        log_q = {
            name: method.log_density(test_ND).unflatten(0, (self.copies, -1)).mean(0)
            for name, method in methods.items()
            if method.log_density is not None
        }
        found: dict[str, Any] = {}
        for name, method in methods.items():
            one: dict[str, Any] = {"ours": method.ours, "settings": method.settings, "seconds": method.seconds}
            if name in log_q:
                one["log_density"] = _mean(log_q[name], same_N)
                one["against"] = _mean(log_q[name] - log_q[GAUSSIANS], same_N)
            found[name] = one
        for label, outside_ND in sets.items():
            for name, more in self._detected(label, methods, clean["test"], outside_ND).items():
                found[name] |= more
        counts = {split: len(rows) for split, rows in clean.items()}
        return {"methods": found, "sets": list(sets), "rows": counts, "dims": source.dims, "noise": noise}

    def _detected(
        self, label: str, methods: Mapping[str, Method], inside_ND: Tensor, outside_ND: Tensor
    ) -> dict[str, dict[str, Any]]:
        """Return AUROC by method with its standard error, and the gap to the best of scikit-learn's."""
        scores = {name: (method.odd(inside_ND), method.odd(outside_ND)) for name, method in methods.items()}
        drawn = {name: replicates(*pair, self.resamples, (0, 1))["auroc"] for name, pair in scores.items()}
        auroc = {name: detection(*pair)["auroc"] for name, pair in scores.items()}
        best = max((name for name, method in methods.items() if not method.ours), key=lambda name: auroc[name])
        return {
            name: {
                label: [auroc[name], float(drawn[name].std())],
                f"gap, {label}": [auroc[name] - auroc[best], float((drawn[name] - drawn[best]).std()), best],
            }
            for name in methods
        }

    def _outside(self, source: Tabular, test_ND: Tensor) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        orders = [torch.randperm(len(test_ND), generator=generator) for _ in range(test_ND.shape[1])]
        sets = {PERMUTED: torch.stack([test_ND[order, d] for d, order in enumerate(orders)], 1)}
        if self.other is None:
            return sets
        other = Table(self.other, val=0, test=1, columns=source.table.plain())
        return {"red wine": _rows(other, "test"), **sets}

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw log-densities and AUROC by set, a row per method: a dot per seed, their mean, its error over rows."""
        canvas.set_size_inches(5.2 + 3.2 * len(data["sets"]), 3.6)
        methods = data["methods"]
        names = list(methods[0])
        columns = ["log_density", *data["sets"]]
        for i, column in enumerate(columns):
            axes = canvas.add_subplot(1, len(columns), i + 1)
            for place, name in enumerate(names):
                if column in methods[0][name]:
                    values, mean, error = _values([each[name] for each in methods], column)
                    colour = "tab:blue" if methods[0][name]["ours"] else "0.45"
                    axes.errorbar(mean.mean, place + 0.15, xerr=error, fmt="none", color=colour, alpha=0.45, capsize=2)
                    axes.plot(values, [place] * len(values), "o", color=colour, ms=4, alpha=0.6)
                    axes.plot(mean.mean, place, "|", color=colour, ms=12, mew=2)
            axes.set_yticks(range(len(names)), names if i == 0 else [])
            axes.set_ylim(len(names) - 0.5, -0.5)
            panel = text.panels["log_density" if i == 0 else "auroc"]
            axes.set_title(panel.format(label=column), fontsize=9)
            axes.grid(axis="x", alpha=0.25)
            axes.locator_params(axis="x", nbins=5)
        canvas.suptitle(text.panels["drawn"].format(title=text.title), fontsize=11)


def _rows(source: Source, split: Split) -> Tensor:
    return source.examples(split, torch.arange(source.count(split)), -1, 0).double()


def _mean(value_N: Tensor, same_N: Tensor) -> list[float]:
    """Return the mean and its standard error, where equal rows count as one cluster."""
    mean = value_N.mean()
    sums = torch.zeros(int(same_N.max()) + 1, dtype=value_N.dtype).index_add_(0, same_N, value_N - mean)
    clusters = len(sums)
    return [float(mean), math.sqrt(clusters / (clusters - 1) * float(sums.square().sum())) / len(value_N)]


def claims(methods: Sequence[Mapping[str, Any]], sets: Sequence[str]) -> list[Claim]:
    """Return whether ours have higher log-densities, and the best of them finds outliers as well, seed by seed.

    Args:
        methods: by seed, what was found of every method.
        sets: of outliers.
    """
    density = {
        name: [each[name]["log_density"][0] for each in methods]
        for name, one in methods[0].items()
        if "log_density" in one
    }
    trained = [name for name in density if methods[0][name]["ours"]]
    theirs_S = [max(pair) for pair in zip(density[GAUSSIANS], density[KERNELS], strict=True)]
    judgements = []
    for name in trained:
        error = mean_of([each[name]["against"][1] for each in methods]).mean
        gain = apart(density[name], theirs_S)
        judgements.append(judged("density", gain, "+.3f", lambda gain: gain > 0, name=name, error=error))
    best = max(trained, key=lambda name: mean_of(density[name]).mean)
    for label in sets:
        gaps, errors, others = zip(*(each[best][f"gap, {label}"] for each in methods), strict=True)
        facts = {
            "label": label,
            "name": best,
            "other": " or ".join(dict.fromkeys(others)),
            "error": mean_of(errors).mean,
        }
        judgements.append(judged("outliers", mean_of(gaps), "+.4f", lambda gap: gap >= 0, **facts))
    return judgements


def _values(found: Sequence[Mapping[str, Any]], column: str) -> tuple[list[float], Mean, float]:
    """Return what was found of a method by seed, its mean, and the mean of the standard errors over rows."""
    values, errors = zip(*(one[column] for one in found), strict=True)
    return list(values), mean_of(values), mean_of(errors).mean


def _row(name: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the row of a method, whose findings are given by seed."""
    sets = [label.removeprefix("gap, ") for label in found[0] if label.startswith("gap, ")]

    def cell(column: str, spec: str) -> str:
        _, mean, error = _values(found, column)
        return f"{said(mean, spec)} ({error:{spec.removeprefix('+')}})"

    density = ["", ""]
    if "log_density" in found[0]:
        density = [cell("log_density", ".3f"), "" if name == GAUSSIANS else cell("against", "+.3f")]
    settings = "; ".join(dict.fromkeys(one["settings"] for one in found))
    return [name, *density, *(cell(label, ".4f") for label in sets), settings]
