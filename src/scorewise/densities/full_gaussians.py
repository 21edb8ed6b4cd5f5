"""Mixtures of full Gaussians of rows with noise as experts."""

import math
import warnings
from collections.abc import Sequence
from typing import Self, final

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Generator, Tensor

COMPONENTS = (2, 4, 8, 16)
"""Gaussians of the mixtures that there are, each with more rows than it has columns."""
RIDGE = 0.01
"""Least variance of clean rows, in that of the smoothing: what keeps EM away from single rows."""


@final
class FullGaussians:
    """A mixture of K full Gaussians.

    Args:
        weight_K: positive, of sum 1.
        mean_KD: of every Gaussian.
        covariance_KDD: positive definite.
    """

    def __init__(self, weight_K: Tensor, mean_KD: Tensor, covariance_KDD: Tensor) -> None:
        self.weight_K, self.mean_KD = weight_K, mean_KD
        self.factor_KDD = torch.linalg.cholesky(covariance_KDD)

    @classmethod
    def fitted(cls, x_ND: Tensor, components: int, smoothing: float, seed: int) -> Self:
        """Return the law of rows with noise: that of clean ones by EM, convolved with the noise exactly.

        Args:
            x_ND: clean rows.
            components: K.
            smoothing: standard deviation of the noise.
            seed: of the start of EM.
        """
        fit = GaussianMixture(components, reg_covar=RIDGE * smoothing**2, random_state=seed)
        with warnings.catch_warnings():  # held-out rows judge the result
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit.fit(x_ND.numpy())
        weight_K, mean_KD, covariance_KDD = (
            torch.as_tensor(found).to(x_ND) for found in (fit.weights_, fit.means_, fit.covariances_)
        )
        noise_DD = smoothing**2 * torch.eye(x_ND.shape[1], dtype=x_ND.dtype)
        return cls(weight_K, mean_KD, covariance_KDD + noise_DD)

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x), nats, shape (B,)."""
        y_KDB = (x_BD - self.mean_KD[:, None]).mT
        z_KDB = torch.linalg.solve_triangular(self.factor_KDD, y_KDB, upper=False)
        log_scale_K = self.factor_KDD.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        log_scale_K = log_scale_K + 0.5 * x_BD.shape[1] * math.log(2 * math.pi)
        log_q_KB = (self.weight_K.log() - log_scale_K)[:, None] - 0.5 * z_KDB.square().sum(1)
        log_q_B: Tensor = log_q_KB.logsumexp(0)
        return log_q_B

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n rows, shape (n, D)."""
        chosen_n = torch.multinomial(self.weight_K, n, replacement=True, generator=generator)
        z_nD = torch.randn(n, self.mean_KD.shape[1], generator=generator, dtype=self.mean_KD.dtype)
        spread_nD = z_nD.new_empty(z_nD.shape)
        for k, factor_DD in enumerate(self.factor_KDD):
            spread_nD[chosen_n == k] = z_nD[chosen_n == k] @ factor_DD.T
        x_nD: Tensor = self.mean_KD[chosen_n] + spread_nD
        return x_nD


def mixtures(x_ND: Tensor, smoothing: float, seed: int) -> Sequence[FullGaussians]:
    """Return mixtures of 2 to 16 Gaussians of rows, as many as there are rows for."""
    enough = [count for count in COMPONENTS if count * (x_ND.shape[1] + 1) <= len(x_ND)]
    return [FullGaussians.fitted(x_ND, count, smoothing, seed) for count in enough]
