"""Categories of a column of text, as numbers."""

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

CATEGORIES = 50
"""Values of a column that is turned into indicators, at most."""
WITHOUT_VALUE, NEW = -1, -2
"""Codes of a cell that is no category."""


@final
class Coder:
    """The codes of a column's categories.

    Args:
        name: of the column.
        known: its categories; where there are none yet, they are found in the cells.
    """

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        self.code = {value: i for i, value in enumerate(known)}

    def codes(self, cells: Sequence[str]) -> list[int]:
        """Return the code of every cell, or `WITHOUT_VALUE` or `NEW`."""
        if not self.known:
            for cell in dict.fromkeys(cells):
                if cell and not self.too_many:
                    self.code.setdefault(cell, len(self.code))
        return [self.code.get(cell, NEW) if cell else WITHOUT_VALUE for cell in cells]

    @property
    def too_many(self) -> bool:
        """Whether more categories were found than indicators are made for."""
        return not self.known and len(self.code) > CATEGORIES

    @property
    def values(self) -> tuple[str, ...]:
        """The categories: as they were given, else sorted."""
        return self.known or tuple(sorted(self.code))

    def codes_in_order(self, code_N: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the places of codes among `values`, NaN without a value, and one more than all of a new value."""
        place_K = np.full(len(self.code) + 2, float(len(self.code)))  # the last two places are those of -2 and -1
        place_K[[self.code[value] for value in self.values]] = np.arange(len(self.code))
        place_K[WITHOUT_VALUE] = np.nan
        found: NDArray[np.float64] = place_K[code_N]
        return found

    def indicators(self, code_N: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return 1 where a row is of a category and 0 elsewhere, shape (N, number of categories)."""
        wanted_K = np.array([self.code[value] for value in self.values])
        is_of_NK: NDArray[np.float64] = (code_N[:, None] == wanted_K).astype(np.float64)
        return is_of_NK
