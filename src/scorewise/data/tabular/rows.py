"""Rows of a table: those that can be used, and what is wrong with the others."""

import difflib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scorewise.data.skipped import Skipped
from scorewise.data.tabular.categories import CATEGORIES, NEW, WITHOUT_VALUE, Coder
from scorewise.data.tabular.cells import category_of
from scorewise.data.tabular.columns import Columns
from scorewise.data.tabular.file import Dialect, Piece, TableFile
from scorewise.data.tabular.formats import open_table
from scorewise.errors import UserError, names_of, printable, typed


class Rows(NamedTuple):
    """The rows of a table that can be used.

    Args:
        number_N: of every row from 1, the line of the columns not counted.
        raw_ND: numbers and indicators, float64, in the columns' own units.
        id_column: the one that names the rows, None where there is none.
        ids: what that says.
        skipped: rows that cannot be used, with the reason.
        missing_D: how many rows lack a number, by column of numbers.
    """

    number_N: Tensor
    raw_ND: Tensor
    id_column: str | None
    ids: list[str]
    skipped: list[Skipped]
    missing_D: Tensor

    @property
    def total(self) -> int:
        """How many rows the table has."""
        return len(self.number_N) + len(self.skipped)


def read_rows(
    file: TableFile,
    numeric: Sequence[str],
    categories: dict[str, tuple[str, ...]],
    index: str | None = None,
    strict: bool = False,
    codes: dict[str, tuple[str, ...]] | None = None,
) -> Rows:
    """Return the rows of a table in columns by name.

    Args:
        file: the table.
        numeric: columns of numbers.
        categories: the values of columns that are turned into indicators; where there are none yet, they are found.
        index: a column that names the rows.
        strict: refuse text in a column of numbers, instead of leaving the row out.
        codes: the values of columns whose values become codes, found like those; then cells may be missing, which are
            NaN, but not all of a row. None: there are none, and rows are whole.

    Raises:
        UserError: it cannot be read, or columns have no numbers.
    """
    coders = [Coder(name, values) for name, values in [*(codes or {}).items(), *categories.items()]]
    numbers, kept, found, ids = [], [], [], []
    skipped: list[Skipped] = []
    missing_D, total = np.zeros(len(numeric), dtype=np.int64), 0
    for piece in file.pieces(numeric, [*(coder.name for coder in coders), *([index] if index is not None else [])]):
        total += len(piece.row_N) + len(piece.ragged)
        if strict and total == max(file.text_cells.values(), default=0):  # a column of text, and the rest will be too
            raise UserError(_text_sentence(file, None))
        missing_D += np.isnan(piece.number_ND).sum(0)
        code_NC = _codes(file, piece, coders)
        if codes is None:
            fine_N = np.logical_and(np.isfinite(piece.number_ND).all(1), (code_NC >= 0).all(1))
        else:
            fine_N = _usable(file, piece, code_NC, len(codes))
        skipped += _skipped(file, piece, code_NC, fine_N, [coder.name for coder in coders])
        numbers.append(piece.number_ND[fine_N])
        kept.append(piece.row_N[fine_N])
        found.append(code_NC[fine_N])
        if index is not None:
            ids += [piece.text[index][i] for i in np.flatnonzero(fine_N)]
    if strict and file.not_numbers:
        raise UserError(_text_sentence(file, total))
    raw_ND = np.concatenate(numbers) if numbers else np.empty((0, len(numeric)))
    code_of_all_NC = np.concatenate(found) if found else np.empty((0, len(coders)), dtype=np.int64)
    numbers.clear()
    for c, coder in enumerate(coders):
        code_N, as_codes = code_of_all_NC[:, c], c < len(codes or ())
        column_NV = coder.codes_in_order(code_N)[:, None] if as_codes else coder.indicators(code_N)
        raw_ND = np.concatenate([raw_ND, column_NV], axis=1)
        (codes if codes is not None and as_codes else categories)[coder.name] = coder.values
    number_N = np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
    return Rows(torch.from_numpy(number_N), torch.from_numpy(raw_ND), index, ids, skipped, torch.from_numpy(missing_D))


