"""Exact score matching (Hyvarinen 2005)."""

from typing import Any

from torch import Tensor

from scorewise.gradients import exact_trace
from scorewise.noise import Draws
from scorewise.objectives.objective import FieldObjective, score_gain


class SM(FieldObjective):
    """This is implicit score matching, J of section 2.2 of Autoregressive Score Matching: |s|^2 / 2 + tr(ds/dx).

    The trace takes D backward passes. On conditional scores the Jacobian is triangular and the value is J_CSM.
    """

    differentiates_query = True
    differentiates_backbone = True

    def per_example(self, model: Any, x_BD: Tensor, draws: Draws) -> Tensor:
        """This is J of every example, shape (B,)."""
        s_BD, trace_B = exact_trace(self.field_of(model), x_BD)
        return 0.5 * s_BD.square().sum(-1) + trace_B

    def gain(self, model: Any) -> float:
        """This is sigma^2 of the smoothed law."""
        return score_gain(model)
