"""Columns of several kinds: what a table says of them beside their scales."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self, final

import torch
from torch import Tensor

from scorewise.data.tabular.kinds import FoundKind, found_kind, given_kind

ROUNDING = 1e-6
"""How far a drawn number may be from the spike that it is, in scales of its column."""


@final
@dataclass(frozen=True)
class MixedColumns:
    """The kinds of the D numbers of a row.

    Args:
        codes: the categories of columns whose numbers are codes, from 0; they come after the numbers.
        kinds: of all D.
        given: names of the columns that are only read.
    """

    codes: Mapping[str, tuple[str, ...]]
    kinds: tuple[FoundKind, ...]
    given: tuple[str, ...]

    def cell(self, d: int, number: float, scale: float, words: Sequence[str] | None) -> float | int | str | None:
        """Return a number of column d as it stands in a table; None where it is as it is.

        Args:
            d: the column.
            number: in its own units, but for the rounding of single precision; NaN where it is missing.
            scale: of the column.
            words: its categories, None of a column of numbers.
        """
        if math.isnan(number):
            return ""
        if words is not None:
            code = round(number)
            return words[code] if 0 <= code < len(words) else ""
        kind = self.kinds[d]
        if kind.kind == "boolean":
            return round(number)
        if kind.kind != "whole":
            return next((spike for spike in kind.spikes if abs(number - spike) <= ROUNDING * scale), None)
        value = kind.first + kind.step * round((number - kind.first) / kind.step)
        return round(value) if float(kind.first).is_integer() and float(kind.step).is_integer() else round(value, 12)

    def sentences(self, names: Sequence[str]) -> dict[str, str]:
        """Return the kind of every column in words."""
        return {
            name: f"{kind.sentence()}{', only read' if name in self.given else ''}"
            for name, kind in zip(names, self.kinds, strict=True)
        }

    def recipe(self, names: Sequence[str], raw_ND: Tensor, mean: Sequence[float], scale: Sequence[float]) -> list[Any]:
        """Return the columns as a head reads them.

        Args:
            names: of all D.
            raw_ND: training rows, float64, in the columns' own units; NaN where a cell is missing.
            mean: of the columns.
            scale: likewise.
        """
        return [
            {**kind.recipe(raw_ND[:, d], mean[d], scale[d]), **({"given": True} if names[d] in self.given else {})}
            for d, kind in enumerate(self.kinds)
        ]

    def plain(self) -> dict[str, Any]:
        """Return this as plain lists and mappings, for a recipe."""
        return {
            "codes": [{"column": name, "values": list(values)} for name, values in self.codes.items()],
            "kinds": [{**asdict(kind), "spikes": list(kind.spikes)} for kind in self.kinds],
            "given": list(self.given),
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """Return the same from a recipe.

        Raises:
            TypeError, KeyError: the recipe is damaged.
        """
        kinds = ({**one, "spikes": tuple(map(float, one["spikes"]))} for one in plain["kinds"])
        codes = {str(one["column"]): tuple(map(str, one["values"])) for one in plain["codes"]}
        return cls(codes, tuple(FoundKind(**one) for one in kinds), tuple(map(str, plain["given"])))


def kinds_of(
    names: Sequence[str],
    raw_ND: Tensor,
    codes: Mapping[str, tuple[str, ...]],
    given: Mapping[str, object],
) -> tuple[FoundKind, ...]:
    """Return the kinds of columns: as they are given, else by their values.

    Args:
        names: of all D.
        raw_ND: training rows, float64, NaN where a cell is missing.
        codes: the categories of columns whose numbers are codes.
        given: kinds by the name of the column.

    Raises:
        UserError: values are not of the kind that is given.
    """
    found = []
    for d, name in enumerate(names):
        if name in codes:
            levels = len(codes[name])
            because = "given" if name in given else f"{levels} values of text"
            found.append(FoundKind("boolean" if levels == 2 else "category", because, levels=levels))
        elif name in given:
            found.append(given_kind(name, given[name], raw_ND[:, d]))
        else:
            found.append(found_kind(raw_ND[:, d]))
    return tuple(found)


def of_codes(kinds: Sequence[FoundKind]) -> Tensor:
    """Return which columns hold codes, which are not standardised, boolean, shape (D,)."""
    return torch.tensor([kind.levels > 0 for kind in kinds])
