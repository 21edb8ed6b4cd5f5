"""Blocks by ancestral sampling of their diffusion, with one evaluation of the head a step."""

from collections.abc import Sequence
from typing import Annotated

from torch import Generator, Tensor

from scorewise.ranges import Between, Count, PositiveNumber, within_ranges
from scorewise.sampling.blockwise import FromNoise, Slope
from scorewise.sampling.multistep import Raising, multistep


class BlockAncestral(FromNoise):
    """Steps of second order below the next level and back up with fresh noise, one evaluation of the head each.

    They are those of `multistep`, with a block's mean without noise m = q - sigma dq/dsigma. Fresh noise corrects
    errors of the steps before.

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

        def clean(q_Bm: Tensor, level: float) -> Tensor:
            return q_Bm - level * slope(q_Bm, level)

        return multistep(clean, q_Bm, levels, self.eta, generator, raising)
