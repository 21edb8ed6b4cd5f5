"""Runs side by side: a table in the terminal, CSV files and one HTML page, from text and pictures, without torch."""

from scorewise.comparison.command import USAGE, compare_folders, compare_runs
from scorewise.comparison.terminal import show
from scorewise.version import renamed

__all__ = ["USAGE", "compare_folders", "compare_runs", "show"]

__getattr__ = renamed(__name__, {"run": "compare_folders"})
