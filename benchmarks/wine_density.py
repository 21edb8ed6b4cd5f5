"""How well ScoreDensity knows the wine table, beside scikit-learn's mixtures of Gaussians and kernel densities.

    python benchmarks/wine_density.py

178 wines by 13 measurements, three random splits into 138 training and 40 held-out rows, columns standardised by the
training rows. The law in question is that of the data with Gaussian noise of 0.2 standard deviations in every column,
which `ScoreDensity` is made for; so that nobody is at a disadvantage the others are convolved with that noise exactly
(covariance + 0.2^2, bandwidth^2 + 0.2^2), and all are evaluated on the same held-out rows, 20 noisy copies of each.
Settings are chosen on training rows alone: components by BIC, the bandwidth by five-fold cross-validation with noisy
validation rows; `ScoreDensity` has its defaults.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from record import ratio_row, write
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_wine
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold
from sklearn.neighbors import KernelDensity

from scorewise import ScoreDensity

SMOOTHING, HELD_OUT, COPIES, SPLITS = 0.2, 40, 20, 3
Array = NDArray[np.float64]
LogDensity = Callable[[Array], Array]
Fit = Callable[[Array], LogDensity]


def noisy(x_ND: Array, seed: int) -> Array:
    """Return copies of every row with noise."""
    x_ND = np.repeat(x_ND, COPIES, axis=0)
    return x_ND + SMOOTHING * np.random.default_rng(seed).normal(size=x_ND.shape)


def mixture(x_ND: Array) -> LogDensity:
    """Return a mixture of full Gaussians, as many as BIC takes, convolved with the noise."""
    fits = [GaussianMixture(k, n_init=5, random_state=0).fit(x_ND) for k in range(1, 7)]
    best = min(fits, key=lambda fit: fit.bic(x_ND))
    parts = [
        multivariate_normal(mean, covariance + SMOOTHING**2 * np.eye(len(mean)))
        for mean, covariance in zip(best.means_, best.covariances_, strict=True)
    ]
    return lambda y_ND: logsumexp(
        np.stack([part.logpdf(y_ND) for part in parts]) + np.log(best.weights_)[:, None], axis=0
    )


def kernel(bandwidth: float) -> Fit:
    """Return a Gaussian kernel density with a bandwidth, convolved with the noise."""
    return lambda x_ND: KernelDensity(bandwidth=float(np.hypot(bandwidth, SMOOTHING))).fit(x_ND).score_samples


def series(x_ND: Array) -> LogDensity:
    """Return ScoreDensity with its defaults, all rows fitted."""
    return ScoreDensity(smoothing=SMOOTHING, calibration=0.0, random_state=0).fit(x_ND).score_samples


def validated(fits: Sequence[Fit], x_ND: Array) -> int:
    """Return the index of the fit that predicts noisy validation rows best."""
    scores = [0.0] * len(fits)
    for train, held in KFold(5, shuffle=True, random_state=0).split(x_ND):
        y_ND = noisy(x_ND[held], 1)
        scores = [score + fit(x_ND[train])(y_ND).mean() for score, fit in zip(scores, fits, strict=True)]
    return int(np.argmax(scores))


def main() -> None:
    """Measure, print and write docs/benchmarks/wine_density.json."""
    torch.set_num_threads(1)
    x_ND = load_wine().data
    bandwidths = [float(value) for value in np.geomspace(0.1, 1.2, 23)]
    nats: dict[str, list[float]] = {"score_density": [], "gaussian_mixture": [], "kernel_density": []}
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(x_ND))
        train_ND, held_ND = x_ND[order[HELD_OUT:]], x_ND[order[:HELD_OUT]]
        mean_D, std_D = train_ND.mean(0), train_ND.std(0)
        train_ND, held_ND = (train_ND - mean_D) / std_D, noisy((held_ND - mean_D) / std_D, 2)
        width = bandwidths[validated([kernel(value) for value in bandwidths], train_ND)]
        print(f"split {split}: bandwidth {width:.2f}")
        for name, fit in zip(nats, (series, mixture, kernel(width)), strict=True):
            nats[name].append(float(fit(train_ND)(held_ND).mean()))
    for name, values in nats.items():
        print(f"{name:20s} held-out log-likelihood, nats: {', '.join(f'{value:.2f}' for value in values)}")
    rows = [
        ratio_row(
            f"wine: NLL of ScoreDensity - NLL of {label}, nats per row, {SPLITS} splits",
            [theirs - ours for ours, theirs in zip(nats["score_density"], nats[name], strict=True)],
            0.0,
        )
        for name, label in (("gaussian_mixture", "GaussianMixture (BIC)"), ("kernel_density", "KernelDensity"))
    ]
    numbers = {name: {f"split {i}": value for i, value in enumerate(values)} for name, values in nats.items()}
    write("wine_density", rows, torch.device("cpu"), **numbers)


if __name__ == "__main__":
    main()
