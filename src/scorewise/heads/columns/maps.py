"""Monotone maps from what a column can hold to the whole line."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from scorewise.heads.columns.column_kind import ColumnKind


class IdentityMap:
    """The map of a column without ends, x itself, and what every map has.

    Args:
        columns: whose values it maps, G of them.
    """

    def __init__(self, columns: Sequence[ColumnKind]) -> None:
        self.kept_G: dict[str, Tensor] = {}
        for name in ("low", "high", "offset"):
            numbers = [getattr(column, name) for column in columns]
            if None not in numbers:
                self.kept_G[name] = torch.tensor(numbers, dtype=torch.float64)

    def of_line(self, v_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return the values that places on the line stand for, shape of v."""
        return v_BG

    def to_line(self, x_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return where values are on the line, shape of x."""
        return x_BG

    def log_slope(self, x_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return log dv/dx, shape of x."""
        return torch.zeros_like(x_BG)

    def number(self, name: str, at_G: Tensor, like: Tensor) -> Tensor:
        """Return what some columns have under a name, in the type of a tensor."""
        return self.kept_G[name].to(like)[at_G]


@final
class Logarithm(IdentityMap):
    """v = log(x - low + offset) of a column with a least value.

    Raises:
        ValueError: a column has none.
    """

    def __init__(self, columns: Sequence[ColumnKind]) -> None:
        super().__init__(columns)
        if "low" not in self.kept_G:
            raise ValueError("a positive column needs the least value that it can have, low=0 say")

    def _above(self, x_BG: Tensor, at_G: Tensor) -> Tensor:
        above_BG = (x_BG - self.number("low", at_G, x_BG)).clamp(min=0)
        return (above_BG + self.number("offset", at_G, x_BG)).clamp(min=torch.finfo(x_BG.dtype).tiny)

    def to_line(self, x_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return the logarithms."""
        return self._above(x_BG, at_G).log()

    def of_line(self, v_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return low - offset + e^v."""
        return self.number("low", at_G, v_BG) - self.number("offset", at_G, v_BG) + v_BG.exp()

    def log_slope(self, x_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return - log(x - low + offset)."""
        return -self.to_line(x_BG, at_G)


@final
class Logit(IdentityMap):
    """v = log(x - low + offset) - log(high - x + offset) of a column with two ends.

    Raises:
        ValueError: a column has not.
    """

    def __init__(self, columns: Sequence[ColumnKind]) -> None:
        super().__init__(columns)
        if not {"low", "high"} <= set(self.kept_G):
            raise ValueError("a bounded column needs the least and the largest value that it can have, low and high")

    def _sides(self, x_BG: Tensor, at_G: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far values are from the two poles."""
        offset_G, tiny = self.number("offset", at_G, x_BG), torch.finfo(x_BG.dtype).tiny
        low_BG = (x_BG - self.number("low", at_G, x_BG)).clamp(min=0) + offset_G
        high_BG = (self.number("high", at_G, x_BG) - x_BG).clamp(min=0) + offset_G
        return low_BG.clamp(min=tiny), high_BG.clamp(min=tiny)

    def to_line(self, x_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return the log-odds."""
        low_BG, high_BG = self._sides(x_BG, at_G)
        return low_BG.log() - high_BG.log()

    def of_line(self, v_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return the value with these log-odds."""
        offset_G = self.number("offset", at_G, v_BG)
        low_G, high_G = self.number("low", at_G, v_BG) - offset_G, self.number("high", at_G, v_BG) + offset_G
        return low_G + (high_G - low_G) * v_BG.sigmoid()

    def log_slope(self, x_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return the logarithm of the sum of the inverse distances from the poles."""
        low_BG, high_BG = self._sides(x_BG, at_G)
        return (1 / low_BG + 1 / high_BG).log()
