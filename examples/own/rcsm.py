"""An objective: composite score matching with a penalty on curvature (Kingma and LeCun 2010)."""

from torch import Tensor

from scorewise.capabilities import ConditionalScoreModel
from scorewise.capabilities.roles import ConditionalScores
from scorewise.gradients import elementwise_derivative
from scorewise.noise import Draws
from scorewise.objectives import Objective


class RegularisedCSM(Objective[ConditionalScores]):
    """CSM plus strength * (ds_d/dx_d)^2."""

    needs = (ConditionalScoreModel,)  # what a model must be able to do
    heads = ("conditional_score",)  # what head=auto tries, in order
    derivatives = 1  # of the scores in the loss, so heads with kinks are refused

    def __init__(self, strength: float = 0.01) -> None:
        self.strength = strength

    def per_example(self, model: ConditionalScores, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example, shape (B,)."""
        c_BDF = model.context(x_BD)
        s_BD, ds_BD = elementwise_derivative(lambda q_BD: model.conditional_score(q_BD, c_BDF), x_BD)
        return (0.5 * s_BD.square() + ds_BD + self.strength * ds_BD.square()).sum(-1)
