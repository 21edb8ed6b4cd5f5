"""What `ScoreDensity` fits to a table."""

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Generator, Tensor

from scorewise.outliers import CellFindings

Array = NDArray[np.float64]


class TableDensity(ABC):
    """A density of rows, which are numbers in the columns' own units: NaN where a cell is missing, codes of categories.

    Attributes:
        says: what it is, a few words.
        used: the columns that it has the density of.
        unordered: which of these are categories.
        takes_missing: whether cells may be missing.
    """

    says: ClassVar[str]
    used: list[int]
    unordered: Collection[int] = ()
    takes_missing: ClassVar[bool] = False

    def __repr__(self) -> str:
        return f"{type(self).__name__} of {len(self.used)} columns: {self.says}"

    @abstractmethod
    def log_prob(self, x_ND: Array) -> Array:
        """Return log q of what is observed of every row, nats, shape (N,)."""

    @abstractmethod
    def outlier_score(self, x_ND: Array, fitted: bool = False) -> Tensor:
        """Return how odd every row is, larger is odder, shape (N,), float64.

        Args:
            x_ND: rows.
            fitted: the density was fitted to them, and no row is to speak for itself.
        """

    @abstractmethod
    def cells(self, x_ND: Array) -> CellFindings:
        """Return what was expected in every cell of the columns that are used, given all others of its row."""

    @abstractmethod
    def sample(self, n: int, generator: Generator) -> Array:
        """Return new rows, shape (n, D)."""
