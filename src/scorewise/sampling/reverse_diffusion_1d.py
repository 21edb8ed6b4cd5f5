"""One-dimensional reverse diffusion, one dimension after the other."""

import itertools
from typing import Annotated

from torch import Generator, Tensor

from scorewise.capabilities import NoisyConditionalScoreModel
from scorewise.capabilities.roles import CausalLadder
from scorewise.likelihood.scores_at_levels import ScoresAtLevels
from scorewise.noise import geometric_ladder, normal_like
from scorewise.ranges import Between, Count, Whole, within_ranges
from scorewise.sampling.ancestral import Ancestral
from scorewise.sampling.langevin import langevin
from scorewise.sampling.multistep import multistep


class ReverseDiffusion1d(Ancestral[CausalLadder]):
    """The reverse of adding noise, per dimension (ancestral sampling of Song et al. 2021, appendix F).

    From the largest level to the smallest in many small steps,
    x <- x + (sigma^2 - sigma'^2) s(x, sigma) + sqrt(sigma'^2 (sigma^2 - sigma'^2) / sigma^2) z.

    It starts with Langevin dynamics at the largest level, where a conditional has one mode and mixes fast. Below,
    unlike annealed Langevin dynamics, it does not wait for equilibrium: the weights of separated modes come from
    the large levels, where they are learned, and small levels add only what is local, so what score matching does not
    see there (the relative weight of modes far apart) does no harm. It asks for scores between the rungs, so train with
    objective.continuous=true.

    Args:
        steps: levels that it goes through, per dimension.
        settle: steps of Langevin dynamics at the largest level, each of a tenth of sigma^2.
        order: 1 for the steps above, 2 for those of `multistep`, of which 20 (settle=32) are nearly as good.

    Example:
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> from scorewise.sampling import ReverseDiffusion1d
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> model.sampler = ReverseDiffusion1d(steps=20, settle=5)
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (NoisyConditionalScoreModel,)

    @within_ranges
    def __init__(self, steps: Count = 200, settle: Whole = 50, order: Annotated[int, Between(1, 2)] = 1) -> None:
        self.steps, self.settle, self.order = steps, settle, order

    def draw_block(self, model: CausalLadder, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return one draw per context from the law with the smallest noise, shape (n, block)."""
        ladder = geometric_ladder(model.levels[0], model.levels[-1], self.steps + 1)
        q_BD = model.mean.expand(c_BDF.shape[:2]).clone()
        q_BD = q_BD + (model.std**2 + ladder[0] ** 2) ** 0.5 * normal_like(q_BD, generator)

        score = ScoresAtLevels(model, c_BDF)
        q_BD = langevin(lambda q: score(q, ladder[0]), q_BD, 0.1 * ladder[0] ** 2, self.settle, generator)
        if self.order == 2:
            return multistep(lambda q, level: q + level**2 * score(q, level), q_BD, ladder, 1.0, generator)
        for high, low in itertools.pairwise(ladder):
            removed = high**2 - low**2
            q_BD = q_BD + removed * score(q_BD, high) + low / high * removed**0.5 * normal_like(q_BD, generator)
        return q_BD
