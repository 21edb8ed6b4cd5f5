"""Which cells of a row are odd, and how surely: each given all other observed cells of its row."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from scorewise.capabilities import CategoryCells, Cells, RowDensity

INTERVAL = 0.9
"""The share of the law of a cell that its interval holds."""
SMALLEST = 1e-16
"""The least p-value that is told from 0: what a distribution function near 1 resolves."""


@dataclass(frozen=True)
class CellFindings:
    """Every cell of some rows beside what a model expected there, given all other observed cells of the row.

    Args:
        found_BD: the rows; NaN where a cell is missing, which has no p-value and no share.
        p_BD: two-sided p-values; where a value has a mass, half of it counts (mid-p).
        expected_BD: medians; of categories the most probable one, where the model says how probable each is.
        low_BD, high_BD: the ends of the central interval of 90 %; such categories have none (NaN).
        share_BD: of the surprise of the row, - log p summed over its cells, in [0, 1].

    Example:
        >>> import torch
        >>> from scorewise.estimators import GaussianRows
        >>> from scorewise.outliers import CellFindings
        >>> density = GaussianRows(torch.zeros(2), torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
        >>> found = CellFindings.of(density, torch.tensor([[2.0, 0.0]]))
        >>> found.expected_BD  # of each cell given the other
        tensor([[0.0000, 1.8000]], dtype=torch.float64)
    """

    found_BD: Tensor
    p_BD: Tensor
    expected_BD: Tensor
    low_BD: Tensor
    high_BD: Tensor
    share_BD: Tensor

    @classmethod
    def of(cls, density: RowDensity, x_BD: Tensor, unordered: Collection[int] = ()) -> Self:
        """Return what a density finds in rows.

        Args:
            density: of the rows.
            x_BD: the rows, NaN where a cell is missing.
            unordered: columns whose numbers are codes of categories without an order.
        """
        return cls.among(density.given_the_rest(x_BD), x_BD, unordered)

    @classmethod
    def among(cls, cells: Cells, x_BD: Tensor, unordered: Collection[int] = ()) -> Self:
        """Return the same from what a density said of the cells of the rows already."""
        p_BD = two_sided(cells, unordered)
        low_BD, expected_BD, high_BD = (cells.quantile(u) for u in ((1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2))
        if isinstance(cells, CategoryCells):
            for d in unordered:
                expected_BD[:, d] = cells.log_probs(d).argmax(-1).to(expected_BD)
                low_BD[:, d] = high_BD[:, d] = torch.nan
        surprise_BD = -p_BD.log()
        share_BD = surprise_BD / surprise_BD.nansum(-1, keepdim=True).clamp(min=SMALLEST)
        return cls(x_BD, p_BD, expected_BD, low_BD, high_BD, share_BD)

    def in_units(self, mean_D: Tensor, scale_D: Tensor) -> Self:
        """Return the same of columns that were standardised, in their own units."""
        values = (self.found_BD, self.expected_BD, self.low_BD, self.high_BD)
        found_BD, expected_BD, low_BD, high_BD = (mean_D + scale_D * value_BD for value_BD in values)
        return replace(self, found_BD=found_BD, expected_BD=expected_BD, low_BD=low_BD, high_BD=high_BD)

    @property
    def surprise_BD(self) -> Tensor:
        """How odd every cell is, - log p in nats: 3 is a p-value of .05, NaN that of a missing cell."""
        return -self.p_BD.log()


def two_sided(cells: Cells, unordered: Collection[int] = ()) -> Tensor:
    """Return p-values of cells, shape (B, D): 2 min(F, 1 - F), F the probability of less and half of that of the same.

    For a number it is uniform under the model.

    Args:
        cells: what a model says of them.
        unordered: columns of categories without an order, which have no sides: their p-value is the probability of less
            probable categories and half of that of equally probable ones, or where the model does not say them, the
            probability of what was found.
    """
    below_BD, at_most_BD = cells.below_BD, cells.at_most_BD
    middle_BD = 0.5 * (below_BD + at_most_BD)
    p_BD = 2 * torch.minimum(middle_BD, 1 - middle_BD)
    for d in unordered:
        p_BD[:, d] = (at_most_BD - below_BD)[:, d]
        if isinstance(cells, CategoryCells):
            p_BD[:, d] = _of_category(cells.log_probs(d).exp(), p_BD[:, d])
    return p_BD.clamp(SMALLEST, 1.0)


def _of_category(p_BK: Tensor, found_B: Tensor) -> Tensor:
    """Return the probability of categories that are less probable than one, and half of that of those that are as it.

    Args:
        p_BK: of all categories.
        found_B: of the one; NaN where a cell is missing, and then so is what is returned.
    """
    found_B1, slack = found_B[:, None], 1 + 8 * torch.finfo(p_BK.dtype).eps
    counts_BK = 0.5 * (p_BK < found_B1 / slack).to(p_BK) + 0.5 * (p_BK <= found_B1 * slack).to(p_BK)
    return torch.where(found_B.isnan(), torch.nan, (counts_BK * p_BK).sum(-1))
