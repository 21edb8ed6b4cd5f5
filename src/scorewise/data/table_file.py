"""Files of tables: CSV, Parquet and NumPy's matrices read piece by piece, nothing in them executed; CSV written."""

import csv
import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from scorewise.data.folder import printable
from scorewise.errors import UserError
from scorewise.spreadsheet import write

AT_ONCE = 10_000
"""Rows that are read together."""
MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "?"}
"""Cells without a value, in small letters."""
DELIMITERS = (",", ";", "\t")
FEW = 50
"""Characters of a cell that are shown."""


@dataclass(frozen=True)
class Dialect:
    """This is how a CSV table is written.

    Args:
        header: whether its first line names the columns; None: where not all cells of that line are numbers.
        decimal: what stands before the fraction, a point or a comma.
        encoding: of the text.
        prefix: what stands before the names of these settings in a command.

    Raises:
        UserError: another decimal, or no such encoding.
    """

    header: bool | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    prefix: str = "data."

    def __post_init__(self) -> None:
        if self.decimal not in (".", ","):
            raise UserError(
                f"{self.prefix}decimal={self.decimal} must be a point or a comma: "
                f"{typed(f'{self.prefix}decimal', ',')} say."
            )
        try:
            "".encode(str(self.encoding))
        except LookupError as error:
            raise UserError(f"{self.prefix}encoding={self.encoding} is unknown: use utf-8 or latin-1, say.") from error

    def number(self, cell: str) -> float:
        """This is the number in a cell, NaN where it has no value.

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
    """This is some rows of a table.

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
    """This is an open table: the names of its columns, and its rows piece by piece.

    Args:
        path: the file.
        names: of its columns.
        named: whether the file says them; else they are x_1, x_2 and so on.
        not_numbers: what was found in columns of numbers instead, by column: the first such row and its cell.
        wrong: all rows with such cells.
        dialect: how it is written, where it is text.
    """

    path: Path
    names: list[str] = field(default_factory=list)
    named: bool = True
    not_numbers: dict[str, tuple[int, str]] = field(default_factory=dict)
    wrong: set[int] = field(default_factory=set)
    dialect: Dialect = field(default_factory=Dialect)

    @property
    def label(self) -> str:
        """This is the file in messages."""
        return printable(str(self.path))

    @property
    def unnamed(self) -> str | None:
        """This is the column that numbers the rows: the first one where it alone has no name."""
        return "" if self.named and self.names[:1] == [""] and self.names.count("") == 1 else None

    @abstractmethod
    def pieces(self, numbers: Sequence[str], text: Sequence[str]) -> Iterator[Piece]:
        """This is all rows, with columns of numbers and columns of text in the order asked for."""

    def where(self, columns: Sequence[str]) -> list[int]:
        """This is the places of columns.

        Raises:
            UserError: two have one name.
        """
        if twice := [name for name in columns if self.names.count(name) > 1]:
            raise UserError(f"{self.label} has {self.names.count(twice[0])} columns named {twice[0]!r}: rename one.")
        return [self.names.index(name) for name in columns]


