"""Chains that accept or reject their proposals, so that their law is exactly the model's (Metropolis et al. 1953)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from scorewise.capabilities import EnergyModel
from scorewise.capabilities.roles import JointEnergy
from scorewise.gradients import log_density_and_score
from scorewise.noise import normal_like, step_size, uniform_like

LogDensity = Callable[[Tensor], Tensor]
"""From (B, D) to (B,), up to a constant."""


class Point(NamedTuple):
    """Where chains are, with the log-density and score there, so that neither is computed twice."""

    x_BD: Tensor
    log_density_B: Tensor
    score_BD: Tensor

    @classmethod
    def at(cls, log_density: LogDensity, x_BD: Tensor) -> "Point":
        """Return a place with one evaluation of the log-density and its gradient."""
        return cls(x_BD, *log_density_and_score(log_density, x_BD))

    def usable(self, log_ratio_B: Tensor) -> Tensor:
        """Return the log of the acceptance ratios of moving here, -inf where the density is not finite."""
        log_ratio_B = torch.where(self.log_density_B.isfinite(), log_ratio_B, -math.inf)
        return torch.where(log_ratio_B.isnan(), -math.inf, log_ratio_B)

    def moved(self, proposal: "Point", accept_B: Tensor) -> "Point":
        """Return the proposal for the chains that accept it."""
        return Point(
            torch.where(accept_B[:, None], proposal.x_BD, self.x_BD),
            torch.where(accept_B, proposal.log_density_B, self.log_density_B),
            torch.where(accept_B[:, None], proposal.score_BD, self.score_BD),
        )


class Chains(NamedTuple):
    """The end of B chains: where they are, the share of proposals they took, and the step they ended with."""

    x_BD: Tensor
    acceptance: float
    step: float


Propose = Callable[[Point, float, Generator | None], tuple[Point, Tensor]]
"""From where the chains are and a step size: proposals, and the log of each one's acceptance ratio (B,)."""


def refuse_settings(step: float, steps: int, warmup: int, target: float) -> None:
    """Refuse settings of a chain that are out of range.

    Raises:
        ValueError: which.
    """
    if steps < 1 or warmup < 0:
        raise ValueError(f"a chain needs at least 1 step and no fewer than 0 of warm-up, got {steps} and {warmup}")
    if not 0 < step < math.inf:
        raise ValueError(f"step={step} must be a positive number")
    if not 0 < target < 1:
        raise ValueError(f"target={target} must lie between 0 and 1: it is an acceptance rate")


def metropolis(
    log_density: LogDensity,
    propose: Propose,
    x_BD: Tensor,
    step: float,
    steps: int,
    generator: Generator | None,
    warmup: int,
    target: float,
) -> Chains:
    """Run B chains: warm-up steps that find the step size, then so many steps with it.

    During warm-up the log of the step moves by 2 k^-.6 (mean acceptance - target), where k counts the times that it
    has turned round (Kesten 1958: big moves until the target is passed). It is fixed from then on, since a step that
    follows the chains changes their law. A proposal whose density is not finite is rejected.

    Raises:
        ValueError: a setting is out of range.
    """
    refuse_settings(step, steps, warmup, target)
    point = Point.at(log_density, x_BD)
    taken, turns, last = 0.0, 1, 0.0
    for t in range(1 - warmup, steps + 1):
        proposal, log_ratio_B = propose(point, step, generator)
        log_ratio_B = proposal.usable(log_ratio_B)
        accept_B = uniform_like(log_ratio_B, generator).log() < log_ratio_B
        point = point.moved(proposal, accept_B)
        if t <= 0:
            excess = float(log_ratio_B.clamp(max=0).exp().mean()) - target
            turns, last = turns + (excess * last < 0), excess
            step *= math.exp(2 * turns**-0.6 * excess)
        else:
            taken += float(accept_B.to(log_ratio_B.dtype).mean())
    return Chains(point.x_BD, taken / steps, step)


class Metropolis(ABC):
    """A sampler of models with an energy, by chains that accept or reject.

    Attributes:
        step: a in units of sigma^2, see `step_size`.
        acceptance: share of the proposals taken in the last draw, warm-up left out; None before any.
    """

    needs = (EnergyModel,)
    step: float
    acceptance: float | None = None

    @abstractmethod
    def chains(self, log_density: LogDensity, x_BD: Tensor, a: float, generator: Generator | None) -> Chains:
        """Return the end of one chain per row of x, with the Langevin step a to begin with."""

    def draw(self, model: JointEnergy, n: int, generator: Generator | None) -> Tensor:
        """Return n examples (n, D), started from a Gaussian with the moments of the data."""
        x_BD = model.mean.expand(n, model.dims).clone()
        x_BD = x_BD + model.scale * normal_like(x_BD, generator)
        ended = self.chains(lambda x: -model.energy(x), x_BD, step_size(self.step, model), generator)
        self.acceptance = ended.acceptance
        return ended.x_BD
