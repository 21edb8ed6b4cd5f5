"""Composite score matching (Meng et al. 2020)."""

from typing import Any

from torch import Tensor

from scorewise.capabilities import ConditionalScoreModel
from scorewise.gradients import elementwise_derivative
from scorewise.noise import Draws
from scorewise.objectives.objective import Objective, score_gain


class CSM(Objective):
    """This is J_CSM, eq. 5 of Autoregressive Score Matching: sum_d s_d^2 / 2 + d s_d / d x_d.

    Its value is the composite Fisher divergence (eq. 3) up to a constant of the data. It has no minimum on
    data with repeated values and no noise.
    """

    needs = (ConditionalScoreModel,)
    heads = ("conditional_score",)
    differentiates_query = True

    def per_example(self, model: Any, x_BD: Tensor, draws: Draws) -> Tensor:
        """This is J_CSM of every example, shape (B,), summed over dimensions."""
        c_BDF = model.context(x_BD)
        s_BD, ds_BD = elementwise_derivative(lambda q_BD: model.conditional_score(q_BD, c_BDF), x_BD)
        return (0.5 * s_BD.square() + ds_BD).sum(-1)  # eq. 5

    def gain(self, model: Any) -> float:
        """This is sigma^2 of the smoothed law."""
        return score_gain(model)
