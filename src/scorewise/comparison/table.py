"""The tables: one row per run, and one row per set of runs that differ in the seed only."""

from typing import NamedTuple

from scorewise.comparison.compared import Compared, names
from scorewise.comparison.metrics import Metric, meanings, of_run, plain, with_interval
from scorewise.comparison.record import number
from scorewise.comparison.seeds import INTERVAL, Group, Mean, mean_of
from scorewise.errors import printable

BY_EXAMPLES = "in ( ) the standard error, in [ ] the 95 % interval, both over test examples"
BY_SEEDS = f"in [ ] the {INTERVAL}; in rows with one value, as for single runs, {BY_EXAMPLES}"


class Column(NamedTuple):
    """A column.

    Args:
        name: above it.
        note: what it is.
        kind: name, fact, setting, metric.
    """

    name: str
    note: str
    kind: str


class Cell(NamedTuple):
    """A cell.

    Args:
        shown: for people.
        value: what it is sorted by; None where nothing is known.
    """

    shown: str = ""
    value: float | str | None = None


class Row(NamedTuple):
    """A row.

    Args:
        group: place of the group that it is of.
        members: places of the runs that it is of.
        cells: one for each column.
    """

    group: int
    members: tuple[int, ...]
    cells: list[Cell]


class Table(NamedTuple):
    """A table."""

    columns: list[Column]
    rows: list[Row]


def _text(shown: str) -> Cell:
    return Cell(shown, shown or None)


def _number(value: object, shown: str | None = None) -> Cell:
    found = number(value)
    return Cell() if found is None else Cell(plain(found) if shown is None else shown, found)


def _whole(value: object) -> Cell:
    found = number(value)
    return Cell() if found is None else Cell(f"{found:,.0f}", found)


def _setting(compared: Compared, place: int, name: str) -> Cell:
    value = number(compared.settings[place].get(name))
    shown = compared.setting(place, name)
    return Cell(shown, value if value is not None else shown or None)


def _metric_column(compared: Compared, metric: Metric) -> Column:
    found = meanings(metric, compared.records)
    texts = [
        printable(text) if len(found) == 1 else f"{printable(text)} [{names(labels, 3)}]"
        for text, labels in found.items()
    ]
    return Column(printable(metric.title), "; or: ".join(texts), "metric")


def _shared(compared: Compared) -> tuple[list[Column], list[Column]]:
    """Return the columns that both tables have: settings, and metrics."""
    settings = [Column(printable(name), "setting in which the runs differ", "setting") for name in compared.differing]
    return settings, [_metric_column(compared, metric) for metric in compared.metrics]


def of_runs(compared: Compared) -> Table:
    """Return the table of runs."""
    settings, metrics = _shared(compared)
    lettered = len(compared.laws) > 1
    law = [Column("law", "data and noise that the run models; see the warning", "fact")]
    columns = [
        Column("run", "its folder", "name"),
        *(law if lettered else []),
        Column("status", "finished: it has written its summary", "fact"),
        Column("seed", "of all random numbers of the run", "fact"),
        *metrics,
        *settings,
        Column("steps", "of the optimiser", "fact"),
        Column("minutes", "of training; of a resumed run those of its last start only", "fact"),
        Column("parameters", "of the model", "fact"),
    ]
    rows = []
    for place, record in enumerate(compared.records):
        summary = record.summary
        seconds = number(summary.get("seconds"))
        seed = number(record.seed)
        cells = [
            _text(record.label),
            *([_text(compared.law_of(place).letter)] if lettered else []),
            _text(record.status),
            _text(printable(str(record.seed))) if seed is None else Cell(str(record.seed), seed),
            *(_number(metric.of(record), of_run(metric, record)) for metric in compared.metrics),
            *(_setting(compared, place, name) for name in compared.differing),
            _whole(summary.get("steps")),
            _number(None if seconds is None else seconds / 60, None if seconds is None else f"{seconds / 60:.1f}"),
            _whole(summary.get("parameters")),
        ]
        rows.append(Row(compared.group_of(place), (place,), cells))
    return Table(columns, rows)


def means(compared: Compared, group: Group, metric: Metric) -> Mean | None:
    """Return the mean of a metric over the finished seeds of a group, or None where none has it."""
    values = [metric.of(compared.records[place]) for place in group.members]
    known = [value for value in values if value is not None]
    return mean_of(known) if known else None


def _mean(compared: Compared, group: Group, metric: Metric) -> Cell:
    found = means(compared, group, metric)
    if found is None:
        return Cell()
    count = "" if found.n == len(group.members) else f", n={found.n}"
    if found.n == 1:
        (one,) = (place for place in group.members if metric.of(compared.records[place]) is not None)
        return Cell(of_run(metric, compared.records[one]) + count, found.mean)
    return Cell(with_interval(found.mean, found.low, found.high) + count, found.mean)


def of_groups(compared: Compared) -> Table:
    """Return the table of runs taken together that differ in the seed only."""
    settings, metrics = _shared(compared)
    lettered = len(compared.laws) > 1
    law = [Column("law", "data and noise that the runs model; see the warning", "fact")]
    columns = [
        Column("runs", "that differ in the seed only", "name"),
        *(law if lettered else []),
        Column("n", "how many seeds", "fact"),
        Column("seeds", "which", "fact"),
        *metrics,
        *settings,
    ]
    rows = []
    for i, group in enumerate(compared.groups):
        first = group.members[0]
        seeds = [printable(str(compared.records[place].seed)) for place in group.members]
        cells = [
            _text(compared.label_of(group)),
            *([_text(compared.law_of(first).letter)] if lettered else []),
            _whole(len(group.members)),
            Cell(names(seeds, 10), number(compared.records[first].seed)),
            *(_mean(compared, group, metric) for metric in compared.metrics),
            *(_setting(compared, first, name) for name in compared.differing),
        ]
        rows.append(Row(i, group.members, cells))
    return Table(columns, rows)


def footnotes(table: Table) -> list[tuple[str, str]]:
    """Return what the metrics of a table are; those of one table (metric/row/column) that say the same are one."""
    found: dict[tuple[str, str], list[str]] = {}
    for column in table.columns:
        if column.kind == "metric":
            found.setdefault((column.name.partition("/")[0], column.note), []).append(column.name)
    return [
        (columns[0] if len(columns) == 1 else f"{first}/... ({len(columns)} columns)", note)
        for (first, note), columns in found.items()
    ]
