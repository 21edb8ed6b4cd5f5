"""Tables: every column standardised by its training examples."""

import difflib
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from scorewise.data.folder import LeftOut, printable, sentence_of
from scorewise.data.images import data_root
from scorewise.data.source import SPLITS, FixedSource, Split, split_at_random
from scorewise.data.table_file import Dialect, TableFile, category_of, names_of, open_table, typed
from scorewise.errors import UserError
from scorewise.noise import Draws

LEAST = 10
"""Rows that a density needs."""
CATEGORIES = 50
"""Values of a column that is turned into indicators, at most."""
STEPS, LEAST_BATCH = 5, 8
"""A small table makes so many steps an epoch, by batches of no fewer rows than that."""
DIGITS = 8
"""Of a drawn number, below the leading one of its column's scale."""
EXACT = 2.0**53
"""Beyond this not every whole number is one of float64."""


@dataclass(frozen=True)
class Columns:
    """This is what the D numbers of an example are: columns of a table, standardised.

    A row becomes its numbers in `numeric`, then an indicator (1 or 0) per value of every column in `categories`.

    Args:
        numeric: names of the columns of numbers.
        categories: the values of columns that are turned into indicators.
        mean, scale: of all D, in the columns' own units.
        index: the column that names the rows, where there is one; it is no part of the example.
        width: how many columns the file had; None: not known.
    """

    numeric: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    index: str | None = None
    width: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """This is the names of all D."""
        return (
            *self.numeric,
            *(f"{column}={value}" for column in self.categories for value in self.categories[column]),
        )

    @cached_property
    def mean_D(self) -> Tensor:
        """This is the means, float64."""
        return torch.tensor(self.mean, dtype=torch.float64)

    @cached_property
    def scale_D(self) -> Tensor:
        """This is the standard deviations, float64."""
        return torch.tensor(self.scale, dtype=torch.float64)

    @property
    def log_volume(self) -> float:
        """This is the sum of the log scales, nats: log q in the columns' own units = log q standardised - this."""
        return float(self.scale_D.log().sum())

    def standardised(self, raw_BD: Tensor) -> Tensor:
        """This is rows in their own units, with mean 0 and standard deviation 1 over the training examples."""
        return (raw_BD - self.mean_D) / self.scale_D

    def original(self, x_BD: Tensor) -> Tensor:
        """This is standardised rows in their own units, float64."""
        return x_BD.double() * self.scale_D + self.mean_D

    def cells(self, x_BD: Tensor) -> list[list[float | str]]:
        """This is standardised rows as they stand in a table under `header`: for indicators the largest one's value."""
        rows: list[list[float | str]] = []
        for raw in self.original(x_BD).tolist():
            row: list[float | str]
            row = [self._rounded(d, number) for d, number in enumerate(raw[: len(self.numeric)])]
            rest = raw[len(self.numeric) :]
            for values in self.categories.values():
                mine, rest = rest[: len(values)], rest[len(values) :]
                row.append(values[mine.index(max(mine))])
            rows.append(row)
        return rows

    def _rounded(self, d: int, number: float) -> float:
        scale = self.scale[d]
        return round(number, DIGITS - math.floor(math.log10(scale))) if 0 < scale < math.inf else number

    def matches(self, other: "Columns") -> bool:
        """This says whether two tables have the same columns in the same scale, but for the last digits of sums."""

        def same(one: float, another: float, size: float) -> bool:
            return abs(one - another) <= 1e-12 * size

        scales = zip(self.mean, other.mean, self.scale, other.scale, strict=False)
        return (self.numeric, dict(self.categories), self.index) == (
            other.numeric,
            dict(other.categories),
            other.index,
        ) and all(same(m, n, max(abs(m), s)) and same(s, t, max(abs(m), s)) for m, n, s, t in scales)

    @property
    def header(self) -> tuple[str, ...]:
        """This is the columns of the table itself that an example is made of."""
        return (*self.numeric, *self.categories)

    def plain(self) -> dict[str, Any]:
        """This is the same as lists and mappings, for a recipe."""
        return {
            "numeric": list(self.numeric),
            "categories": [{"column": name, "values": list(values)} for name, values in self.categories.items()],
            "mean": list(self.mean),
            "scale": list(self.scale),
            "index": self.index,
            "width": self.width,
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """This is columns from a recipe.

        Raises:
            UserError: the recipe is damaged.
        """
        try:
            found = cls(
                tuple(map(str, plain["numeric"])),
                {str(one["column"]): tuple(map(str, one["values"])) for one in plain["categories"]},
                tuple(map(float, plain["mean"])),
                tuple(map(float, plain["scale"])),
                plain["index"],
                plain.get("width"),
            )
        except (TypeError, KeyError, ValueError) as error:
            raise UserError("the columns in this model's config.yaml are damaged: train the run again.") from error
        if not len(found.names) == len(found.mean) == len(found.scale):
            raise UserError("the columns in this model's config.yaml are damaged: train the run again.")
        return found


def refuse_another_table(trained: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """This refuses a table whose columns or their scales are not those that a model was trained on.

    Args:
        trained: recipe of the model.
        found: the recipe that its config gives now.

    Raises:
        UserError: they differ.
    """
    if "columns" not in trained or "columns" not in found:
        return
    if not Columns.of(trained["columns"]).matches(Columns.of(found["columns"])):
        raise UserError(
            "the table has changed since this run was trained on it (its columns, their means or their scales differ): "
            "put the old one back, or train again with rerun=true."
        )


class Rows(NamedTuple):
    """This is the rows of a table that can be used.

    Args:
        number_N: of every row from 1, the line of the columns not counted.
        raw_ND: numbers and indicators, float64, in the columns' own units.
        id_column: the one that names the rows, None where there is none.
        ids: what that says.
        left_out: rows that cannot be used, with the reason.
        missing_D: how many rows lack a number, by column of numbers.
    """

    number_N: Tensor
    raw_ND: Tensor
    id_column: str | None
    ids: list[str]
    left_out: list[LeftOut]
    missing_D: Tensor

    @property
    def total(self) -> int:
        """This is how many rows the table has."""
        return len(self.number_N) + len(self.left_out)


def read_rows(
    file: TableFile,
    numeric: Sequence[str],
    categories: dict[str, tuple[str, ...]],
    index: str | None = None,
    strict: bool = False,
) -> Rows:
    """This is the rows of a table in columns by name.

    Args:
        file: the table.
        numeric: columns of numbers.
        categories: the values of columns that are turned into indicators; where there are none yet, they are found.
        index: a column that names the rows.
        strict: refuse text in a column of numbers, instead of leaving the row out.

    Raises:
        UserError: it cannot be read, or columns have no numbers.
    """
    coders = {name: {value: i for i, value in enumerate(values)} for name, values in categories.items()}
    growing = {name for name, values in categories.items() if not values}
    numbers, kept, codes, ids = [], [], [], []
    left_out: list[LeftOut] = []
    missing_D = np.zeros(len(numeric), dtype=np.int64)
    for piece in file.pieces(numeric, [*categories, *([index] if index is not None else [])]):
        if strict and file.not_numbers:
            raise UserError(_text_sentence(file))
        bad = {row: f"{cells} cells instead of {len(file.names)}" for row, cells in piece.ragged}
        missing_D += np.isnan(piece.number_ND).sum(0)
        cells = {name: [category_of(cell) for cell in piece.text[name]] for name in categories}
        code_NC = np.array([_coded(cells[name], coders[name], name in growing) for name in categories]).T
        code_NC = code_NC.reshape(len(piece.row_N), len(categories))
        for name in growing:
            if len(coders[name]) > CATEGORIES:
                raise UserError(
                    f"column {printable(name)!r} of {file.label} has more than {CATEGORIES} values, too many for "
                    f"indicators: leave it out by {typed('data.drop', [name])}, or name the rows by it: "
                    f"{typed('data.index', name)}."
                )
        fine_N = np.isfinite(piece.number_ND).all(1) & (code_NC >= 0).all(1)
        for i in np.flatnonzero(~fine_N):
            row = int(piece.row_N[i])
            bad[row] = _reason(file, row, piece.number_ND[i], code_NC[i], list(categories))
        left_out += [LeftOut(f"row {row}", bad[row]) for row in sorted(bad)]
        numbers.append(piece.number_ND[fine_N])
        kept.append(piece.row_N[fine_N])
        codes.append(code_NC[fine_N])
        if index is not None:
            ids += [piece.text[index][i] for i in np.flatnonzero(fine_N)]
    raw_ND, code_NC = (
        np.concatenate(parts) if parts else np.empty((0, width))
        for parts, width in ((numbers, len(numeric)), (codes, len(categories)))
    )
    numbers.clear()
    order = {name: sorted(coders[name]) if name in growing else list(categories[name]) for name in categories}
    for c, (name, values) in enumerate(order.items()):
        wanted_K = np.array([coders[name][value] for value in values])
        raw_ND = np.concatenate([raw_ND, (code_NC[:, c, None] == wanted_K).astype(np.float64)], axis=1)
        categories[name] = tuple(values)
    number_N = np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
    return Rows(torch.from_numpy(number_N), torch.from_numpy(raw_ND), index, ids, left_out, torch.from_numpy(missing_D))


def _coded(cells: Sequence[str], coder: dict[str, int], growing: bool) -> list[int]:
    """This is the code of every cell, -1 for one without a value, -2 for a new value."""
    if growing:
        for cell in dict.fromkeys(cells):
            if cell and len(coder) <= CATEGORIES:
                coder.setdefault(cell, len(coder))
    return [coder.get(cell, -2) if cell else -1 for cell in cells]


def _reason(file: TableFile, row: int, number_D: Any, code_C: Any, categories: Sequence[str]) -> str:
    if row in file.wrong:
        return "text for a number"
    if np.isinf(number_D).any():
        return "a number that is not finite"
    if np.isnan(number_D).any() or (code_C == -1).any():
        return "a number missing" if np.isnan(number_D).any() else "a value missing"
    return _unknown(categories[int((code_C == -2).argmax())])


def _unknown(column: str) -> str:
    return f"a value of {printable(column)} that training did not have"


def _text_sentence(file: TableFile) -> str:
    (first, (row, cell)), *_ = file.not_numbers.items()
    found = [cell for _, cell in file.not_numbers.values()]
    which = f"column{'s' if len(found) > 1 else ''} {names_of(file.not_numbers)} of {file.label}"
    what = f"hold{'' if len(found) > 1 else 's'} no numbers ({cell!r} in row {row} of {printable(first)})"
    if _of_commas(file):
        decimal = typed(f"{file.dialect.prefix}decimal", ",")
        return f"{which} {what}: if these are decimal commas, say so: {decimal}."
    if file.dialect.decimal == "," and all(part.replace(".", "").replace(",", "", 1).isdigit() for part in found):
        return f"{which} {what}: with decimal commas a point is no part of a number, so write thousands without one."
    return (
        f"{which} {what}: leave out what is no number by {typed('data.drop', [first])}, or turn it into indicators by "
        f"{typed('data.one_hot', [first])}."
    )


def _of_commas(file: TableFile) -> bool:
    found = [cell for _, cell in file.not_numbers.values()]
    return all("," in cell and cell.replace(",", "", 1).lstrip("+-").isdigit() for cell in found)


def read_table(path: Path, columns: Columns, dialect: Dialect | None = None) -> Rows:
    """This is the rows of a user's table in the columns that a model was trained on, found by name in any order.

    Other columns are not read, but for one that names the rows: that of training, else the first one where the model
    has no use for it and no other is called so. Rows that cannot be used are left out, and named.

    Raises:
        UserError: it cannot be read, or lacks a column or every row.
    """
    file = open_table(path, dialect or Dialect())
    if not file.named and columns.width not in (None, len(file.names)):
        raise UserError(
            f"{file.label} has {len(file.names)} columns without names, and the table of training had "
            f"{columns.width}: give a table whose first line names its columns, or as many columns in the same order."
        )
    _refuse_missing(file, columns.header, "the model was trained on")
    first = file.names[0] if file.named and file.names[0] not in columns.header else None
    index = next((name for name in (columns.index, first) if name is not None and file.names.count(name) == 1), None)
    rows = read_rows(file, columns.numeric, dict(columns.categories), index)
    if not rows.total:
        raise UserError(f"{file.label} names its columns and has no row: add some.")
    if not len(rows.number_N) and file.not_numbers and _of_commas(file):
        raise UserError(_text_sentence(file))
    return rows


def _refuse_missing(file: TableFile, wanted: Sequence[str], whose: str) -> None:
    missing = [name for name in wanted if name not in file.names]
    if not missing:
        return
    close = difflib.get_close_matches(missing[0], [name for name in file.names if name not in wanted], n=1)
    hint = f"; is it {printable(close[0])!r}?" if close else "."
    has = f"its columns are {names_of(file.names)}" if file.named else "its first line names no columns"
    raise UserError(f"{file.label} has no column {names_of(missing)}, which {whose} ({has}){hint}")


class Tabular(FixedSource, ABC):
    """This is rows of a table; models see every column with mean 0 and standard deviation 1 over the training rows."""

    mean, std = 0.0, 1.0
    unit = "the columns' own units"

    @property
    @abstractmethod
    def table(self) -> Columns:
        """This is the columns."""

    @property
    def columns(self) -> tuple[str, ...]:
        """This is what the D numbers of an example are called."""
        return self.table.names

    @property
    def column_mean(self) -> Tensor:
        """This is the mean of every column, shape (D,), in its own units."""
        return self.table.mean_D

    @property
    def column_scale(self) -> Tensor:
        """This is the standard deviation of every column, shape (D,), in its own units."""
        return self.table.scale_D

    @property
    def log_volume(self) -> float:
        """This is the sum of the log column scales, nats."""
        return self.table.log_volume

    def scaled(self, raw_BD: Tensor) -> Tensor:
        """This is rows in their own units, standardised."""
        return self.table.standardised(raw_BD)

    def examples(self, split: Split, index_B: Tensor, epoch: int, seed: int) -> Tensor:
        """This is clean examples (B, D), standardised; the same in every epoch."""
        return self.scaled(self.raw(split)[index_B]).to(torch.get_default_dtype())


class Table(Tabular):
    """This is a user's table: CSV, Parquet or a NumPy matrix, a row per example; log-densities are of its columns.

    Rows with a missing or infinite number are left out and counted, columns with one value only are left out and
    named. Equal rows are in the same split, which follows from the values of a row and not from its place.

    Args:
        path: the file, or where it is below the data folder.
        drop: columns that are not used: a label, say.
        one_hot: columns of text that are turned into an indicator per value.
        index: the column that names the rows; None: the first one, where that alone has no name.
        header, decimal, encoding: of a CSV table, see `Dialect`.
        val: share of the rows for validation.
        test: share of the rows for testing.
        split_seed: of the split.
        root: folder of data sets; None: $SCOREWISE_DATA or data/.
        columns: those of another table, as `Columns.plain` has them; then names and scales are theirs.

    Raises:
        UserError: a setting is out of range.
    """

    def __init__(
        self,
        path: str | None = None,
        drop: Sequence[str] | None = None,
        one_hot: Sequence[str] | None = None,
        index: str | None = None,
        header: bool | None = None,
        decimal: str = ".",
        encoding: str = "utf-8",
        val: float = 0.1,
        test: float = 0.1,
        split_seed: int = 0,
        root: str | None = None,
        columns: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if path is None or not str(path):
            raise UserError("data=table needs a table: data.path=<file>, as CSV, .parquet or .npy.")
        for name, listed in (("drop", drop), ("one_hot", one_hot)):
            if listed is not None and not isinstance(listed, list | tuple):
                wanted = typed(f"data.{name}", [str(listed)])
                raise UserError(f"data.{name}={listed} must be a list of columns: {wanted}.")
        for name, share in (("val", val), ("test", test)):
            if not isinstance(share, int | float) or not 0 <= share <= 1:
                raise UserError(f"data.{name}={share} must be a share of the rows, 0 to 1.")
        if val + test > 1:
            raise UserError(f"data.val={val} and data.test={test} must be at most 1 together.")
        given = Path(str(path)).expanduser()
        self.path = place_of(given, root)
        self.drop, self.one_hot = [str(name) for name in drop or ()], [str(name) for name in one_hot or ()]
        self.index = None if index is None else str(index)
        self.dialect = Dialect(header, str(decimal), str(encoding))
        self.val, self.test, self.split_seed = val, test, split_seed
        self._columns = None if columns is None else Columns.of(columns)
        self._fixed = columns is not None
        self._remarks: dict[str, Any] = {}

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """This is (D,), which follows from the file."""
        return (len(self.table.mean),)

    @property
    def table(self) -> Columns:
        """This is the columns, read once."""
        if self._columns is None:
            self.raw("train")
        assert self._columns is not None
        return self._columns

    @property
    def repeats(self) -> bool:  # type: ignore[override]
        """This says whether a tenth of the values of some column repeat, as rounded numbers do."""
        return any(len(raw_N.unique()) < 0.9 * len(raw_N) for raw_N in self.raw("train").T)

    def prepare(self) -> None:
        """This reads the table, so that a bad one is refused before anything is computed."""
        self.raw("train")

    def batch_size(self, most: int) -> int:
        """This is how many rows make a step: fewer where a small table would make few steps."""
        rows, batch = self.count("train"), most
        while batch // 2 >= LEAST_BATCH and rows < STEPS * batch:
            batch //= 2
        if batch < most:
            _warn(
                f"a table of {rows} training rows takes steps of {batch} rows instead of data.batch_size={most}, so "
                f"that an epoch has {STEPS} steps at least."
            )
        return batch

    def remarks(self) -> dict[str, Any]:
        """This is how many rows each split has, and the rows and columns that are not used."""
        return {"rows": {split: self.count(split) for split in SPLITS}, **self._remarks}

    def names(self, split: Split) -> list[str]:
        """This is the number of every row of a split."""
        self.raw(split)
        return [str(number) for number in self._numbers[split].tolist()]

    def read(self) -> dict[Split, Tensor]:
        """This is the rows of every split, in an order that follows from their values.

        Raises:
            UserError: the table cannot be used.
        """
        file = open_table(self.path, self.dialect)
        if self._fixed:
            assert self._columns is not None
            rows = read_table(self.path, self._columns, self.dialect)
        else:
            rows = self._own(file)
        if rows.left_out:
            _warn(
                f"{len(rows.left_out)} of {rows.total} rows of {file.label} are not used: {sentence_of(rows.left_out)}."
            )
        index = self._split(rows.raw_ND)
        self._numbers = {split: rows.number_N[index_N] for split, index_N in index.items()}
        raw = {split: rows.raw_ND[index_N] for split, index_N in index.items()}
        left_out = list(rows.left_out)
        if self._columns is None:
            raw = self._described(file, raw, left_out)
            if self._index is not None:
                self._remarks["index"] = self._index or "column 1, which has no name"
        reasons: dict[str, int] = {}
        for one in left_out:
            reasons[one.reason] = reasons.get(one.reason, 0) + 1
        self._remarks["left_out"] = reasons
        return raw

    def _own(self, file: TableFile) -> Rows:
        """This is the rows of the columns that the settings ask for."""
        _refuse_missing(file, [*self.drop, *self.one_hot, *([self.index] if self.index else [])], "the settings name")
        self._index = self.index if self.index is not None else file.unnamed
        aside = {*self.drop, *self.one_hot, self._index}
        self._numeric = [name for name in file.names if name not in aside]
        if unnamed := [place for place, name in enumerate(file.names, 1) if not name and name not in aside]:
            raise UserError(f"column {unnamed[0]} of {file.label} has no name: give it one.")
        if any("${" in name for name in file.names):
            raise UserError(f"a column of {file.label} has ${{ in its name, which no config may hold: rename it.")
        if not self._numeric and not self.one_hot:
            raise UserError(f"{file.label} has no column left: data.drop={self.drop} names all of them.")
        self._categories: dict[str, tuple[str, ...]] = dict.fromkeys(self.one_hot, ())
        rows = read_rows(file, self._numeric, self._categories, strict=True)
        if not rows.total:
            raise UserError(f"{file.label} names its columns and has no row: add some.")
        if unsafe := [name for name, values in self._categories.items() if any("${" in value for value in values)]:
            raise UserError(
                f"column {names_of(unsafe)} of {file.label} has a value with ${{, which no config may hold: rename it."
            )
        if missing := [n for n, count in zip(self._numeric, rows.missing_D, strict=True) if count == rows.total]:
            raise UserError(f"column {names_of(missing)} of {file.label} has no value: {typed('data.drop', missing)}.")
        if 2 * len(rows.left_out) > rows.total:
            worst = self._numeric[int(rows.missing_D.argmax())] if len(self._numeric) and rows.missing_D.any() else None
            hint = f": {printable(worst)} lacks most numbers, so {typed('data.drop', [worst])}" if worst else ""
            raise UserError(
                f"{len(rows.left_out)} of {rows.total} rows of {file.label} cannot be used "
                f"({sentence_of(rows.left_out)}), which is more than half{hint}."
            )
        if len(rows.number_N) < LEAST:
            raise UserError(
                f"{file.label} has {len(rows.number_N)} row{'s' if len(rows.number_N) != 1 else ''} that can be used, "
                f"and a density needs at least {LEAST}: add some."
            )
        return rows

    def _split(self, raw_ND: Tensor) -> dict[Split, Tensor]:
        """This is the rows of every split: in the order of a hash of their values, cut where the shares end."""
        key_N = torch.zeros(len(raw_ND), dtype=torch.int64)
        for column_N in raw_ND.T:
            bits_N = (column_N.contiguous() + 0.0).view(torch.int64)  # without the sign of zero
            key_N = Draws.of(self.split_seed, key_N, bits_N).key_B
        ordered_N, order_N = key_N.sort(stable=True)

        def cut(share: float) -> int:
            place = round(share * len(order_N))
            while 0 < place < len(order_N) and ordered_N[place] == ordered_N[place - 1]:
                place += 1  # equal rows stay together
            return place

        first, second = cut(self.test), cut(self.test + self.val)
        return {"test": order_N[:first], "val": order_N[first:second], "train": order_N[second:]}

    def _described(self, file: TableFile, raw: dict[Split, Tensor], left_out: list[LeftOut]) -> dict[Split, Tensor]:
        """This is the splits without the columns that are constant in training, once the others are described.

        Held-out rows with a category that training lacks are left out, as they are in prediction.

        Raises:
            UserError: no row is left for training, or no column.
        """
        train_ND = raw["train"]
        if not len(train_ND):
            raise UserError(
                f"{file.label} has no row left for training (equal rows are in the same split): make data.val and "
                "data.test smaller."
            )
        names = [*self._numeric, *(f"{c}={value}" for c in self._categories for value in self._categories[c])]
        varies_D = train_ND.amin(0) < train_ND.amax(0)
        constant = [name for name, varies in zip(names, varies_D, strict=True) if not varies]
        if not bool(varies_D.any()):
            raise UserError(f"every column of {file.label} has one value only in training, which has no density.")
        if constant:
            _warn(f"columns of {file.label} with one value only in training are not used: {names_of(constant)}.")
            raw = self._without_unknown(file, raw, dict(zip(names, varies_D.tolist(), strict=True)), left_out)
        raw = {split: raw_ND[:, varies_D].contiguous() for split, raw_ND in raw.items()} if constant else raw
        mean_D, scale_D = moments(raw["train"])
        self._columns = Columns(
            tuple(name for name in self._numeric if name not in constant),
            {
                column: left
                for column, values in self._categories.items()
                if (left := tuple(value for value in values if f"{column}={value}" not in constant))
            },
            tuple(mean_D.tolist()),
            tuple(scale_D.tolist()),
            self._index,
            len(file.names),
        )
        largest_D = raw["train"].abs().amax(0)
        if huge := [name for name, most in zip(self._columns.names, largest_D, strict=True) if EXACT < most < 1e19]:
            _warn(
                f"whole numbers beyond 2^53 are read to 16 digits: {names_of(huge)} of {file.label}; if they name the "
                f"rows, {typed('data.index', huge[0])}."
            )
        self._remarks |= {"columns": list(self._columns.names), "constant": constant}
        return raw

    def _without_unknown(
        self, file: TableFile, raw: dict[Split, Tensor], varies: Mapping[str, bool], left_out: list[LeftOut]
    ) -> dict[Split, Tensor]:
        place, found = {name: d for d, name in enumerate(varies)}, []
        for column, values in self._categories.items():
            lost = [place[f"{column}={value}"] for value in values if not varies[f"{column}={value}"]]
            if len(lost) in (0, len(values)):  # what a column that is not used says is of no matter
                continue
            for split, raw_ND in raw.items():
                unknown_N = raw_ND[:, lost].any(1)
                found += [
                    LeftOut(f"row {number}", _unknown(column)) for number in self._numbers[split][unknown_N].tolist()
                ]
                self._numbers[split], raw[split] = self._numbers[split][~unknown_N], raw_ND[~unknown_N]
        if found:
            _warn(f"{len(found)} held-out rows of {file.label} are not used: {sentence_of(found)}.")
            left_out += found
        return raw


def place_of(path: Path, root: str | None) -> Path:
    """This is where a table is: as given, else below the data folder."""
    below = data_root(root) / path
    return below if not path.exists() and below.exists() else path


def moments(raw_ND: Tensor) -> tuple[Tensor, Tensor]:
    """This is the mean and the standard deviation of every column, (D,), without overflow."""
    largest_D = raw_ND.abs().amax(0).clamp(min=torch.finfo(raw_ND.dtype).tiny)
    unit_ND = raw_ND / largest_D
    return unit_ND.mean(0) * largest_D, unit_ND.std(0, correction=0) * largest_D


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=2)


class Wine(Tabular):
    """This is the 178 wines by 13 measurements that ship inside scikit-learn, without their class; no download.

    Models see every column with mean 0 and standard deviation 1 over the training examples.
    """

    shape = (13,)
    repeats = True

    def read(self) -> dict[Split, Tensor]:
        """This is 108 training, 30 validation and 40 test examples."""
        from sklearn.datasets import load_wine

        table = torch.from_numpy(load_wine().data)
        train, val, test = split_at_random(len(table), (108, 30, 40))
        return {"train": table[train], "val": table[val], "test": table[test]}

    @cached_property
    def table(self) -> Columns:
        """This is the measurements."""
        from sklearn.datasets import load_wine

        mean_D, scale_D = self.raw("train").mean(0), self.raw("train").std(0, correction=0)
        return Columns(tuple(load_wine().feature_names), {}, tuple(mean_D.tolist()), tuple(scale_D.tolist()))
