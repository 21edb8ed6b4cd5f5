"""Blocks by ancestral sampling of their diffusion, with one evaluation of the head a step."""

import itertools
import math
from collections.abc import Sequence
from typing import Annotated

from torch import Generator, Tensor

from scorewise.noise import normal_like
from scorewise.ranges import Between, Count, PositiveNumber, within_ranges
from scorewise.sampling.blockwise import FromNoise, Raising, Slope


class BlockAncestral(FromNoise):
    """Steps of second order below the next level and back up with fresh noise, one evaluation of the head each.

    The mean of a block without noise, m = q - sigma dq/dsigma, is taken to be linear in log sigma through its last two
    values (DPM-Solver++(2M), Lu et al. 2022); the part of the noise that is fresh is that of the ancestral sampler of
    a variance-exploding diffusion (Song et al. 2021). Fresh noise corrects errors of the steps before.

    Args:
        steps: per block.
        rho: the larger, the more of the steps are at small levels.
        eta: 1 for the ancestral sampler, 0 for the probability flow.
        particles: see `FromNoise`.

    Example:
        >>> from scorewise.backbones import PatchTransformer
        >>> from scorewise.heads import NoisyBlockScore
        >>> from scorewise.sampling import BlockAncestral
        >>> backbone = PatchTransformer((1, 4, 4), 12, patch=(2, 2), size=16, blocks=1)
        >>> model = NoisyBlockScore(backbone, levels=(1.0, 0.5, 0.3), hidden=8, noise=0.3)
        >>> model.sampler = BlockAncestral(steps=8)
        >>> model.sample(2).shape
        torch.Size([2, 1, 4, 4])
    """

    @within_ranges
    def __init__(
        self,
        steps: Count = 12,
        rho: PositiveNumber = 7.0,
        eta: Annotated[float, Between(0, 1)] = 1.0,
        particles: Count = 1,
    ) -> None:
        super().__init__(steps, rho, particles)
        self.eta = eta

    def descend(
        self, levels: Sequence[float], slope: Slope, q_Bm: Tensor, generator: Generator | None, raising: Raising
    ) -> Tensor:
        """Return what the sampler makes of a block at the first level at the last, shape of q."""
        before: tuple[float, Tensor] | None = None
        for high, low in itertools.pairwise(levels):
            last = low == levels[-1]
            fresh = 0.0 if last else self.eta * low * math.sqrt(1 - (low / high) ** 2)
            under = math.sqrt(low**2 - fresh**2)
            clean_Bm = mean_Bm = q_Bm - high * slope(q_Bm, high)
            if before is not None:
                level, earlier_Bm = before
                mean_Bm = clean_Bm + math.log(high / low) / (2 * math.log(level / high)) * (clean_Bm - earlier_Bm)
            before = high, clean_Bm
            q_Bm = under / high * q_Bm + (1 - under / high) * mean_Bm
            if fresh:
                q_Bm = q_Bm + fresh * normal_like(q_Bm, generator)
                raising(under, low)
        return q_Bm
