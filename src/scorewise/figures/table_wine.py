"""A table of white wines: held-out log-density and outliers found, beside scikit-learn's on the same split."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.data.tables import Table as TableData
from scorewise.densities.ensemble import equal_mixture
from scorewise.densities.score_density import ScoreDensity
from scorewise.figures.figure import Bench, Claim, Figure, Results, Table
from scorewise.noise import Draws, smoothing_noise
from scorewise.outliers import detection, quantities, replicates

INSIDE = {"train": 0, "val": 1, "test": 2}
GAUSSIANS, KERNELS = "GaussianMixture", "KernelDensity"
NEIGHBOURS = 20
"""Of LocalOutlierFactor: scikit-learn's default."""
PERMUTED = "permuted columns"
BATCH = 500
Scores = Callable[[Tensor], Tensor]


class Method(NamedTuple):
    """An estimator that was fitted to the training rows.

    Args:
        ours: whether it is one of Scorewise's.
        log_density: log q of rows (N, D) under the smoothed law, nats, (N,); None where there is none.
        odd: outlier scores of rows, (N,).
        settings: as chosen.
        seconds: of fitting, with the choice of settings.
    """

    ours: bool
    log_density: Scores | None
    odd: Scores
    settings: str
    seconds: float


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

    title = "A density of white wines, beside scikit-learn's"

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
        identities = {name: [run.summary["identity"] for run in few] for name, few in bench.runs.items()}
        found = bench.once("methods", {**vars(self), "runs": identities}, lambda: self._compared(bench))
        table = Table(
            f"{found['rows']['train']:,} training, {found['rows']['val']} validation and {found['rows']['test']} test "
            f"rows of {found['dims']} columns, standardised by the training rows; equal rows are in the same split. "
            f"log-density: nats per test row, of data + N(0, {found['noise']:g}^2), mean over {self.copies} draws of "
            f"that noise (standard error over rows, equal rows together); against {GAUSSIANS}: paired difference. "
            "AUROC: clean test rows against the other set (standard error, bootstrap).",
            (
                *("method", "log-density", f"against {GAUSSIANS}"),
                *(f"AUROC, {each}" for each in found["sets"]),
                "settings",
            ),
            [_row(name, one) for name, one in found["methods"].items()],
        )
        return Results(
            [table],
            _claims(found),
            [
                "Settings are chosen by the log-density of noisy validation rows, for Scorewise's runs the epoch; "
                f"nobody trains on validation rows. {GAUSSIANS} and {KERNELS} are fitted to clean rows and convolved "
                "with the noise exactly (covariance + sigma^2, bandwidth^2 + sigma^2), the others are trained on noisy "
                "rows. The columns are rounded: without noise, a density of them has no finite optimum.",
                f"Outlier scores are minus the log-density; IsolationForest (300 trees) and LocalOutlierFactor ("
                f"{NEIGHBOURS} neighbours, novelty) have their own. {PERMUTED.capitalize()}: the test rows with every "
                "column permuted by itself, so that every column is right and only their dependence is gone.",
                "One split and one training each: standard errors know nothing of another.",
            ],
            found,
        )

    def _compared(self, bench: Bench) -> dict[str, Any]:
        first = next(iter(bench.runs.values()))[0]
        source, noise = first.source, float(first.model.noise)
        clean = {split: _rows(source, split) for split in INSIDE}
        noisy = {split: _noisy(clean[split], noise, self.copies) for split in ("val", "test")}
        sets = self._outside(source, clean["test"])
        methods = {**_ours(bench), **self._theirs(clean["train"], noisy["val"], noise)}
        _, same_N = torch.unique(clean["test"], dim=0, return_inverse=True)
        log_q = {
            name: method.log_density(noisy["test"]).unflatten(0, (self.copies, -1)).mean(0)
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
            scores = {name: (m.odd(clean["test"]), m.odd(outside_ND)) for name, m in methods.items()}
            drawn = {name: replicates(*pair, self.resamples, (0, 1))["auroc"] for name, pair in scores.items()}
            best = max((n for n in methods if not methods[n].ours), key=lambda n: detection(*scores[n])["auroc"])
            for name, pair in scores.items():
                found[name][label] = [detection(*pair)["auroc"], float(drawn[name].std())]
                gap = detection(*pair)["auroc"] - detection(*scores[best])["auroc"]
                found[name][f"gap, {label}"] = [gap, float((drawn[name] - drawn[best]).std()), best]
        counts = {split: len(rows) for split, rows in clean.items()}
        return {"methods": found, "sets": list(sets), "rows": counts, "dims": source.dims, "noise": noise}

    def _outside(self, source: Any, test_ND: Tensor) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        orders = [torch.randperm(len(test_ND), generator=generator) for _ in range(test_ND.shape[1])]
        sets = {PERMUTED: torch.stack([test_ND[order, d] for d, order in enumerate(orders)], 1)}
        if self.other is None:
            return sets
        other = TableData(self.other, val=0, test=1, columns=source.table.plain())
        return {"red wine": _rows(other, "test"), **sets}

    def _theirs(self, train_ND: Tensor, val_ND: Tensor, noise: float) -> dict[str, Method]:
        series = {f"{n} steps": (lambda n=n: _series(train_ND, noise, n)) for n in self.steps}
        gaussians = {f"{k} components": (lambda k=k: _gaussians(train_ND, noise, k)) for k in self.components}
        kernels = {f"bandwidth {b:g}": (lambda b=b: _kernels(train_ND, noise, b)) for b in self.bandwidths}
        return {
            "ScoreDensity": _chosen(True, series, val_ND),
            GAUSSIANS: _chosen(False, gaussians, val_ND),
            KERNELS: _chosen(False, kernels, val_ND),
            **_detectors(train_ND),
        }

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
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
        canvas.suptitle(self.title, fontsize=11)


def _rows(source: Any, split: str) -> Tensor:
    x_ND: Tensor = source.examples(split, torch.arange(source.count(split)), -1, 0).double()
    return x_ND


def _noisy(x_ND: Tensor, noise: float, copies: int) -> Tensor:
    """Return all rows copy by copy."""
    index_N = torch.arange(len(x_ND))
    return torch.cat([x_ND + noise * smoothing_noise(Draws.of(copy, -1, index_N), x_ND) for copy in range(copies)])


def _ours(bench: Bench) -> dict[str, Method]:
    """Return the trained models, and where several have one name before the stroke, their equal mixture."""
    found: dict[str, Method] = {}
    for group in dict.fromkeys(name.partition("/")[0] for name in bench.runs):
        runs = [few[0] for name, few in bench.runs.items() if name.partition("/")[0] == group]
        members = [_of_model(run.model) for run in runs]
        seconds = [float(run.summary["seconds"]) for run in runs]
        size = f"{runs[0].summary['parameters']:,} parameters"
        found[group] = Method(True, members[0], _minus(members[0]), size, seconds[0])
        if len(members) > 1:

            def mixed(x_ND: Tensor, members: Sequence[Scores] = members) -> Tensor:
                return equal_mixture(torch.stack([member(x_ND) for member in members]))

            label = f"{group}, {len(members)} orders mixed"
            found[label] = Method(True, mixed, _minus(mixed), f"{len(members)} such models", sum(seconds))
    return found


def _of_model(model: Any) -> Scores:
    def log_density(x_ND: Tensor) -> Tensor:
        return torch.cat([-quantities(model, x_BD.float(), ("nll",))["nll"] for x_BD in x_ND.split(BATCH)])

    return log_density


def _minus(log_density: Scores) -> Scores:
    return lambda x_ND: -log_density(x_ND)


def _chosen(ours: bool, fits: Mapping[str, Callable[[], Scores]], val_ND: Tensor) -> Method:
    """Return the estimator with the best log-density of validation rows."""
    started = time.monotonic()
    fitted = {name: fit() for name, fit in fits.items()}
    best = max(fitted, key=lambda name: float(fitted[name](val_ND).mean()))
    return Method(ours, fitted[best], _minus(fitted[best]), best, time.monotonic() - started)


def _series(train_ND: Tensor, noise: float, steps: int) -> Scores:
    fit = ScoreDensity(smoothing=noise, steps=steps, random_state=0).fit(train_ND.numpy())
    return lambda x_ND: torch.from_numpy(fit.score_samples(x_ND.numpy()))


def _gaussians(train_ND: Tensor, noise: float, components: int) -> Scores:
    from scipy.stats import multivariate_normal
    from sklearn.mixture import GaussianMixture

    fit = GaussianMixture(components, n_init=3, random_state=0).fit(train_ND.numpy())
    parts = [
        multivariate_normal(mean, covariance + noise**2 * np.eye(len(mean)))
        for mean, covariance in zip(fit.means_, fit.covariances_, strict=True)
    ]
    log_weight_K1 = torch.from_numpy(np.log(fit.weights_))[:, None]
    return lambda x_ND: (
        torch.stack([torch.from_numpy(part.logpdf(x_ND.numpy())) for part in parts]) + log_weight_K1
    ).logsumexp(0)


def _kernels(train_ND: Tensor, noise: float, bandwidth: float) -> Scores:
    from sklearn.neighbors import KernelDensity

    fit = KernelDensity(bandwidth=math.hypot(bandwidth, noise)).fit(train_ND.numpy())
    return lambda x_ND: torch.from_numpy(fit.score_samples(x_ND.numpy()))


def _detectors(train_ND: Tensor) -> dict[str, Method]:
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    found = {}
    for name, detector, settings in (
        ("IsolationForest", IsolationForest(n_estimators=300, random_state=0), "300 trees"),
        ("LocalOutlierFactor", LocalOutlierFactor(NEIGHBOURS, novelty=True), f"{NEIGHBOURS} neighbours"),
    ):
        started = time.monotonic()
        detector.fit(train_ND.numpy())

        def odd(x_ND: Tensor, detector: Any = detector) -> Tensor:
            return torch.from_numpy(-detector.score_samples(x_ND.numpy()))

        found[name] = Method(False, None, odd, settings, time.monotonic() - started)
    return found


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
    ours = [name for name, one in found["methods"].items() if one["ours"] and name != "ScoreDensity"]
    claims = []
    for name in ours:
        gap, error = found["methods"][name]["against"]
        sentence = f"{name} has a higher held-out log-density than {GAUSSIANS} and {KERNELS}"
        best = max(found["methods"][other]["log_density"][0] for other in (GAUSSIANS, KERNELS))
        measured = f"{gap:+.3f} nats per row against {GAUSSIANS}, standard error {error:.3f}"
        claims.append(Claim(sentence, found["methods"][name]["log_density"][0] > best, measured))
    for label in found["sets"]:
        name = max(ours, key=lambda each: found["methods"][each]["log_density"][0])
        gap, error, best = found["methods"][name][f"gap, {label}"]
        within = ", within two standard errors" if abs(gap) < 2 * error else ""
        sentence = f"{label}: {name}, the best density, finds outliers at least as well as every one of scikit-learn's"
        claims.append(Claim(sentence, gap >= 0, f"AUROC {gap:+.4f} against {best}, standard error {error:.4f}{within}"))
    return claims
