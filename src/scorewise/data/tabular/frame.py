"""Data frames as numbers and back: categories as codes, missing cells as NaN."""

import datetime
import importlib
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
from numpy.typing import NDArray

from scorewise.data.tabular.categories import CATEGORIES
from scorewise.data.tabular.cells import shown
from scorewise.errors import names_of, printable

DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
"""Types of cells that are no numbers and too many to be categories; pandas' own are among them."""
Array = NDArray[np.float64]


def is_frame(table: object) -> bool:
    """Return whether a table is a data frame, as pandas has them."""
    return hasattr(table, "iloc") and hasattr(table, "columns") and hasattr(table, "dtypes")


def names_in(table: Any) -> list[str]:
    """Return the names of the columns of a data frame.

    Raises:
        ValueError: two columns have one name.
    """
    names = [str(name) for name in table.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"several columns are named {names_of(twice)}: rename all but one")
    return names


@final
@dataclass(frozen=True)
class FrameColumn:
    """A column of a data frame.

    Args:
        name: of the column.
        dtype: its type there.
        words: the categories that stand for codes 0, 1 and so on; None: numbers.
    """

    name: str
    dtype: Any
    words: tuple[Hashable, ...] | None

    @classmethod
    def found(cls, name: str, column: Any, fitted: NDArray[np.int64]) -> Self:
        """Return what a column holds.

        Args:
            name: of the column.
            column: the column.
            fitted: the places of the rows whose categories count.

        Raises:
            ValueError: neither numbers nor few enough categories.
        """
        if _of_numbers(column.dtype):
            return cls(name, column.dtype, None)
        if _kind(column.dtype) == "b":
            return cls(name, column.dtype, (False, True))
        cells = _cells(column)
        there = [cell for cell in cells if cell is not None]
        of_categories = _of_categories(column.dtype)
        if not of_categories and (dates := [cell for cell in there if isinstance(cell, DATES)]):
            raise ValueError(
                f"column {printable(name)} holds dates ({shown(str(dates[0]))} say): turn it into numbers, "
                "days since the first of them say, or into categories, or leave it out"
            )
        if not of_categories and not {type(cell) for cell in there} <= {str, np.str_}:
            if {type(cell) for cell in there} <= {bool, np.bool_}:
                return cls(name, column.dtype, (False, True))
            odd = next((cell for cell in there if not _is_number(cell)), None)
            if odd is None:
                return cls(name, column.dtype, None)
            raise ValueError(
                f"column {printable(name)} holds {shown(repr(odd))} among other things: make it "
                "numbers, text or a category"
            )
        seen = {cells[i] for i in fitted.tolist()} - {None}
        known = [word for word in column.dtype.categories if word in seen] if of_categories else sorted(map(str, seen))
        if len(known) > CATEGORIES:
            raise ValueError(
                f"column {printable(name)} has {len(known):,} values of text, and at most {CATEGORIES} are categories: "
                "leave it out, make it the index, or group the rare ones"
            )
        return cls(name, column.dtype, tuple(known))

    def numbers(self, column: Any) -> Array:
        """Return the cells as numbers: NaN for missing ones, one code more than there are for an unknown category.

        Raises:
            ValueError: a cell is no number where there must be one, or an infinite one.
        """
        if self.words is None:
            return self._finite(column)
        code = {word: float(i) for i, word in enumerate(self.words)}
        new = float(len(self.words))
        return np.array([math.nan if cell is None else _code(cell, code, new) for cell in _cells(column)])

    def _finite(self, column: Any) -> Array:
        if _of_numbers(column.dtype) and isinstance(column.dtype, np.dtype):
            number_N = np.asarray(column, dtype=np.float64)
        else:
            cells = _cells(column)
            if odd := [cell for cell in cells if cell is not None and not _is_number(cell)]:
                raise ValueError(f"column {printable(self.name)} holds numbers, and {_spelled(odd[0])} is none")
            number_N = np.array([math.nan if cell is None else float(cell) for cell in cells])
        if np.isinf(number_N).any():
            raise ValueError(f"column {printable(self.name)} holds an infinite number: leave such cells blank")
        return number_N

    def labels(self) -> list[str]:
        """Return the categories as text, and what stands for any other."""
        return [*(str(word) for word in self.words or ()), "unknown"]

    def series(self, number_N: Array) -> Any:
        """Return numbers as a column of the type that this has; one that has no missing cells as numbers if need be."""
        pandas = importlib.import_module("pandas")
        missing_N = np.isnan(number_N)
        if self.words is not None:
            codes = number_N.round()
            cells = [
                None if gap or not 0 <= code < len(self.words) else self.words[int(code)]
                for gap, code in zip(missing_N, codes, strict=True)
            ]
            typed = self.dtype if not (self.dtype == bool and None in cells) else "boolean"
            return pandas.Series(cells, dtype=typed)
        if _kind(self.dtype) not in "iu":
            return pandas.Series(number_N).astype(self.dtype)
        bits, signed = 8 * self.dtype.itemsize, _kind(self.dtype) == "i"
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        whole_N = np.where(missing_N, 0, number_N).round()
        found = pandas.Series([min(max(int(whole), low), high) for whole in whole_N.tolist()])
        if not missing_N.any():
            return found.astype(self.dtype)
        nullable = self.dtype if not isinstance(self.dtype, np.dtype) else "Int64"
        return found.astype(nullable).mask(missing_N)


