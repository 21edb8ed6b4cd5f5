"""Columns of whole numbers: probabilities of values."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from scorewise.heads.columns.column_kind import ColumnKind
from scorewise.heads.columns.gaussians import Gaussians
from scorewise.heads.columns.law import IMPOSSIBLE, ColumnLaw, Distribution
from scorewise.heads.logistics import spread_locations

OFF = 0.1
"""A value that is farther from a whole number than this is none, in steps."""


@final
class WholeNumbers(ColumnLaw):
    """P(x) = F(x + step / 2) - F(x - step / 2), F of a mixture of Gaussians; the outermost values have its tails.

    Args:
        columns: of whole numbers; where one has no end, every whole number on that side can be.
        components: K, Gaussians per cell.
    """

    says = "probability"

    def __init__(self, columns: Sequence[ColumnKind], components: int) -> None:
        super().__init__(columns)
        self.width = 3 * components
        for name in ("mean", "std", "floor", "first", "step"):
            self.keep(name, [getattr(column, name) for column in columns])
        self.register_buffer("spread", spread_locations(components), persistent=False)

    def _mixture(self, c_BGF: Tensor, at_G: Tensor) -> Gaussians:
        spread_K = self.get_buffer("spread").to(c_BGF)
        return Gaussians.read(c_BGF[..., : self.width], spread_K, self.of("floor", at_G, c_BGF))

    def _steps(self, q_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return how many steps values are from the first."""
        return (q_BG - self.of("first", at_G, q_BG)) / self.of("step", at_G, q_BG)

    def _edge(self, steps_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return places so many steps from the first, in standard units of the mixture."""
        x_BG = self.of("first", at_G, steps_BG) + self.of("step", at_G, steps_BG) * steps_BG
        return (x_BG - self.of("mean", at_G, steps_BG)) / self.of("std", at_G, steps_BG)

    def _least_and_most(self, at_G: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outermost values in steps from the first, infinite where there is no end."""
        return (self._steps(self.of(end, at_G, like), at_G).round() for end in ("low", "high"))  # type: ignore[return-value]

    def usual(self, at_G: Tensor, like: Tensor) -> Tensor:
        """Return the whole number nearest to the middle of the bulk."""
        least_G, most_G = self._least_and_most(at_G, like)
        nearest_G = self._steps(self.of("mean", at_G, like), at_G).round().clamp(least_G, most_G)
        return self.of("first", at_G, like) + self.of("step", at_G, like) * nearest_G

    def has_density(self, q_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return false: values have probabilities."""
        return torch.zeros_like(q_BG, dtype=torch.bool)

    def can_be(self, q_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return which values are whole numbers between the ends."""
        steps_BG, (least_G, most_G) = self._steps(q_BG, at_G), self._least_and_most(at_G, q_BG)
        whole_BG = (steps_BG - steps_BG.round()).abs() < OFF
        return whole_BG & (steps_BG.round() >= least_G) & (steps_BG.round() <= most_G)

    def _cell(self, q_BG: Tensor, at_G: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ends of the cells around values in standard units, the outermost ones open."""
        steps_BG, (least_G, most_G) = self._steps(q_BG, at_G).round(), self._least_and_most(at_G, q_BG)
        low_BG, high_BG = self._edge(steps_BG - 0.5, at_G), self._edge(steps_BG + 0.5, at_G)
        low_BG = torch.where(steps_BG <= least_G, -torch.inf, low_BG)
        return low_BG, torch.where(steps_BG >= most_G, torch.inf, high_BG)

    def log_prob(self, q_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the log-probability of the value, nats."""
        log_p_BG = self._mixture(c_BGF, at_G).log_mass(*self._cell(q_BG, at_G))
        return torch.where(self.can_be(q_BG, at_G), log_p_BG, IMPOSSIBLE)

    def distribution(self, q_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Distribution:
        """Return the probabilities of less than the value and of at most that."""
        steps_BG, (least_G, most_G) = self._steps(q_BG, at_G), self._least_and_most(at_G, q_BG)
        mixture = self._mixture(c_BGF, at_G)

        def up_to(last_BG: Tensor) -> Tensor:
            below_BG = mixture.below(self._edge(last_BG + 0.5, at_G))
            return torch.where(last_BG < least_G, 0.0, torch.where(last_BG >= most_G, 1.0, below_BG))

        return Distribution(up_to((steps_BG - OFF).ceil() - 1), up_to((steps_BG + OFF).floor()))

    def quantile(self, u_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the least value with P(y <= value) >= u."""
        at_least_BG = self._mixture(c_BGF.double(), at_G).quantile(u_BG)
        mean_G, std_G = self.of("mean", at_G, at_least_BG), self.of("std", at_G, at_least_BG)
        steps_BG = (self._steps(mean_G + std_G * at_least_BG, at_G) - 0.5).ceil()
        steps_BG = steps_BG.clamp(*self._least_and_most(at_G, at_least_BG))
        x_BG = self.of("first", at_G, at_least_BG) + self.of("step", at_G, at_least_BG) * steps_BG
        return x_BG.to(c_BGF.dtype)
