"""Tables of numbers without missing cells: a density with the noise of the smoothing, nearest rows, sizes of scores."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np
import torch
from torch import Generator, Tensor

from scorewise.densities.table_density import Array, TableDensity
from scorewise.densities.views import Recipe, Views
from scorewise.outliers import CellFindings
from scorewise.outliers.replaced import ReplacedCells

FARTHEST = 1e6
"""Rows are looked at as if no cell were farther from the mean, in standard deviations of the column."""


@final
@dataclass(repr=False)
class CompleteRows(TableDensity):
    """Views of standardised rows.

    Args:
        views: what was fitted to them.
        mean_D, scale_D: of the columns, in their own units.
    """

    says = "several views of complete rows of numbers"

    views: Views
    mean_D: Array
    scale_D: Array

    @classmethod
    @torch.inference_mode(False)
    def fitted(cls, x_ND: Array, mean_D: Array, scale_D: Array, recipe: Recipe) -> Self:
        """Return what is fitted to rows in random order."""
        return cls(Views.fitted(standardised(x_ND, mean_D, scale_D), recipe), mean_D, scale_D)

    @property
    def used(self) -> list[int]:  # type: ignore[override]
        """All columns."""
        return list(range(len(self.mean_D)))

    def _standard(self, x_ND: Array) -> Tensor:
        return standardised(x_ND, self.mean_D, self.scale_D)

    @torch.no_grad()
    def log_prob(self, x_ND: Array) -> Array:
        """Return log q(x) of every row in nats, in the columns' own units, shape (N,)."""
        parts = [self.views.density.log_prob(z_BD) for z_BD in self._standard(x_ND).split(4096)]
        found: Array = torch.cat(parts).numpy() - np.log(self.scale_D).sum()
        return found

    def outlier_score(self, x_ND: Array, fitted: bool = False) -> Tensor:
        """Return how odd every row is by all views, shape (N,)."""
        return self.views.outlier_score(self._standard(x_ND), fitted) if len(x_ND) else torch.zeros(0).double()

    def cells(self, x_ND: Array) -> CellFindings:
        """Return what was expected in every cell given all others of its row, by a hundred densities each."""
        z_BD = self._standard(x_ND)
        found = CellFindings.among(ReplacedCells.of(self.views.density, z_BD, self.views.nodes), z_BD)
        return found.in_units(torch.as_tensor(self.mean_D), torch.as_tensor(self.scale_D))

    @torch.no_grad()
    def sample(self, n: int, generator: Generator) -> Array:
        """Return new rows, with the noise of the smoothing, shape (n, D)."""
        z_ND = self.views.density.sample(n, generator)
        with np.errstate(over="ignore"):
            x_ND = z_ND.numpy() * self.scale_D + self.mean_D
        found: Array = x_ND.clip(-np.finfo(np.float64).max, np.finfo(np.float64).max)
        return found


def standardised(x_ND: Array, mean_D: Array, scale_D: Array) -> Tensor:
    """Return rows in standard deviations of the columns from their means; missing cells stay NaN."""
    return torch.as_tensor((x_ND - mean_D) / scale_D).clamp(-FARTHEST, FARTHEST)
