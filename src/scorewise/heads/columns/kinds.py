"""The kinds of columns by name, and the laws of a table's columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from scorewise.errors import names_of
from scorewise.heads.columns.categories import Categories
from scorewise.heads.columns.column_kind import ColumnKind
from scorewise.heads.columns.law import ColumnLaw
from scorewise.heads.columns.maps import IdentityMap, Logarithm, Logit
from scorewise.heads.columns.mixture import MappedMixture
from scorewise.heads.columns.spiked import Spiked
from scorewise.heads.columns.whole import WholeNumbers

LawOf = Callable[[Sequence[ColumnKind], int, float], ColumnLaw]
"""Makes the law of columns of one kind, with so many components and a floor of densities."""
KINDS: Mapping[str, LawOf] = {
    "continuous": lambda columns, components, floor: MappedMixture(columns, components, IdentityMap(columns), floor),
    "positive": lambda columns, components, floor: MappedMixture(columns, components, Logarithm(columns), floor),
    "bounded": lambda columns, components, floor: MappedMixture(columns, components, Logit(columns), floor),
    "whole": lambda columns, components, _: WholeNumbers(columns, components),
    "category": lambda columns, *_: Categories(columns),
    "boolean": lambda columns, *_: Categories(columns),
}


class KindGroup(NamedTuple):
    """Columns of one kind.

    Args:
        places: of the columns in a row.
        law: theirs.
    """

    places: tuple[int, ...]
    law: ColumnLaw


def law_of(columns: Sequence[ColumnKind], components: int, floor: float = 0.0) -> ColumnLaw:
    """Return the law of columns of one kind, all with spikes or none.

    Raises:
        ValueError: there is no such kind, or a column lacks what its kind needs.
    """
    kind = columns[0].kind
    if kind not in KINDS:
        raise ValueError(f"a column has kind={kind}, which is none of {names_of(KINDS)}")
    law = KINDS[kind](columns, components, floor)
    return Spiked(columns, law) if columns[0].spikes else law


def groups_of(columns: Sequence[ColumnKind], components: int, floor: float = 0.0) -> list[KindGroup]:
    """Return the columns of a row by their kind.

    Raises:
        ValueError: see `law_of`.
    """
    places: dict[tuple[str, bool], list[int]] = {}
    for place, column in enumerate(columns):
        places.setdefault((column.kind, bool(column.spikes)), []).append(place)
    return [
        KindGroup(tuple(some), law_of([columns[place] for place in some], components, floor))
        for some in places.values()
    ]
