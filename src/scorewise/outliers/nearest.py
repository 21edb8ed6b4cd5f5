"""Distances to the nearest of given rows."""

import torch
from torch import Tensor

from scorewise.estimators.kernel import squared_distances

TILE = 2**22
"""Distances that are in memory at a time."""
MOST = 10_000
"""Rows that are kept, the first ones."""
EQUAL = 1e-6
"""Of its size: a distance at which a row is taken to be the same row."""


class NearestRows:
    """The mean distance to the k nearest of some rows.

    Args:
        x_ND: the rows in random order, of which the first `MOST` are kept.
        neighbours: k.

    Example:
        >>> import torch
        >>> from scorewise.outliers import NearestRows
        >>> nearest = NearestRows(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), neighbours=2)
        >>> nearest.distance(torch.tensor([[0.0, 0.0]]))
        tensor([2.5000])
    """

    def __init__(self, x_ND: Tensor, neighbours: int) -> None:
        self.x_ND = x_ND[:MOST]
        self.neighbours = min(neighbours, len(self.x_ND))

    def distance(self, x_BD: Tensor) -> Tensor:
        """Return the distance of every row, shape (B,)."""
        return self._nearest(x_BD, self.neighbours).mean(-1)

    def distance_to_others(self, x_BD: Tensor) -> Tensor:
        """Return the distance of every row, not counting one of those kept that equals it, shape (B,)."""
        most = min(self.neighbours + 1, len(self.x_ND))
        nearest_BK = self._nearest(x_BD, most)
        own_B = nearest_BK[:, 0] <= EQUAL * (1 + x_BD.norm(dim=-1))
        others_B = nearest_BK[:, 1:].mean(-1) if most > 1 else x_BD.new_zeros(len(x_BD))
        return torch.where(own_B, others_B, nearest_BK[:, : self.neighbours].mean(-1))

    def _nearest(self, x_BD: Tensor, most: int) -> Tensor:
        """Return the distances to the nearest rows, the nearest first, shape (B, most).

        In double precision: in single precision a row is a thousandth of its size away from itself.
        """
        x_ND = self.x_ND.double()
        tiles = x_BD.double().split(max(1, TILE // len(x_ND)))
        nearest = [squared_distances(q_BD, x_ND).topk(most, largest=False).values for q_BD in tiles]
        return torch.cat(nearest).sqrt().to(x_BD)
