"""Columns: their cells, and what is known of every run beside its settings and metrics.

A column that `FACTS` gains is in the tables of terminal and page, and in comparison.csv.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from scorewise.comparison.compared import Compared
from scorewise.comparison.metrics import plain
from scorewise.comparison.record import number

Value = str | float | int | None


class Column(NamedTuple):
    """A column of a table.

    Args:
        name: above it.
        note: what it is.
        kind: name, fact, setting, metric.
        shown: always, on the page only, or where its cells differ.
    """

    name: str
    note: str
    kind: Literal["name", "fact", "setting", "metric"]
    shown: Literal["always", "on the page", "where it differs"] = "always"


class Cell(NamedTuple):
    """A cell of a table.

    Args:
        shown: for people.
        value: what it is sorted by; None where nothing is known.
    """

    shown: str = ""
    value: float | str | None = None


def text_cell(shown: str) -> Cell:
    """Return a cell of text, sorted by itself."""
    return Cell(shown, shown or None)


def number_cell(value: object, shown: str | None = None) -> Cell:
    """Return a cell of a number, empty where it is none; shown with five significant digits unless said otherwise."""
    found = number(value)
    return Cell() if found is None else Cell(plain(found) if shown is None else shown, found)


def whole_cell(value: object) -> Cell:
    """Return a cell of a whole number with a comma between its thousands, empty where it is none."""
    found = number(value)
    return Cell() if found is None else Cell(f"{found:,.0f}", found)


def minutes_cell(seconds: object) -> Cell:
    """Return a cell of minutes, empty where the seconds are no number."""
    found = number(seconds)
    return Cell() if found is None else Cell(f"{found / 60:.1f}", found / 60)


class Fact(NamedTuple):
    """What is known of every run, one column of comparison.csv and perhaps of the tables.

    Args:
        name: of its column in comparison.csv.
        of: the value of the run at a place.
        column: of the tables; None: in comparison.csv only.
        cell: from that value.
    """

    name: str
    of: Callable[[Compared, int], Value]
    column: Column | None = None
    cell: Callable[[object], Cell] = whole_cell


def in_summary(name: str) -> Callable[[Compared, int], Value]:
    """Return what looks up a number in the summary of a run, None where it has none."""
    return lambda compared, place: number(compared.records[place].summary.get(name))


FACTS = (
    Fact("objective", lambda compared, place: str(compared.settings[place].get("objective", ""))),
    Fact("steps", in_summary("steps"), Column("steps", "of the optimiser", "fact", "on the page")),
    Fact(
        "seconds",
        in_summary("seconds"),
        Column("minutes", "of training; of a resumed run those of all its parts", "fact", "on the page"),
        minutes_cell,
    ),
    Fact("parameters", in_summary("parameters"), Column("parameters", "of the model", "fact", "on the page")),
    Fact("command", lambda compared, place: compared.commands[place]),
)
"""Columns behind metrics and settings, in order."""
