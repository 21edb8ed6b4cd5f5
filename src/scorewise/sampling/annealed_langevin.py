"""Langevin dynamics on all dimensions at once, from the largest noise level to the smallest."""

from torch import Generator, Tensor

from scorewise.capabilities import NoisyScoreModel
from scorewise.capabilities.roles import JointNoisyScore
from scorewise.noise import normal_like
from scorewise.ranges import Count, PositiveNumber, within_ranges


class AnnealedLangevin:
    """Annealed Langevin dynamics x <- x + a s(x, sigma) + sqrt(2 a) z (NCSN, algorithm 1).

    It runs at every level in turn, from the largest to the smallest, with a = step sigma^2.

    A returned sample is of the law at the smallest level, with `tweedie` for a denoised copy. A step of 0.2
    makes whatever is as narrow as the noise 5.4 % too wide: the variance of N(0, v) becomes
    v / (1 - a / (2 v)).

    Args:
        steps: number of steps at every level.
        step: a in units of sigma^2.

    Example:
        >>> from scorewise.backbones import NoisyMLP
        >>> from scorewise.heads import NoisyScore
        >>> from scorewise.sampling import AnnealedLangevin
        >>> model = NoisyScore(NoisyMLP((2,), 1, (16,)), levels=(1.0, 0.5, 0.3), noise=0.3)
        >>> model.sampler = AnnealedLangevin(steps=5)
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (NoisyScoreModel,)

    @within_ranges
    def __init__(self, steps: Count = 100, step: PositiveNumber = 0.1) -> None:
        self.steps, self.step = steps, step

    def draw(self, model: JointNoisyScore, n: int, generator: Generator | None) -> Tensor:
        """Return n examples (n, D), started from a Gaussian with the moments of the data at the largest level."""
        x_BD = model.mean.expand(n, model.dims).clone()
        start = (model.scale**2 - model.noise**2 + model.levels[0] ** 2).sqrt()
        x_BD = x_BD + start * normal_like(x_BD, generator)
        for level in model.levels:
            a, sigma_B = self.step * level**2, x_BD.new_full((n,), level)
            for _ in range(self.steps):
                s_BD = model.noisy_score(x_BD, sigma_B).detach()
                x_BD = x_BD + a * s_BD + (2 * a) ** 0.5 * normal_like(x_BD, generator)
        return x_BD
