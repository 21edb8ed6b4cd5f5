"""Columns with a density: a mixture of Gaussians, of the values themselves or of what a monotone map makes of them."""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from scorewise.heads.columns.column_kind import ColumnKind
from scorewise.heads.columns.gaussians import Gaussians
from scorewise.heads.columns.law import IMPOSSIBLE, ColumnLaw, Distribution
from scorewise.heads.columns.maps import IdentityMap
from scorewise.heads.logistics import spread_locations


@final
class MappedMixture(ColumnLaw):
    """q(x) = sum_k w_k N(v(x); m_k, s_k^2) dv/dx / P(v between the ends), v in standard units.

    Args:
        columns: of one kind.
        components: K, Gaussians per cell.
        line: the map to the whole line.
        floor: of all columns, where theirs are smaller.
    """

    def __init__(self, columns: Sequence[ColumnKind], components: int, line: IdentityMap, floor: float = 0.0) -> None:
        super().__init__(columns)
        self.line, self.width = line, 3 * components
        self.ended = any(math.isfinite(end) for column in columns for end in column.ends)
        self.keep("mean", [column.mean for column in columns])
        self.keep("std", [column.std for column in columns])
        self.keep("floor", [max(column.floor, floor) for column in columns])
        self.register_buffer("spread", spread_locations(components), persistent=False)

    def mixture(self, c_BGF: Tensor, at_G: Tensor) -> Gaussians:
        """Return the mixtures on the line."""
        spread_K = self.get_buffer("spread").to(c_BGF)
        return Gaussians.read(c_BGF[..., : self.width], spread_K, self.of("floor", at_G, c_BGF))

    def standard(self, x_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return where values are on the line, in standard units; infinite ends stay so."""
        finite_BG = torch.where(x_BG.isfinite(), x_BG, self.usual(at_G, x_BG))
        v_BG = (self.line.to_line(finite_BG, at_G) - self.of("mean", at_G, x_BG)) / self.of("std", at_G, x_BG)
        return torch.where(x_BG.isfinite(), v_BG, x_BG)

    def _ends(self, at_G: Tensor, like_BG: Tensor) -> tuple[Tensor, Tensor]:
        low_G, high_G = self.of("low", at_G, like_BG), self.of("high", at_G, like_BG)
        low_BG, high_BG = low_G.expand_as(like_BG), high_G.expand_as(like_BG)
        return self.standard(low_BG, at_G), self.standard(high_BG, at_G)

    def usual(self, at_G: Tensor, like: Tensor) -> Tensor:
        """Return the middle of the bulk."""
        return self.line.of_line(self.of("mean", at_G, like), at_G)

    def log_prob(self, q_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the log-density in the units of q, nats."""
        mixture, std_G = self.mixture(c_BGF, at_G), self.of("std", at_G, q_BG)
        log_f_BG = mixture.log_density(self.standard(q_BG, at_G)) + self.line.log_slope(q_BG, at_G) - std_G.log()
        if not self.ended:
            return log_f_BG
        log_f_BG = log_f_BG - mixture.log_mass(*self._ends(at_G, q_BG))
        return torch.where(self.can_be(q_BG, at_G), log_f_BG, IMPOSSIBLE)

    def distribution(self, q_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Distribution:
        """Return P(y <= q) twice."""
        mixture = self.mixture(c_BGF, at_G)
        below_BG = mixture.below(self.standard(q_BG, at_G))
        if self.ended:
            low_BG, high_BG = (mixture.below(end_BG) for end_BG in self._ends(at_G, q_BG))
            below_BG = ((below_BG - low_BG) / (high_BG - low_BG)).clamp(0, 1)
        return Distribution(below_BG, below_BG)

    def quantile(self, u_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the x with P(y <= x) = u."""
        mixture, u_BG = self.mixture(c_BGF.double(), at_G), u_BG.double()
        if self.ended:
            low_BG, high_BG = (mixture.below(end_BG) for end_BG in self._ends(at_G, u_BG))
            u_BG = low_BG + u_BG * (high_BG - low_BG)
        v_BG = mixture.quantile(u_BG) * self.of("std", at_G, u_BG) + self.of("mean", at_G, u_BG)
        x_BG = self.line.of_line(v_BG, at_G).clamp(self.of("low", at_G, u_BG), self.of("high", at_G, u_BG))
        return x_BG.to(c_BGF.dtype)
