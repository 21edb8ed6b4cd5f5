"""Second-order steps down the levels of a variance-exploding diffusion, with fresh noise."""

import itertools
import math
from collections.abc import Callable, Sequence

from torch import Generator, Tensor

from scorewise.noise import normal_like

Clean = Callable[[Tensor, float], Tensor]
"""From noisy values at a level to the mean of those without noise."""
Raising = Callable[[float, float], None]
"""Told of a level that noise raises, and to which."""


def untold(low: float, high: float) -> None:
    """Tell nobody."""


def multistep(
    clean: Clean,
    q: Tensor,
    levels: Sequence[float],
    eta: float,
    generator: Generator | None,
    raising: Raising = untold,
) -> Tensor:
    """Return values at the last level from those at the first, shape of q.

    The mean of clean values is taken to be linear in log sigma through its last two (DPM-Solver++(2M), Lu et al. 2022);
    the part of the noise that is fresh is that of the ancestral sampler (Song et al. 2021, appendix F).

    Args:
        clean: the model's, asked once a step.
        q: values at the first level.
        levels: descending.
        eta: 1 for the ancestral sampler's fresh noise, 0 for the probability flow.
        generator: of the noise.
        raising: told of every level that noise raises, and to which, before the step from there.
    """
    before: tuple[float, Tensor] | None = None
    for high, low in itertools.pairwise(levels):
        last = low == levels[-1]
        fresh = 0.0 if last else eta * low * math.sqrt(1 - (low / high) ** 2)
        under = math.sqrt(low**2 - fresh**2)
        now = mean = clean(q, high)
        if before is not None:
            level, earlier = before
            mean = now + math.log(high / low) / (2 * math.log(level / high)) * (now - earlier)
        before = high, now
        q = under / high * q + (1 - under / high) * mean
        if fresh:
            q = q + fresh * normal_like(q, generator)
            raising(under, low)
    return q
