"""Cells of tables: without a value, as text, as a category, in a sentence."""

import re
from typing import Any

import numpy as np

from scorewise.errors import printable

MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "?"}
"""Cells without a value, in small letters."""
FEW = 50
"""Characters of a cell that are shown."""


def text_of(cell: Any) -> str:
    """Return a cell as text, blank where it has no value; a whole number is written without a point."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return str(cell).strip()


def category_of(cell: str) -> str:
    """Return the category that a text stands for, blank where it is none: 1.0, as some write it, is 1."""
    if cell.lower() in MISSING:
        return ""
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", cell)


def shown(cell: str) -> str:
    """Return a cell as it can stand in a sentence."""
    cell = printable(cell.strip())
    return cell if len(cell) <= FEW else f"{cell[:FEW]}..."
