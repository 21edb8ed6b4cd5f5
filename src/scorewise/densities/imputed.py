"""Rows with their missing cells filled in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from scorewise.densities.table_density import Array


@final
@dataclass(frozen=True)
class Imputed:
    """What a density says of the missing cells of some rows, given the observed ones.

    Args:
        draws: the rows completed, several times, as they were handed in; the cells of a row belong together.
        mean, low, high: of every missing number, the mean of the draws and the ends of the central interval of 90 %,
            in the shape of the rows; NaN elsewhere, and of categories.

    Example:
        >>> import numpy as np
        >>> from scorewise.densities import ScoreDensity
        >>> x = np.random.default_rng(0).normal(size=(200, 2))
        >>> x[::4, 1] = np.nan
        >>> found = ScoreDensity(steps=20, random_state=0).fit(x).impute(x[:4], draws=3)
        >>> len(found.draws), bool(np.isnan(found.draws[0]).any()), np.isnan(found.low).sum().item()
        (3, False, 7)
    """

    draws: Sequence[Any]
    mean: Any
    low: Any
    high: Any

    @classmethod
    def of(
        cls, given_ND: Array, drawn: Sequence[Array], ends: Sequence[Array], as_given: Callable[[Array], Any]
    ) -> "Imputed":
        """Return what was drawn for the missing cells of rows.

        Args:
            given_ND: the rows.
            drawn: them completed.
            ends: of the intervals, the low one first, NaN of categories.
            as_given: from completed rows to the kind of table that was handed in.
        """
        filled_ND = np.isnan(given_ND) & ~np.isnan(ends[0])
        numbers = [np.where(filled_ND, x_ND, np.nan) for x_ND in (np.mean(drawn, 0), *ends)]
        return cls([as_given(x_ND) for x_ND in drawn], *numbers)
