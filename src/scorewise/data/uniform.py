"""Images without anything in them, to tell from real ones."""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from scorewise.data.source import HeldOut, SampledSource
from scorewise.errors import UserError
from scorewise.noise import Draws
from scorewise.ranges import Count, are_whole


class UniformLevels(SampledSource):
    """Images whose levels are uniform on the 256 of a byte, evenly spaced in [-1, 1].

    Args:
        shape: channels, rows and columns, as the images have that they are compared with.
        examples_per_epoch, held_out, fresh: see `SampledSource`.

    Raises:
        UserError: no such shape.
    """

    levels = 256
    mean, std = 0.0, math.sqrt((levels**2 - 1) / 12) / 127.5
    units_per_step, unit, repeats = 127.5, "8-bit pixel values", True

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        examples_per_epoch: Count = 10_000,
        held_out: HeldOut = 10_000,
        fresh: bool = True,
    ) -> None:
        super().__init__(examples_per_epoch, held_out, fresh)
        if not are_whole(shape, 1) or len(shape) != 3:
            raise UserError(f"data.shape={shape} must be channels, rows and columns: [1,28,28], say.")
        self.shape = tuple(shape)

    def extent(self, seed: int) -> tuple[float, float]:
        """Return the ends of the scale, -1 and 1."""
        return -1.0, 1.0

    @abstractmethod
    def uniforms(self, draws: Draws) -> Tensor:
        """Return one number in (0, 1) per entry, shape (B, D), or per example, shape (B, 1)."""

    def sample(self, draws: Draws) -> Tensor:
        """Return one image per draw, shape (B, D)."""
        u_BD = self.uniforms(draws)
        return ((u_BD * self.levels).floor() / 127.5 - 1).expand(-1, self.dims)


class Uniform(UniformLevels):
    """Images whose entries are independent.

    Example:
        >>> import torch
        >>> from scorewise.data import Uniform
        >>> x = Uniform(shape=(3, 8, 8)).examples("train", torch.arange(100), 0, 0)
        >>> x.shape, round(float(x.std()), 2)  # sqrt(1 / 3)
        (torch.Size([100, 192]), 0.58)
    """

    def uniforms(self, draws: Draws) -> Tensor:
        """Return one number in (0, 1) per entry, shape (B, D)."""
        return draws.uniform(self.dims, dtype=torch.float64)


class ConstUniform(UniformLevels):
    """Images of one level each, in all channels.

    Example:
        >>> import torch
        >>> from scorewise.data import ConstUniform
        >>> x = ConstUniform(shape=(1, 2, 2)).examples("test", torch.arange(3), 0, 0)
        >>> bool((x == x[:, :1]).all()), x.unique(dim=0).shape
        (True, torch.Size([3, 4]))
    """

    def uniforms(self, draws: Draws) -> Tensor:
        """Return one number in (0, 1) per example, shape (B, 1)."""
        return draws.uniform(1, dtype=torch.float64)


class Const(UniformLevels):
    """Images of one and the same level. Models that learn it see them with mean 0 and standard deviation 0.5.

    Args:
        value: from -1 (black) to 1 (white); the nearest level is taken.
        shape, examples_per_epoch, held_out: see `UniformLevels`.

    Raises:
        UserError: no such level or shape.

    Example:
        >>> import torch
        >>> from scorewise.data import Const
        >>> Const(value=1.0, shape=(1, 2, 2)).examples("test", torch.arange(2), 0, 0)
        tensor([[1., 1., 1., 1.],
                [1., 1., 1., 1.]])
    """

    std = 0.5

    def __init__(
        self,
        value: float = -1.0,
        shape: Sequence[int] = (1, 28, 28),
        examples_per_epoch: Count = 10_000,
        held_out: HeldOut = 10_000,
    ) -> None:
        super().__init__(shape, examples_per_epoch, held_out)
        if not -1 <= value <= 1:
            raise UserError(f"data.value={value} must be a level from -1 (black) to 1 (white).")
        self.value = value

    def uniforms(self, draws: Draws) -> Tensor:
        """Return the middle of the cell of the level, shape (B, 1)."""
        level = round((self.value + 1) * 127.5)
        return torch.full((len(draws), 1), (level + 0.5) / self.levels, dtype=torch.float64)
