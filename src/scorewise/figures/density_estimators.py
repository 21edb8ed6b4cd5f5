"""Density estimators and outlier detectors of a table, ours and scikit-learn's."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorewise.densities.ensemble import equal_mixture
from scorewise.densities.score_density import ScoreDensity
from scorewise.figures.bench import Bench
from scorewise.heads.model import Model
from scorewise.outliers import quantities

GAUSSIANS, KERNELS = "GaussianMixture", "KernelDensity"
NEIGHBOURS = 20
"""Of LocalOutlierFactor: scikit-learn's default."""
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


def ours(bench: Bench, place: int) -> dict[str, Method]:
    """Return the trained models of a seed, and where several have one name before the stroke, their equal mixture.

    Args:
        bench: with the trainings.
        place: of the seed.
    """
    found: dict[str, Method] = {}
    for group in bench.groups:
        runs = [few[place] for few in bench.of(group).values()]
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


def _of_model(model: Model) -> Scores:
    def log_density(x_ND: Tensor) -> Tensor:
        return torch.cat([-quantities(model, x_BD.float(), ("nll",))["nll"] for x_BD in x_ND.split(BATCH)])

    return log_density


def _minus(log_density: Scores) -> Scores:
    return lambda x_ND: -log_density(x_ND)


def _of_rows(method: Callable[[Any], Any]) -> Scores:
    """Return a method of an estimator, of tensors."""
    return lambda x_ND: torch.from_numpy(method(x_ND.numpy()))


def _chosen(ours: bool, fits: Mapping[str, Callable[[], tuple[Scores, Scores]]], val_ND: Tensor) -> Method:
    """Return the estimator with the best log-density of validation rows."""
    started = time.monotonic()
    tried = {name: fit() for name, fit in fits.items()}
    best = max(tried, key=lambda name: float(tried[name][0](val_ND).mean()))
    return Method(ours, *tried[best], best, time.monotonic() - started)


def fitted(
    train_ND: Tensor,
    val_ND: Tensor,
    noise: float,
    steps: Sequence[int],
    components: Sequence[int],
    bandwidths: Sequence[float],
    seed: int,
) -> dict[str, Method]:
    """Return estimators and detectors of training rows, each with the settings that noisy validation rows choose.

    Args:
        train_ND: clean rows.
        val_ND: noisy rows.
        noise: of the law to be estimated, standard deviation.
        steps: of ScoreDensity, to choose from.
        components: of GaussianMixture, to choose from.
        bandwidths: of KernelDensity, to choose from.
        seed: of what is random in fitting them.
    """
    series = {f"{n} steps": partial(_series, train_ND, noise, n, seed) for n in steps}
    gaussians = {f"{k} components": partial(_gaussians, train_ND, noise, k, seed) for k in components}
    kernels = {f"bandwidth {b:g}": partial(_kernels, train_ND, noise, b) for b in bandwidths}
    return {
        "ScoreDensity": _chosen(True, series, val_ND),
        GAUSSIANS: _chosen(False, gaussians, val_ND),
        KERNELS: _chosen(False, kernels, val_ND),
        **_detectors(train_ND, seed),
    }


def _series(train_ND: Tensor, noise: float, steps: int, seed: int) -> tuple[Scores, Scores]:
    # No row is kept for p-values: every method has all training rows.
    fit = ScoreDensity(smoothing=noise, steps=steps, calibration=0.0, random_state=seed).fit(train_ND.numpy())
    return _of_rows(fit.score_samples), _of_rows(fit.outlier_score)


def _gaussians(train_ND: Tensor, noise: float, components: int, seed: int) -> tuple[Scores, Scores]:
    from scipy.stats import multivariate_normal
    from sklearn.mixture import GaussianMixture

    fit = GaussianMixture(components, n_init=3, random_state=seed).fit(train_ND.numpy())
    parts = [
        multivariate_normal(mean, covariance + noise**2 * np.eye(len(mean)))
        for mean, covariance in zip(fit.means_, fit.covariances_, strict=True)
    ]
    log_weight_K1 = torch.from_numpy(np.log(fit.weights_))[:, None]

    def log_density(x_ND: Tensor) -> Tensor:
        log_q_KN = torch.stack([torch.from_numpy(part.logpdf(x_ND.numpy())) for part in parts])
        return (log_q_KN + log_weight_K1).logsumexp(0)

    return log_density, _minus(log_density)


def _kernels(train_ND: Tensor, noise: float, bandwidth: float) -> tuple[Scores, Scores]:
    from sklearn.neighbors import KernelDensity

    fit = KernelDensity(bandwidth=math.hypot(bandwidth, noise)).fit(train_ND.numpy())
    log_density = _of_rows(fit.score_samples)
    return log_density, _minus(log_density)


def _detectors(train_ND: Tensor, seed: int) -> dict[str, Method]:
    from sklearn.ensemble import IsolationForest
    from sklearn.neighbors import LocalOutlierFactor

    found = {}
    for name, detector, settings in (
        ("IsolationForest", IsolationForest(n_estimators=300, random_state=seed), "300 trees"),
        ("LocalOutlierFactor", LocalOutlierFactor(NEIGHBOURS, novelty=True), f"{NEIGHBOURS} neighbours"),
    ):
        started = time.monotonic()
        detector.fit(train_ND.numpy())
        odd = _minus(_of_rows(detector.score_samples))
        found[name] = Method(False, None, odd, settings, time.monotonic() - started)
    return found
