"""Block by block: the dimensions of a block are drawn together, given the blocks before it."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Generic

import torch
from torch import Generator, Tensor
from torch.nn import functional
from typing_extensions import TypeVar

from scorewise.capabilities import BlockScoreModel, NoisyBlockScoreModel
from scorewise.capabilities.roles import BlockScores, InBlocks, NoisyBlockScores
from scorewise.likelihood.block_flow_ode import start_of
from scorewise.noise import karras_ladder, normal_like, step_size
from scorewise.ranges import AtLeast, Count, PositiveNumber, within_ranges
from scorewise.sampling.ancestral import Told

M = TypeVar("M", bound=InBlocks)
"""The models that a sampler draws from."""
LARGEST_CHURN = math.sqrt(2) - 1
"""Of the noise that a step may add, in noise levels (Karras et al. 2022, algorithm 2)."""


class Blockwise(Told, ABC, Generic[M]):
    """A sampler that draws every block given those before it, with one context evaluation per block."""

    @abstractmethod
    def draw_block(self, model: M, c_B1F: Tensor, size: int, generator: Generator | None) -> Tensor:
        """Return a draw of a block of some size with the given contexts, shape (n, size)."""

    def draw(self, model: M, n: int, generator: Generator | None) -> Tensor:
        """Return n examples, shape (n, D)."""
        return self.complete(model, model.mean.expand(n, model.dims), 0, generator)

    def complete(self, model: M, x_BD: Tensor, known: int, generator: Generator | None) -> Tensor:
        """Return the examples with all but the first `known` blocks of the order drawn, shape (n, D)."""
        x_BD, stream, blocks = x_BD.clone(), model.context_stream(), model.ordering.blocks
        c_B1F = stream.start(len(x_BD))
        for number, block in enumerate(blocks):
            if number >= known:
                x_BD[:, list(block)] = self.draw_block(model, c_B1F, len(block), generator)
            if number + 1 < len(blocks):
                c_B1F = stream.push(_padded(model, x_BD[:, list(block)]))
            self.tick((number + 1) / len(blocks))
        return x_BD


def _padded(model: InBlocks, x_Bm: Tensor) -> Tensor:
    """Return the entries of a block, padded with the mean to the largest, shape (n, b)."""
    more = max(model.ordering.sizes, default=1) - x_Bm.shape[1]
    return functional.pad(x_Bm, (0, more), value=float(model.mean)) if more else x_Bm


class BlockFlow(Blockwise[NoisyBlockScores]):
    """The probability flow of every block, or its stochastic sampler (Karras et al. 2022, algorithms 1 and 2).

    From a Gaussian at the largest level (`likelihood.block_flow_ode.start_of`) Heun steps of dx/dsigma = - sigma s go
    down to the smallest level, whose law is that of the model; the levels are even in sigma^(1 / rho). Only the head
    runs inside.

    Args:
        steps: per block; two evaluations of the head each.
        rho: the larger, the more of the steps are at small levels.
        churn: 0 for the flow; otherwise every step but the first adds noise, as much as churn / steps of its level (and
            .41 of it at most), and removes it again, which corrects errors of the steps before.

    Example:
        >>> from scorewise.backbones import PatchTransformer
        >>> from scorewise.heads import NoisyBlockScore
        >>> from scorewise.sampling import BlockFlow
        >>> backbone = PatchTransformer((1, 4, 4), 12, patch=(2, 2), size=16, blocks=1)
        >>> model = NoisyBlockScore(backbone, levels=(1.0, 0.5, 0.3), hidden=8, noise=0.3)
        >>> model.sampler = BlockFlow(steps=4)
        >>> model.sample(2).shape
        torch.Size([2, 1, 4, 4])
    """

    needs = (NoisyBlockScoreModel,)

    @within_ranges
    def __init__(self, steps: Count = 12, rho: PositiveNumber = 5.0, churn: Annotated[float, AtLeast(0)] = 0.0) -> None:
        self.steps, self.rho, self.churn = steps, rho, churn

    def draw_block(self, model: NoisyBlockScores, c_B1F: Tensor, size: int, generator: Generator | None) -> Tensor:
        """Return a draw of a block from the law with the smallest noise, shape (n, size)."""

        def slope(q_Bm: Tensor, level: float) -> Tensor:
            q_B1b = _padded(model, q_Bm).unsqueeze(1)
            s_B1b = model.noisy_block_score(q_B1b, c_B1F, torch.full_like(q_B1b[..., 0], level))
            return -level * s_B1b[:, 0, :size]

        ladder = karras_ladder(model.levels[0], model.levels[-1], self.steps + 1, self.rho)
        like_B1b = c_B1F[..., :1].expand(-1, -1, max(model.ordering.sizes, default=1))
        centre_B1b, width = start_of(model, c_B1F, like_B1b)
        q_Bm = centre_B1b[:, 0, :size]
        q_Bm = q_Bm + width * normal_like(q_Bm, generator)
        for number, (high, low) in enumerate(itertools.pairwise(ladder)):
            if self.churn and number:
                raised = high * (1 + min(self.churn / self.steps, LARGEST_CHURN))
                q_Bm = q_Bm + math.sqrt(raised**2 - high**2) * normal_like(q_Bm, generator)
                high = raised
            q_Bm = heun(slope, q_Bm, high, low)
        return q_Bm


def heun(slope: Callable[[Tensor, float], Tensor], q: Tensor, start: float, end: float) -> Tensor:
    """Return the end of one Heun step of dq/dsigma = slope(q, sigma)."""
    first = slope(q, start)
    return q + 0.5 * (end - start) * (first + slope(q + (end - start) * first, end))


class BlockLangevin(Blockwise[BlockScores]):
    """Langevin dynamics of every block: x <- x + a s(x) + sqrt(2 a) z, of models of one noise level.

    Args:
        steps: per block.
        step: a in units of sigma^2, see `step_size`; .2 widens a pure-noise dimension by 5 %.

    Example:
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import BlockScore
        >>> from scorewise.sampling import BlockLangevin
        >>> model = BlockScore(MADE((4,), 12, (16,), "silu"), block=2, hidden=8, noise=0.3)
        >>> model.sampler = BlockLangevin(steps=20)
        >>> model.sample(4).shape
        torch.Size([4, 4])
    """

    needs = (BlockScoreModel,)

    @within_ranges
    def __init__(self, steps: Count = 200, step: PositiveNumber = 0.2) -> None:
        self.steps, self.step = steps, step

    def draw_block(self, model: BlockScores, c_B1F: Tensor, size: int, generator: Generator | None) -> Tensor:
        """Return the end of one chain per context, started from a Gaussian with the moments of the data, (n, size)."""
        a = step_size(self.step, model)
        like_Bm = c_B1F[:, 0, :1].expand(-1, size)
        q_Bm = model.mean + model.scale * normal_like(like_Bm, generator)
        for _ in range(self.steps):
            s_B1b = model.block_score(_padded(model, q_Bm).unsqueeze(1), c_B1F)
            q_Bm = q_Bm + a * s_B1b[:, 0, :size] + (2 * a) ** 0.5 * normal_like(q_Bm, generator)
        return q_Bm
