"""Tables: every column standardised by its training examples."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorewise.data.images import data_root
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.data.source import SPLITS, FixedSource, Split, split_at_random
from scorewise.data.tabular.columns import Columns, moments
from scorewise.data.tabular.file import Dialect, TableFile
from scorewise.data.tabular.formats import open_table
from scorewise.data.tabular.rows import Rows, read_rows, read_table, refuse_missing, unknown
from scorewise.errors import UserError, names_of, printable, typed
from scorewise.noise import Draws

LEAST = 10
"""Rows that a density needs."""
STEPS, LEAST_BATCH = 5, 8
"""A small table makes so many steps an epoch, by batches of no fewer rows than that."""
EXACT = 2.0**53
"""Beyond this not every whole number is one of float64."""


class Tabular(FixedSource, ABC):
    """Rows of a table; models see every column with mean 0 and standard deviation 1 over the training rows."""

    mean, std = 0.0, 1.0
    unit = "the columns' own units"

    @property
    @abstractmethod
    def table(self) -> Columns:
        """The columns."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What the D numbers of an example are called."""
        return self.table.names

    @property
    def column_mean(self) -> Tensor:
        """The mean of every column, shape (D,), in its own units."""
        return self.table.mean_D

    @property
    def column_scale(self) -> Tensor:
        """The standard deviation of every column, shape (D,), in its own units."""
        return self.table.scale_D

    @property
    def log_volume(self) -> float:
        """The sum of the log column scales, nats."""
        return self.table.log_volume

    def scaled(self, raw_BD: Tensor) -> Tensor:
        """Return rows in their own units, standardised."""
        return self.table.standardised(raw_BD)

    def examples(self, split: Split, index_B: Tensor, epoch: int, seed: int) -> Tensor:
        """Return clean examples (B, D), standardised; the same in every epoch."""
        return self.scaled(self.raw(split)[index_B]).to(torch.get_default_dtype())


