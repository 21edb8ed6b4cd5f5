"""The Stein gradient estimator (Li and Turner 2018)."""

from typing import Annotated

import torch
from torch import Tensor

from scorewise.estimators.kernel import (
    check_bandwidth,
    kernel,
    kernel_bandwidth,
    kernel_gradient,
    squared_distances,
)
from scorewise.ranges import Positive, within_ranges


class Stein:
    """The scores - (K + eta I)^-1 <grad, K> at samples of which only the samples are known.

    It follows from Stein's identity E[k(y, x) grad log p(x) + grad_x k(y, x)] = 0, at every sample y, with a ridge.
    The default eta is the published one. From 100 samples of N(0, I) its error is hardly below that of an estimate of
    zero in one dimension (.76 against .80) and above it in eight (3.6 against 2.7); eta = 1 gives .31 and .93.

    Args:
        eta: the ridge, positive.
        bandwidth: of the kernel; a positive number in the scale of the data, or median.

    Raises:
        ValueError: eta is not positive, no such rule, or a number that is not positive.

    Example:
        >>> import torch
        >>> from scorewise.estimators import Stein
        >>> x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
        >>> Stein(eta=0.1).score_at(x).shape
        torch.Size([100, 2])
    """

    @within_ranges
    def __init__(
        self,
        eta: Annotated[float, Positive("samples that coincide have a singular kernel matrix")] = 0.001,
        bandwidth: str | float = "median",
    ) -> None:
        check_bandwidth(bandwidth, ("median",))
        self.eta, self.bandwidth = eta, bandwidth

    @torch.no_grad()
    def score_at(self, x_MD: Tensor) -> Tensor:
        """Return + grad log p at the samples, shape of x, no graph; leading axes are separate sets of samples."""
        square_MM = squared_distances(x_MD, x_MD)
        h = kernel_bandwidth(self.bandwidth, square_MM)
        k_MM = kernel(square_MM, h)
        ridge_MM = self.eta * torch.eye(x_MD.shape[-2], dtype=x_MD.dtype, device=x_MD.device)
        score_MD: Tensor = -torch.linalg.solve(k_MM + ridge_MM, kernel_gradient(x_MD, k_MM, h))
        return score_MD
