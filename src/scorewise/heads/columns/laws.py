"""The laws of all columns of a row, each asked by its kind."""

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor, nn

from scorewise.heads.columns.column_kind import ColumnKind
from scorewise.heads.columns.kinds import groups_of
from scorewise.heads.columns.law import ColumnLaw, Distribution

OfLaw = Callable[[ColumnLaw, list[int], Tensor, Tensor], Tensor]
"""What is asked of a law: for columns at some places, from their features (..., G, F) and where they are in it."""


def numbered(c_BDF: Tensor, columns: Sequence[int]) -> Tensor:
    """Return features with the number of their column behind them, shape (..., D, F + 1)."""
    number_D1 = torch.tensor(list(columns), dtype=c_BDF.dtype, device=c_BDF.device).unsqueeze(-1)
    return torch.cat([c_BDF, number_D1.expand(*c_BDF.shape[:-1], 1)], -1)


@final
class ColumnLaws(nn.Module):
    """The laws of the columns of a row. Contexts are features with the number of their column, see `numbered`.

    Args:
        columns: their kinds.
        components: K, Gaussians per conditional of a column of numbers.
        floor: standard deviation of the noise of every law of numbers at least, in units of the bulk's width.

    Example:
        >>> import torch
        >>> from scorewise.heads.columns import ColumnKind, ColumnLaws, numbered
        >>> laws = ColumnLaws([ColumnKind("continuous"), ColumnKind("category", levels=4)], components=2)
        >>> contexts = numbered(torch.zeros(5, 2, laws.width), [0, 1])
        >>> laws.log_prob(torch.zeros(5, 2), contexts)[:, 1].exp().tolist()
        [0.25, 0.25, 0.25, 0.25, 0.25]
    """

    def __init__(self, columns: Sequence[ColumnKind], components: int, floor: float = 0.0) -> None:
        super().__init__()
        groups = groups_of(columns, components, floor)
        self.laws = nn.ModuleList(group.law for group in groups)
        self.place = {d: (g, i) for g, group in enumerate(groups) for i, d in enumerate(group.places)}
        self.width = max(group.law.width for group in groups)

    def law(self, d: int) -> ColumnLaw:
        """Return the law that column d has with others of its kind."""
        law = self.laws[self.place[d][0]]
        assert isinstance(law, ColumnLaw)
        return law

    def _by_law(self, c_BDF: Tensor, of: OfLaw) -> Tensor:
        """Return what the laws give for the columns of contexts, shape (..., D'), one law after the other."""
        numbers = c_BDF[..., -1].reshape(-1, c_BDF.shape[-2])[0].long().tolist()
        members: dict[int, list[int]] = {}
        for place, d in enumerate(numbers):
            members.setdefault(self.place[d][0], []).append(place)
        found, order = [], []
        for places in members.values():
            at_G = torch.tensor([self.place[numbers[place]][1] for place in places], device=c_BDF.device)
            found.append(of(self.law(numbers[places[0]]), places, c_BDF[..., places, :-1], at_G))
            order += places
        return torch.cat(found, -1)[..., sorted(range(len(order)), key=order.__getitem__)]

    def log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the log-density in a column's own units, or the log-probability, nats.

        0 where q is missing (NaN), and of columns that are only read.
        """

        def of(law: ColumnLaw, places: list[int], c_BGF: Tensor, at_G: Tensor) -> Tensor:
            q_BG = q_BD[..., places]
            there_BG = ~q_BG.isnan()
            q_BG = torch.where(there_BG, q_BG, law.usual(at_G, q_BG))
            log_unit_BG = torch.where(law.has_density(q_BG, at_G), law.of("log_unit", at_G, q_BG), 0)
            counts_BG = there_BG & ~law.get_buffer("given")[at_G]
            return torch.where(counts_BG, law.log_prob(q_BG, c_BGF, at_G) - log_unit_BG, 0)

        return self._by_law(c_BDF, of)

    def distribution(self, q_BD: Tensor, c_BDF: Tensor) -> Distribution:
        """Return P(y < q) and P(y <= q), each of the shape of q, NaN where q is missing."""

        def of(law: ColumnLaw, places: list[int], c_BGF: Tensor, at_G: Tensor) -> Tensor:
            q_BG = q_BD[..., places]
            there_BG = ~q_BG.isnan()
            found = law.distribution(torch.where(there_BG, q_BG, law.usual(at_G, q_BG)), c_BGF, at_G)
            return torch.where(there_BG, torch.stack([*found]), torch.nan)

        return Distribution(*self._by_law(c_BDF, of).unbind(0))

    def quantile(self, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the least x with P(y <= x) >= u, shape of u."""
        return self._by_law(c_BDF, lambda law, places, c_BGF, at_G: law.quantile(u_BD[..., places], c_BGF, at_G))
