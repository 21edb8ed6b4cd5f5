"""Curves of what is too costly to measure on every example at every validation."""

import math
from typing import NamedTuple

from torch import Tensor

from scorewise.tasks.measures import Measure

SCORES, CONDITIONALS = 65_536, 2_048
"""Over all dimensions of the examples: scores of one measurement, and conditionals that a quadrature normalises."""
FEWEST, MOST = 16, 128
"""Examples of a glimpse."""


def first_examples(values: int, dims: int) -> int:
    """Return how many examples of D dimensions a glimpse is of that may cost so many values."""
    return min(MOST, max(FEWEST, values // dims))


class Glimpse(NamedTuple):
    """A measure of the first examples of the validation split: the same ones, with the same noise, in every run.

    Args:
        measure: of them, which may be no number early in training.
        first: how many examples.
        times: at about how many validations of a run, the last one included; None for every one.
    """

    measure: Measure
    first: int
    times: int | None = None

    def due(self, epoch: int, epochs: float) -> bool:
        """Return whether it is measured after so many epochs, of so many in all."""
        if self.times is None or math.isinf(epochs):
            return True
        every = max(1, math.ceil(epochs / self.times))
        return epoch % every == 0 or epoch >= epochs

    def of(self, x_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Return the numbers of those of a batch that are among the first examples, by name, none where none is."""
        first_BD = x_BD[(index_B < self.first)[: len(x_BD)]]
        return self.measure.of(first_BD) if len(first_BD) else {}
