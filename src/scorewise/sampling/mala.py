"""The Metropolis-adjusted Langevin algorithm."""

from torch import Generator, Tensor

from scorewise.noise import normal_like
from scorewise.ranges import Count, PositiveNumber, Whole, within_ranges
from scorewise.sampling.metropolis import Chains, LogDensity, Metropolis, Point, metropolis, refuse_settings

TARGET = 0.574
"""The best acceptance rate in high dimension (Roberts and Rosenthal 1998)."""


def mala(
    log_density: LogDensity,
    x_BD: Tensor,
    step: float,
    steps: int,
    generator: Generator | None,
    warmup: int = 0,
    target: float = TARGET,
) -> Chains:
    """Run Langevin steps y = x + a s(x) + sqrt(2 a) z, each accepted or rejected (Roberts and Tweedie 1996).

    Args:
        log_density: from (B, D) to (B,), up to a constant; differentiable.
        x_BD: where the chains start; one chain per row.
        step: a, in the units of x squared.
        steps: steps with the final a; one evaluation of the density and its gradient each.
        generator: of all random numbers.
        warmup: steps before those, in which a moves towards the target acceptance.
        target: acceptance rate to reach.

    Returns:
        where the chains end (B, D), their acceptance rate, and a.

    Raises:
        ValueError: a setting is out of range.
    """

    def propose(point: Point, a: float, generator: Generator | None) -> tuple[Point, Tensor]:
        z_BD = normal_like(point.x_BD, generator)
        y_BD = point.x_BD + a * point.score_BD + (2 * a) ** 0.5 * z_BD
        proposal = Point.at(log_density, y_BD)
        back_BD = point.x_BD - y_BD - a * proposal.score_BD
        log_there_B, log_back_B = -0.5 * z_BD.square().sum(-1), -back_BD.square().sum(-1) / (4 * a)
        return proposal, proposal.log_density_B - point.log_density_B + log_back_B - log_there_B

    return metropolis(log_density, propose, x_BD, step, steps, generator, warmup, target)


class MALA(Metropolis):
    """Langevin dynamics without its bias: every step is accepted or rejected (Roberts and Tweedie 1996).

    Args:
        steps: steps with the final step size.
        step: a of x + a s(x) + sqrt(2 a) z in units of sigma^2 as in `Langevin`, see `step_size`.
        warmup: steps before those, in which a moves towards the target acceptance; 0 keeps the given one.
        target: acceptance rate to reach.

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Energy
        >>> from scorewise.sampling import MALA
        >>> model = Energy(MLP((2,), (16,)), noise=0.3)
        >>> model.sampler = MALA(steps=20, warmup=5)
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    @within_ranges
    def __init__(
        self, steps: Count = 500, step: PositiveNumber = 0.1, warmup: Whole = 100, target: float = TARGET
    ) -> None:
        refuse_settings(step, steps, warmup, target)
        self.steps, self.step, self.warmup, self.target = steps, step, warmup, target

    def chains(self, log_density: LogDensity, x_BD: Tensor, a: float, generator: Generator | None) -> Chains:
        """Return the end of one chain per row of x."""
        return mala(log_density, x_BD, a, self.steps, generator, self.warmup, self.target)
