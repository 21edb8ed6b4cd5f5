"""Likelihood of a joint score at every noise level, by its probability flow."""

import itertools
import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from scorewise.capabilities import NoisyScoreModel
from scorewise.capabilities.roles import JointNoisyScore
from scorewise.gradients import exact_trace, sliced_trace
from scorewise.noise import geometric_ladder, signs_like
from scorewise.ranges import Count, within_ranges


class JointLogProb(NamedTuple):
    """A log-density with what it rests on.

    Args:
        value_B: log q(x), nats.
        trace_error_B: standard error by the random projections of the trace, nats; 0 where the trace is exact.

    Example:
        >>> import torch
        >>> from scorewise.likelihood import JointLogProb
        >>> found = JointLogProb(torch.tensor([-1.5]), torch.zeros(1))
        >>> found.value_B, bool(found.trace_error_B.any())
        (tensor([-1.5000]), False)
    """

    value_B: Tensor
    trace_error_B: Tensor


class JointFlow:
    """Log-density of the law that the probability flow carries a Gaussian to (Song et al. 2021, eq. 39).

    In t = log sigma the flow is dx/dt = - sigma^2 s(x, sigma), and along it d log q/dt = sigma^2 tr ds/dx. Heun steps
    carry x and this integral from the smallest level to the largest, where q is the Gaussian with the moments of the
    data that samplers start from. Unlike sums of one-dimensional conditionals this is not exact at a finite number of
    steps: beside a number belongs that of twice the steps.

    Args:
        steps: Heun steps, even in log sigma; two scores with their traces each.
        probes: random directions of +-1 whose mean estimates the trace (Hutchinson), drawn once per example and kept
            along the flow; None for the exact trace by D backward passes, which is also taken where D is no more.

    Raises:
        ValueError: no step, or no probe.

    Example:
        >>> import torch
        >>> from scorewise.backbones import NoisyMLP
        >>> from scorewise.heads import NoisyScore
        >>> from scorewise.likelihood import JointFlow
        >>> model = NoisyScore(NoisyMLP((2,), 1, (16,)), levels=(1.0, 0.5, 0.3), noise=0.3)
        >>> JointFlow(steps=8).log_prob(model, torch.randn(5, 2)).value_B.shape
        torch.Size([5])
    """

    needs = (NoisyScoreModel,)

    @within_ranges
    def __init__(self, steps: Count = 32, probes: Count | None = None) -> None:
        self.steps, self.probes = steps, probes

    def exact(self, dims: int) -> bool:
        """Return whether the trace in so many dimensions is exact."""
        return self.probes is None or self.probes >= dims

    def log_prob(
        self, model: JointNoisyScore, x_BD: Tensor, generator: Generator | None = None, finer: int = 1
    ) -> JointLogProb:
        """Return log q of examples at the smallest level, (B, D), in nats with the error of the trace, both (B,).

        Args:
            model: with the joint score at every level.
            x_BD: examples of the law with the noise of the smallest level.
            generator: of the probes.
            finer: factor of the steps.
        """
        probes = 0 if self.probes is None or self.exact(x_BD.shape[1]) else self.probes
        probes_MBD = torch.stack([signs_like(x_BD, generator) for _ in range(probes)]) if probes else None
        ladder = geometric_ladder(model.levels[0], model.levels[-1], self.steps * finer + 1)[::-1]
        grown_MB = x_BD.new_zeros((probes or 1, len(x_BD)), dtype=torch.float64)
        y_BD = x_BD
        for low, high in itertools.pairwise(ladder):
            step = math.log(high / low)
            slope_BD, trace_MB = _slope(model, y_BD, low, probes_MBD)
            there_BD, there_MB = _slope(model, y_BD + step * slope_BD, high, probes_MBD)
            y_BD = y_BD + step / 2 * (slope_BD + there_BD)
            grown_MB = grown_MB + step / 2 * (trace_MB + there_MB).double()
        top = model.scale.double() ** 2 - model.noise**2 + model.levels[0] ** 2
        square_B = (y_BD.double() - model.mean.double()).square().sum(-1)
        gaussian_B = -0.5 * (square_B / top + model.dims * (2 * math.pi * top).log())
        log_q_MB = gaussian_B + grown_MB
        if probes > 1:
            error_B = log_q_MB.std(0) / math.sqrt(probes)
        else:
            error_B = torch.full_like(square_B, torch.nan if probes else 0.0)
        return JointLogProb(log_q_MB.mean(0), error_B)


def _slope(model: NoisyScoreModel, x_BD: Tensor, sigma: float, probes_MBD: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return dx/dt (B, D) and the trace of its Jacobian, (M, B) by projections or (1, B) exactly."""

    def field(y_BD: Tensor) -> Tensor:
        s_BD: Tensor = -(sigma**2) * model.noisy_score(y_BD, y_BD.new_full((len(y_BD),), sigma))
        return s_BD

    with torch.no_grad():
        if probes_MBD is None:
            slope_BD, trace_B = exact_trace(field, x_BD)
            return slope_BD, trace_B[None]
        slope_BD, trace_MB = sliced_trace(field, x_BD, probes_MBD)
        return slope_BD, trace_MB
