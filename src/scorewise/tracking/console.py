"""What a terminal shows: the config, the results, and where they are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from scorewise.tracking.choice import Choice
from scorewise.tracking.numbers import LAST, rank, repeated, with_error

console = Console(highlight=False)
MOST_NUMBERS = 5
"""Of every run in a table of several."""


def show_config(chosen: Mapping[str, Choice], title: str) -> None:
    """Print a config as a tree: of every group the option, and the settings in which it is not the option's.

    Dim is what is taken where nothing is typed. What `auto` came to is not: it follows from what was typed.

    Args:
        chosen: by group.
        title: of the run.
    """
    tree = Tree(title)
    for group, choice in chosen.items():
        text = Text(
            f"{group}: {choice.option}".rstrip(), style="dim" if choice.by_default and not choice.changed else ""
        )
        text.append("".join(f"  {word}" for word in choice.changed), style="bold")
        tree.add(text)
    console.print(tree)
    console.print(Text("bright: not default, or by auto; all settings: the same command with --cfg job", style="dim"))


def show_results(metrics: Mapping[str, float], conventions: Mapping[str, str]) -> None:
    """Print held-out numbers with their standard errors and what they mean, the headlines first."""
    rows = Table(title="held-out numbers (test split), \u00b1 standard error", title_justify="left", box=None)
    rows.add_column("metric", style="bold")
    rows.add_column("value", no_wrap=True)
    rows.add_column("what it is", style="dim")
    plain = {name: value for name, value in metrics.items() if not name.endswith("_se") and "/" not in name}
    same = repeated(plain)
    shown = [name for name in sorted(plain, key=rank) if name not in same and name not in LAST]
    for name in shown:
        rows.add_row(name, with_error(name, metrics), conventions.get(name, ""))
    if rows.rows:
        console.print(rows, markup=False)
    if rests := [f"{name} {plain[name]:.2g}" for name in LAST if name in plain]:
        console.print(Text(f"they rest on: {', '.join(rests)}", style="dim"))
    for i, metric in enumerate(dict.fromkeys(name.partition("/")[0] for name in metrics if "/" in name)):
        console.print(_crossed(metric, metrics, conventions, explained=i == 0), markup=False)


def _crossed(metric: str, metrics: Mapping[str, float], conventions: Mapping[str, str], explained: bool) -> Table:
    """Return the numbers named metric/row/column as a table, with their 95 % intervals where they have them."""
    cells = {
        tuple(name.split("/")[1:]): value
        for name, value in metrics.items()
        if name.startswith(f"{metric}/") and not name.endswith(("_se", "_low", "_high"))
    }
    rows, columns = (list(dict.fromkeys(cell[i] for cell in cells)) for i in (0, 1))
    table = Table(
        title=f"{metric}: {conventions.get(metric, '')}",
        title_justify="left",
        caption_justify="left",
        padding=(0, 0),
    )
    if explained:
        table.caption = "\n".join(f"{name}: {conventions[name]}" for name in (*rows, *columns) if name in conventions)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    for row in rows:
        shown = []
        for column in columns:
            value, name = cells.get((row, column)), f"{metric}/{row}/{column}"
            if value is None:
                shown.append("")
            elif f"{name}_low" in metrics:
                shown.append(f"{value:.3f}\n{metrics[f'{name}_low']:.3f}-{metrics[f'{name}_high']:.3f}")
            else:
                shown.append(f"{value:.3f}")
        table.add_row(row, *shown)
    return table


def show_cells(rows: Sequence[Mapping[str, Any]], title: str, first: Sequence[str] = ()) -> None:
    """Print one row per run: what was chosen, how it ended, its first numbers; and why where it failed.

    Args:
        rows: what was chosen up to status, numbers after it.
        title: above them.
        first: numbers that come before others.
    """
    columns = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in ("folder", "sentence")]
    chosen = columns[: columns.index("status")]
    minor = ("/", "_se", "_clean", "_unscaled", "nll_")  # the table's file has them
    numbers = [name for name in columns[len(chosen) + 1 :] if not any(part in name for part in minor)]
    numbers.sort(key=lambda name: (name not in first, rank(name)))
    table = Table(title=title, title_justify="left", padding=(0, 0))
    shown = (*chosen, "status", *numbers[:MOST_NUMBERS])
    for column in shown:
        table.add_column(column, overflow="fold", justify="right")
    for row in rows:
        table.add_row(*(_shown(column, row) for column in shown))
    console.print(table, markup=False)
    for number, row in enumerate(rows):
        if row["sentence"]:
            which = " ".join(f"{key}={row[key]}" for key in chosen) or f"run {number}"
            console.print(f"{row['status']}: {which}: {row['sentence']}", markup=False, soft_wrap=True)


def _shown(column: str, row: Mapping[str, Any]) -> str:
    return with_error(column, row) if isinstance(row.get(column), float) else str(row.get(column, ""))


def show_paths(paths: Mapping[str, Path | str]) -> None:
    """Print the paths of what was written."""
    for name, path in paths.items():
        console.print(f"{name:>12}: {path}", markup=False, soft_wrap=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[float], None]]:
    """Return a bar that takes the share that is done; nothing where no terminal is."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def say(sentence: str) -> None:
    """Print one sentence."""
    console.print(sentence, markup=False, soft_wrap=True)


@contextmanager
def saying_nothing() -> Iterator[None]:
    """Print nothing meanwhile."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
