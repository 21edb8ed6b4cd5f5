"""A command typed with a Python that may not have what it needs. Importing this imports the standard library only."""

import importlib.util
import sys

NEEDED = ("hydra", "torch", "lightning")
"""What every command needs to be there, first of all."""


def lacking(needed: tuple[str, ...] = NEEDED) -> str | None:
    """Return what to tell who types a command with a Python without its packages; None where they are there."""
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    how = "make setup builds .venv with all that is needed, and .venv/bin/python has it"
    return f"this Python has no {missing[0]}: {how}."


def run(command: str) -> None:
    """Run a command with its arguments, or end with a sentence where its packages are not installed."""
    if sentence := lacking():
        sys.exit(sentence)
    from scorewise.commands import cli

    cli.run(command)


def compare(arguments: list[str]) -> int:
    """Compare runs, see `scorewise.commands.commands.compare`, or end with that sentence."""
    if sentence := lacking(("hydra", "rich", "jinja2", "matplotlib")):
        sys.exit(sentence)
    from scorewise.commands import commands

    return commands.compare(arguments)
