"""Langevin dynamics on all dimensions at once."""

from collections.abc import Callable

from torch import Generator, Tensor

from scorewise.capabilities import ScoreModel
from scorewise.capabilities.roles import JointScore
from scorewise.noise import normal_like, step_size
from scorewise.ranges import Count, PositiveNumber, within_ranges


def langevin(
    score: Callable[[Tensor], Tensor], x_BD: Tensor, a: float, steps: int, generator: Generator | None
) -> Tensor:
    """Return x after so many steps of x <- x + a s(x) + sqrt(2 a) z (unadjusted Langevin dynamics)."""
    for _ in range(steps):
        x_BD = x_BD + a * score(x_BD).detach() + (2 * a) ** 0.5 * normal_like(x_BD, generator)
    return x_BD


class Langevin:
    """Unadjusted Langevin dynamics x <- x + a s(x) + sqrt(2 a) z on the joint score.

    Never use it on conditional scores: they are not the joint score.

    Args:
        steps: number of steps.
        step: a in units of sigma^2, see `step_size`.

    Example:
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Score
        >>> from scorewise.sampling import Langevin
        >>> model = Score(MLP((2,), (16,)), noise=0.3)
        >>> model.sampler = Langevin(steps=20)
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (ScoreModel,)

    @within_ranges
    def __init__(self, steps: Count = 500, step: PositiveNumber = 0.1) -> None:
        self.steps, self.step = steps, step

    def draw(self, model: JointScore, n: int, generator: Generator | None) -> Tensor:
        """Return n examples (n, D), started from a Gaussian with the moments of the data."""
        a = step_size(self.step, model)
        x_BD = model.mean.expand(n, model.dims).clone()
        x_BD = x_BD + model.scale * normal_like(x_BD, generator)
        return langevin(model.score, x_BD, a, self.steps, generator)
