"""Outlier detectors that ours is compared with: from rows to a function that scores rows, larger is odder."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors

Array = NDArray[np.float64]
Scores = Callable[[Array], Array]
Detector = Callable[[Array, int], Scores]
MOST, PATIENCE = 16, 3
"""Components of a mixture at most; after so many rises of BIC in a row no more are tried."""


def likeliest_mixture(x_ND: Array, seed: int) -> GaussianMixture:
    """Return the mixture of full Gaussians that BIC takes, of 1 to 16."""
    fits: list[GaussianMixture] = []
    bic: list[float] = []
    for components in range(1, min(MOST, len(x_ND)) + 1):
        fits.append(GaussianMixture(components, reg_covar=1e-3, random_state=seed).fit(x_ND))
        bic.append(fits[-1].bic(x_ND))
        if len(bic) > PATIENCE and all(high > low for low, high in pairwise(bic[-PATIENCE - 1 :])):
            break
    return fits[int(np.argmin(bic))]


def mixture(x_ND: Array, seed: int) -> Scores:
    """Return minus the log-density of the mixture of full Gaussians that BIC takes, of 1 to 16."""
    best = likeliest_mixture(x_ND, seed)
    return lambda y_ND: -np.asarray(best.score_samples(y_ND))


def neighbours(x_ND: Array, seed: int) -> Scores:
    """Return the mean distance to the 5 nearest neighbours."""
    index = NearestNeighbors(n_neighbors=min(5, len(x_ND))).fit(x_ND)
    return lambda y_ND: np.asarray(index.kneighbors(y_ND)[0].mean(1))


def kernels(x_ND: Array, seed: int) -> Scores:
    """Return minus the log-density of Gaussian kernels of Scott's width."""
    fit = KernelDensity(bandwidth="scott").fit(x_ND)
    return lambda y_ND: -np.asarray(fit.score_samples(y_ND))


def local_factor(x_ND: Array, seed: int) -> Scores:
    """Return the local outlier factor of 20 neighbours."""
    fit = LocalOutlierFactor(min(20, len(x_ND) - 1), novelty=True).fit(x_ND)
    return lambda y_ND: -np.asarray(fit.score_samples(y_ND))


def forest(x_ND: Array, seed: int) -> Scores:
    """Return the score of 300 isolation trees."""
    fit = IsolationForest(n_estimators=300, random_state=seed).fit(x_ND)
    return lambda y_ND: -np.asarray(fit.score_samples(y_ND))


def ecod(x_ND: Array, seed: int) -> Scores:
    """Return ECOD's score (Li et al. 2022) by the distribution functions of the training rows."""
    count, sorted_ND = len(x_ND), np.sort(x_ND, axis=0)
    centred_ND = x_ND - x_ND.mean(0)
    skewed_left_D = (centred_ND**3).mean(0) < 0

    def score(y_ND: Array) -> Array:
        columns = list(zip(sorted_ND.T, y_ND.T, strict=True))
        at_most_ND = np.stack([np.searchsorted(known, new, "right") for known, new in columns], 1)
        below_ND = np.stack([np.searchsorted(known, new, "left") for known, new in columns], 1)
        left_ND, right_ND = (-np.log((n_ND + 1) / (count + 1)) for n_ND in (at_most_ND, count - below_ND))
        by_skew_ND = np.where(skewed_left_D, left_ND, right_ND)
        return np.asarray(np.max([left_ND.sum(1), right_ND.sum(1), by_skew_ND.sum(1)], axis=0))

    return score


PEERS: Mapping[str, Detector] = {
    "GaussianMixture (BIC)": mixture,
    "5 nearest neighbours": neighbours,
    "KernelDensity (Scott)": kernels,
    "LocalOutlierFactor": local_factor,
    "IsolationForest": forest,
    "ECOD": ecod,
}
