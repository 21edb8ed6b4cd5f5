"""What a law of columns of one kind is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from scorewise.heads.columns.column_kind import ColumnKind
from scorewise.noise import uniform_like

IMPOSSIBLE = -27.631021115928547
"""Log-probability, or log-density, of a value that a column cannot have: log 1e-12.

A row with one keeps a number, and is odder by it than by almost anything that can be.
"""


class Distribution(NamedTuple):
    """Where values lie in the distribution of a column; both are the same for a density.

    Args:
        below: P(y < q).
        at_most: P(y <= q).
    """

    below: Tensor
    at_most: Tensor


class ColumnLaw(nn.Module, ABC):
    """The laws of G columns of one kind, each given the features of its cell.

    Methods take values q_BG, features c_BGF, of which the first `width` are read, and `at_G`: which of the columns the
    cells are of, so that some of them can be asked for.

    Attributes:
        says: what `log_prob` is the logarithm of: density or probability.
        width: features that are read.
        ordered: whether values have an order, so that quantiles and intervals mean something.
    """

    says: str = "density"
    ordered: bool = True
    width: int

    def __init__(self, columns: Sequence[ColumnKind]) -> None:
        super().__init__()
        self.keep("low", [column.ends[0] for column in columns])
        self.keep("high", [column.ends[1] for column in columns])
        self.register_buffer("given", torch.tensor([column.given for column in columns]), persistent=False)
        self.keep("log_unit", [math.log(column.unit) for column in columns])

    def keep(self, name: str, values: Sequence[float] | Sequence[Sequence[float]]) -> None:
        """Keep numbers of the columns, which follow from the recipe and are no weights."""
        numbers = torch.tensor(values, dtype=torch.float64)
        self.register_buffer(name, numbers, persistent=False)

    def of(self, name: str, at_G: Tensor, like: Tensor) -> Tensor:
        """Return kept numbers of some columns, in the type of a tensor."""
        found: Tensor = self.get_buffer(name)[at_G].to(like)
        return found

    def can_be(self, q_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return which values the columns can have, but for rounding, boolean, shape of q."""
        slack_BG = 8 * torch.finfo(q_BG.dtype).eps * (1 + q_BG.abs())
        low_G, high_G = self.of("low", at_G, q_BG), self.of("high", at_G, q_BG)
        return (q_BG >= low_G - slack_BG) & (q_BG <= high_G + slack_BG)

    def has_density(self, q_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return which values have a density, in units of q, and not a probability; boolean, shape of q."""
        return torch.ones_like(q_BG, dtype=torch.bool)

    @abstractmethod
    def usual(self, at_G: Tensor, like: Tensor) -> Tensor:
        """Return a value that every column can have, shape (G,)."""

    @abstractmethod
    def log_prob(self, q_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the log-density in the units of q, or the log-probability, in nats, shape of q."""

    @abstractmethod
    def distribution(self, q_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Distribution:
        """Return where values lie in their distribution, each of the shape of q."""

    @abstractmethod
    def quantile(self, u_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the least q with P(y <= q) >= u, shape of u, in (0, 1)."""

    def sample(self, c_BGF: Tensor, at_G: Tensor, generator: Generator | None) -> Tensor:
        """Return an exact draw per cell, shape (B, G): the quantile of a uniform number."""
        return self.quantile(uniform_like(c_BGF[..., 0], generator), c_BGF, at_G)
