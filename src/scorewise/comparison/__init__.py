"""Runs side by side: a table in the terminal, CSV files and one HTML page, from text and pictures, without torch."""

from scorewise.comparison.command import USAGE, run
from scorewise.comparison.terminal import show

__all__ = ["USAGE", "run", "show"]
