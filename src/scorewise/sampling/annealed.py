"""Exact draws from level to level, one dimension after the other."""

import itertools
import math
from typing import Annotated

import torch
from torch import Generator, Tensor

from scorewise.capabilities import NoisyConditionalScoreModel
from scorewise.capabilities.roles import CausalLadder
from scorewise.likelihood.conditionals import Conditionals
from scorewise.likelihood.flow_ode import FlowODE
from scorewise.likelihood.panels import Panels
from scorewise.likelihood.scores_at_levels import ScoresAtLevels
from scorewise.noise import geometric_ladder, uniform_like
from scorewise.ranges import AtLeast, Count, within_ranges
from scorewise.sampling.ancestral import Ancestral


class Annealed(Ancestral[CausalLadder]):
    """Exact draws down the ladder of noise levels, by quadrature.

    y_K ~ q_K, then y_k ~ q_k(y) N(y_k+1; y, sigma_k+1^2 - sigma_k^2).

    Each step removes noise by the exact posterior of the model's own law at that level, of which only the score near
    y_k+1 is used, so the weights of separated modes come from the large levels, where they are learned.

    Args:
        levels: rungs of the ladder that is gone down; None: the model's own.
        panels: of 8 nodes on y_k+1 +- 6 standard deviations of the noise that is removed, at least; none is wider than
            two noise levels of y_k.

    Raises:
        ValueError: fewer than one panel, or one level.

    Example:
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> from scorewise.sampling import Annealed
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> model.sampler = Annealed()
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (NoisyConditionalScoreModel,)
    REACH = 6.0

    @within_ranges
    def __init__(self, levels: Annotated[int, AtLeast(2)] | None = None, panels: Count = 4) -> None:
        self.levels, self.panels = levels, panels

    def draw_block(self, model: CausalLadder, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return one draw per context from the law with the smallest noise, shape (n, block)."""
        c_RF = c_BDF.flatten(0, 1)
        ladder = geometric_ladder(model.levels[0], model.levels[-1], self.levels or len(model.levels))
        rule = FlowODE()
        top = rule.top(model, c_RF)
        rule.tell(model, top.outside())
        z_R = top.quantile(uniform_like(c_RF[:, 0], generator))
        scores = ScoresAtLevels(model, c_RF)
        for high, low in itertools.pairwise(ladder):
            spread = math.sqrt(high**2 - low**2)
            z_R = self._posterior(scores, z_R, low, spread).quantile(uniform_like(c_RF[:, 0], generator))
        return z_R.to(c_BDF.dtype).reshape(c_BDF.shape[:2])

    def _posterior(self, scores: ScoresAtLevels, z_R: Tensor, level: float, spread: float) -> Conditionals:
        """Return q_level(y) N(z; y, spread^2), normalised over y."""

        def score(q_GR: Tensor) -> Tensor:
            s_GR = scores.at_nodes(q_GR, level)
            return s_GR.to(torch.float64) - (q_GR - z_R) / spread**2

        count = max(self.panels, math.ceil(self.REACH * spread / level))
        panels = Panels(z_R - self.REACH * spread, 2 * self.REACH * spread, count)
        # Beyond, as if the law were a Gaussian as wide as its noise: exact for the nearest mode.
        return Conditionals.of_score(panels, score, level * spread / math.hypot(level, spread))
