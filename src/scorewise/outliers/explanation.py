"""How odd rows are, which of their cells, and what was expected there."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from scorewise.errors import printable
from scorewise.files import plain, shortest, write
from scorewise.outliers.cells import CellFindings
from scorewise.outliers.conformal import false_discovery_rates

DIGITS = 6
"""Of numbers in the tables, at least."""
SHOWN = 4
"""Of numbers on the page, at least."""
MOST = 15
"""That a float has."""
MISSING = "missing"
"""How a missing cell is shown."""


@dataclass(frozen=True)
class Explanation:
    """Rows that were looked at by a density.

    Args:
        rows: their names.
        columns: names of the columns.
        score_B: outlier scores, larger means odder.
        p_B: p-values of these, see `conformal_p_values`.
        cells: what was found and expected in every cell, in the units that are to be shown.
        labels: of the categories of a column, by the place of the column; a number is shown as it is.
        judged_N: p-values of all rows that were judged and that these are some of; None: not known, and then there is
            no false discovery rate, because rows that were chosen for their oddness have none of their own.

    Raises:
        ValueError: these are no p-values, or there are none.

    Example:
        >>> import torch
        >>> from scorewise.estimators import GaussianRows
        >>> from scorewise.outliers import CellFindings, Explanation
        >>> x = torch.tensor([[0.1, 0.2], [2.0, 0.0]])
        >>> density = GaussianRows(torch.zeros(2), torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
        >>> cells = CellFindings.of(density, x)
        >>> found = Explanation(["one", "two"], ["a", "b"], -density.log_prob(x), torch.tensor([0.5, 0.01]), cells)
        >>> found.oddest(1)
        [1]
    """

    rows: Sequence[str]
    columns: Sequence[str]
    score_B: Tensor
    p_B: Tensor
    cells: CellFindings
    labels: Mapping[int, Sequence[str]] = field(default_factory=dict)
    judged_N: Tensor | None = None

    def __post_init__(self) -> None:
        if self.judged_N is not None:
            if self.judged_N.ndim != 1 or not len(self.judged_N):
                raise ValueError(
                    f"judged has shape {list(self.judged_N.shape)}: give one p-value of every row that was judged"
                )
            false_discovery_rates(self.judged_N)

    @property
    def rate_B(self) -> Tensor:
        """The least false discovery rate at which a row is on the list of all that were judged; NaN: not known."""
        if self.judged_N is None:
            return torch.full_like(self.p_B, math.nan)
        ordered_N, order = self.judged_N.sort()
        place_B = torch.searchsorted(ordered_N, self.p_B.to(ordered_N).contiguous()).clamp(max=len(ordered_N) - 1)
        return false_discovery_rates(self.judged_N)[order][place_B]

    def listed(self, rate: float) -> int | None:
        """Return how many of all rows that were judged are on the list at a false discovery rate; None: not known."""
        return None if self.judged_N is None else int((false_discovery_rates(self.judged_N) <= rate).sum())

    def oddest(self, most: int) -> list[int]:
        """Return the places of the rows with the largest scores, the oddest first."""
        return [int(place) for place in self.score_B.argsort(descending=True)[:most]]

    def shown(self, value: float, column: int) -> str:
        """Return a value as text: the label of a category, else a number."""
        if math.isnan(value):
            return MISSING
        labels = self.labels.get(column)
        if labels is None:
            return plain(value, self._digits(value, column, SHOWN))
        return labels[min(max(round(value), 0), len(labels) - 1)]

    @cached_property
    def _widths(self) -> list[float]:
        """The width of the narrowest interval of every column; infinite where there is none."""
        width_BD = (self.cells.high_BD - self.cells.low_BD).double()
        width_BD = width_BD.masked_fill(~((width_BD > 0) & width_BD.isfinite()), math.inf)
        widths: list[float] = width_BD.amin(0).tolist()
        return widths

    def _digits(self, value: float, column: int, least: int) -> int:
        """Return how many digits a number of a column needs, so that so many of its narrowest interval are seen."""
        width = self._widths[column]
        if not value or not math.isfinite(value) or not math.isfinite(width):
            return least
        before = math.floor(math.log10(abs(value))) - math.floor(math.log10(width))
        return min(least + max(before, 0), MOST)

    def write_rows(self, path: Path) -> None:
        """Write name, score, p-value and false discovery rate (empty where not known) of every row, in their order."""
        header = ("name", "outlier_score", "p_value", "false_discovery_rate")
        rates = ["" if math.isnan(rate) else rate for rate in self.rate_B.tolist()]
        numbers = (self.score_B.double().tolist(), self.p_B.double().tolist(), rates)
        write(path, header, zip(map(printable, self.rows), *numbers, strict=True), digits=DIGITS)

    def write_cells(self, path: Path) -> None:
        """Write a line per cell: what was found and expected, the ends of the interval, p-value and share."""
        header = ("name", "column", "found", "expected", "low", "high", "p_value", "share")
        lines = (
            (printable(name), printable(column), *self._line(row, d))
            for row, name in enumerate(self.rows)
            for d, column in enumerate(self.columns)
        )
        write(path, header, lines)

    def _line(self, row: int, column: int) -> list[str | float]:
        """Return the entries of a cell: labels for categories, nothing for what a missing cell does not have."""
        cells = self.cells
        values = [float(x_BD[row, column]) for x_BD in (cells.found_BD, cells.expected_BD, cells.low_BD, cells.high_BD)]
        numbers = [float(x_BD[row, column]) for x_BD in (cells.p_BD, cells.share_BD)]
        of_column = [
            self.shown(value, column)
            if column in self.labels
            else shortest(float(plain(value, self._digits(value, column, DIGITS))))
            for value in values
        ]
        of_cell = [float(plain(number, DIGITS)) for number in numbers]
        given = zip([*values, *numbers], [*of_column, *of_cell], strict=True)
        return ["" if math.isnan(value) else text for value, text in given]
