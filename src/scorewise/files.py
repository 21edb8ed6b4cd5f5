"""CSV files that people open in a spreadsheet: written whole or not at all, and nothing in them computed."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet would compute."""


def harmless(text: str) -> str:
    """Return text for a cell: what begins like a formula gets an apostrophe before it, numbers stay."""
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def write(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]], digits: int | None = None) -> None:
    """Write a header and rows; text is made harmless, other values are as Python's csv writes them.

    Args:
        path: the file.
        header: names of the columns.
        rows: their cells.
        digits: of floats; None: all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".csv.partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([_cell(value, digits) for value in row] for row in (header, *rows))
    os.replace(partial, path)


def _cell(value: Any, digits: int | None) -> Any:
    if isinstance(value, float) and digits is not None:
        return f"{value:.{digits}g}"
    return harmless(value) if isinstance(value, str) else value
