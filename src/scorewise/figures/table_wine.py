"""A table of white wines: held-out log-density and outliers found, beside scikit-learn's on the same split."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.data.source import Source, Split
from scorewise.data.tables import Table
from scorewise.data.tabular.source import Tabular
from scorewise.figures.bench import Bench
from scorewise.figures.density_estimators import GAUSSIANS, KERNELS, NEIGHBOURS, Method, fitted, ours
from scorewise.figures.figure import Figure
from scorewise.figures.noisy_copies import noisy_copies
from scorewise.figures.results import Claim, Results, ResultTable, Text
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
        """Return log-densities and AUROC of every method, and whether ours are ahead."""
        settings = {**vars(self), "runs": bench.identities()}
        found = bench.once("methods", settings, lambda: self._compared(bench))
        columns = ("method", "log-density", f"against {GAUSSIANS}", *map("AUROC, {}".format, found["sets"]), "settings")
        rows = [_row(name, one) for name, one in found["methods"].items()]
        facts = {"rows": found["rows"], "dims": found["dims"], "noise": found["noise"], "neighbours": NEIGHBOURS}
        return Results([ResultTable("methods", rows, columns)], _claims(found), facts, data=found)

    def _compared(self, bench: Bench) -> dict[str, Any]:
        source, noise = bench.first.source, float(bench.first.model.noise)
        clean = {split: _rows(source, split) for split in SPLITS}
        val_ND, test_ND = (noisy_copies(clean[split], noise, self.copies) for split in ("val", "test"))
        sets = self._outside(source, clean["test"])
        theirs = fitted(clean["train"], val_ND, noise, self.steps, self.components, self.bandwidths)
        methods = {**ours(bench), **theirs}
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
        """Draw log-densities with their standard errors, and AUROC by set, a row per method."""
        canvas.set_size_inches(5.2 + 3.2 * len(data["sets"]), 3.6)
        names = list(data["methods"])
        columns = ["log_density", *data["sets"]]
        for i, column in enumerate(columns):
            axes = canvas.add_subplot(1, len(columns), i + 1)
            for place, name in enumerate(names):
                one = data["methods"][name]
                if column in one:
                    value, error = one[column]
                    colour = "tab:blue" if one["ours"] else "0.45"
                    axes.errorbar(value, place, xerr=error, fmt="o", color=colour, ms=5, capsize=3)
            axes.set_yticks(range(len(names)), names if i == 0 else [])
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_title("held-out log-density, nats per row" if i == 0 else f"AUROC, {column}", fontsize=9)
            axes.grid(axis="x", alpha=0.25)
            axes.locator_params(axis="x", nbins=5)
        canvas.suptitle(text.title, fontsize=11)


def _rows(source: Source, split: Split) -> Tensor:
    return source.examples(split, torch.arange(source.count(split)), -1, 0).double()


def _mean(value_N: Tensor, same_N: Tensor) -> list[float]:
    """Return the mean and its standard error, where equal rows count as one cluster."""
    mean = value_N.mean()
    sums = torch.zeros(int(same_N.max()) + 1, dtype=value_N.dtype).index_add_(0, same_N, value_N - mean)
    clusters = len(sums)
    return [float(mean), math.sqrt(clusters / (clusters - 1) * float(sums.square().sum())) / len(value_N)]


def _row(name: str, one: Mapping[str, Any]) -> list[Any]:
    sets = [label.removeprefix("gap, ") for label in one if label.startswith("gap, ")]
    density = ["", ""]
    if "log_density" in one:
        paired = "" if name == GAUSSIANS else f"{one['against'][0]:+.3f} ({one['against'][1]:.3f})"
        density = [f"{one['log_density'][0]:.3f} ({one['log_density'][1]:.3f})", paired]
    return [name, *density, *(f"{one[label][0]:.4f} ({one[label][1]:.4f})" for label in sets), one["settings"]]


def _claims(found: Mapping[str, Any]) -> list[Claim]:
    methods = found["methods"]
    density = {name: one["log_density"][0] for name, one in methods.items() if "log_density" in one}
    trained = [name for name, one in methods.items() if one["ours"] and name != "ScoreDensity"]
    baseline = max(density[name] for name in (GAUSSIANS, KERNELS))
    claims = []
    for name in trained:
        gap, error = methods[name]["against"]
        claims.append(Claim("density", density[name] > baseline, name=name, gap=gap, error=error))
    best = max(trained, key=lambda name: density[name])
    for label in found["sets"]:
        gap, error, other = methods[best][f"gap, {label}"]
        within = ", within two standard errors" if abs(gap) < 2 * error else ""
        facts = {"label": label, "name": best, "gap": gap, "other": other, "error": error, "within": within}
        claims.append(Claim("outliers", gap >= 0, **facts))
    return claims
