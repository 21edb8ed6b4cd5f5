"""Hamiltonian Monte Carlo."""

import torch
from torch import Generator, Tensor

from scorewise.noise import normal_like, uniform_like
from scorewise.ranges import Count, PositiveNumber, Whole, within_ranges
from scorewise.sampling.metropolis import Chains, LogDensity, Metropolis, Point, metropolis, refuse_settings

TARGET = 0.8
"""A little above the best rate in high dimension, .651 (Beskos et al. 2013), which is less forgiving."""


def leapfrog_path(
    log_density: LogDensity, start: Point, p_BD: Tensor, epsilon: float | Tensor, leapfrog: int
) -> tuple[Point, Tensor]:
    """Return place and momentum after so many leapfrog steps of unit mass (Neal 2011, section 5.2.3.3).

    Reversible: from the end, with the momentum turned round, it leads back to the start.

    Args:
        log_density: from (B, D) to (B,), up to a constant; differentiable.
        start: where.
        p_BD: momentum.
        epsilon: step size in the units of x, one or (B, 1).
        leapfrog: number of steps.
    """
    point = start
    for _ in range(leapfrog):
        half_BD = p_BD + 0.5 * epsilon * point.score_BD
        point = Point.at(log_density, point.x_BD + epsilon * half_BD)
        p_BD = half_BD + 0.5 * epsilon * point.score_BD
    return point, p_BD


def trajectory(
    log_density: LogDensity,
    start: Point,
    p_BD: Tensor,
    epsilon: float | Tensor,
    leapfrog: int,
    rough: LogDensity | None = None,
) -> tuple[Point, Tensor]:
    """Return the proposal of a trajectory and the log of its acceptance ratio (B,).

    Args:
        log_density: from (B, D) to (B,), up to a constant; differentiable.
        start: where.
        p_BD: momentum.
        epsilon: step size in the units of x, one or (B, 1).
        leapfrog: number of steps.
        rough: whose gradient is followed instead, the start's too. Along any function of place alone the path is
            reversible and keeps volume, so only the acceptance rate feels a rough one.
    """
    proposal, q_BD = leapfrog_path(rough or log_density, start, p_BD, epsilon, leapfrog)
    if rough:
        with torch.no_grad():
            proposal = proposal._replace(log_density_B=log_density(proposal.x_BD))
    kinetic_B = 0.5 * (q_BD.square() - p_BD.square()).sum(-1)
    return proposal, proposal.log_density_B - start.log_density_B - kinetic_B


def hmc(
    log_density: LogDensity,
    x_BD: Tensor,
    step: float,
    trajectories: int,
    generator: Generator | None,
    leapfrog: int = 10,
    warmup: int = 0,
    target: float = TARGET,
    jitter: float = 0.2,
) -> Chains:
    """Run leapfrog trajectories from fresh momenta, each accepted or rejected (Neal 2011).

    Args:
        log_density: from (B, D) to (B,), up to a constant; differentiable.
        x_BD: where the chains start; one chain per row.
        step: a = epsilon^2 / 2 of one leapfrog step, in the units of x squared: with a single leapfrog step and no
            jitter this is `mala` of the same a.
        trajectories: trajectories with the final a; `leapfrog` evaluations of the density and its gradient each.
        generator: of all random numbers.
        leapfrog: leapfrog steps per trajectory.
        warmup: trajectories before those, in which a moves towards the target acceptance.
        target: acceptance rate to reach.
        jitter: epsilon of every trajectory is uniform within so much of its value on either side, or a trajectory
            as long as a period of the dynamics would never get anywhere.

    Returns:
        where the chains end (B, D), their acceptance rate, and a.

    Raises:
        ValueError: a setting is out of range.
    """
    _refuse_path(leapfrog, jitter)

    def propose(point: Point, a: float, generator: Generator | None) -> tuple[Point, Tensor]:
        p_BD = normal_like(point.x_BD, generator)
        epsilon: float | Tensor = (2 * a) ** 0.5
        if jitter:
            epsilon = epsilon * (1 + jitter * (2 * uniform_like(p_BD[:, :1], generator) - 1))
        return trajectory(log_density, point, p_BD, epsilon, leapfrog)

    return metropolis(log_density, propose, x_BD, step, trajectories, generator, warmup, target)


def _refuse_path(leapfrog: int, jitter: float) -> None:
    if leapfrog < 1 or not 0 <= jitter < 1:
        raise ValueError(f"leapfrog={leapfrog} must be at least 1 and jitter={jitter} in [0, 1)")


class HMC(Metropolis):
    """Hamiltonian Monte Carlo on a model with an energy (Neal 2011).

    Args:
        trajectories: trajectories with the final step size.
        leapfrog: leapfrog steps in each.
        step: a = epsilon^2 / 2 of a leapfrog step in units of sigma^2, see `step_size`: the a of `Langevin`.
        warmup: trajectories before those, in which a moves towards the target acceptance; 0 keeps the given one.
        target: acceptance rate to reach.
        jitter: share by which the step size of each trajectory varies, see `hmc`.

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Energy
        >>> from scorewise.sampling import HMC
        >>> model = Energy(MLP((2,), (16,)), noise=0.3)
        >>> model.sampler = HMC(trajectories=5, warmup=2)
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    @within_ranges
    def __init__(
        self,
        trajectories: Count = 50,
        leapfrog: Count = 10,
        step: PositiveNumber = 0.1,
        warmup: Whole = 25,
        target: float = TARGET,
        jitter: float = 0.2,
    ) -> None:
        refuse_settings(step, trajectories, warmup, target)
        _refuse_path(leapfrog, jitter)
        self.trajectories, self.leapfrog, self.step = trajectories, leapfrog, step
        self.warmup, self.target, self.jitter = warmup, target, jitter

    def chains(self, log_density: LogDensity, x_BD: Tensor, a: float, generator: Generator | None) -> Chains:
        """Return the end of one chain per row of x."""
        return hmc(
            log_density,
            x_BD,
            a,
            self.trajectories,
            generator,
            leapfrog=self.leapfrog,
            warmup=self.warmup,
            target=self.target,
            jitter=self.jitter,
        )
