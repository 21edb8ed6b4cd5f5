"""Laws of the columns of a table, one per kind: what `ByColumn` is made of."""

from scorewise.heads.columns.categories import Categories
from scorewise.heads.columns.cells import RowCells
from scorewise.heads.columns.column_kind import ColumnKind
from scorewise.heads.columns.gaussians import Gaussians
from scorewise.heads.columns.kinds import KINDS, KindGroup, groups_of, law_of
from scorewise.heads.columns.law import IMPOSSIBLE, ColumnLaw, Distribution
from scorewise.heads.columns.laws import ColumnLaws, numbered
from scorewise.heads.columns.mixture import MappedMixture
from scorewise.heads.columns.spiked import Spiked
from scorewise.heads.columns.whole import WholeNumbers

__all__ = [
    "IMPOSSIBLE",
    "KINDS",
    "Categories",
    "ColumnKind",
    "ColumnLaw",
    "ColumnLaws",
    "Distribution",
    "Gaussians",
    "KindGroup",
    "MappedMixture",
    "RowCells",
    "Spiked",
    "WholeNumbers",
    "groups_of",
    "law_of",
    "numbered",
]
