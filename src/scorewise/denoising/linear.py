"""The best linear denoisers, fitted to examples: what a model must beat to be worth a network."""

import torch
from torch import Tensor


class LinearMMSE:
    """The linear estimate of x_d with the least mean squared error, from x + sigma z.

    With the mean m and the covariance S of the examples, C = S + sigma^2 I and C = L L^T,

        joint   x_d given all of y:    m + S C^-1 (y - m)
        causal  x_d given y_<=d only:  y_d - sigma^2 e_d / L_dd with e = L^-1 (y - m),

    Tweedie's formula with the scores of that Gaussian. It is the least-squares fit over the examples and all noise.

    Args:
        x_ND: clean examples.
        sigma: of the noise.

    Raises:
        ValueError: no noise, or fewer than two examples.

    Example:
        >>> import torch
        >>> from scorewise.denoising import LinearMMSE
        >>> x = torch.randn(2000, 1).double() @ torch.ones(1, 4).double()  # four copies of a number
        >>> y = x + torch.randn(2000, 4).double()
        >>> restored = LinearMMSE(x, 1.0).joint(y)
        >>> round(float((y - x).square().mean()), 1), round(float((restored - x).square().mean()), 1)  # 1 / (1 + 4)
        (1.0, 0.2)
    """

    def __init__(self, x_ND: Tensor, sigma: float) -> None:
        if not sigma > 0 or len(x_ND) < 2:
            raise ValueError(f"sigma={sigma:g} must be positive, and {len(x_ND)} examples at least two")
        x_ND = x_ND.double()
        self.sigma, self.mean_D = sigma, x_ND.mean(0)
        centred_ND = x_ND - self.mean_D
        noise_DD = sigma**2 * torch.eye(x_ND.shape[1], dtype=torch.float64, device=x_ND.device)
        self.factor_DD = torch.linalg.cholesky(centred_ND.mT @ centred_ND / len(x_ND) + noise_DD)

    def causal(self, y_BD: Tensor) -> Tensor:
        """Return the estimate of every x_d from y_<=d, shape (B, D)."""
        e_BD = self._whitened(y_BD)
        x_BD: Tensor = (y_BD.double() - self.sigma**2 * e_BD / self.factor_DD.diagonal()).to(y_BD)
        return x_BD

    def joint(self, y_BD: Tensor) -> Tensor:
        """Return the estimate of every x_d from all of y, shape (B, D)."""
        pull_BD: Tensor = torch.linalg.solve_triangular(self.factor_DD.mT, self._whitened(y_BD).mT, upper=True).mT
        return (y_BD.double() - self.sigma**2 * pull_BD).to(y_BD)

    def _whitened(self, y_BD: Tensor) -> Tensor:
        e_BD: Tensor = torch.linalg.solve_triangular(self.factor_DD, (y_BD.double() - self.mean_D).mT, upper=False).mT
        return e_BD
