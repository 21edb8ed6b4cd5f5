"""Likelihood of noise-conditional models by the probability flow of every conditional."""

import itertools
import math
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from scorewise.capabilities import NoisyConditionalScoreModel
from scorewise.capabilities.roles import CausalLadder
from scorewise.likelihood.conditionals import Conditionals
from scorewise.likelihood.likelihood import Likelihood, Share, Values
from scorewise.likelihood.panels import Panels
from scorewise.likelihood.quadrature import AT_ONCE
from scorewise.likelihood.scores_at_levels import ScoresAtLevels
from scorewise.noise import geometric_ladder
from scorewise.ranges import AtLeast, Count, within_ranges

WIDE = 6.0
"""How many standard deviations of the law at the largest level its panels cover on each side."""


class FlowODE(Likelihood[CausalLadder]):
    """Likelihood by the flow dx/dsigma = - sigma s(x, sigma) of each conditional (Song et al. 2021, eq. 13, 39).

    Heun steps in log sigma carry x_d from the smallest level to the largest, where q is normalised by quadrature. The
    derivative of the discrete map itself is carried along, so the result is the density of that map's inverse, which is
    normalised where every step is increasing. Where one is not, steps are halved, three times at most.

    Args:
        steps: Heun steps; two evaluations of the head each, with their derivatives.
        panels, order: of the quadrature at the largest level; None: panels twice as wide as that level.
        largest_tail, values: see `Likelihood`; the range is that of the panels at the largest level.

    Raises:
        ValueError: no step, or settings that are no quadrature rule.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> from scorewise.likelihood import FlowODE
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> model.likelihood = FlowODE(steps=8)
        >>> model.log_prob(x).shape
        torch.Size([5])
    """

    needs = (NoisyConditionalScoreModel,)

    @within_ranges
    def __init__(
        self,
        steps: Count = 32,
        panels: Count | None = None,
        order: Annotated[int, AtLeast(2)] = 8,
        largest_tail: Share = 1e-4,
        values: Values = 2_000_000,
    ) -> None:
        super().__init__(largest_tail, values)
        Panels(0.0, 1.0, 1 if panels is None else panels, order)
        self.steps, self.panels, self.order = steps, panels, order

    def describe(self, model: CausalLadder) -> str:
        """Return the steps of the flow."""
        return f"by the probability flow of every conditional, {self.steps} Heun steps"

    def top(self, model: CausalLadder, c_RF: Tensor, finer: float = 1) -> Conditionals:
        """Return the normalised conditionals of R contexts at the largest level, by `finer` times the panels."""
        level = model.levels[0]
        half = WIDE * math.hypot(model.std, level)
        count = math.ceil((self.panels or max(4, math.ceil(half / level))) * finer)
        low = model.mean.to(torch.float64) - half
        score = partial(ScoresAtLevels(model, c_RF).at_nodes, level=level)
        return Conditionals.of_score(Panels(low, 2 * half, count, self.order), score, level)

    def why(self, model: CausalLadder) -> str:
        """Return why conditionals with much mass outside the range, or without any, have no likelihood."""
        half = WIDE * math.hypot(model.std, model.levels[0])
        low, high = float(model.mean) - half, float(model.mean) + half
        return (
            f"lies outside [{low:g}, {high:g}] at the largest level, above likelihood.largest_tail="
            f"{self.largest_tail:g}, or is folded by the flow even in steps of an eighth of likelihood.steps="
            f"{self.steps}, so this model has no likelihood to report; train it longer, or take more steps"
        )

    def of_contexts(self, model: CausalLadder, x_BD: Tensor, c_BDF: Tensor, finer: float) -> tuple[Tensor, Tensor]:
        """Return log q(x_d | c_d) and the mass outside the range at the largest level, both (B, D); no gradient."""
        with torch.no_grad():
            rows = zip(c_BDF.flatten(0, 1).split(AT_ONCE // 8), x_BD.flatten().split(AT_ONCE // 8), strict=True)
            parts = [self._of_rows(model, x_r, c_rF, finer) for c_rF, x_r in rows]
        log_q_R, outside_R = (torch.cat(part) for part in zip(*parts, strict=True))
        return log_q_R.reshape(x_BD.shape).to(x_BD.dtype), outside_R.reshape(x_BD.shape)

    def _of_rows(self, model: CausalLadder, x_R: Tensor, c_RF: Tensor, finer: float) -> tuple[Tensor, Tensor]:
        steps = math.ceil(self.steps * finer)
        y_R, slope_R = _carried(model, c_RF, x_R, steps)
        for halved in (2, 4, 8):
            folded_R = slope_R.isnan()
            if not bool(folded_R.any()):
                break
            y_R[folded_R], slope_R[folded_R] = _carried(model, c_RF[folded_R], x_R[folded_R], halved * steps)
        top = self.top(model, c_RF, finer)
        outside_R = torch.where(slope_R.isnan(), torch.nan, top.outside())
        return top.log_density(y_R) + slope_R.log(), outside_R

    def quantile(self, model: CausalLadder, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the x_d with q(y_d < x_d | c_d) = u_d, up to the error of the steps, shape (B, D)."""
        with torch.no_grad(), torch.autocast(c_BDF.device.type, enabled=False):
            c_RF = c_BDF.flatten(0, 1)
            rows = zip(c_RF.split(AT_ONCE // 8), u_BD.flatten().split(AT_ONCE // 8), strict=True)
            x_R = torch.cat([self._down(model, u_r, c_rF) for c_rF, u_r in rows])
        return x_R.reshape(u_BD.shape)

    def _down(self, model: CausalLadder, u_R: Tensor, c_RF: Tensor) -> Tensor:
        top = self.top(model, c_RF)
        self.tell(model, top.outside())
        x_R = top.quantile(u_R).to(c_RF.dtype)
        scores = ScoresAtLevels(model, c_RF)
        for high, low in itertools.pairwise(geometric_ladder(model.levels[0], model.levels[-1], self.steps + 1)):
            h = math.log(low / high)
            k1_R = -(high**2) * scores(x_R, high)
            k2_R = -(low**2) * scores(x_R + h * k1_R, low)
            x_R = x_R + 0.5 * h * (k1_R + k2_R)
        return x_R


def _carried(model: CausalLadder, c_RF: Tensor, x_R: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return x at the largest level and the slope of that map, NaN where a step is not increasing, shape (R,)."""
    scores, slope_R = ScoresAtLevels(model, c_RF), torch.ones_like(x_R, dtype=torch.float64)
    ladder = geometric_ladder(model.levels[0], model.levels[-1], steps + 1)[::-1]
    for low, high in itertools.pairwise(ladder):
        x_R, factor_R = _heun(scores, x_R, low, high)
        slope_R = slope_R * torch.where(factor_R > 0, factor_R, torch.nan)
    return x_R, slope_R


def _heun(scores: ScoresAtLevels, x_R: Tensor, start: float, end: float) -> tuple[Tensor, Tensor]:
    """Return one Heun step of dx/dlog sigma = - sigma^2 s, and its derivative in x, in double precision."""
    h = math.log(end / start)
    k1_R, d1_R = (-(start**2) * part_R for part_R in scores.with_slope(x_R, start))
    k2_R, d2_R = (-(end**2) * part_R for part_R in scores.with_slope(x_R + h * k1_R, end))
    d1_R, d2_R = d1_R.to(torch.float64), d2_R.to(torch.float64)
    return x_R + 0.5 * h * (k1_R + k2_R), 1 + 0.5 * h * (d1_R + d2_R * (1 + h * d1_R))
