"""A command typed with a Python that may not have what it needs. Importing this imports the standard library only."""

import importlib.util
import sys
from pathlib import Path

NEEDED = ("hydra", "torch", "lightning")
"""What every command needs to be there, first of all."""


def lacking(needed: tuple[str, ...] = NEEDED) -> str | None:
    """Return what to tell who types a command with a Python without its packages; None where they are there."""
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    cloned = (Path(__file__).parents[3] / "Makefile").is_file()
    how = "make setup builds .venv with all that is needed, and .venv/bin/python has it"
    how = how if cloned else "pip install 'scorewise[train]' brings what commands need"
    return f"this Python has no {missing[0]}: {how}."


def run(command: str) -> None:
    """Run a command with its arguments, or end with a sentence where its packages are not installed."""
    if sentence := lacking():
        sys.exit(sentence)
    from scorewise.commands import cli

    cli.run(command)


def console() -> None:
    """Run the command `scorewise`, or end with that sentence."""
    if sentence := lacking():
        sys.exit(sentence)
    from scorewise.commands import cli

    cli.console()


def compare(arguments: list[str]) -> int:
    """Compare runs, see `scorewise.commands.commands.compare`, or end with that sentence."""
    if sentence := lacking(("hydra", "rich", "jinja2", "matplotlib")):
        sys.exit(sentence)
    from scorewise.commands import commands

    return commands.compare(arguments)