class Table(Tabular):
    """A user's table: CSV, Parquet or a NumPy matrix, a row per example; log-densities are of its columns.

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
        """(D,), which follows from the file."""
        return (len(self.table.mean),)

    @property
    def table(self) -> Columns:
        """The columns, read once."""
        if self._columns is None:
            self.raw("train")
        assert self._columns is not None
        return self._columns

    @property
    def repeats(self) -> bool:  # type: ignore[override]
        """Whether a tenth of the values of some column repeat, as rounded numbers do."""
        return any(len(raw_N.unique()) < 0.9 * len(raw_N) for raw_N in self.raw("train").T)

    def prepare(self) -> None:
        """Read the table, so that a bad one is refused before anything is computed."""
        self.raw("train")

    def batch_size(self, most: int) -> int:
        """Return how many rows make a step: fewer where a small table would make few steps."""
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
        """Return how many rows each split has, and the rows and columns that are not used."""
        return {"rows": {split: self.count(split) for split in SPLITS}, **self._remarks}

    def names(self, split: Split) -> list[str]:
        """Return the number of every row of a split."""
        self.raw(split)
        return [str(number) for number in self._numbers[split].tolist()]

    def read(self) -> dict[Split, Tensor]:
        """Return the rows of every split, in an order that follows from their values.

        Raises:
            UserError: the table cannot be used.
        """
        file = open_table(self.path, self.dialect)
        if self._fixed:
            assert self._columns is not None
            rows = read_table(self.path, self._columns, self.dialect)
        else:
            rows = self._own(file)
        if rows.skipped:
            _warn(f"{len(rows.skipped)} of {rows.total} rows of {file.label} are not used: {reasons_of(rows.skipped)}.")
        index = self._split(rows.raw_ND)
        self._numbers = {split: rows.number_N[index_N] for split, index_N in index.items()}
        raw = {split: rows.raw_ND[index_N] for split, index_N in index.items()}
        skipped = list(rows.skipped)
        if self._columns is None:
            raw = self._described(file, raw, skipped)
            if self._index is not None:
                self._remarks["index"] = self._index or "column 1, which has no name"
        reasons: dict[str, int] = {}
        for one in skipped:
            reasons[one.reason] = reasons.get(one.reason, 0) + 1
        self._remarks["left_out"] = reasons
        return raw

    def _own(self, file: TableFile) -> Rows:
        """Return the rows of the columns that the settings ask for."""
        refuse_missing(file, [*self.drop, *self.one_hot, *([self.index] if self.index else [])], "the settings name")
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
        if 2 * len(rows.skipped) > rows.total:
            worst = self._numeric[int(rows.missing_D.argmax())] if len(self._numeric) and rows.missing_D.any() else None
            hint = f": {printable(worst)} lacks most numbers, so {typed('data.drop', [worst])}" if worst else ""
            raise UserError(
                f"{len(rows.skipped)} of {rows.total} rows of {file.label} cannot be used "
                f"({reasons_of(rows.skipped)}), which is more than half{hint}."
            )
        if len(rows.number_N) < LEAST:
            raise UserError(
                f"{file.label} has {len(rows.number_N)} row{'s' if len(rows.number_N) != 1 else ''} that can be used, "
                f"and a density needs at least {LEAST}: add some."
            )
        return rows

    def _split(self, raw_ND: Tensor) -> dict[Split, Tensor]:
        """Return the rows of every split: in the order of a hash of their values, cut where the shares end."""
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

    def _described(self, file: TableFile, raw: dict[Split, Tensor], skipped: list[Skipped]) -> dict[Split, Tensor]:
        """Return the splits without the columns that are constant in training, once the others are described.

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
            raw = self._without_unknown(file, raw, dict(zip(names, varies_D.tolist(), strict=True)), skipped)
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
        self, file: TableFile, raw: dict[Split, Tensor], varies: Mapping[str, bool], skipped: list[Skipped]
    ) -> dict[Split, Tensor]:
        place, found = {name: d for d, name in enumerate(varies)}, []
        for column, values in self._categories.items():
            lost = [place[f"{column}={value}"] for value in values if not varies[f"{column}={value}"]]
            if len(lost) in (0, len(values)):  # what a column that is not used says is of no matter
                continue
            for split, raw_ND in raw.items():
                unknown_N = raw_ND[:, lost].any(1)
                found += [
                    Skipped(f"row {number}", unknown(column)) for number in self._numbers[split][unknown_N].tolist()
                ]
                self._numbers[split], raw[split] = self._numbers[split][~unknown_N], raw_ND[~unknown_N]
        if found:
            _warn(f"{len(found)} held-out rows of {file.label} are not used: {reasons_of(found)}.")
            skipped += found
        return raw


def place_of(path: Path, root: str | None) -> Path:
    """Return where a table is: as given, else below the data folder."""
    below = data_root(root) / path
    return below if not path.exists() and below.exists() else path


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=2)


class Wine(Tabular):
    """The 178 wines by 13 measurements that ship inside scikit-learn, without their class; no download.

    Models see every column with mean 0 and standard deviation 1 over the training examples.
    """

    shape = (13,)
    repeats = True

    def read(self) -> dict[Split, Tensor]:
        """Return 108 training, 30 validation and 40 test examples."""
        from sklearn.datasets import load_wine

        table = torch.from_numpy(load_wine().data)
        train, val, test = split_at_random(len(table), (108, 30, 40))
        return {"train": table[train], "val": table[val], "test": table[test]}

    @cached_property
    def table(self) -> Columns:
        """The measurements."""
        from sklearn.datasets import load_wine

        mean_D, scale_D = self.raw("train").mean(0), self.raw("train").std(0, correction=0)
        return Columns(tuple(load_wine().feature_names), {}, tuple(mean_D.tolist()), tuple(scale_D.tolist()))
