"""Halving the panels of the conditionals that a quadrature does not resolve, and of no others."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

TOLERANCE = 1e-4
"""Nats of log q, and of the distribution function, to which panels and their halves must agree."""
HALVINGS = 6
"""How often panels are halved."""
ROUGH = 100 * TOLERANCE
"""Doubt about panels that agree with others by accident only."""


class Found(NamedTuple):
    """What one rule says of R conditionals.

    Attributes:
        value_R: log q(x), or the quantile.
        outside_R: mass outside the range; NaN: not resolved.
        doubt_R: about how wrong the value is, see `Conditionals.doubt`.
        moved_R: by how much it differs from the value by half as many panels.
    """

    value_R: Tensor
    outside_R: Tensor
    doubt_R: Tensor
    moved_R: Tensor


Rule = Callable[[Tensor | None, float, Tensor | None], Found]
"""From rows (None: all), the factor of the panels, and the values by half as many (None: not known)."""


def refined(rule: Rule, finer: float) -> tuple[Tensor, Tensor]:
    """Return values and masses outside the range, both (R,), by as many panels as every row needs.

    Rows that are smooth keep what the first rule says. Rows in doubt are asked by twice the panels, until these agree
    with what was said before. Where that is never so, the mass outside is NaN.

    Args:
        rule: what a number of panels says.
        finer: factor of the panels to begin with.
    """
    value_R, outside_R, doubt_R, _ = rule(None, finer, None)
    open_R = (doubt_R > TOLERANCE).nonzero().squeeze(-1)
    for _ in range(HALVINGS):
        if not len(open_R):
            return value_R, outside_R
        finer = 2 * finer
        new = rule(open_R, finer, value_R[open_R].detach())
        wrong_R = ~((new.moved_R <= TOLERANCE) & (new.doubt_R <= ROUGH))
        open_R = open_R[wrong_R]
        value_R = value_R.index_put((open_R,), new.value_R[wrong_R])
        outside_R = outside_R.index_put((open_R,), new.outside_R[wrong_R])
    return value_R, outside_R.index_fill(0, open_R, torch.nan)
