"""What a terminal shows: the config, the results, and where they are."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.tree import Tree

console = Console(highlight=False)


def show_config(config: Mapping[str, Any], title: str) -> None:
    """This prints a config as a tree, one branch per group."""
    tree = Tree(title)
    for section, value in config.items():
        if isinstance(value, Mapping):
            name = str(value.get("_target_", "")).rpartition(".")[2]
            branch = tree.add(f"{section}: {name}" if name else section)
            if settings := [f"{key}={setting}" for key, setting in value.items() if key != "_target_"]:
                branch.add("  ".join(settings), style="dim")
    tree.add(
        "  ".join(f"{key}={value}" for key, value in config.items() if not isinstance(value, Mapping)), style="dim"
    )
    console.print(tree, markup=False)


def show_results(metrics: Mapping[str, float], conventions: Mapping[str, str]) -> None:
    """This prints held-out numbers with their standard errors and what they mean."""
    rows = Table(title="held-out numbers (test split)", title_justify="left")
    rows.add_column("metric")
    rows.add_column("value", justify="right")
    rows.add_column("s.e.", justify="right")
    rows.add_column("what it is")
    for name, value in metrics.items():
        if name.endswith("_se"):
            continue
        error = metrics.get(f"{name}_se")
        rows.add_row(name, f"{value:.4f}", "" if error is None else f"{error:.4f}", conventions.get(name, ""))
    console.print(rows, markup=False)


def show_paths(paths: Mapping[str, Path]) -> None:
    """This prints the paths of what was written."""
    for name, path in paths.items():
        console.print(f"{name:>12}: {path}", markup=False, soft_wrap=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[float], None]]:
    """This is a bar that takes the share that is done; nothing where no terminal is."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def say(sentence: str) -> None:
    """This prints one sentence."""
    console.print(sentence, markup=False, soft_wrap=True)
