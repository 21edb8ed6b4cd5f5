"""How a table of text is laid out: what separates its cells, found in how it begins."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, dropwhile, islice
from typing import Self, TextIO

from scorewise.data.tabular.cells import shown
from scorewise.errors import names_of

MARKS = (",", ";", "\t", "|")
"""What separates cells; whichever makes most of the first record."""
BLANKS = " "
"""Any number of blanks and tabulators."""
SAMPLE = 100
"""Records at the beginning that a layout is found in."""
YEARS = range(1800, 2101)


@dataclass(frozen=True)
class Layout:
    """What separates the cells of a table of text.

    Args:
        delimiter: one of `MARKS`, or `BLANKS`.
        first: the cells of the first record.
        notes: sentences about what is not plain, without the name of the file before them.
    """

    delimiter: str
    first: list[str]
    notes: list[str] = field(default_factory=list)

    @classmethod
    def found(cls, begin: Callable[[], TextIO], decimal: str) -> Self | None:
        """Return the layout of a table; None where it is empty.

        Args:
            begin: opens the text.
            decimal: what stands before the fraction, which separates cells only where nothing else does.
        """

        def sample(delimiter: str) -> list[list[str]]:
            with begin() as file:
                rows = islice(records(_lines(file)[0], delimiter), SAMPLE)
                return [[cell.strip() for cell in row] for row in rows]

        with begin() as file:
            stated = _lines(file)[1]
        if stated is not None:
            rows, notes = sample(stated), [f"says in its first line that cells are separated by {stated!r}."]
            return cls(stated, rows[0], notes)._without_last(rows) if rows else None
        samples = {mark: sample(mark) for mark in MARKS}
        if not samples[","]:
            return None
        first = {mark: rows[0] for mark, rows in samples.items()}
        delimiter = max((mark for mark in MARKS if mark != decimal), key=lambda mark: len(first[mark]))
        if len(first[delimiter]) == 1:
            apart = sample(BLANKS)
            if {len(row) for row in apart} == {max(2, len(apart[0]))}:
                return cls(BLANKS, apart[0], ["is separated by blanks."])
            if not all(map(_whole, first[","])):  # else 1,5 may be one number
                delimiter = max((delimiter, ","), key=lambda mark: len(first[mark]))
        notes = ["is separated by '|'."] if delimiter == "|" else []
        return cls(delimiter, first[delimiter], notes)._without_last(samples[delimiter])

    def _without_last(self, rows: Sequence[Sequence[str]]) -> Self:
        """Return the layout without a last column in which there is nothing: a delimiter at the end of every line."""
        width, longest = len(self.first), max(map(len, rows))
        ends = len(rows) > 1 and all(not row[-1] for row in rows[1:] if len(row) == longest) and longest > 1
        if not ends or longest not in (width, width + 1) or (longest == width and self.first[-1]):
            return self
        notes = [*self.notes, f"has {self.delimiter!r} at the end of its lines: an empty last column is dropped."]
        return type(self)(self.delimiter, self.first[: longest - 1], notes)


def records(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Return the records of a table of text from the first that is not blank, without lines that are no row.

    Args:
        lines: of the text.
        delimiter: one of `MARKS`, or `BLANKS`.
    """

    def blank(record: Sequence[str]) -> bool:
        return not any(cell.strip() for cell in record)

    if delimiter == BLANKS:
        lines = (re.sub(r"[ \t]+", " ", line.strip()) + "\n" for line in lines)
    rows = dropwhile(blank, csv.reader(lines, delimiter=delimiter))
    if (first := next(rows, None)) is None:
        return
    yield first
    missing = 0
    for record in rows:
        if len(record) <= 1 and blank(record):
            missing += len(first) == 1
            continue
        yield from ([""] for _ in range(missing))
        missing = 0
        yield record


def lines_of(file: TextIO) -> Iterable[str]:
    """Return the lines of a table without one that says what separates its cells, as Excel writes it."""
    return _lines(file)[0]


def doubt(first: Sequence[str], second: Sequence[str], is_number: Callable[[str], bool], named: bool) -> str | None:
    """Return a sentence where a first line may as well be what it is not taken for, without the name of the file.

    Args:
        first: its cells.
        second: those of the line after it.
        is_number: whether a cell is one.
        named: whether it is taken for the names of the columns.
    """
    cells = [cell for cell in first if cell]
    line = names_of(map(shown, cells))
    if named:
        odd = [cell for cell in cells if not is_number(cell)]
        if 2 * len(odd) >= len(cells) or not odd or not all(map(is_number, filter(None, second))):
            return None
        return f"names its columns in its first line ({line}), since {shown(odd[0])!r} is no number: if that is a row"
    if len(cells) < 2 or not _like_names(cells) or _like_names(second):
        return None
    return f"has numbers only in its first line ({line}), which is taken for a row: if it names the columns"


def _like_names(cells: Sequence[str]) -> bool:
    """Return whether numbers look like names of columns: years, or counted up by one."""
    if not all(map(str.isdecimal, cells)):
        return False
    numbers = [int(cell) for cell in cells]
    return len({*numbers}) == len(numbers) and (
        all(number in YEARS for number in numbers) or numbers == [*range(numbers[0], numbers[0] + len(numbers))]
    )


def _lines(file: TextIO) -> tuple[Iterable[str], str | None]:
    """Return the lines of a table, and what separates its cells where a line before them says it."""
    lines = dropwhile(lambda line: not line.strip(), file)
    if (first := next(lines, None)) is None:
        return [], None
    if match := re.fullmatch(r'\s*"?sep=(.)"?\s*', first, re.IGNORECASE):
        return lines, match[1]
    return chain([first], lines), None


def _whole(cell: str) -> bool:
    return cell.lstrip("+-").isdigit()
