"""Maximum likelihood."""

from typing import Any

import torch
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

    def held_out(self, model: Any, x_BD: Tensor, draws: Draws) -> Tensor:
        """This is the same, shape (B,), early in training too, when a lifted density may not be reported yet."""
        # A likelihood refuses undecided tails only where no gradient is wanted; its value counts them either way.
        with torch.enable_grad():
            return self.per_example(model, x_BD, draws).detach()
