"""Runs side by side: a table in the terminal, CSV files and one HTML page, from text and pictures, without torch."""

import importlib
from typing import TYPE_CHECKING, Any

from scorewise.extras import from_extras
from scorewise.version import renamed

if TYPE_CHECKING:
    from scorewise.comparison.command import USAGE, compare_folders, compare_runs
    from scorewise.comparison.terminal import show

__all__ = ["USAGE", "compare_folders", "compare_runs", "show"]
_MODULES = {"USAGE": "command", "compare_folders": "command", "compare_runs": "command", "show": "terminal"}
"""Imported when they are asked for: loading a model reads runs too, and needs neither pages nor a terminal."""
_earlier = renamed(__name__, {"run": "compare_folders"})


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        return _earlier(name)
    with from_extras():
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
