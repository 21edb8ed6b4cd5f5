"""Columns of categories, yes and no among them: a probability per category."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from scorewise.heads.columns.column_kind import ColumnKind
from scorewise.heads.columns.law import IMPOSSIBLE, ColumnLaw, Distribution


@final
class Categories(ColumnLaw):
    """P(code) = softmax of one feature per category; what is no code of training is impossible.

    The distribution and its quantiles are in the order of the codes, which says nothing of categories without an order.

    Args:
        columns: with the number of their categories.

    Raises:
        ValueError: a column with fewer than one category.
    """

    says = "probability"
    ordered = False

    def __init__(self, columns: Sequence[ColumnKind]) -> None:
        super().__init__(columns)
        if any(column.levels < 1 for column in columns):
            raise ValueError("a column of categories needs their number, levels=3 say")
        self.width = max(column.levels for column in columns)
        self.keep("levels", [column.levels for column in columns])

    def usual(self, at_G: Tensor, like: Tensor) -> Tensor:
        """Return the first category."""
        return torch.zeros_like(self.of("levels", at_G, like))

    def has_density(self, q_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return false: values have probabilities."""
        return torch.zeros_like(q_BG, dtype=torch.bool)

    def can_be(self, q_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return which values are codes of a category."""
        return (q_BG == q_BG.round()) & (q_BG >= 0) & (q_BG < self.of("levels", at_G, q_BG))

    def _log_p(self, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the log-probabilities of all categories, shape (B, G, width), -inf beyond those of a column."""
        there_GK = torch.arange(self.width, device=c_BGF.device) < self.of("levels", at_G, c_BGF).unsqueeze(-1)
        return c_BGF[..., : self.width].masked_fill(~there_GK, -torch.inf).log_softmax(-1)

    def log_prob(self, q_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the log-probability of the category, nats."""
        can_be_BG = self.can_be(q_BG, at_G)
        code_BG1 = torch.where(can_be_BG, q_BG, 0).long().unsqueeze(-1)
        log_p_BGK = self._log_p(c_BGF, at_G).expand(*code_BG1.shape[:-1], -1)
        return torch.where(can_be_BG, log_p_BGK.gather(-1, code_BG1).squeeze(-1), IMPOSSIBLE)

    def distribution(self, q_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Distribution:
        """Return the probabilities of lower codes, and of those up to this one."""
        code_K = torch.arange(self.width, device=c_BGF.device)
        p_BGK, q_BG1 = self._log_p(c_BGF, at_G).exp(), q_BG.unsqueeze(-1)
        at_most_BG = (p_BGK * (code_K <= q_BG1)).sum(-1).clamp(max=1)
        return Distribution((p_BGK * (code_K < q_BG1)).sum(-1).clamp(max=1), at_most_BG)

    def quantile(self, u_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the least code with P(codes up to it) >= u."""
        up_to_BGK = self._log_p(c_BGF.double(), at_G).exp().cumsum(-1)
        code_BG = (up_to_BGK < u_BG.double().unsqueeze(-1)).sum(-1)
        return code_BG.clamp(max=self.of("levels", at_G, code_BG) - 1).to(c_BGF.dtype)
