"""Columns of a table: what the numbers of an example are, and their scale."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from scorewise.data.tabular.mixed import MixedColumns
from scorewise.errors import UserError

DIGITS = 8
"""Of a drawn number, below the leading one of its column's scale."""
FEW_UNITS = 4
"""Units in the last place that values of a constant column may differ by."""
TOO_LARGE = "too large a number"
"""Why a row cannot be used that is not `computable`."""


@dataclass(frozen=True)
class Columns:
    """What the D numbers of an example are: columns of a table, standardised.

    A row becomes its numbers in `numeric`, then an indicator (1 or 0) per value of every column in `categories`.

    Args:
        numeric: names of the columns of numbers.
        categories: the values of columns that are turned into indicators.
        mean, scale: of all D, in the columns' own units.
        index: the column that names the rows, where there is one; it is no part of the example.
        width: how many columns the file had; None: not known.
        mixed: the kinds of the columns, where they are of several; categories as codes come after the numbers.

    Example:
        >>> import torch
        >>> from scorewise.data import Columns
        >>> columns = Columns(("age",), {"sex": ("f", "m")}, mean=(40.0, 0.5, 0.5), scale=(10.0, 0.5, 0.5))
        >>> columns.names
        ('age', 'sex=f', 'sex=m')
        >>> x = columns.standardised(torch.tensor([[50.0, 1.0, 0.0]]))
        >>> x
        tensor([[ 1.,  1., -1.]], dtype=torch.float64)
        >>> columns.original(x)
        tensor([[50.,  1.,  0.]], dtype=torch.float64)
    """

    numeric: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    index: str | None = None
    width: int | None = None
    mixed: MixedColumns | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all D."""
        return (
            *self.numeric,
            *self.codes,
            *(f"{column}={value}" for column in self.categories for value in self.categories[column]),
        )

    @property
    def codes(self) -> Mapping[str, tuple[str, ...]]:
        """The categories of columns whose numbers are codes."""
        return self.mixed.codes if self.mixed is not None else {}

    @cached_property
    def mean_D(self) -> Tensor:
        """The means, float64."""
        return torch.tensor(self.mean, dtype=torch.float64)

    @cached_property
    def scale_D(self) -> Tensor:
        """The standard deviations, float64."""
        return torch.tensor(self.scale, dtype=torch.float64)

    @property
    def log_volume(self) -> float:
        """The sum of the log scales, nats: log q in the columns' own units = log q standardised - this.

        0 for columns of several kinds, whose laws are in their own units already.
        """
        return 0.0 if self.mixed is not None else float(self.scale_D.log().sum())

    def standardised(self, raw_BD: Tensor) -> Tensor:
        """Return rows in their own units, with mean 0 and standard deviation 1 over the training examples."""
        return (raw_BD - self.mean_D) / self.scale_D

    def original(self, x_BD: Tensor) -> Tensor:
        """Return standardised rows in their own units, float64."""
        return x_BD.double() * self.scale_D + self.mean_D

    def cells(self, x_BD: Tensor) -> list[list[float | str]]:
        """Return standardised rows as they stand in a table under `header`: for indicators the largest one's value."""
        rows: list[list[float | str]] = []
        for raw in self.original(x_BD).tolist():
            row: list[float | str]
            row = [self._rounded(d, number) for d, number in enumerate(raw[: self.single])]
            rest = raw[self.single :]
            for values in self.categories.values():
                mine, rest = rest[: len(values)], rest[len(values) :]
                row.append(values[mine.index(max(mine))])
            rows.append(row)
        return rows

    def unknown(self, raw_BD: Tensor) -> dict[str, int]:
        """Return how many rows have a category that training did not have, by column of codes that has some."""
        codes = enumerate(self.codes.items(), len(self.numeric))
        counts = {name: int((raw_BD[:, d] >= len(values)).sum()) for d, (name, values) in codes}
        return {name: count for name, count in counts.items() if count}

    def counts(self, raw_BD: Tensor) -> Iterator[Tensor]:
        """Return how many cells of each column are missing, and how often each category of columns of codes occurs."""
        yield raw_BD.isnan().sum(0)
        for code_B in raw_BD[:, len(self.numeric) : self.single].T:
            yield code_B[~code_B.isnan()].long().bincount()

    @property
    def single(self) -> int:
        """How many of the D numbers are a column each; the others are indicators."""
        return len(self.numeric) + len(self.codes)

    def _rounded(self, d: int, number: float) -> float | str:
        words = [None] * len(self.numeric) + list(self.codes.values())
        cell = None if self.mixed is None else self.mixed.cell(d, number, self.scale[d], words[d])
        return self.to_scale(d, number) if cell is None else cell

    def to_scale(self, d: int, number: float) -> float:
        """Return a number of column d in its own units, in as many digits as its scale says; NaN and others as is."""
        fine = math.isfinite(number) and 0 < self.scale[d] < math.inf
        return round(number, DIGITS - math.floor(math.log10(self.scale[d]))) if fine else number

    def matches(self, other: "Columns") -> bool:
        """Return whether two tables have the same columns in the same scale, but for the last digits of sums."""

        def same(one: float, another: float, size: float) -> bool:
            return abs(one - another) <= 1e-12 * size

        scales = zip(self.mean, other.mean, self.scale, other.scale, strict=False)
        return (self.numeric, dict(self.categories), self.index, self.mixed) == (
            other.numeric,
            dict(other.categories),
            other.index,
            other.mixed,
        ) and all(same(m, n, max(abs(m), s)) and same(s, t, max(abs(m), s)) for m, n, s, t in scales)

    @property
    def header(self) -> tuple[str, ...]:
        """The columns of the table itself that an example is made of."""
        return (*self.numeric, *self.codes, *self.categories)

    def plain(self) -> dict[str, Any]:
        """Return the columns as plain lists and mappings, for a recipe."""
        return {
            "numeric": list(self.numeric),
            "categories": [{"column": name, "values": list(values)} for name, values in self.categories.items()],
            "mean": list(self.mean),
            "scale": list(self.scale),
            "index": self.index,
            "width": self.width,
            **({} if self.mixed is None else {"mixed": self.mixed.plain()}),
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """Return columns from a recipe.

        Raises:
            UserError: the recipe is damaged.
        """
        try:
            found = cls(
                tuple(map(str, plain["numeric"])),
                {str(one["column"]): tuple(map(str, one["values"])) for one in plain["categories"]},
                tuple(map(float, plain["mean"])),
                tuple(map(float, plain["scale"])),
                plain["index"],
                plain.get("width"),
                None if plain.get("mixed") is None else MixedColumns.of(plain["mixed"]),
            )
        except (TypeError, KeyError, ValueError) as error:
            raise UserError("the columns in this model's config.yaml are damaged: train the run again.") from error
        if not len(found.names) == len(found.mean) == len(found.scale):
            raise UserError("the columns in this model's config.yaml are damaged: train the run again.")
        return found


def refuse_another_table(trained: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Refuse a table whose columns or their scales are not those that a model was trained on.

    Args:
        trained: recipe of the model.
        found: the recipe that its config gives now.

    Raises:
        UserError: they differ.
    """
    if "columns" not in trained or "columns" not in found:
        return
    if not Columns.of(trained["columns"]).matches(Columns.of(found["columns"])):
        raise UserError(
            "the table has changed since this run was trained on it (its columns, their means or their scales differ): "
            "put the old one back, or train again with rerun=true."
        )


def computable(x_ND: Tensor) -> Tensor:
    """Return which standardised rows are finite in the type that models compute in, or lack a cell; shape (N,)."""
    return (x_ND.to(torch.get_default_dtype()).isfinite() | x_ND.isnan()).all(-1)


def varies(raw_ND: Tensor) -> Tensor:
    """Return which columns have more than one value, shape (D,): a spread of a few units in the last place is one.

    NaN is no value.
    """
    missing_ND = raw_ND.isnan()
    low_D, high_D = (
        raw_ND.masked_fill(missing_ND, torch.inf).amin(0),
        raw_ND.masked_fill(missing_ND, -torch.inf).amax(0),
    )
    rounding_D = FEW_UNITS * torch.finfo(raw_ND.dtype).eps * torch.maximum(low_D.abs(), high_D.abs())
    return high_D - low_D > rounding_D


def moments(raw_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of every column, (D,), without overflow, however far it is from 0.

    Of a column with missing values (NaN) those of the others.
    """
    if bool(raw_ND.isnan().any()):
        each = [moments(column_N[~column_N.isnan(), None]) for column_N in raw_ND.T]
        return torch.cat([mean_1 for mean_1, _ in each]), torch.cat([scale_1 for _, scale_1 in each])
    low_D, high_D = raw_ND.amin(0), raw_ND.amax(0)
    centre_D, half_D = 0.5 * low_D + 0.5 * high_D, 0.5 * high_D - 0.5 * low_D
    half_D = half_D.clamp(min=torch.finfo(raw_ND.dtype).tiny)
    unit_ND = (raw_ND - centre_D) / half_D
    return centre_D + unit_ND.mean(0) * half_D, unit_ND.std(0, correction=0) * half_D