@final
@dataclass(frozen=True)
class Frame:
    """The columns of a data frame.

    Args:
        columns: each of them.
        labels: what they are called in the data frame, texts or not; None: as they are named.
    """

    columns: tuple[FrameColumn, ...]
    labels: Any = None

    @classmethod
    def found(cls, table: Any, fitted: NDArray[np.int64]) -> Self:
        """Return what the columns of a data frame hold.

        Args:
            table: the data frame.
            fitted: the places of the rows whose categories count.

        Raises:
            ValueError: see `names_in` and `FrameColumn.found`.
        """
        names = names_in(table)
        columns = (FrameColumn.found(name, table.iloc[:, d], fitted) for d, name in enumerate(names))
        return cls(tuple(columns), table.columns)

    def numbers(self, table: Any) -> Array:
        """Return the rows of a data frame, or of an array, with these columns, shape (N, D)."""
        parts = [table.iloc[:, d] if is_frame(table) else np.asarray(table)[:, d] for d in range(len(self.columns))]
        return np.stack([column.numbers(part) for column, part in zip(self.columns, parts, strict=True)], 1)

    def of_numbers(self, x_ND: Array, index: Any = None) -> Any:
        """Return rows as a data frame of these columns, each in its type."""
        pandas = importlib.import_module("pandas")
        series = {column.name: column.series(x_ND[:, d]) for d, column in enumerate(self.columns)}
        found = pandas.DataFrame(series)
        if self.labels is not None:
            found.columns = self.labels
        return found if index is None else found.set_axis(index)

    @staticmethod
    def with_observed(found: Any, given: Any) -> Any:
        """Return a data frame whose cells are those of another one wherever that has some, to the last digit.

        Args:
            found: the data frame.
            given: the other one, of the same columns and rows.
        """
        pandas = importlib.import_module("pandas")
        columns = []
        for d in range(found.shape[1]):
            mine, theirs = found.iloc[:, d], given.iloc[:, d].set_axis(found.index)
            dtype, cells = mine.dtype, theirs.astype(object).where(theirs.notna(), mine.astype(object))
            if _of_categories(dtype):
                others = [word for word in cells.dropna().unique() if word not in dtype.categories]
                dtype = pandas.CategoricalDtype([*dtype.categories, *others], dtype.ordered)
            columns.append(cells.astype(theirs.dtype if _fractions(theirs, dtype) else dtype))
        return pandas.concat(columns, axis=1).set_axis(found.columns, axis=1)

    @property
    def plain(self) -> bool:
        """Whether all columns are numbers."""
        return all(column.words is None for column in self.columns)

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]


def _kind(dtype: Any) -> str:
    """Return the letter of a type: i, u, f for numbers, b for yes and no."""
    return str(getattr(dtype, "kind", "O"))


def _of_categories(dtype: Any) -> bool:
    return hasattr(dtype, "categories") and hasattr(dtype, "ordered")


def _fractions(column: Any, dtype: Any) -> bool:
    """Return whether a column of numbers has some that are not whole, where a type has whole ones alone."""
    there = column.dropna()
    return _kind(dtype) in "iu" and _kind(column.dtype) == "f" and bool((there % 1 != 0).any())


def _of_numbers(dtype: Any) -> bool:
    return _kind(dtype) in "iuf"


def _is_number(cell: object) -> bool:
    return np.ndim(cell) == 0 and _of_numbers(np.asarray(cell).dtype)  # type: ignore[arg-type, call-overload]


def _code(cell: Hashable, code: dict[Hashable, float], new: float) -> float:
    found = code.get(cell)
    return code.get(str(cell), new) if found is None else found


def _cells(column: Any) -> list[Any]:
    """Return the cells of a column, None for missing ones."""
    cells = np.asarray(column, dtype=object).tolist()
    missing = column.isna().tolist() if hasattr(column, "isna") else [cell is None or cell != cell for cell in cells]
    return [None if gap else cell for cell, gap in zip(cells, missing, strict=True)]


def _spelled(cell: Any) -> str:
    """Return a cell as it can stand in a sentence; text in quotes, which may read like a number."""
    return f"'{shown(cell)}', which is text," if isinstance(cell, str) else shown(str(cell))
