"""Tables: every column standardised by its training examples."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack, cast

import torch
from torch import Tensor

from scorewise.data.pixels import fingerprint
from scorewise.data.roots import place_of
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.data.source import SPLITS, Split, split_at_random
from scorewise.data.tabular.columns import TOO_LARGE, Columns, computable, varies
from scorewise.data.tabular.described import described
from scorewise.data.tabular.far import far_values
from scorewise.data.tabular.file import Dialect, DialectSettings, TableFile
from scorewise.data.tabular.formats import open_table
from scorewise.data.tabular.rows import columns_of_text, read_table, tell, unknown
from scorewise.data.tabular.selection import Selected, Selection, TableSettings
from scorewise.data.tabular.source import Tabular
from scorewise.data.tabular.splits import Splits
from scorewise.errors import UserError, names_of, typed

STEPS, LEAST_BATCH = 5, 8
"""A small table makes so many steps an epoch, by batches of no fewer rows than that."""
EXACT = 2.0**53
"""Beyond this not every whole number is one of float64."""


class Table(Tabular):
    """A user's table: CSV, Parquet or a NumPy matrix, a row per example; log-densities are of its columns.

    Rows with a missing or infinite number are left out and counted, columns with one value only are left out and
    named. The split of a row follows from its values and not from its place.

    Args:
        path: the file, or where it is below the data folder.
        drop: columns that are not used: a label, say.
        one_hot: columns of text that are turned into an indicator per value.
        index: the column that names the rows; None: the first one, where that alone has no name.
        val: share of the rows for validation.
        test: share of the rows for testing.
        split_seed: of the split.
        equal_rows: together in one split, apart or auto, see `scorewise.data.tabular.splits`.
        root: folder of data sets; None: $SCOREWISE_DATA or data/.
        columns: those of another table, as `Columns.plain` has them; then names and scales are theirs.
        settings: header, decimal and encoding of a CSV table, see `Dialect`. kinds, auto or the kind of some columns by
            name (see `scorewise.data.tabular.kinds`): then all columns have kinds, found where they are not given,
            text is categories, and cells may be missing; None: numbers only. condition, columns that are only read.

    Raises:
        UserError: a setting is out of range.

    Example:
        >>> import tempfile
        >>> from scorewise.data import Table
        >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        ...     print("a,b,label", *(f"{row},{row * row},x" for row in range(100)), sep=chr(10), file=file, flush=True)
        ...     Table(file.name, drop=["label"]).table.names
        ('a', 'b')
    """

    def __init__(
        self,
        path: str | None = None,
        drop: Sequence[str] | None = None,
        one_hot: Sequence[str] | None = None,
        index: str | None = None,
        val: float = 0.1,
        test: float = 0.1,
        split_seed: int = 0,
        equal_rows: str = "together",
        root: str | None = None,
        columns: Mapping[str, Any] | None = None,
        **settings: Unpack[TableSettings],
    ) -> None:
        super().__init__()
        kinds, condition = settings.pop("kinds", None), settings.pop("condition", None)
        if path is None or not str(path):
            raise UserError("data=table needs a table: data.path=<file>, as CSV, .parquet or .npy.")
        for name, listed in (("drop", drop), ("one_hot", one_hot), ("condition", condition)):
            if listed is not None and not isinstance(listed, list | tuple):
                wanted = typed(f"data.{name}", [str(listed)])
                raise UserError(f"data.{name}={listed} must be a list of columns: {wanted}.")
        self.splits = Splits(val, test, split_seed, equal_rows)
        given = {} if kinds == "auto" else kinds
        if not (given is None or isinstance(given, Mapping)):
            raise UserError(f"data.kinds={kinds} must be auto, or kinds by column: 'data.kinds={{age: positive}}'.")
        if condition and kinds is None:
            raise UserError("data.condition is for columns with kinds: data.kinds=auto, and head=by_column.")
        self.path = place_of(Path(str(path)).expanduser(), root)
        self.selection = Selection(
            [str(name) for name in drop or ()],
            [str(name) for name in one_hot or ()],
            None if index is None else str(index),
            None if given is None else {str(name): kind for name, kind in given.items()},
            [str(name) for name in condition or ()],
        )
        self.dialect = Dialect(prefix="data.", **cast(DialectSettings, settings))
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

    def contents(self) -> str:
        """Return a fingerprint of what columns of categories hold and what is missing, which moments do not tell."""
        return fingerprint(count for split in SPLITS for count in self.table.counts(self.raw(split)))

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
            rows, selected = read_table(self.path, self._columns, self.dialect), None
        else:
            tell(file)
            text = [] if self.selection.kinds is None else columns_of_text(open_table(self.path, self.dialect))
            selected = self.selection.read(file, text)
            rows = selected.rows
        if rows.skipped:
            _warn(f"{len(rows.skipped)} of {rows.total} rows of {file.label} are not used: {reasons_of(rows.skipped)}.")
        index = self.splits.of(rows.raw_ND)
        self._numbers = {split: rows.number_N[index_N] for split, index_N in index.items()}
        raw = {split: rows.raw_ND[index_N] for split, index_N in index.items()}
        skipped = list(rows.skipped)
        if selected is not None:
            raw = self._described(file, selected, raw, skipped)
            if selected.index is not None:
                self._remarks["index"] = selected.index or "column 1, which has no name"
        raw, too_large = self._computable(raw)
        if too_large:
            _warn(f"{len(too_large)} of {rows.total} rows of {file.label} are not used: {reasons_of(too_large)}.")
        skipped += too_large
        reasons: dict[str, int] = {}
        for one in skipped:
            reasons[one.reason] = reasons.get(one.reason, 0) + 1
        self._remarks["left_out"] = reasons
        return raw

    def _described(
        self, file: TableFile, selected: Selected, raw: dict[Split, Tensor], skipped: list[Skipped]
    ) -> dict[Split, Tensor]:
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
        names = selected.names
        varies_D = varies(train_ND)
        constant = [name for name, varies in zip(names, varies_D, strict=True) if not varies]
        if not bool(varies_D.any()):
            raise UserError(f"every column of {file.label} has one value only in training, which has no density.")
        if constant:
            _warn(f"columns of {file.label} with one value only in training are not used: {names_of(constant)}.")
            raw, unknown_rows = self._without_unknown(selected, raw, {*constant})
            if unknown_rows:
                what = f"{len(unknown_rows)} held-out rows of {file.label} are not used"
                _warn(f"{what}: {reasons_of(unknown_rows)}.")
                skipped += unknown_rows
        raw = {split: raw_ND[:, varies_D].contiguous() for split, raw_ND in raw.items()} if constant else raw
        kinds, condition = self.selection.kinds, self.selection.condition
        self._columns = described(selected, raw["train"], constant, len(file.names), kinds, condition)
        largest_D = raw["train"].abs().nan_to_num(nan=0.0).amax(0)
        if huge := [name for name, most in zip(self._columns.names, largest_D, strict=True) if EXACT < most < 1e19]:
            _warn(
                f"whole numbers beyond 2^53 are read to 16 digits: {names_of(huge)} of {file.label}; if they name the "
                f"rows, {typed('data.index', huge[0])}."
            )
        self._remarks |= {"columns": list(self._columns.names), "constant": constant}
        if (mixed := self._columns.mixed) is not None:
            self._remarks["kinds"] = mixed.sentences(self._columns.names)
        return raw

    def doubts(self, smoothing: float) -> list[str]:
        """Return sentences about single values that hide the others of their column under noise of the smoothing."""
        if self.table.mixed is not None:
            return []
        numeric = range(len(self.table.numeric))
        found = far_values(self.raw("train"), self.table.scale_D, smoothing, numeric)
        rows = self.names("train")
        return [one.sentence(self.table.names[one.column], rows[one.row]) for one in found]

    def _computable(self, raw: dict[Split, Tensor]) -> tuple[dict[Split, Tensor], list[Skipped]]:
        """Return the splits without the rows that models cannot compute with, as in prediction, and those rows."""
        kept, found = dict(raw), []
        for split, raw_ND in raw.items():
            fine_N = computable(self.table.standardised(raw_ND))
            found += [Skipped(f"row {number}", TOO_LARGE) for number in self._numbers[split][~fine_N].tolist()]
            self._numbers[split], kept[split] = self._numbers[split][fine_N], raw_ND[fine_N]
        return kept, found

    def _without_unknown(
        self, selected: Selected, raw: dict[Split, Tensor], constant: set[str]
    ) -> tuple[dict[Split, Tensor], list[Skipped]]:
        """Return the splits without the held-out rows of a category that training lacks, and those rows."""
        place, found, kept = {name: d for d, name in enumerate(selected.names)}, [], dict(raw)
        for column, values in selected.categories.items():
            lost = [place[name] for name in (f"{column}={value}" for value in values) if name in constant]
            if len(lost) in (0, len(values)):  # what a column that is not used says is of no matter
                continue
            for split, raw_ND in kept.items():
                unknown_N = raw_ND[:, lost].any(1)
                numbers = self._numbers[split][unknown_N].tolist()
                found += [Skipped(f"row {number}", unknown(column)) for number in numbers]
                self._numbers[split], kept[split] = self._numbers[split][~unknown_N], raw_ND[~unknown_N]
        return kept, found


def _warn(sentence: str) -> None:
    warnings.warn(sentence, stacklevel=2)


class Wine(Tabular):
    """The 178 wines by 13 measurements that ship inside scikit-learn, without their class; no download.

    Models see every column with mean 0 and standard deviation 1 over the training examples.

    Example:
        >>> import torch
        >>> from scorewise.data import Wine
        >>> wine = Wine()
        >>> wine.examples("train", torch.arange(5), 0, 0).shape
        torch.Size([5, 13])
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