def _usable(file: TableFile, piece: Piece, code_NC: NDArray[np.int64], single: int) -> NDArray[np.bool_]:
    """Return which rows have some cell and no wrong one, where cells may be missing and the first codes anything."""
    missing_ND = np.isnan(piece.number_ND)
    some_N = (~missing_ND).any(1) | (code_NC != WITHOUT_VALUE).any(1)
    wrong_N = np.isinf(piece.number_ND).any(1) | np.isin(piece.row_N, list(file.wrong))
    usable_N: NDArray[np.bool_] = some_N & ~wrong_N & (code_NC[:, single:] >= 0).all(1)
    return usable_N


def _codes(file: TableFile, piece: Piece, coders: Sequence[Coder]) -> NDArray[np.int64]:
    """Return the codes of the categories of rows, shape (N, C).

    Raises:
        UserError: a column has too many values for indicators.
    """
    code_CN = []
    for coder in coders:
        code_CN.append(coder.codes([category_of(cell) for cell in piece.text[coder.name]]))
        if coder.too_many:
            raise UserError(
                f"column {printable(coder.name)!r} of {file.label} has more than {CATEGORIES} values, too many for "
                f"indicators: leave it out by {typed('data.drop', [coder.name])}, or name the rows by it: "
                f"{typed('data.index', coder.name)}."
            )
    return np.array(code_CN, dtype=np.int64).T.reshape(len(piece.row_N), len(coders))


def _skipped(
    file: TableFile, piece: Piece, code_NC: NDArray[np.int64], fine_N: NDArray[np.bool_], categories: Sequence[str]
) -> list[Skipped]:
    """Return the rows of a piece that cannot be used, in order."""
    reasons = {row: f"{cells} cells instead of {len(file.names)}" for row, cells in piece.ragged}
    for i in np.flatnonzero(~fine_N):
        row = int(piece.row_N[i])
        reasons[row] = _reason(file, row, piece.number_ND[i], code_NC[i], categories)
    return [Skipped(f"row {row}", reasons[row]) for row in sorted(reasons)]


def _reason(
    file: TableFile, row: int, number_D: NDArray[np.float64], code_C: NDArray[np.int64], categories: Sequence[str]
) -> str:
    if row in file.wrong:
        return "text for a number"
    if np.isinf(number_D).any():
        return "a number that is not finite"
    if np.isnan(number_D).any() or (code_C == WITHOUT_VALUE).any():
        return "a number missing" if np.isnan(number_D).any() else "a value missing"
    return unknown(categories[int((code_C == NEW).argmax())])


def unknown(column: str) -> str:
    """Return why a row with a new category cannot be used."""
    return f"a value of {printable(column)} that training did not have"


def _text_sentence(file: TableFile, total: int | None) -> str:
    """Return what to do about text in columns of numbers, in so many rows; None: in all of them."""
    (first, (row, cell)), *_ = file.not_numbers.items()
    found = [cell for _, cell in file.not_numbers.values()]
    which = f"column{'s' if len(found) > 1 else ''} {names_of(file.not_numbers)} of {file.label}"
    few = total is not None and 2 * len(file.wrong) < total
    many = f" in {len(file.wrong):,} of {total:,} rows, the first" if few else ""
    what = f"hold{'' if len(found) > 1 else 's'} no numbers{many} ({cell!r} in row {row} of {printable(first)})"
    if _of_commas(file):
        decimal = typed(f"{file.dialect.prefix}decimal", ",")
        return f"{which} {what}: if these are decimal commas, say so: {decimal}."
    if file.dialect.decimal == "," and all(part.replace(".", "").replace(",", "", 1).isdigit() for part in found):
        return f"{which} {what}: with decimal commas a point is no part of a number, so write thousands without one."
    if few:
        return (
            f"{which} {what}: leave such cells blank, which leaves out their rows, or leave out the column by "
            f"{typed('data.drop', [first])}."
        )
    return (
        f"{which} {what}: take text as categories by experiment=mixed_table, leave out what is no number by "
        f"{typed('data.drop', [first])}, name the rows by it: {typed('data.index', first)}, or turn it into indicators "
        f"by {typed('data.one_hot', [first])}."
    )


