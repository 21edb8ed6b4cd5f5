"""The tables: one row per run, and one row per set of runs that differ in the seed only."""

from collections.abc import Sequence
from typing import NamedTuple

from scorewise.comparison.columns import FACTS, Cell, Column, number_cell, text_cell, whole_cell
from scorewise.comparison.compared import Compared
from scorewise.comparison.metrics import Metric, distinct, meanings, of_run, with_interval
from scorewise.comparison.record import number
from scorewise.comparison.seeds import INTERVAL, Group, Mean, mean_of
from scorewise.errors import names_of, printable

BY_EXAMPLES = "in ( ) the standard error, in [ ] the 95 % interval, both over test examples"
BY_SEEDS = f"in [ ] the {INTERVAL}; in rows with one value, as for single runs, {BY_EXAMPLES}"


class Row(NamedTuple):
    """A row of a table.

    Args:
        group: place of the group that it is of.
        members: places of the runs that it is of.
        cells: one for each column.
    """

    group: int
    members: tuple[int, ...]
    cells: list[Cell]


class ComparisonTable(NamedTuple):
    """A table of runs, or of groups of runs.

    Args:
        columns: what its cells are.
        rows: one per run or group.
    """

    columns: list[Column]
    rows: list[Row]


class SharedColumns(NamedTuple):
    """The columns that both tables have, and the settings and metrics that they are of.

    Args:
        telling: settings that tell runs apart, which come first.
        metrics: without those that repeat others.
        more: other settings in which runs differ.
    """

    telling: dict[str, Column]
    metrics: dict[Metric, Column]
    more: dict[str, Column]


def _setting(compared: Compared, place: int, name: str) -> Cell:
    value = number(compared.settings[place].get(name))
    shown = compared.setting(place, name)
    return Cell(shown, value if value is not None else shown or None)


def _metric_column(compared: Compared, metric: Metric, same: Sequence[Metric]) -> Column:
    found = meanings(metric, compared.records)
    shared = _begin_alike(list(found)) if len(found) > 1 else ""
    texts = [
        printable(text) if len(found) == 1 else f"{printable(text.removeprefix(shared))} [{names_of(labels, 3)}]"
        for text, labels in found.items()
    ]
    also = f"; the same: {', '.join(printable(one.title) for one in same)}" if same else ""
    return Column(printable(metric.title), printable(shared) + "; or: ".join(texts) + also, "metric")


def _begin_alike(texts: Sequence[str]) -> str:
    """Return the parts, as far as a comma, that texts begin with alike."""
    alike = 0
    for words in zip(*(text.split(", ") for text in texts), strict=False):
        if len({*words}) > 1:
            break
        alike += len(words[0]) + 2
    return texts[0][:alike]


def _parts(compared: Compared) -> SharedColumns:
    settings = {
        name: Column(printable(compared.short[name]), printable(f"{name}, in which the runs differ"), "setting")
        for name in compared.differing
    }
    metrics = distinct(compared.metrics, compared.records)
    return SharedColumns(
        {name: settings[name] for name in compared.telling},
        {metric: _metric_column(compared, metric, same) for metric, same in metrics.items()},
        {name: column for name, column in settings.items() if name not in compared.telling},
    )


def table_of_runs(compared: Compared) -> ComparisonTable:
    """Return the table of runs."""
    parts, lettered = _parts(compared), len(compared.laws) > 1
    law = [Column("law", "data and noise that the run models; see the warning", "fact")]
    columns = [
        *parts.telling.values(),
        Column("seed", "of all random numbers of the run", "fact", "where it differs"),
        *(law if lettered else []),
        Column("status", "finished: it has written its summary", "fact", "where it differs"),
        *parts.metrics.values(),
        *parts.more.values(),
        *(fact.column for fact in FACTS if fact.column),
        Column("run", "its folder", "name"),
    ]
    rows = []
    for place, record in enumerate(compared.records):
        seed = number(record.seed)
        cells = [
            *(_setting(compared, place, name) for name in parts.telling),
            text_cell(printable(str(record.seed))) if seed is None else Cell(str(record.seed), seed),
            *([text_cell(compared.law_of(place).letter)] if lettered else []),
            text_cell(record.status),
            *(number_cell(metric.of(record), of_run(metric, record)) for metric in parts.metrics),
            *(_setting(compared, place, name) for name in parts.more),
            *(fact.cell(fact.of(compared, place)) for fact in FACTS if fact.column),
            text_cell(record.where),
        ]
        rows.append(Row(compared.group_of(place), (place,), cells))
    return _without_constants(columns, rows)


def mean_over_seeds(compared: Compared, group: Group, metric: Metric) -> Mean | None:
    """Return the mean of a metric over the finished seeds of a group, or None where none has it."""
    values = [metric.of(compared.records[place]) for place in group.members]
    known = [value for value in values if value is not None]
    return mean_of(known) if known else None


def _mean(compared: Compared, group: Group, metric: Metric) -> Cell:
    found = mean_over_seeds(compared, group, metric)
    if found is None:
        return Cell()
    count = "" if found.n == len(group.members) else f", n={found.n}"
    if found.n == 1:
        (one,) = (place for place in group.members if metric.of(compared.records[place]) is not None)
        return Cell(of_run(metric, compared.records[one]) + count, found.mean)
    return Cell(with_interval(found.mean, found.low, found.high) + count, found.mean)


def table_of_groups(compared: Compared) -> ComparisonTable:
    """Return the table of runs taken together that differ in the seed only."""
    parts, lettered = _parts(compared), len(compared.laws) > 1
    law = [Column("law", "data and noise that the runs model; see the warning", "fact")]
    columns = [
        *parts.telling.values(),
        Column("n", "how many seeds", "fact", "where it differs"),
        Column("seeds", "which", "fact"),
        *(law if lettered else []),
        *parts.metrics.values(),
        *parts.more.values(),
        Column("runs", "that differ in the seed only, by their folders", "name", "on the page"),
    ]
    rows = []
    for i, group in enumerate(compared.groups):
        first = group.members[0]
        seeds = [printable(str(compared.records[place].seed)) for place in group.members]
        cells = [
            *(_setting(compared, first, name) for name in parts.telling),
            whole_cell(len(group.members)),
            Cell(names_of(seeds, 10), number(compared.records[first].seed)),
            *([text_cell(compared.law_of(first).letter)] if lettered else []),
            *(_mean(compared, group, metric) for metric in parts.metrics),
            *(_setting(compared, first, name) for name in parts.more),
            text_cell(names_of([compared.records[place].where for place in group.members], 3)),
        ]
        rows.append(Row(i, group.members, cells))
    return _without_constants(columns, rows)


def _without_constants(columns: list[Column], rows: list[Row]) -> ComparisonTable:
    """Return a table without the columns that are shown where they differ, and do not."""
    kept = [
        i
        for i, column in enumerate(columns)
        if column.shown != "where it differs" or len({row.cells[i].shown for row in rows}) > 1
    ]
    return ComparisonTable(
        [columns[i] for i in kept], [row._replace(cells=[row.cells[i] for i in kept]) for row in rows]
    )


def footnotes(table: ComparisonTable) -> list[tuple[str, str]]:
    """Return what the metrics of a table are; those of one table (metric/row/column) that say the same are one."""
    found: dict[tuple[str, str], list[str]] = {}
    for column in table.columns:
        if column.kind == "metric":
            found.setdefault((column.name.partition("/")[0], column.note), []).append(column.name)
    return [
        (columns[0] if len(columns) == 1 else f"{first}/... ({len(columns)} columns)", note)
        for (first, note), columns in found.items()
    ]
