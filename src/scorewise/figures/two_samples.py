"""Distances between samples, from well-kept libraries, each with the convention it is reported in."""

import numpy as np
from torch import Tensor


def sliced_wasserstein(x_BD: Tensor, y_BD: Tensor, projections: int, seed: int = 0) -> float:
    """Return the sliced 2-Wasserstein distance, in the scale of the data (Bonneel et al. 2015; POT).

    Args:
        x_BD: a sample.
        y_BD: another of the same size.
        projections: random directions.
        seed: of the directions; the same seed makes distances comparable.
    """
    import ot

    return float(ot.sliced_wasserstein_distance(_array(x_BD), _array(y_BD), n_projections=projections, seed=seed, p=2))


def maximum_mean_discrepancy(x_BD: Tensor, y_BD: Tensor, bandwidth: float) -> float:
    """Return the unbiased estimate of the squared MMD with a Gaussian kernel (Gretton et al. 2012, eq. 3).

    It can be slightly negative for samples of the same law.

    Args:
        x_BD: a sample.
        y_BD: another.
        bandwidth: h of exp(-d^2 / 2h^2), in the scale of the data.
    """
    from sklearn.metrics.pairwise import rbf_kernel

    x, y, gamma = _array(x_BD), _array(y_BD), 0.5 / bandwidth**2

    def within(a: np.ndarray) -> float:
        return float((rbf_kernel(a, gamma=gamma).sum() - len(a)) / (len(a) * (len(a) - 1)))

    return within(x) + within(y) - 2 * float(rbf_kernel(x, y, gamma=gamma).mean())


def _array(x_BD: Tensor) -> np.ndarray:
    return x_BD.detach().double().cpu().numpy()
