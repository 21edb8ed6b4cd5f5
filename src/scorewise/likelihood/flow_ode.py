"""Likelihood of noise-conditional models by the probability flow of every conditional."""

import itertools
import math
from typing import Any

import torch
from torch import Tensor

from scorewise.capabilities import NoisyConditionalScoreModel
from scorewise.gradients import elementwise_derivative
from scorewise.likelihood.conditionals import Conditionals
from scorewise.likelihood.panels import Panels
from scorewise.likelihood.quadrature import AT_ONCE
from scorewise.noise import geometric_ladder

WIDE = 6.0
"""How many standard deviations of the law at the largest level its panels cover on each side."""


class FlowODE:
    """This is log q(x) by the flow dx/dsigma = - sigma s(x, sigma) of each conditional (Song et al. 2021, eq. 13, 39).

    Heun steps in log sigma carry x_d from the smallest level to the largest, where q is normalised by quadrature. The
    derivative of the discrete map itself is carried along, so the result is the density of that map's inverse: it is
    normalised whatever the step, as far as the map is increasing, which is checked.

    Args:
        steps: Heun steps; two evaluations of the head each, with their derivatives.
        panels, order: of the quadrature at the largest level; None: as wide as that level.
        values: conditionals of held-out examples that a test normalises (examples times dimensions).

    Raises:
        ValueError: no step.
    """

    needs = (NoisyConditionalScoreModel,)

    def __init__(self, steps: int = 32, panels: int | None = None, order: int = 8, values: int = 2_000_000) -> None:
        if steps < 1:
            raise ValueError(f"likelihood.steps={steps} must be at least 1")
        self.steps, self.panels, self.order, self.values = steps, panels, order, values

    def describe(self, model: Any) -> str:
        """This is the steps of the flow."""
        return f"by the probability flow of every conditional, {self.steps} Heun steps"

    def top(self, model: Any, c_RF: Tensor, finer: int = 1) -> Conditionals:
        """This is the normalised conditionals at the largest level."""
        level = model.levels[0]
        half = WIDE * math.hypot(model.std, level)
        count = (self.panels or max(4, math.ceil(2 * half / level))) * finer
        low = model.mean.to(torch.float64) - half
        return Conditionals.of_score(Panels(low, 2 * half, count, self.order), _at(model, c_RF, level), level)

    def log_prob(self, model: Any, x_BD: Tensor) -> Tensor:
        """This is log q(x) in nats, shape (B,), of the law at the smallest level; no gradient flows."""
        return self.conditional_log_prob(model, x_BD).sum(-1)

    def conditional_log_prob(self, model: Any, x_BD: Tensor, finer: int = 1) -> Tensor:
        """This is log q(x_d | x_<d), shape (B, D).

        Raises:
            ValueError: a step is too long for the flow to stay increasing.
        """
        with torch.no_grad():
            c_RF = model.context(x_BD).flatten(0, 1)
            rows = zip(c_RF.split(AT_ONCE // 8), x_BD.flatten().split(AT_ONCE // 8), strict=True)
            log_q_R = torch.cat([self._of_rows(model, x_r, c_rF, finer) for c_rF, x_r in rows])
        return log_q_R.reshape(x_BD.shape).to(x_BD.dtype)

    def _of_rows(self, model: Any, x_R: Tensor, c_RF: Tensor, finer: int) -> Tensor:
        ladder = geometric_ladder(model.levels[0], model.levels[-1], self.steps * finer + 1)[::-1]
        slope_R = torch.ones_like(x_R, dtype=torch.float64)
        for low, high in itertools.pairwise(ladder):
            x_R, factor_R = _heun(model, c_RF, x_R, low, high, derivative=True)
            slope_R = slope_R * factor_R
        if not bool((slope_R > 0).all()):
            raise ValueError(
                f"likelihood.steps={self.steps} is too few: a step of the flow turns the line around; double it"
            )
        return self.top(model, c_RF, finer).log_density(x_R) + slope_R.log()

    def quantile(self, model: Any, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """This is the x_d with q(y_d < x_d | c_d) = u_d, up to the error of the steps, shape (B, D)."""
        with torch.no_grad():
            c_RF = c_BDF.flatten(0, 1)
            rows = zip(c_RF.split(AT_ONCE // 8), u_BD.flatten().split(AT_ONCE // 8), strict=True)
            x_R = torch.cat([self._down(model, u_r, c_rF) for c_rF, u_r in rows])
        return x_R.reshape(u_BD.shape)

    def _down(self, model: Any, u_R: Tensor, c_RF: Tensor) -> Tensor:
        x_R = self.top(model, c_RF).quantile(u_R).to(c_RF.dtype)
        ladder = geometric_ladder(model.levels[0], model.levels[-1], self.steps + 1)
        for high, low in itertools.pairwise(ladder):
            x_R, _ = _heun(model, c_RF, x_R, high, low, derivative=False)
        return x_R

    def numbers(self, model: Any, x_BD: Tensor) -> dict[str, Tensor]:
        """This is what a reported likelihood rests on: nll_quadrature_error, |log q| against twice the steps, (B,)."""
        coarse_BD = self.conditional_log_prob(model, x_BD)
        fine_BD = self.conditional_log_prob(model, x_BD, finer=2)
        return {"nll_quadrature_error": (coarse_BD - fine_BD).sum(-1).abs()}


def _at(model: Any, c_RF: Tensor, level: float) -> Any:
    """This is the conditional score at a level, for queries (G, R) or (G, 1)."""

    def score(q_GR: Tensor) -> Tensor:
        q_GR = q_GR.to(c_RF.dtype).expand(-1, len(c_RF))
        s_GR: Tensor = model.noisy_conditional_score(q_GR, c_RF, torch.full_like(q_GR, level))
        return s_GR

    return score


def _heun(model: Any, c_RF: Tensor, x_R: Tensor, start: float, end: float, derivative: bool) -> tuple[Tensor, Tensor]:
    """This is one Heun step of dx/dlog sigma = - sigma^2 s, and its derivative in x."""
    h = math.log(end / start)
    k1_R, d1_R = _flow(model, c_RF, x_R, start, derivative)
    k2_R, d2_R = _flow(model, c_RF, x_R + h * k1_R, end, derivative)
    factor_R = 1 + 0.5 * h * (d1_R + d2_R * (1 + h * d1_R))
    return x_R + 0.5 * h * (k1_R + k2_R), factor_R


def _flow(model: Any, c_RF: Tensor, x_R: Tensor, level: float, derivative: bool) -> tuple[Tensor, Tensor]:
    def velocity(q_R: Tensor) -> Tensor:
        s_R: Tensor = model.noisy_conditional_score(q_R, c_RF, torch.full_like(q_R, level))
        return -(level**2) * s_R

    if not derivative:
        return velocity(x_R), torch.zeros_like(x_R, dtype=torch.float64)
    v_R, dv_R = elementwise_derivative(velocity, x_R, keep_graph=False)
    return v_R, dv_R.to(torch.float64)
