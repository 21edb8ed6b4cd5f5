"""What a model says of every cell of some rows, each given others of its row."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from scorewise.heads.columns.laws import ColumnLaws


@final
@dataclass(frozen=True)
class RowCells:
    """The cells of rows with their contexts.

    Args:
        laws: of the columns.
        x_BD: the rows, NaN where a cell is missing.
        c_BDF: the context of every cell.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MaskedMLP
        >>> from scorewise.heads import ByColumn
        >>> columns = [{"kind": "continuous"}, {"kind": "category", "levels": 3}]
        >>> width = ByColumn.width_needed(columns=columns)
        >>> model = ByColumn(MaskedMLP((2,), width, (16,), levels=[0, 3]), columns=columns)
        >>> cells = model.given_the_rest([[0.3, float("nan")]])
        >>> cells.below_BD.isnan().tolist(), cells.quantile(0.5).isnan().tolist()
        ([[False, True]], [[False, False]])
    """

    laws: ColumnLaws
    x_BD: Tensor
    c_BDF: Tensor

    @property
    def ordered_D(self) -> Tensor:
        """Which columns have values in an order, so that their quantiles mean something, boolean, shape (D,)."""
        return torch.tensor([self.laws.law(d).ordered for d in range(self.x_BD.shape[-1])], device=self.x_BD.device)

    @property
    def likeliest_BD(self) -> Tensor:
        """The most probable category of every cell that is one; NaN in columns of numbers."""
        likeliest_BD = torch.full_like(self.x_BD, torch.nan)
        for d in (~self.ordered_D).nonzero().flatten().tolist():
            likeliest_BD[:, d] = self.log_probs(d).argmax(-1).to(likeliest_BD)
        return likeliest_BD

    @property
    def log_prob_BD(self) -> Tensor:
        """The log-density or log-probability of every cell, nats; NaN where it is missing."""
        return torch.where(self.x_BD.isnan(), torch.nan, self.laws.log_prob(self.x_BD, self.c_BDF))

    @property
    def below_BD(self) -> Tensor:
        """P(y < x) of every cell, NaN where it is missing."""
        return self.laws.distribution(self.x_BD, self.c_BDF).below

    @property
    def at_most_BD(self) -> Tensor:
        """P(y <= x) of every cell, NaN where it is missing."""
        return self.laws.distribution(self.x_BD, self.c_BDF).at_most

    def log_probs(self, d: int) -> Tensor:
        """Return the log-probability of every category that column d can have, nats, shape (B, levels)."""
        law, place = self.laws.law(d), self.laws.place[d][1]
        codes_K = torch.arange(int(law.get_buffer("levels")[place]), device=self.x_BD.device)
        q_BK = codes_K.to(self.x_BD).expand(len(self.x_BD), -1)
        c_BKF = self.c_BDF[:, [d], :-1].expand(-1, len(codes_K), -1)
        return law.log_prob(q_BK, c_BKF, torch.full_like(codes_K, place))

    def quantile(self, u: float) -> Tensor:
        """Return the least value of every cell, the missing ones too, with P(y <= value) >= u; shape (B, D)."""
        return self.laws.quantile(torch.full_like(self.x_BD, u), self.c_BDF)
