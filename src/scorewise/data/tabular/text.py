"""Tables as text, a row per line."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO, final

import numpy as np

from scorewise.data.tabular.cells import shown, text_of
from scorewise.data.tabular.file import AT_ONCE, Dialect, Piece, TableFile
from scorewise.data.tabular.layout import Layout, doubt, lines_of, records
from scorewise.errors import UserError


@final
class TextTable(TableFile):
    """A CSV table, separated by commas, semicolons, tabulators, bars or blanks, see `Layout`.

    The first record that is not blank names the columns, or is a row. A blank line is no row, but for one between the
    rows of a single column, where it is a missing value.

    Raises:
        UserError: it is empty, or no text of that encoding.
    """

    def __init__(self, path: Path, dialect: Dialect) -> None:
        super().__init__(path, dialect=dialect)
        with self._reading():
            layout = Layout.found(self._open, dialect.decimal)
            if layout is None:
                raise UserError(f"{self.label} is empty: give a table whose first line names its columns.")
            self.delimiter, self.names, self.width = layout.delimiter, layout.first, len(layout.first)
            self.named = self._has_names() if dialect.header is None else dialect.header
            self.notes = [f"{self.label} {note}" for note in layout.notes]
            if dialect.header is None and (note := doubt(self.names, self._second(), self._is_number, self.named)):
                other = f"{dialect.prefix}header={'false' if self.named else 'true'}"
                self.notes.append(f"{self.label} {note}, {other} says so.")
        if not self.named:
            self.names = [f"x_{d}" for d in range(1, self.width + 1)]

    def _second(self) -> list[str]:
        """Return the cells of the second record, none where there is none; none too where columns are numbered."""
        if self._numbered():
            return []
        with self._open() as file:
            return next(islice(records(lines_of(file), self.delimiter), 1, None), [])[: self.width]

    def _has_names(self) -> bool:
        if self._numbered():
            return True
        cells = [cell for cell in self.names if cell]  # a blank one may be a missing value as well as no name
        return not all(map(self._is_number, cells))

    def _numbered(self) -> bool:
        """Return whether the first record is as pandas writes columns that have numbers for names."""
        return self.names == ["", *map(str, range(self.width - 1))] and self.width > 1

    def _open(self) -> TextIO:
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
                f"({self.dialect.prefix}encoding=latin-1 or utf-16), else give it as CSV, .parquet or .npy."
            ) from error
        except csv.Error as error:
            raise UserError(f"{self.label} cannot be read as a CSV table ({error}): save it anew as CSV.") from error

    def pieces(self, numbers: Sequence[str], text: Sequence[str]) -> Iterator[Piece]:
        """Return all rows, see `TableFile`."""
        number_places, text_places = self.where(numbers), self.where(text)
        row = 0
        with self._open() as file, self._reading():
            lines = records(lines_of(file), self.delimiter)
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
            if len(line) == self.width + 1 and not line[-1].strip():  # a delimiter at the end
                line = line[:-1]
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
            self.text_cells[name] += 1
            self.wrong.add(row)
            return float("nan")
