"""Data drawn from known recipes: Gaussians, the mixture of the slides, and two-dimensional toys."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from torch import Tensor

from scorewise.data.laws import GaussianMixtureLaw
from scorewise.data.source import HeldOut, SampledSource
from scorewise.errors import UserError
from scorewise.noise import Draws
from scorewise.ranges import Between, Count, PositiveNumber


class GaussianData(SampledSource):
    """N(mean, covariance) in any dimension.

    Args:
        dims: D.
        mean: mean of every entry.
        std: standard deviation of every entry.
        correlation: rho, with correlation rho^|i - j| between entries i and j.
        covariance: the whole matrix, instead of std and correlation.
        examples_per_epoch, held_out, fresh: see `SampledSource`.

    Raises:
        UserError: no covariance matrix.

    Example:
        >>> import torch
        >>> from scorewise.data import GaussianData
        >>> source = GaussianData(dims=3, std=2.0)
        >>> source.examples("train", torch.arange(5), 0, 0).shape
        torch.Size([5, 3])
        >>> source.law.score(torch.ones(1, 3, dtype=torch.float64))  # - x / std^2
        tensor([[-0.2500, -0.2500, -0.2500]], dtype=torch.float64)
    """

    def __init__(
        self,
        dims: Count = 10,
        mean: float = 0.0,
        std: PositiveNumber = 1.0,
        correlation: Annotated[float, Between(-1, 1, without=("low", "high"))] = 0.0,
        covariance: Sequence[Sequence[float]] | None = None,
        examples_per_epoch: Count = 20_000,
        held_out: HeldOut = 5_000,
        fresh: bool = True,
    ) -> None:
        super().__init__(examples_per_epoch, held_out, fresh)
        self.shape, self.mean, self.std = (dims,), mean, std
        if covariance is None:
            lag_DD = (torch.arange(dims)[:, None] - torch.arange(dims)).abs()
            covariance_DD = std**2 * torch.tensor(correlation, dtype=torch.float64) ** lag_DD
        else:
            covariance_DD = torch.tensor(covariance, dtype=torch.float64)
            self.std = float(covariance_DD.diagonal().mean().sqrt()) if covariance_DD.ndim == 2 else std
        try:
            mean_D = torch.full((1, dims), float(mean))
            self.law = GaussianMixtureLaw(torch.ones(1), mean_D, covariance_DD[None])
        except ValueError as error:
            raise UserError(f"data=gaussian cannot be drawn: {error}.") from error

    def sample(self, draws: Draws) -> Tensor:
        """Return one example per draw, shape (B, D)."""
        assert self.law is not None
        return self.law.sample(draws)


class Mixture1d(SampledSource):
    """The one-dimensional mixture of example 3.3 of the slides: .6 N(2, .5^2) + .4 N(-2, .2^2).

    Example:
        >>> import torch
        >>> from scorewise.data import Mixture1d
        >>> x = Mixture1d().examples("train", torch.arange(10_000), 0, 0)
        >>> x.shape, round(float((x > 0).double().mean()), 1)
        (torch.Size([10000, 1]), 0.6)
    """

    shape = (1,)
    mean, std = 0.4, 2.0015

    def __init__(self, examples_per_epoch: Count = 20_000, held_out: HeldOut = 5_000, fresh: bool = True) -> None:
        super().__init__(examples_per_epoch, held_out, fresh)
        means_KD, variances = torch.tensor([[2.0], [-2.0]]), torch.tensor([0.5, 0.2]) ** 2
        self.law = GaussianMixtureLaw(torch.tensor([0.6, 0.4]), means_KD, variances[:, None, None])

    def sample(self, draws: Draws) -> Tensor:
        """Return one example per draw, shape (B, 1)."""
        assert self.law is not None
        return self.law.sample(draws)


def _checkerboard(draws: Draws) -> Tensor:
    u_B3 = draws.uniform(3, dtype=torch.float64)
    x1_B = 8 * u_B3[:, 0] - 4
    row_B = torch.floor(4 * u_B3[:, 1]) - 2
    return torch.stack([x1_B, u_B3[:, 2] + 2 * row_B + torch.floor(x1_B) % 2], -1)


def _rings(draws: Draws) -> Tensor:
    radius_B = 1 + torch.floor(4 * draws.fork("ring").uniform(dtype=torch.float64)) * 0.9
    angle_B = 2 * math.pi * draws.fork("angle").uniform(dtype=torch.float64)
    radius_B = radius_B + 0.08 * draws.fork("width").normal(dtype=torch.float64)
    return torch.stack([radius_B * angle_B.cos(), radius_B * angle_B.sin()], -1)


def _moons(draws: Draws) -> Tensor:
    angle_B = math.pi * draws.fork("angle").uniform(dtype=torch.float64)
    upper_B = draws.fork("moon").uniform(dtype=torch.float64) < 0.5
    x_B2 = torch.stack([angle_B.cos(), angle_B.sin()], -1)
    x_B2 = torch.where(upper_B[:, None], x_B2, torch.tensor([1.0, 0.5]) - x_B2)
    return 2 * (x_B2 - torch.tensor([0.5, 0.25])) + 0.1 * draws.normal(2, dtype=torch.float64)


def _spirals(draws: Draws) -> Tensor:
    m_B = draws.fork("angle").uniform(dtype=torch.float64).sqrt() * 900 * 2 * math.pi / 360
    jitter_B2 = draws.fork("jitter").uniform(2, dtype=torch.float64) * 0.35
    x_B2 = torch.stack([-m_B.cos() * m_B, m_B.sin() * m_B], -1) * 0.7 + jitter_B2
    sign_B = torch.where(draws.fork("arm").uniform(dtype=torch.float64) < 0.5, 1.0, -1.0)
    return sign_B[:, None] * x_B2 / 3 + 0.09 * draws.normal(2, dtype=torch.float64)


def _pinwheel(draws: Draws) -> Tensor:
    blade_B = torch.floor(5 * draws.fork("blade").uniform(dtype=torch.float64))
    z_B2 = draws.normal(2, dtype=torch.float64) * torch.tensor([0.3, 0.1]) + torch.tensor([1.0, 0.0])
    angle_B = 2 * math.pi * blade_B / 5 + 0.25 * z_B2[:, 0].exp()
    cos_B, sin_B = angle_B.cos(), angle_B.sin()
    x_B = z_B2[:, 0] * cos_B - z_B2[:, 1] * sin_B
    y_B = z_B2[:, 0] * sin_B + z_B2[:, 1] * cos_B
    return 2 * torch.stack([x_B, y_B], -1)


def _swiss_roll(draws: Draws) -> Tensor:
    t_B = 1.5 * math.pi * (1 + 2 * draws.fork("angle").uniform(dtype=torch.float64))
    return torch.stack([t_B * t_B.cos(), t_B * t_B.sin()], -1) / 4 + 0.1 * draws.normal(2, dtype=torch.float64)


def _equal_mixture(means_KD: Tensor, std: float) -> GaussianMixtureLaw:
    eye = torch.eye(2, dtype=torch.float64).expand(len(means_KD), 2, 2)
    return GaussianMixtureLaw(torch.ones(len(means_KD)), means_KD, std**2 * eye)


def _eight_gaussians() -> GaussianMixtureLaw:
    angle_8 = torch.arange(8) * math.pi / 4
    return _equal_mixture(3 * torch.stack([angle_8.cos(), angle_8.sin()], -1), 0.25)


def _gaussian_grid() -> GaussianMixtureLaw:
    line_5 = torch.linspace(-3, 3, 5)
    return _equal_mixture(torch.cartesian_prod(line_5, line_5), 0.15)


_RECIPES: dict[str, tuple[Callable[[Draws], Tensor], float]] = {
    "checkerboard": (_checkerboard, 2.31),
    "rings": (_rings, 1.81),
    "two_moons": (_moons, 1.40),
    "two_spirals": (_spirals, 1.84),
    "pinwheel": (_pinwheel, 1.48),
    "swiss_roll": (_swiss_roll, 1.71),
}
"""Recipe and standard deviation of the entries (their mean is close to zero)."""
_LAWS: dict[str, tuple[Callable[[], GaussianMixtureLaw], float]] = {
    "eight_gaussians": (_eight_gaussians, 2.14),
    "gaussian_grid": (_gaussian_grid, 2.13),
}
TOYS = (*_RECIPES, *_LAWS)


class Toy2d(SampledSource):
    """One of the usual two-dimensional densities, within about [-4, 4].

    Args:
        name: one of `TOYS`.
        examples_per_epoch, held_out, fresh: see `SampledSource`.

    Raises:
        UserError: no such density.

    Example:
        >>> import torch
        >>> from scorewise.data import TOYS, Toy2d
        >>> sorted(TOYS)[:3]
        ['checkerboard', 'eight_gaussians', 'gaussian_grid']
        >>> Toy2d("pinwheel").examples("train", torch.arange(5), 0, 0).shape
        torch.Size([5, 2])
    """

    shape = (2,)
    mean = 0.0

    def __init__(
        self, name: str = "rings", examples_per_epoch: Count = 20_000, held_out: HeldOut = 10_000, fresh: bool = True
    ) -> None:
        super().__init__(examples_per_epoch, held_out, fresh)
        if name not in TOYS:
            raise UserError(f"data.name={name} is none of the two-dimensional densities {', '.join(TOYS)}.")
        if name in _LAWS:
            make_law, self.std = _LAWS[name]
            self.law = make_law()
            self._recipe: Callable[[Draws], Tensor] = self.law.sample
        else:
            self._recipe, self.std = _RECIPES[name]

    def sample(self, draws: Draws) -> Tensor:
        """Return one example per draw, shape (B, 2)."""
        return self._recipe(draws)