@final
class TextTable(TableFile):
    """This is a CSV table, separated by commas, semicolons or tabulators, whichever makes most of its first record.

    The first record that is not blank names the columns, or is a row. A blank line is no row, but for one between the
    rows of a single column, where it is a missing value.

    Raises:
        UserError: it is empty, or no text of that encoding.
    """

    def __init__(self, path: Path, dialect: Dialect) -> None:
        super().__init__(path, dialect=dialect)
        with self._reading():
            first = {mark: self._first(mark) for mark in DELIMITERS}
        others = [mark for mark in DELIMITERS if mark != dialect.decimal]
        self.delimiter = max(others, key=lambda mark: len(first[mark]))
        if len(first[self.delimiter]) == 1 and not all(map(_whole, first[","])):  # else 1,5 may be one number
            self.delimiter = max((self.delimiter, ","), key=lambda mark: len(first[mark]))
        self.names = first[self.delimiter]
        self.width = len(self.names)
        self.named = self._has_names() if dialect.header is None else dialect.header
        if not self.named:
            self.names = [f"x_{d}" for d in range(1, self.width + 1)]

    def _first(self, delimiter: str) -> list[str]:
        with self._open() as file:
            first = next(_records(csv.reader(file, delimiter=delimiter)), None)
        if first is None:
            raise UserError(f"{self.label} is empty: give a table whose first line names its columns.")
        return [cell.strip() for cell in first]

    def _has_names(self) -> bool:
        if self.names == ["", *map(str, range(self.width - 1))] and self.width > 1:
            return True  # as pandas writes columns that have numbers for names
        cells = [cell for cell in self.names if cell]  # a blank one may be a missing value as well as no name
        return not all(map(self._is_number, cells))

    def _open(self) -> Any:
        encoding = "utf-8-sig" if self.dialect.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else None
        return self.path.open(newline="", encoding=encoding or self.dialect.encoding)

    def _is_number(self, cell: str) -> bool:
        try:
            self.dialect.number(cell)
        except ValueError:
            return False
        return True

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError as error:
            raise UserError(
                f"{self.label} is no text in {self.dialect.encoding}: if it is a CSV table, say in which encoding "
                "(data.encoding=latin-1 or utf-16), else give it as CSV, .parquet or .npy."
            ) from error
        except csv.Error as error:
            raise UserError(f"{self.label} cannot be read as a CSV table ({error}): save it anew as CSV.") from error

    def pieces(self, numbers: Sequence[str], text: Sequence[str]) -> Iterator[Piece]:
        """This is all rows, see `TableFile`."""
        number_places, text_places = self.where(numbers), self.where(text)
        row = 0
        with self._open() as file, self._reading():
            lines = _records(csv.reader(file, delimiter=self.delimiter))
            if self.named:
                next(lines)
            while block := list(islice(lines, AT_ONCE)):
                yield self._piece(block, row, list(zip(number_places, numbers, strict=True)), text_places, text)
                row += len(block)

    def _piece(
        self,
        block: Sequence[Sequence[str]],
        before: int,
        numbers: Sequence[tuple[int, str]],
        text_places: Sequence[int],
        text: Sequence[str],
    ) -> Piece:
        rows: list[int] = []
        found: list[list[float]] = []
        cells: list[list[str]] = [[] for _ in text]
        ragged = []
        places, plain = [place for place, _ in numbers], self.dialect.decimal == "."
        for i, line in enumerate(block, before + 1):
            if len(line) != self.width:
                ragged.append((i, len(line)))
                continue
            try:
                if not plain or "_" in "".join(line):
                    raise ValueError
                found.append([float(line[place]) for place in places])
            except ValueError:
                found.append([self._number(line[place], i, name) for place, name in numbers])
            rows.append(i)
            for column, place in zip(cells, text_places, strict=True):
                column.append(text_of(line[place]))
        number_ND = np.array(found, dtype=np.float64).reshape(len(rows), len(places))
        return Piece(np.array(rows, dtype=np.int64), number_ND, dict(zip(text, cells, strict=True)), ragged)

    def _number(self, cell: str, row: int, name: str) -> float:
        try:
            return self.dialect.number(cell)
        except ValueError:
            self.not_numbers.setdefault(name, (row, shown(cell)))
            self.wrong.add(row)
            return float("nan")


