"""Columns of a table that are to be learnt, and the refusal of tables that cannot be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scorewise.data.skipped import reasons_of
from scorewise.data.tabular.file import DialectSettings, TableFile
from scorewise.data.tabular.rows import Rows, read_rows, refuse_missing
from scorewise.errors import UserError, names_of, printable, typed


class TableSettings(DialectSettings, total=False):
    """The settings of a table's dialect and of the kinds of its columns, as keyword arguments; see `Table`."""

    kinds: str | Mapping[str, Any] | None
    condition: Sequence[str] | None


LEAST = 10
"""Rows that a density needs."""


@dataclass(frozen=True)
class Selected:
    """What a selection finds in a table.

    Args:
        numeric: names of the columns of numbers.
        categories: the values of columns that are turned into indicators.
        index: the column that names the rows, None where there is none.
        rows: those that can be used, in these columns.
        codes: the values of columns that become codes; None where rows are whole and all are numbers.
    """

    numeric: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    index: str | None
    rows: Rows
    codes: Mapping[str, tuple[str, ...]] | None = None

    @property
    def names(self) -> list[str]:
        """What the D numbers of a row are called."""
        return [
            *self.numeric,
            *(self.codes or ()),
            *(f"{c}={value}" for c, values in self.categories.items() for value in values),
        ]


@dataclass(frozen=True)
class Selection:
    """The columns of a table that the settings ask for.

    Args:
        drop: columns that are not used.
        one_hot: columns of text that are turned into an indicator per value.
        index: the column that names the rows; None: the first one, where that alone has no name.
        kinds: of columns by name; then text becomes codes of categories, and cells may be missing. None: neither.
        condition: columns that are only read.
    """

    drop: Sequence[str]
    one_hot: Sequence[str]
    index: str | None
    kinds: Mapping[str, object] | None = None
    condition: Sequence[str] = ()

    def read(self, file: TableFile, text: Sequence[str] = ()) -> Selected:
        """Return the rows of a table in these columns.

        Args:
            file: the table.
            text: its columns of text, which become codes where kinds are given.

        Raises:
            UserError: a column is not there or has no value, or too few rows can be used.
        """
        wanted = [
            *self.drop,
            *self.one_hot,
            *([self.index] if self.index else []),
            *(self.kinds or ()),
            *self.condition,
        ]
        refuse_missing(file, wanted, "the settings name")
        index = self.index if self.index is not None else file.unnamed
        aside = {*self.drop, *self.one_hot, index}
        codes = None if self.kinds is None else self._coded([name for name in file.names if name not in aside], text)
        aside |= {*(codes or ())}
        numeric = [name for name in file.names if name not in aside]
        if unnamed := [place for place, name in enumerate(file.names, 1) if not name and name not in aside]:
            raise UserError(f"column {unnamed[0]} of {file.label} has no name: give it one.")
        if any("${" in name for name in file.names):
            raise UserError(f"a column of {file.label} has ${{ in its name, which no config may hold: rename it.")
        if not numeric and not self.one_hot and not codes:
            raise UserError(f"{file.label} has no column left: data.drop={list(self.drop)} names all of them.")
        categories: dict[str, tuple[str, ...]] = dict.fromkeys(self.one_hot, ())
        rows = read_rows(file, numeric, categories, strict=True, codes=codes)
        selected = Selected(tuple(numeric), categories, index, rows, codes)
        _refuse_empty_columns(file, selected)
        _refuse_few_rows(file, selected)
        return selected

    def _coded(self, names: Sequence[str], text: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the columns that become codes, without their values: text, and what is given as categories."""
        given = {name for name, kind in (self.kinds or {}).items() if kind == "category"}
        return dict.fromkeys((name for name in names if name in given or name in text), ())


def _refuse_empty_columns(file: TableFile, selected: Selected) -> None:
    numeric, categories, rows = selected.numeric, selected.categories, selected.rows
    if not rows.total:
        raise UserError(f"{file.label} names its columns and has no row: add some.")
    texts = [*categories.items(), *(selected.codes or {}).items()]
    if unsafe := [name for name, values in texts if any("${" in value for value in values)]:
        raise UserError(
            f"column {names_of(unsafe)} of {file.label} has a value with ${{, which no config may hold: rename it."
        )
    missing = [name for name, count in zip(numeric, rows.missing_D, strict=True) if count == rows.total]
    if missing := [*missing, *(name for name, values in (selected.codes or {}).items() if not values)]:
        raise UserError(f"column {names_of(missing)} of {file.label} has no value: {typed('data.drop', missing)}.")


def _refuse_few_rows(file: TableFile, selected: Selected) -> None:
    numeric, rows = selected.numeric, selected.rows
    if 2 * len(rows.skipped) > rows.total:
        worst = numeric[int(rows.missing_D.argmax())] if numeric and rows.missing_D.any() else None
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