def _of_commas(file: TableFile) -> bool:
    found = [cell for _, cell in file.not_numbers.values()]
    return all("," in cell and cell.replace(",", "", 1).lstrip("+-").isdigit() for cell in found)


def tell(file: TableFile) -> None:
    """Warn of how a table is read, where that is not plain."""
    for note in file.notes:
        warnings.warn(note, stacklevel=3)


def columns_of_text(file: TableFile) -> list[str]:
    """Return the columns that hold text in half of their cells or more; it reads the whole table."""
    missing_D, total = np.zeros(len(file.names), dtype=np.int64), 0
    for piece in file.pieces(file.names, []):
        missing_D += np.isnan(piece.number_ND).sum(0)
        total += len(piece.row_N)
    numbers = {name: total - int(missing) for name, missing in zip(file.names, missing_D, strict=True)}
    return [name for name, count in file.text_cells.items() if count >= numbers[name]]


def read_table(path: Path, columns: Columns, dialect: Dialect | None = None) -> Rows:
    """Return the rows of a user's table in the columns that a model was trained on, found by name in any order.

    A file that names no columns has those of training by place, where it has as many and the model is of all of them.
    Other columns are not read, but for one that names the rows: that of training, else the first one where the model
    has no use for it and no other is called so. Rows that cannot be used are left out, and named.

    Raises:
        UserError: it cannot be read, or lacks a column or every row.
    """
    file = open_table(path, dialect or Dialect())
    tell(file)
    if not file.named:
        _name_by_place(file, columns)
    refuse_missing(file, columns.header, "the model was trained on")
    first = file.names[0] if file.named and file.names[0] not in columns.header else None
    index = next((name for name in (columns.index, first) if name is not None and file.names.count(name) == 1), None)
    codes = None if columns.mixed is None else dict(columns.codes)
    rows = read_rows(file, columns.numeric, dict(columns.categories), index, codes=codes)
    if not rows.total:
        raise UserError(f"{file.label} names its columns and has no row: add some.")
    if not len(rows.number_N) and file.not_numbers and _of_commas(file):
        raise UserError(_text_sentence(file, None))
    return rows


def _name_by_place(file: TableFile, columns: Columns) -> None:
    """Give the columns of a file without names those of training, where it is known which is which.

    Raises:
        UserError: it has another number of columns than the table of training.
    """
    unnamed = set(columns.header) <= {f"x_{d}" for d in range(1, (columns.width or 0) + 1)}  # those of training
    whole = columns.width == len(columns.header) == len(columns.numeric)  # else nothing tells their places
    if columns.width not in (None, len(file.names)):
        alike = ", or as many columns in the same order" if unnamed or whole else ""
        raise UserError(
            f"{file.label} has {len(file.names)} columns without names, and the table of training had "
            f"{columns.width}: give a table that names its columns{alike}."
        )
    if whole and file.names != list(columns.numeric):
        file.names = list(columns.numeric)
        warnings.warn(
            f"{file.label} names no columns, so they are taken to be those of training in their order: "
            f"{names_of(file.names)}.",
            stacklevel=3,
        )


def refuse_missing(file: TableFile, wanted: Sequence[str], whose: str) -> None:
    """Refuse a table that lacks columns.

    Args:
        file: the table.
        wanted: names of columns.
        whose: who wants them, a few words.

    Raises:
        UserError: it lacks one.
    """
    missing = [name for name in wanted if name not in file.names]
    if not missing:
        return
    close = difflib.get_close_matches(missing[0], [name for name in file.names if name not in wanted], n=1)
    hint = f"; is it {printable(close[0])!r}?" if close else "."
    has = f"its columns are {names_of(file.names)}"
    if not file.named:
        has, hint = f"it names no columns, so {has}", ": give a table that names its columns."
    raise UserError(f"{file.label} has no column {names_of(missing)}, which {whose} ({has}){hint}")
