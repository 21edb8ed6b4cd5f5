"""A file with a table, read piece by piece, nothing in it executed."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from scorewise.data.tabular.cells import MISSING
from scorewise.errors import UserError, printable, typed

AT_ONCE = 10_000
"""Rows that are read together."""


class DialectSettings(TypedDict, total=False):
    """The settings of a CSV table's dialect, as keyword arguments; see `Dialect`."""

    header: bool | None
    decimal: str
    encoding: str


@dataclass(frozen=True)
class Dialect:
    """How a CSV table is written.

    Args:
        header: whether its first line names the columns; None: where not all cells of that line are numbers.
        decimal: what stands before the fraction, a point or a comma.
        encoding: of the text.
        prefix: what stands before the names of these settings in a command.

    Raises:
        UserError: another header or decimal, or no such encoding.
    """

    header: bool | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    prefix: str = "data."

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoding", str(self.encoding))  # 8859 is a number on a command line
        if not isinstance(self.header, bool | None):
            raise UserError(f"{self.prefix}header={self.header} must be true or false or null.")
        if self.decimal not in (".", ","):
            raise UserError(
                f"{self.prefix}decimal={self.decimal} must be a point or a comma: "
                f"{typed(f'{self.prefix}decimal', ',')} say."
            )
        try:
            "".encode(self.encoding)
        except LookupError as error:
            raise UserError(f"{self.prefix}encoding={self.encoding} is unknown: use utf-8 or latin-1, say.") from error

    def number(self, cell: str) -> float:
        """Return the number in a cell, NaN where it has no value.

        Raises:
            ValueError: text.
        """
        cell = cell.strip()
        if cell.lower() in MISSING:
            return float("nan")
        if "_" in cell:  # Python's own spelling, nobody else's
            raise ValueError(cell)
        if self.decimal == "," and "." in cell:  # of thousands: 1.000 is no 1
            raise ValueError(cell)
        return float(cell if self.decimal == "." else cell.replace(",", "."))


class Piece(NamedTuple):
    """Some rows of a table.

    Args:
        row_N: their numbers from 1, the line of the columns not counted.
        number_ND: the numbers, NaN for a cell that has none.
        text: the cells of columns of text by name, see `text_of`.
        ragged: rows that are not among them, with how many cells they have.
    """

    row_N: NDArray[np.int64]
    number_ND: NDArray[np.float64]
    text: dict[str, list[str]]
    ragged: list[tuple[int, int]]


@dataclass
class TableFile(ABC):
    """An open table: the names of its columns, and its rows piece by piece.

    Args:
        path: the file.
        names: of its columns.
        named: whether the file says them; else they are x_1, x_2 and so on.
        not_numbers: what was found in columns of numbers instead, by column: the first such row and its cell.
        text_cells: how many such cells there are, by column.
        wrong: all rows with such cells.
        notes: sentences about how the file is read, where that is not plain.
        dialect: how it is written, where it is text.
    """

    path: Path
    names: list[str] = field(default_factory=list)
    named: bool = True
    not_numbers: dict[str, tuple[int, str]] = field(default_factory=dict)
    text_cells: Counter[str] = field(default_factory=Counter)
    wrong: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    dialect: Dialect = field(default_factory=Dialect)

    @property
    def label(self) -> str:
        """The path of the file as messages show it."""
        return printable(str(self.path))

    @property
    def unnamed(self) -> str | None:
        """The column that numbers the rows: the first one where it alone has no name."""
        return "" if self.named and self.names[:1] == [""] and self.names.count("") == 1 else None

    @abstractmethod
    def pieces(self, numbers: Sequence[str], text: Sequence[str]) -> Iterator[Piece]:
        """Return all rows, with columns of numbers and columns of text in the order asked for."""

    def where(self, columns: Sequence[str]) -> list[int]:
        """Return the positions of columns in the file.

        Raises:
            UserError: two have one name.
        """
        if twice := [name for name in columns if self.names.count(name) > 1]:
            raise UserError(f"{self.label} has {self.names.count(twice[0])} columns named {twice[0]!r}: rename one.")
        return [self.names.index(name) for name in columns]
