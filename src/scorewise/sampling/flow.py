"""Deterministic draws from noise-conditional models by the probability flow of every conditional."""

from torch import Generator, Tensor

from scorewise.capabilities import NoisyConditionalScoreModel
from scorewise.capabilities.roles import CausalLadder
from scorewise.likelihood.flow_ode import FlowODE
from scorewise.noise import uniform_like
from scorewise.ranges import Count, within_ranges
from scorewise.sampling.ancestral import Ancestral


class Flow(Ancestral[CausalLadder]):
    """An exact draw at the largest level, carried to the smallest by dx/dsigma = - sigma s(x, sigma).

    Args:
        steps: Heun steps per dimension, two evaluations of the head each.

    Example:
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> from scorewise.sampling import Flow
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> model.sampler = Flow(steps=8)
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (NoisyConditionalScoreModel,)

    @within_ranges
    def __init__(self, steps: Count = 32) -> None:
        self.steps = steps

    def draw_block(self, model: CausalLadder, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return one draw per context, shape (n, block)."""
        return FlowODE(self.steps).quantile(model, uniform_like(c_BDF[..., 0], generator), c_BDF)
