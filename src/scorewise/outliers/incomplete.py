"""Rows with missing cells beside others: a missing cell counts as the usual one of its column."""

import torch
from torch import Tensor

from scorewise.capabilities import CellSurprises

TOGETHER = 100
"""Rows that are looked at in one pass."""


def usual_surprise(model: CellSurprises, x_ND: Tensor) -> Tensor:
    """Return the median of what a cell of every column adds to - log q of rows, nats, shape (D,).

    A median, because single rows far away would make missing cells odd. 0 in columns that have no cell, and in those
    that are only read.

    Args:
        model: of the rows.
        x_ND: rows of the data, not those that are judged; NaN where a cell is missing.
    """
    found_ND = torch.cat([model.surprise(x_BD) for x_BD in x_ND.split(TOGETHER)])
    return found_ND.double().nanmedian(0).values.nan_to_num(0.0)


def as_if_whole(nll_B: Tensor, x_BD: Tensor, usual_D: Tensor | None) -> Tensor:
    """Return - log q of rows that can be compared with each other, nats, shape (B,).

    A row says the less the more of its cells are missing, so - log q of the observed ones is small where much is
    missing; of a column with a small scale, large. What is missing counts as `usual_surprise`.

    Args:
        nll_B: - log q of the observed cells.
        x_BD: the rows, NaN where a cell is missing.
        usual_D: see `usual_surprise`; None: the model takes no missing cells.

    Example:
        >>> import torch
        >>> from scorewise.outliers import as_if_whole
        >>> x = torch.tensor([[0.0, 1.0], [0.0, torch.nan]])
        >>> as_if_whole(torch.tensor([3.0, 2.0]), x, torch.tensor([2.0, 1.5]))
        tensor([3.0000, 3.5000], dtype=torch.float64)
    """
    if usual_D is None:
        return nll_B
    return nll_B.double() + x_BD.isnan().double() @ usual_D.to(x_BD.device).double()
