"""One-dimensional annealed Langevin dynamics, one dimension after the other."""

from torch import Generator, Tensor

from scorewise.capabilities import NoisyConditionalScoreModel
from scorewise.capabilities.roles import CausalLadder
from scorewise.likelihood.scores_at_levels import ScoresAtLevels
from scorewise.noise import normal_like
from scorewise.ranges import Count, PositiveNumber, within_ranges
from scorewise.sampling.ancestral import Ancestral


class AnnealedLangevin1d(Ancestral[CausalLadder]):
    """Annealed Langevin dynamics per dimension (AR-CSM, section 4.2; Song and Ermon 2019, algorithm 1).

    For each level from the largest to the smallest, steps of x <- x + a s + sqrt(2 a) z with a = step sigma^2; only
    the head runs inside. A step of .2 widens a conditional that is no wider than the noise by 5 %.

    Args:
        steps: steps per level and dimension.
        step: a in units of sigma^2.

    Example:
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> from scorewise.sampling import AnnealedLangevin1d
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> model.sampler = AnnealedLangevin1d(steps=5)
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (NoisyConditionalScoreModel,)

    @within_ranges
    def __init__(self, steps: Count = 30, step: PositiveNumber = 0.2) -> None:
        self.steps, self.step = steps, step

    def draw_block(self, model: CausalLadder, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return the end of one annealed chain per context, shape (n, block)."""
        q_BD = model.mean.expand(c_BDF.shape[:2]).clone()
        start: float = (model.std**2 + model.levels[0] ** 2) ** 0.5
        q_BD = q_BD + start * normal_like(q_BD, generator)
        score = ScoresAtLevels(model, c_BDF)
        for sigma in model.levels:
            a = self.step * sigma**2
            for _ in range(self.steps):
                q_BD = q_BD + a * score(q_BD, sigma) + (2 * a) ** 0.5 * normal_like(q_BD, generator)
        return q_BD
