"""Tables: every column standardised by its training examples."""

import csv
import math
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from scorewise.data.folder import LeftOut, printable
from scorewise.data.source import FixedSource, Split, split_at_random
from scorewise.errors import UserError


class Table(NamedTuple):
    """This is the rows of a user's table.

    Args:
        names: of every row, its number from 1, the line of the columns not counted.
        rows_ND: their numbers, float64, in the columns' own units.
        left_out: rows that cannot be used, with the reason.
    """

    names: list[str]
    rows_ND: Tensor
    left_out: list[LeftOut]


def read_table(path: Path, columns: Sequence[str]) -> Table:
    """This is a CSV table whose first line names the columns that a model was trained on, in their order.

    Comma, semicolon or tabulator; UTF-8. Rows that are no finite numbers are left out, and named.

    Raises:
        UserError: it cannot be read, or has other columns.
    """
    name = printable(str(path))
    if not path.is_file():
        kind = "a folder" if path.exists() else "not there"
        raise UserError(f"{name} is {kind}: this model takes rows of {len(columns)} numbers, so give a CSV table.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name} cannot be read as a CSV table ({type(error).__name__}): give UTF-8 text.") from error
    first = next(iter(text.splitlines()), "")
    separator = max(",;\t", key=first.count)
    try:
        head, *lines = [line for line in csv.reader(StringIO(text), delimiter=separator) if line] or [[]]
    except csv.Error as error:
        raise UserError(f"{name} cannot be read as a CSV table ({error}): give UTF-8 text.") from error
    _refuse_other_columns(name, [cell.strip() for cell in head], columns)
    if not lines:
        raise UserError(f"{name} names its columns and has no row: add some.")
    names, rows, left_out = [], [], []
    for i, line in enumerate(lines, 1):
        row, reason = _numbers(line, len(columns))
        if reason:
            left_out.append(LeftOut(f"row {i}", reason))
        else:
            names.append(str(i))
            rows.append(row)
    return Table(names, torch.tensor(rows, dtype=torch.float64).reshape(-1, len(columns)), left_out)


def _refuse_other_columns(name: str, head: list[str], columns: Sequence[str]) -> None:
    if head == list(columns):
        return
    wanted = f"the first line must name the columns that the model was trained on, in this order: {', '.join(columns)}"
    if not any(head):
        raise UserError(f"{name} is empty: {wanted}.")
    if len(head) != len(columns):
        raise UserError(f"{name} has {len(head)} columns, and the model takes {len(columns)}: {wanted}.")
    i = next(i for i, (mine, theirs) in enumerate(zip(head, columns, strict=True)) if mine != theirs)
    raise UserError(f"column {i + 1} of {name} is {printable(head[i])!r}, not {columns[i]!r}: {wanted}.")


def _numbers(line: Sequence[str], count: int) -> tuple[list[float], str]:
    """This is the numbers of a row, and why they cannot be used, if they cannot."""
    if len(line) != count:
        return [], f"not {count} numbers"
    try:
        row = [float(cell) for cell in line]
    except ValueError:
        return [], "a number missing" if any(not cell.strip() for cell in line) else "text for a number"
    return row, "" if all(map(math.isfinite, row)) else "a number that is not finite"


class Wine(FixedSource):
    """This is the 178 wines by 13 measurements that ship inside scikit-learn, without their class; no download.

    Models see every column with mean 0 and standard deviation 1 over the training examples.
    """

    shape = (13,)
    mean, std = 0.0, 1.0
    unit, repeats = "the columns' own units", True

    def read(self) -> dict[Split, Tensor]:
        """This is 108 training, 30 validation and 40 test examples."""
        from sklearn.datasets import load_wine

        table = torch.from_numpy(load_wine().data)
        train, val, test = split_at_random(len(table), (108, 30, 40))
        return {"train": table[train], "val": table[val], "test": table[test]}

    @property
    def columns(self) -> tuple[str, ...]:
        """This is the names of the measurements."""
        from sklearn.datasets import load_wine

        return tuple(load_wine().feature_names)

    @property
    def column_mean(self) -> Tensor:
        """This is the mean of every column, shape (D,), in its own units."""
        return self.raw("train").mean(0)

    @property
    def column_scale(self) -> Tensor:
        """This is the standard deviation of every column, shape (D,), in its own units."""
        return self.raw("train").std(0, correction=0)

    @property
    def log_volume(self) -> float:
        """This is the sum of the log column scales, nats."""
        return float(self.column_scale.log().sum())

    def scaled(self, raw_BD: Tensor) -> Tensor:
        """This is rows in their own units, standardised."""
        return (raw_BD - self.column_mean) / self.column_scale

    def examples(self, split: Split, index_B: Tensor, epoch: int, seed: int) -> Tensor:
        """This is clean examples (B, D), standardised; the same in every epoch."""
        return self.scaled(self.raw(split)[index_B]).to(torch.get_default_dtype())
