"""Single values that are so far from the others of their column that they set its scale."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from scorewise.errors import printable

CODES = (-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0)
"""Numbers that programs write for a missing value."""
FILLS, ROUNDED = (1e20, 9.96921e36, 3.40282e38), 1e-3
"""Others, with either sign, and how far rounding takes them apart."""
FAR = 10.0
"""A value is far that is so many interquartile ranges away from the median."""


class FarValue(NamedTuple):
    """The value of a column that is farthest from its median, where it hides the others.

    Args:
        column: its place.
        row: the place of the row.
        value: in the column's own units.
        noise: standard deviation of the smoothing, in these units.
        width: the interquartile range; where that is 0, of the other distinct values.
    """

    column: int
    row: int
    value: float
    noise: float
    width: float

    @property
    def is_code(self) -> bool:
        """Whether the value is likely to be a code for a missing one."""
        size = abs(self.value)
        return self.value in CODES or any(abs(size - code) <= ROUNDED * code for code in FILLS)

    @property
    def hides(self) -> bool:
        """Whether the smoothing hides the others; of two values neither hides the other."""
        return self.noise > self.width > 0

    def sentence(self, column: str, row: str) -> str:
        """Return what is wrong with the column, as one sentence.

        Args:
            column: its name.
            row: the row's number.
        """
        smoothing = f": the smoothing, {self.noise:.3g}, hides the others, half of which lie within {self.width:.3g}"
        code = f"; {self.value:.6g} is a usual code for a missing value, so leave such cells blank"
        ending = (smoothing if self.hides else "") + (code if self.is_code else "; if it is an error, leave it out")
        return f"column {printable(column)} has {self.value:.6g} in row {row}{ending}."


def far_values(raw_ND: Tensor, scale_D: Tensor, smoothing: float, columns: Sequence[int]) -> list[FarValue]:
    """Return the far values that hide the others of their column under the smoothing, or are codes; one per column.

    Args:
        raw_ND: training rows, float64, in the columns' own units; NaN where a cell is missing.
        scale_D: standard deviations of the columns.
        smoothing: standard deviation of the noise, in those of the columns.
        columns: places of the columns of numbers.
    """
    found = []
    for d in columns:
        there_N = (~raw_ND[:, d].isnan()).nonzero()[:, 0]
        x_N = raw_ND[there_N, d]
        away_N = 0.5 * x_N - 0.5 * x_N.median()  # the difference itself may be too large
        place = int(away_N.abs().argmax())
        width = _width(x_N, x_N[place])
        one = FarValue(d, int(there_N[place]), float(x_N[place]), smoothing * float(scale_D[d]), width)
        if float(away_N[place].abs()) > 0.5 * FAR * width and (one.hides or one.is_code):
            found.append(one)
    return found


def _width(x_N: Tensor, farthest: Tensor) -> float:
    """Return the interquartile range, of the other distinct values than the farthest where more than half are equal."""
    others = x_N[x_N != farthest].unique()
    for values in (x_N, others if len(others) else x_N):
        ordered = values.sort().values
        count = len(ordered)
        width = float(ordered[(3 * count) // 4 if count > 1 else 0] - ordered[count // 4])
        if width > 0:
            break
    return width