@final
class ParquetTable(TableFile):
    """This is a Parquet file.

    Raises:
        UserError: pyarrow is not installed, or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise UserError(
                f"{self.label} is a Parquet file, which pyarrow reads: pip install 'scorewise[tables]', or save it as "
                "CSV."
            ) from error
        try:
            self.file = parquet.ParquetFile(path)
        except (ArrowException, OSError) as error:
            raise UserError(f"{self.label} is no Parquet file, or damaged: save it anew.") from error
        stored = [str(name) for name in self.file.schema_arrow.names]
        index = [name for name in stored if name.startswith("__index_level_")]  # how pandas calls rows without a name
        self.stored = [*index, *(name for name in stored if name not in index)]
        self.names = ["" if name in index else name for name in self.stored]

    def pieces(self, numbers: Sequence[str], text: Sequence[str]) -> Iterator[Piece]:
        """This is all rows, see `TableFile`.

        Raises:
            UserError: the file is damaged.
        """
        from pyarrow import ArrowException

        places = dict(zip([*numbers, *text], self.where([*numbers, *text]), strict=True))
        row = 0
        try:
            for batch in self.file.iter_batches(AT_ONCE, columns=[self.stored[place] for place in places.values()]):
                taken = {name: batch.column(self.stored[place]) for name, place in places.items()}
                columns = [self._numbers(taken[name], name, row) for name in numbers]
                number_ND = np.stack(columns, 1) if columns else np.empty((len(batch), 0))
                cells = {name: [text_of(cell) for cell in taken[name].to_pylist()] for name in text}
                yield Piece(np.arange(row + 1, row + 1 + len(batch)), number_ND, cells, [])
                row += len(batch)
        except (ArrowException, OSError) as error:
            raise UserError(f"{self.label} is damaged: save it anew.") from error

    def _numbers(self, column: Any, name: str, before: int) -> NDArray[np.float64]:
        from pyarrow import types

        kind = column.type
        if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
            found: NDArray[np.float64] = column.cast("float64", safe=False).to_numpy(zero_copy_only=False)
            return found
        present = next((i for i, cell in enumerate(column) if cell.is_valid), None)
        if present is not None:
            self.not_numbers.setdefault(name, (before + present + 1, shown(str(column[present].as_py()))))
        return np.full(len(column), np.nan)


@final
class MatrixTable(TableFile):
    """This is a NumPy file with a matrix of numbers, a row per example; objects in it are never loaded.

    Raises:
        UserError: it holds something else.
    """

    wanted: ClassVar[str] = "save a matrix of numbers, a row per example"

    def __init__(self, path: Path) -> None:
        super().__init__(path, named=False)
        try:
            self.matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            objects = "allow_pickle" in str(error) or "Python objects" in str(error)
            kind = "Python objects, which are never loaded" if objects else "no whole array"
            raise UserError(f"{self.label} holds {kind}: {self.wanted}.") from error
        if not isinstance(self.matrix, np.ndarray) or self.matrix.ndim != 2 or self.matrix.dtype.kind not in "biuf":
            holds = f"shape {self.matrix.shape}, {self.matrix.dtype}" if isinstance(self.matrix, np.ndarray) else "more"
            raise UserError(f"{self.label} holds an array of {holds}: {self.wanted}.")
        self.names = [f"x_{d}" for d in range(1, self.matrix.shape[1] + 1)]

    def pieces(self, numbers: Sequence[str], text: Sequence[str]) -> Iterator[Piece]:
        """This is all rows, see `TableFile`."""
        places, text_places = self.where(numbers), self.where(text)
        for start in range(0, len(self.matrix), AT_ONCE):
            block = np.asarray(self.matrix[start : start + AT_ONCE])
            cells = {name: list(map(text_of, block[:, place])) for name, place in zip(text, text_places, strict=True)}
            row_N = np.arange(start + 1, start + 1 + len(block))
            yield Piece(row_N, block[:, places].astype(np.float64), cells, [])


def open_table(path: Path, dialect: Dialect) -> TableFile:
    """This is a table by what its file begins with: Parquet, NumPy's, else CSV.

    Raises:
        UserError: it is not there, is a folder, or cannot be read.
    """
    label = printable(str(path))
    if not path.is_file():
        kind = "a folder" if path.exists() else "not there"
        raise UserError(f"{label} is {kind}: give a table, as CSV, .parquet or .npy.")
    try:
        with path.open("rb") as file:
            begins = file.read(8)
        if begins.startswith(b"PAR1"):
            return ParquetTable(path)
        if begins.startswith(b"\x93NUMPY"):
            return MatrixTable(path)
        if begins.startswith((b"PK\x03\x04", b"\x1f\x8b")) or path.suffix in (".parquet", ".npy"):
            raise UserError(f"{label} is packed, damaged or of another format: give a table as CSV, .parquet or .npy.")
        return TextTable(path, dialect)
    except OSError as error:
        raise UserError(f"{label} cannot be read ({error.strerror}): give a table as CSV, .parquet or .npy.") from error


def _records(reader: Iterator[list[str]]) -> Iterator[list[str]]:
    """This is the records of a CSV table from the first that is not blank, without lines that are no row."""

    def blank(record: Sequence[str]) -> bool:
        return not any(cell.strip() for cell in record)

    records = dropwhile(blank, reader)
    if (first := next(records, None)) is None:
        return
    yield first
    missing = 0
    for record in records:
        if len(record) <= 1 and blank(record):
            missing += len(first) == 1
            continue
        yield from ([""] for _ in range(missing))
        missing = 0
        yield record


def _whole(cell: str) -> bool:
    return cell.lstrip("+-").isdigit()


def text_of(cell: Any) -> str:
    """This is a cell as text, blank where it has no value; a whole number is written without a point."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell).strip()


def category_of(cell: str) -> str:
    """This is the category that a text stands for, blank where it is none: 1.0, as some write it, is 1."""
    if cell.lower() in MISSING:
        return ""
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", cell)


def typed(setting: str, value: str | Sequence[str]) -> str:
    """This is a setting as it is typed in a shell, quoted for it and for Hydra where either needs that.

    Args:
        setting: its name.
        value: text, or the names of columns.
    """
    spelled = _spelled(value) if isinstance(value, str) else f"[{','.join(map(_spelled, value))}]"
    return shlex.quote(f"{setting}={spelled}")


def _spelled(value: str) -> str:
    value = printable(value)
    if re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII) and value.lower() not in ("true", "false", "null", "nan", "inf"):
        return value
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)  # Hydra reads a backslash as one but before a quotation mark
    return f'"{escaped}{chr(92) * (len(escaped) - len(escaped.rstrip(chr(92))))}"'


def shown(cell: str) -> str:
    """This is a cell as it can stand in a sentence."""
    cell = printable(cell.strip())
    return cell if len(cell) <= FEW else f"{cell[:FEW]}..."


def names_of(columns: Sequence[str] | Mapping[str, Any], most: int = 5) -> str:
    """This is the first names of columns in a sentence, and how many more there are."""
    names = [printable(name) for name in columns]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def write_table(path: Path, columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> None:
    """This writes a CSV table, whole or not at all; text that a spreadsheet would execute is quoted."""
    write(path, columns, ([f"{value:.8g}" if isinstance(value, float) else value for value in line] for line in lines))
