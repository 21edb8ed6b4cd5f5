"""What the terminal shows of a comparison: a table, or a list where the window is too narrow for one."""

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from scorewise.comparison.columns import Column
from scorewise.comparison.compared import Compared, caveats
from scorewise.comparison.metrics import of_which_test
from scorewise.comparison.table import BY_EXAMPLES, BY_SEEDS, ComparisonTable, Row, table_of_groups, table_of_runs
from scorewise.errors import names_of
from scorewise.tracking.numbers import LAST

MOST = 60
"""Rows that are printed; the files hold all."""
PARTS = 12
"""Lines of a warning; the page holds all."""


def show(compared: Compared, console: Console) -> None:
    """Print warnings, what is wrong with which folder, and the table; nothing in it is markup."""
    for caveat in caveats(compared):
        console.print(Text(f"warning: {caveat.sentence}", style="yellow"))
        for part in caveat.parts[:PARTS]:
            console.print(Padding(Text(part, style="yellow"), (0, 0, 0, 2)))
        if len(caveat.parts) > PARTS:
            console.print(Text(f"  ... and {len(caveat.parts) - PARTS} more, on the page", style="yellow"))
    troubled = [record for record in (*compared.records, *compared.unreadable) if record.problems]
    for record in troubled[:MOST]:
        console.print(Text(f"{record.label}: {'; '.join(record.problems)}", style="yellow"))
    if len(troubled) > MOST:
        console.print(Text(f"... and {len(troubled) - MOST} more folders with problems", style="yellow"))
    if not compared.records:
        return
    table = table_of_groups(compared) if compared.seeds_repeat else table_of_runs(compared)
    columns = [i for i, column in enumerate(table.columns) if _worth_it(column, table, i)]
    rows = table.rows[:MOST]
    fitting = _fitting(table, columns, rows, console)
    console.print(_drawn(table, fitting, rows) if fitting else _folded(table, columns, rows))
    if fitting and (left := [table.columns[i].name for i in columns if i not in fitting]):
        console.print(Text(f"too wide for this window, in the files: {names_of(left, PARTS)}", style="dim"))
    if len(table.rows) > MOST:
        console.print(Text(f"... and {len(table.rows) - MOST} more rows, in the files"))
    console.print(Text(BY_SEEDS if compared.seeds_repeat else BY_EXAMPLES, style="dim"))


def _worth_it(column: Column, table: ComparisonTable, place: int) -> bool:
    """Return whether a terminal shows a column: not metric/row/column, diagnostics, and what says nothing."""
    if column.kind == "metric":
        return "/" not in column.name and of_which_test(column.name)[1] not in LAST
    return column.shown != "on the page" and {row.cells[place].shown for row in table.rows} != {""}


def _fitting(table: ComparisonTable, columns: list[int], rows: list[Row], console: Console) -> list[int]:
    """Return the first of the columns that have room, at least those before the numbers and one number; else none."""
    needed = next((n for n, i in enumerate(columns, 1) if table.columns[i].kind == "metric"), len(columns))
    kept = columns[: max(needed, console.width // 3)]  # what a column takes at least
    while len(kept) >= needed:
        drawn = _drawn(table, kept, rows)
        if Measurement.get(console, console.options.update(max_width=10_000), drawn).maximum <= console.width:
            return kept
        kept.pop()
    return []


def _drawn(table: ComparisonTable, columns: list[int], rows: list[Row]) -> Table:
    drawn = Table()
    for i in columns:
        column = table.columns[i]
        drawn.add_column(Text(column.name), justify="right" if column.kind == "metric" else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(row.cells[i].shown) for i in columns))
    return drawn


def _folded(table: ComparisonTable, columns: list[int], rows: list[Row]) -> Group:
    """Return the table with every row as a few lines: its name, its settings, its numbers."""
    lines: list[RenderableType] = []
    for row in rows:
        lines.append(Text(row.cells[0].shown, style="bold"))
        for metrics in (False, True):
            pairs = [
                f"{table.columns[i].name}{' ' if metrics else '='}{row.cells[i].shown}"
                for i in columns[1:]
                if (table.columns[i].kind == "metric") is metrics and row.cells[i].shown
            ]
            if pairs:
                style = "" if metrics else "dim"
                lines.append(
                    Padding(Columns([Text(pair, style=style) for pair in pairs], padding=(0, 2)), (0, 0, 0, 2))
                )
    return Group(*lines)
