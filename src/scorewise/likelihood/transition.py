"""Likelihood of noise-conditional models as the density of exact draws from level to level."""

import itertools
import math
from functools import partial
from typing import Annotated

import torch
from torch import Tensor

from scorewise.capabilities import NoisyConditionalScoreModel
from scorewise.capabilities.roles import CausalLadder
from scorewise.likelihood.conditionals import Conditionals
from scorewise.likelihood.flow_ode import WIDE, FlowODE
from scorewise.likelihood.panels import Panels
from scorewise.likelihood.scores_at_levels import ScoresAtLevels
from scorewise.noise import geometric_ladder
from scorewise.ranges import AtLeast, within_ranges

ENTRIES_AT_ONCE = 10_000_000
"""How many entries of the operator are held at once."""


class Transition:
    """The density of draws by `sampling.Annealed`.

    From level to level q_k(y) = int q_k+1(z) p_k(y) N(z; y, spread_k^2) / Z_k(z) dz.

    The operator from each level to the next is a dense matrix between the quadrature nodes of both, so it is a check
    of `FlowODE` for few examples of few dimensions. The two agree where the scores at all levels belong to one law.

    Args:
        levels: rungs of the ladder that is gone down; None: the model's own.
        order: nodes per panel; panels are as wide as the smaller of a level and of the noise that it removes.

    Raises:
        ValueError: fewer than two levels.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> from scorewise.likelihood import Transition
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> Transition(levels=3).log_prob(model, x[:1]).shape
        torch.Size([1])
    """

    needs = (NoisyConditionalScoreModel,)

    @within_ranges
    def __init__(self, levels: Annotated[int, AtLeast(2)] | None = None, order: int = 8) -> None:
        self.levels, self.order = levels, order

    def log_prob(self, model: CausalLadder, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,); no gradient flows."""
        return self.conditional_log_prob(model, x_BD).sum(-1)

    def conditional_log_prob(self, model: CausalLadder, x_BD: Tensor) -> Tensor:
        """Return log q(x_d | x_<d), shape (B, D)."""
        ladder = geometric_ladder(model.levels[0], model.levels[-1], self.levels or len(model.levels))
        rules = [self._panels(model, low, math.sqrt(high**2 - low**2)) for high, low in itertools.pairwise(ladder)]
        rows = max(1, ENTRIES_AT_ONCE // max(len(panels.nodes()) for panels in rules) ** 2)
        with torch.no_grad():
            c_RF = model.context(x_BD).flatten(0, 1)
            parts = zip(c_RF.split(rows), x_BD.flatten().split(rows), strict=True)
            log_q_R = torch.cat([self._of_rows(model, x_r, c_rF, ladder, rules) for c_rF, x_r in parts])
        return log_q_R.reshape(x_BD.shape).to(x_BD.dtype)

    def _panels(self, model: CausalLadder, level: float, spread: float) -> Panels:
        half = WIDE * math.hypot(model.std, level)
        return Panels(float(model.mean) - half, 2 * half, math.ceil(2 * half / min(level, spread)), self.order)

    def _of_rows(
        self, model: CausalLadder, x_R: Tensor, c_RF: Tensor, ladder: tuple[float, ...], rules: list[Panels]
    ) -> Tensor:
        above = FlowODE().top(model, c_RF, finer=4)
        z_G, log_w_G = above.panels.nodes()[:, 0], _log_weights(above.panels)
        log_q_RG = (above.energy_PmR.flatten(0, 1) - above.log_z_R).T
        score = ScoresAtLevels(model, c_RF).at_nodes
        for (high, low), panels in zip(itertools.pairwise(ladder), rules, strict=True):
            here = Conditionals.of_score(panels, partial(score, level=low), low)
            y_H, log_v_H = panels.nodes()[:, 0], _log_weights(panels)
            energy_RH, variance = here.energy_PmR.flatten(0, 1).T, high**2 - low**2
            kernel_GH = -0.5 * (z_G[:, None] - y_H).square() / variance
            log_z_RG = torch.logsumexp(kernel_GH + (energy_RH + log_v_H).unsqueeze(1), -1)
            from_RG = log_q_RG + log_w_G - log_z_RG
            if low == ladder[-1]:
                kernel_RG = -0.5 * (z_G - x_R.to(torch.float64).unsqueeze(-1)).square() / variance
                return here.energy(x_R.to(torch.float64)) + torch.logsumexp(from_RG + kernel_RG, -1)
            log_q_RG = energy_RH + torch.logsumexp(from_RG.unsqueeze(-1) + kernel_GH, 1)
            z_G, log_w_G = y_H, log_v_H
        raise AssertionError("a ladder has at least two levels")


def _log_weights(panels: Panels) -> Tensor:
    return (0.5 * panels.width * panels.w_m).log().repeat(panels.count)
