"""Maximum likelihood."""

from typing import Any

from torch import Tensor

from scorewise.capabilities import NormalisedDensity
from scorewise.noise import Draws
from scorewise.objectives.objective import Objective


class MLE(Objective):
    """This is the negative log-likelihood in nats."""

    needs = (NormalisedDensity,)
    heads = ("mixture",)
    reads_scores = False

    def per_example(self, model: Any, x_BD: Tensor, draws: Draws) -> Tensor:
        """This is - log q(x) of every example, shape (B,)."""
        log_q_B: Tensor = model.log_prob(x_BD)
        return -log_q_B
