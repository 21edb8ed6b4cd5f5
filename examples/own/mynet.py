"""A backbone: a recurrent network that reads the dimensions one after the other."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class GRUBackbone(nn.Module):
    """Causal features by a gated recurrent unit: row d sees u_1 .. u_(d-1)."""

    def __init__(self, shape: Sequence[int], width: int, hidden: int = 32) -> None:
        super().__init__()
        self.shape, self.width = tuple(shape), width
        self.gru, self.out = nn.GRU(1, hidden, batch_first=True), nn.Linear(hidden, width)

    def causal_features(self, u_BD: Tensor) -> Tensor:
        """Return the features of every dimension from those before it, shape (B, D, width)."""
        before_BD = torch.cat([torch.zeros_like(u_BD[:, :1]), u_BD[:, :-1]], 1)
        h_BDF: Tensor = self.out(self.gru(before_BD.unsqueeze(-1))[0])
        return h_BDF
