"""Formats of tables, told apart by what a file begins with."""

import re
from pathlib import Path

from scorewise.data.tabular.file import Dialect, TableFile
from scorewise.data.tabular.matrix import MatrixTable
from scorewise.data.tabular.parquet import ParquetTable
from scorewise.data.tabular.text import TextTable
from scorewise.errors import UserError, printable


def open_table(path: Path, dialect: Dialect) -> TableFile:
    """Return a table by what its file begins with: Parquet, NumPy's, else CSV.

    Raises:
        UserError: it is not there, is a folder, or cannot be read.
    """
    label = printable(str(path))
    if not path.is_file():
        if re.match(r"[A-Za-z][\w+.-]+:/", label) and not path.exists():
            raise UserError(f"{_address(label)} is an address, and tables are read from files: download it first.")
        if path.exists() and not path.is_dir():
            raise UserError(
                f"{label} is a pipe or a device, which can be read only once, and tables are read again: write it to a "
                "file first."
            )
        kind = "a folder" if path.exists() else "not there"
        raise UserError(f"{label} is {kind}: give a table, as CSV, .parquet or .npy.")
    try:
        with path.open("rb") as file:
            begins = file.read(8)
        if begins.startswith(b"PAR1"):
            return ParquetTable(path)
        if begins.startswith(b"\x93NUMPY"):
            return MatrixTable(path)
        if begins.startswith((b"PK\x03\x04", b"\x1f\x8b")) or path.suffix in (".parquet", ".npy"):
            raise UserError(f"{label} is packed, damaged or of another format: give a table as CSV, .parquet or .npy.")
        return TextTable(path, dialect)
    except OSError as error:
        raise UserError(f"{label} cannot be read ({error.strerror}): give a table as CSV, .parquet or .npy.") from error


def _address(label: str) -> str:
    """Return an address as it was typed, whose slashes a path has made one."""
    return re.sub(":/+", "://", label, count=1)
