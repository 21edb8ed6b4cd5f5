"""The probability flow of a joint score, from the largest noise level to the smallest."""

import itertools
import math
from typing import Annotated

from torch import Generator, Tensor

from scorewise.capabilities import NoisyScoreModel
from scorewise.capabilities.roles import JointNoisyScore
from scorewise.noise import karras_ladder, normal_like
from scorewise.ranges import AtLeast, Count, PositiveNumber, within_ranges
from scorewise.sampling.blockwise import heun

MOST_RAISED = math.sqrt(2) - 1
"""By which share a level is raised at most before a stochastic step (Karras et al. 2022, algorithm 2)."""


class ProbabilityFlow:
    """Heun steps of the probability flow dx/dsigma = - sigma s(x, sigma) (Karras et al. 2022, algorithms 1 and 2).

    Two evaluations of the score a step, so a few dozen in all; Langevin dynamics takes hundreds. The levels are even
    in sigma^(1/rho). With churn, a level is first raised by the share churn / steps, with fresh noise, which undoes
    errors of earlier steps; without, the same start gives the same example.

    A returned sample is of the law at the smallest level, with `tweedie` for a denoised copy.

    Args:
        steps: Heun steps.
        rho: of the levels.
        churn: how much noise is put back over all steps, in relative levels; 0 for the flow itself.

    Example:
        >>> from scorewise.backbones import NoisyMLP
        >>> from scorewise.heads import NoisyScore
        >>> from scorewise.sampling import ProbabilityFlow
        >>> model = NoisyScore(NoisyMLP((2,), 1, (16,)), levels=(1.0, 0.5, 0.3), noise=0.3)
        >>> model.sampler = ProbabilityFlow(steps=5)
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (NoisyScoreModel,)

    @within_ranges
    def __init__(self, steps: Count = 17, rho: PositiveNumber = 7.0, churn: Annotated[float, AtLeast(0)] = 0.0) -> None:
        self.steps, self.rho, self.churn = steps, rho, churn

    def draw(self, model: JointNoisyScore, n: int, generator: Generator | None) -> Tensor:
        """Return n examples (n, D), started from a Gaussian with the moments of the data at the largest level."""

        def slope(q_BD: Tensor, level: float) -> Tensor:
            return -level * model.noisy_score(q_BD, q_BD.new_full((n,), level)).detach()

        ladder = karras_ladder(model.levels[0], model.levels[-1], self.steps + 1, self.rho)
        x_BD = model.mean.expand(n, model.dims).clone()
        start = (model.scale**2 - model.noise**2 + ladder[0] ** 2).sqrt()
        x_BD = x_BD + start * normal_like(x_BD, generator)
        share = min(self.churn / self.steps, MOST_RAISED)
        for high, low in itertools.pairwise(ladder):
            raised = min(high * (1 + share), ladder[0])  # no further than the model was trained
            if raised > high:
                x_BD = x_BD + math.sqrt(raised**2 - high**2) * normal_like(x_BD, generator)
            x_BD = heun(slope, x_BD, raised, low)
        return x_BD
