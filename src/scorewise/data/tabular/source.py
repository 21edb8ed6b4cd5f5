"""Rows of a table as a data set."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scorewise.data.source import FixedSource, Split
from scorewise.data.tabular.columns import Columns


class Tabular(FixedSource, ABC):
    """Rows of a table; models see every column with mean 0 and standard deviation 1 over the training rows."""

    mean, std = 0.0, 1.0
    one = "row"
    unit = "the columns' own units"
    of_columns = True

    @property
    @abstractmethod
    def table(self) -> Columns:
        """The columns, with their means and scales over the training rows."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What the D numbers of an example are called."""
        return self.table.names

    @property
    def codes(self) -> Mapping[int, Sequence[str]]:
        """The names of the categories of columns that hold them as codes, by the place of the column."""
        table = self.table
        return (
            {} if table.mixed is None else {table.names.index(name): words for name, words in table.mixed.codes.items()}
        )

    def laws(self) -> list[Any] | None:
        """Return the columns as `ByColumn` reads them, from the training rows; None where they have no kinds."""
        table = self.table
        if table.mixed is None:
            return None
        return table.mixed.recipe(table.names, self.raw("train"), table.mean, table.scale)

    @property
    def column_mean(self) -> Tensor:
        """The mean of every column, shape (D,), in its own units."""
        return self.table.mean_D

    @property
    def column_scale(self) -> Tensor:
        """The standard deviation of every column, shape (D,), in its own units."""
        return self.table.scale_D

    @property
    def log_volume(self) -> float:
        """The sum of the log column scales, nats."""
        return self.table.log_volume

    def scaled(self, raw_BD: Tensor) -> Tensor:
        """Return rows in their own units, standardised."""
        return self.table.standardised(raw_BD)

    def original(self, x_BD: Tensor) -> Tensor:
        """Return standardised rows in their own units, float64."""
        return self.table.original(x_BD)

    def examples(self, split: Split, index_B: Tensor, epoch: int, seed: int) -> Tensor:
        """Return clean examples (B, D), standardised; the same in every epoch."""
        return self.scaled(self.raw(split)[index_B]).to(torch.get_default_dtype())
