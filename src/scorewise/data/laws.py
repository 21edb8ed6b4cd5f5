"""Distributions whose scores are known in closed form."""

import math
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from scorewise.noise import Draws
from scorewise.ordering import Ordering


class GaussianMixtureLaw:
    """A mixture of Gaussians with any covariances (one component: a Gaussian), in float64.

    Args:
        weights_K: weights of the components.
        means_KD: their means.
        covariances_KDD: their covariances.

    Raises:
        ValueError: a covariance is not symmetric and positive definite, or the shapes do not fit.

    Example:
        >>> import torch
        >>> from scorewise.data import GaussianMixtureLaw
        >>> law = GaussianMixtureLaw(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])
        >>> law.smoothed(1.0).score(torch.ones(1, 2, dtype=torch.float64))  # of N(0, 2 I)
        tensor([[-0.5000, -0.5000]], dtype=torch.float64)
    """

    def __init__(self, weights_K: Tensor, means_KD: Tensor, covariances_KDD: Tensor) -> None:
        self.weights_K = weights_K.double() / weights_K.sum()
        self.means_KD, self.covariances_KDD = means_KD.double(), covariances_KDD.double()
        components, dims = self.means_KD.shape
        if self.covariances_KDD.shape != (components, dims, dims) or len(weights_K) != components:
            raise ValueError(
                f"a mixture of {components} Gaussians in {dims} dimensions needs {components} weights and "
                f"covariances of shape {dims} x {dims}, got {len(weights_K)} weights and "
                f"{list(self.covariances_KDD.shape)}"
            )
        _, failed = torch.linalg.cholesky_ex(self.covariances_KDD)
        if failed.any() or not torch.allclose(self.covariances_KDD, self.covariances_KDD.mT):
            raise ValueError("a covariance must be symmetric and positive definite, and this one is not")

    @cached_property
    def _factors_KDD(self) -> Tensor:
        factors_KDD: Tensor = torch.linalg.cholesky(self.covariances_KDD)
        return factors_KDD

    def smoothed(self, sigma: float) -> "GaussianMixtureLaw":
        """Return the law of x + sigma z."""
        eye = torch.eye(self.means_KD.shape[1], dtype=torch.float64)
        return GaussianMixtureLaw(self.weights_K, self.means_KD, self.covariances_KDD + sigma**2 * eye)

    def sample(self, draws: Draws) -> Tensor:
        """Return one example per draw, shape (B, D), float64."""
        k_B = draws.fork("component").choice(self.weights_K)
        z_BD = draws.fork("normal").normal(self.means_KD.shape[1], dtype=torch.float64)
        if len(self.weights_K) == 1:
            return self.means_KD[0] + z_BD @ self._factors_KDD[0].T
        return self.means_KD[k_B] + torch.einsum("bij,bj->bi", self._factors_KDD[k_B], z_BD)

    def _whitened(self, x_BD: Tensor, order: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return z_BKD and the diagonals of the Cholesky factors (K, D), dimensions in the given order."""
        index = torch.tensor(order)
        factors_KDD = torch.linalg.cholesky(self.covariances_KDD[:, index][:, :, index])
        centred_KDB = (x_BD.double()[None, :, index] - self.means_KD[:, None, index]).mT
        z_KDB = torch.linalg.solve_triangular(factors_KDD, centred_KDB, upper=False)
        return z_KDB.permute(2, 0, 1), factors_KDD.diagonal(dim1=-2, dim2=-1)

    def _log_terms(self, z_BKD: Tensor, diagonal_KD: Tensor) -> Tensor:
        return -0.5 * z_BKD.square() - diagonal_KD.log() - 0.5 * math.log(2 * math.pi)

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log p(x), nats, shape (B,)."""
        z_BKD, diagonal_KD = self._whitened(x_BD, range(x_BD.shape[1]))
        return torch.logsumexp(self.weights_K.log() + self._log_terms(z_BKD, diagonal_KD).sum(-1), -1)

    def score(self, x_BD: Tensor) -> Tensor:
        """Return the joint score grad_x log p(x), shape (B, D), float64."""
        z_BKD, diagonal_KD = self._whitened(x_BD, range(x_BD.shape[1]))
        share_BK = torch.softmax(self.weights_K.log() + self._log_terms(z_BKD, diagonal_KD).sum(-1), -1)
        pull_KDB = torch.linalg.solve_triangular(self._factors_KDD.mT, z_BKD.permute(1, 2, 0), upper=True)
        return -torch.einsum("bk,kdb->bd", share_BK, pull_KDB)

    def conditional_score(self, x_BD: Tensor, order: Sequence[int]) -> Tensor:
        """Return d/dx_d log p(x_d | what comes before d in the order), shape (B, D), float64.

        It is the derivative of the marginal log p(x_<=d), in which x_d enters through one whitened entry only.
        """
        z_BKD, diagonal_KD = self._whitened(x_BD, order)
        prefix_BKD = self.weights_K.log()[:, None] + self._log_terms(z_BKD, diagonal_KD).cumsum(-1)
        s_BD = -(torch.softmax(prefix_BKD, 1) * z_BKD / diagonal_KD).sum(1)
        return s_BD[:, torch.argsort(torch.tensor(order))]

    def block_score(self, x_BD: Tensor, ordering: Ordering) -> Tensor:
        """Return grad log p(x_k | the blocks before it) of every block k of an order, shape (B, D), float64.

        It is the gradient of the marginal log p(x_<=k), in which x_k enters through its own whitened entries only.
        """
        z_BKD, diagonal_KD = self._whitened(x_BD, ordering.sequence)
        index = torch.tensor(ordering.sequence)
        factors_KDD = torch.linalg.cholesky(self.covariances_KDD[:, index][:, :, index])
        prefix_BKD = self.weights_K.log()[:, None] + self._log_terms(z_BKD, diagonal_KD).cumsum(-1)
        parts, start = [], 0
        for block in ordering.blocks:
            here = slice(start, start + len(block))
            start += len(block)
            pull_KmB = torch.linalg.solve_triangular(
                factors_KDD[:, here, here].mT, z_BKD[:, :, here].permute(1, 2, 0), upper=True
            )
            parts.append(-torch.einsum("bk,kmb->bm", torch.softmax(prefix_BKD[:, :, start - 1], 1), pull_KmB))
        return torch.cat(parts, -1)[:, ordering.positions()]
