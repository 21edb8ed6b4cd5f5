"""The spectral Stein gradient estimator (Shi, Sun and Zhu 2018)."""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from scorewise.estimators.kernel import (
    check_bandwidth,
    kernel,
    kernel_bandwidth,
    kernel_gradient,
    squared_distances,
)
from scorewise.ranges import Between, Count, within_ranges


class Spectrum(NamedTuple):
    """The spectrum of the kernel matrix of M samples.

    Args:
        h: bandwidth (..., 1, 1).
        u_MM: eigenvectors U of the kernel matrix as columns (..., M, M), those of the largest eigenvalues first.
        inverse_M1: reciprocals of the eigenvalues (..., M, 1), zero for eigenfunctions that are not used.
        moment_MD: U^T <grad, K> (..., M, D).
    """

    h: Tensor
    u_MM: Tensor
    inverse_M1: Tensor
    moment_MD: Tensor


class Spectral:
    """The score expanded in the eigenfunctions of a Gaussian kernel, those of the largest eigenvalues.

    With the eigenpairs (lambda_j, u_j) of the kernel matrix of the samples, psi_j(x) = sqrt(M) / lambda_j
    sum_n u_jn k(x, x_n), beta_j = - mean_m grad psi_j(x_m), and the score is sum_j beta_j psi_j(x). At the samples
    this is - U 1/Lambda U^T <grad, K>, Stein's estimator with a truncation in place of its ridge.

    Args:
        share: as many eigenfunctions are used as have a cumulative share of the eigenvalues below this, at least one;
            counted for each set of samples on its own.
        bandwidth: of the kernel; a positive number in the scale of the data, or median.
        n_eigen: use this many instead.
        freeze_n_eigen: keep the count of the first call for ever, one for all sets from their mean eigenvalues, as the
            port published with sliced score matching does.

    Raises:
        ValueError: share is not in (0, 1], n_eigen is not positive, no such rule, or a bandwidth that is not positive.

    Example:
        >>> import torch
        >>> from scorewise.estimators import Spectral
        >>> x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
        >>> Spectral(share=0.95).score(torch.zeros(3, 2), x).shape
        torch.Size([3, 2])
    """

    @within_ranges
    def __init__(
        self,
        share: Annotated[float, Between(0, 1, "it is a share of the sum of the eigenvalues", without=("low",))] = 0.99,
        bandwidth: str | float = "median",
        n_eigen: Count | None = None,
        freeze_n_eigen: bool = False,
    ) -> None:
        check_bandwidth(bandwidth, ("median",))
        self.share, self.bandwidth, self.freeze_n_eigen = share, bandwidth, freeze_n_eigen
        self.n_eigen = n_eigen

    @torch.no_grad()
    def score_at(self, x_MD: Tensor) -> Tensor:
        """Return + grad log p at the samples, shape of x, no graph; leading axes are separate sets of samples."""
        spectrum = self._spectrum(x_MD)
        return -spectrum.u_MM @ (spectrum.inverse_M1 * spectrum.moment_MD)

    @torch.no_grad()
    def score(self, q_BD: Tensor, x_MD: Tensor) -> Tensor:
        """Return + grad log p at other points (..., B, D), by Nystrom's extension of the eigenfunctions; no graph."""
        spectrum = self._spectrum(x_MD)
        psi_BM = kernel(squared_distances(q_BD, x_MD), spectrum.h) @ spectrum.u_MM
        return -psi_BM @ (spectrum.inverse_M1.square() * spectrum.moment_MD)

    def count(self, eigenvalues_M: Tensor) -> Tensor:
        """Return how many eigenfunctions are used of every set, shape (...); eigenvalues (..., M) descend."""
        total = eigenvalues_M.sum(-1, keepdim=True)
        by_share = (eigenvalues_M.cumsum(-1) / total < self.share).sum(-1).clamp(min=1)
        return by_share if self.n_eigen is None else torch.full_like(by_share, self.n_eigen)

    def _spectrum(self, x_MD: Tensor) -> Spectrum:
        square_MM = squared_distances(x_MD, x_MD)
        h = kernel_bandwidth(self.bandwidth, square_MM)
        k_MM = kernel(square_MM, h)
        ascending_M, u_MM = torch.linalg.eigh(k_MM)
        eigenvalues_M, u_MM = ascending_M.flip(-1).clamp(min=0), u_MM.flip(-1)
        if self.freeze_n_eigen and self.n_eigen is None:
            self.n_eigen = int(self.count(eigenvalues_M.flatten(0, -2).mean(0) if x_MD.ndim > 2 else eigenvalues_M))
        samples = x_MD.shape[-2]
        # An eigenvalue lost in rounding has no eigenfunction, however many are asked for.
        real_M = eigenvalues_M > samples * torch.finfo(x_MD.dtype).eps * eigenvalues_M[..., :1]
        used_M = real_M & (torch.arange(samples, device=x_MD.device) < self.count(eigenvalues_M)[..., None])
        inverse_M = torch.where(used_M, 1 / eigenvalues_M, 0)
        return Spectrum(h, u_MM, inverse_M[..., None], u_MM.mT @ kernel_gradient(x_MD, k_MM, h))
