"""Block by block: the dimensions of a block are drawn together, given the blocks before it."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, Generic

import torch
from torch import Generator, Tensor
from typing_extensions import TypeVar

from scorewise.capabilities import BlockScoreModel, NoisyBlockScoreModel
from scorewise.capabilities.roles import BlockScores, InBlocks, NoisyBlockScores
from scorewise.likelihood.block_flow_ode import log_density_of_block, start_of
from scorewise.noise import karras_ladder, normal_like, step_size
from scorewise.ranges import AtLeast, Count, PositiveNumber, within_ranges
from scorewise.sampling.ancestral import Told
from scorewise.sampling.block_filling import (
    conditioned,
    fill_in,
    log_density_of_known,
    moments_of,
    padded,
    score_of,
)
from scorewise.sampling.multistep import Raising, untold

M = TypeVar("M", bound=InBlocks)
"""The models that a sampler draws from."""
LARGEST_CHURN = math.sqrt(2) - 1
"""Of the noise that a step may add, in noise levels (Karras et al. 2022, algorithm 2)."""
Slope = Callable[[Tensor, float], Tensor]
"""From a block at a noise level to dq/dsigma, shape of the block."""


class Blockwise(Told, ABC, Generic[M]):
    """A sampler that draws every block given those before it, with one context evaluation per block."""

    @abstractmethod
    def draw_block(self, model: M, c_B1F: Tensor, size: int, generator: Generator | None) -> Tensor:
        """Return a draw of a block of some size with the given contexts, shape (n, size)."""

    @abstractmethod
    def draw_rest(self, model: M, c_B1F: Tensor, x_Bm: Tensor, known_m: Tensor, generator: Generator | None) -> Tensor:
        """Return a draw of what is not known of a block given the rest of it, shape (n, size).

        Args:
            model: of blocks.
            c_B1F: contexts.
            x_Bm: the block, of which the known entries are read.
            known_m: boolean, which these are.
            generator: of the draws.
        """

    def draw(self, model: M, n: int, generator: Generator | None) -> Tensor:
        """Return n examples, shape (n, D)."""
        return self.complete(model, model.mean.expand(n, model.dims), 0, generator)

    def complete(self, model: M, x_BD: Tensor, known: int, generator: Generator | None) -> Tensor:
        """Return the examples with all but the first `known` blocks of the order drawn, shape (n, D)."""
        known_D = torch.zeros(model.dims, dtype=torch.bool, device=x_BD.device)
        known_D[[dim for block in model.ordering.blocks[:known] for dim in block]] = True
        return self.fill_in(model, x_BD, known_D, generator)

    def fill_in(self, model: M, x_BD: Tensor, known_D: Tensor, generator: Generator | None) -> Tensor:
        """Return the examples with what is not known drawn given what is, shape (n, D), see `block_filling.fill_in`.

        Raises:
            ValueError: known entries that this sampler cannot heed.
        """
        return fill_in(self, model, x_BD, known_D, generator)


class FromNoise(Blockwise[NoisyBlockScores], ABC):
    """A sampler that takes a block from a Gaussian at the largest level down to the smallest, whose law is the model's.

    The rest of a block of which a part is known goes the same way, with the mean of the block moved as that of a
    Gaussian with its moments at that level, from its score and the derivative of that (Boys et al. 2023), by as many
    tangents as the block has dimensions: right for Gaussian blocks, and an approximation of all others.

    Args:
        steps: per block.
        rho: levels are even in sigma^(1 / rho): the larger, the more of the steps are at small levels.
        particles: draws per example where what is known comes after what is not, see `block_filling.fill_in`.
    """

    needs = (NoisyBlockScoreModel,)

    def __init__(self, steps: int, rho: float, particles: int) -> None:
        self.steps, self.rho, self.particles = steps, rho, particles

    @abstractmethod
    def descend(
        self, levels: Sequence[float], slope: Slope, q_Bm: Tensor, generator: Generator | None, raising: Raising
    ) -> Tensor:
        """Return what a flow carries a block at the first level to at the last, shape of q.

        Args:
            levels: of the steps.
            slope: of the flow.
            q_Bm: the block.
            generator: of the noise that is added.
            raising: told of every level that noise raises, and to which, before the step from there.
        """

    def ladder(self, model: NoisyBlockScores) -> tuple[float, ...]:
        """Return the levels of the steps."""
        return karras_ladder(model.levels[0], model.levels[-1], self.steps + 1, self.rho)

    def draw_block(self, model: NoisyBlockScores, c_B1F: Tensor, size: int, generator: Generator | None) -> Tensor:
        """Return a draw of a block from the law with the smallest noise, shape (n, size)."""
        centre_Bm, width = _start(model, c_B1F, size)

        def slope(q_Bm: Tensor, level: float) -> Tensor:
            return -level * score_of(model, c_B1F, level)(q_Bm)

        q_Bm = centre_Bm + width * normal_like(centre_Bm, generator)
        return self.descend(self.ladder(model), slope, q_Bm, generator, untold)

    def draw_rest(
        self, model: NoisyBlockScores, c_B1F: Tensor, x_Bm: Tensor, known_m: Tensor, generator: Generator | None
    ) -> Tensor:
        """Return the block with what is not known of it drawn given the rest, shape (n, size)."""
        top, smallest = model.levels[0], model.levels[-1]
        centre_Bm, width = _start(model, c_B1F, x_Bm.shape[1])
        at_top = moments_of(score_of(model, c_B1F, top), centre_Bm, top**2 - smallest**2)
        moved_Bu, _, _ = conditioned(at_top, x_Bm, known_m, (smallest / top) ** 2)
        noise_Bk = normal_like(x_Bm[:, known_m], generator)

        def whole(q_Bu: Tensor, gap: float) -> Tensor:
            q_Bm = x_Bm.clone()
            q_Bm[:, known_m] += math.sqrt(gap) * noise_Bk
            q_Bm[:, ~known_m] = q_Bu
            return q_Bm

        def slope(q_Bu: Tensor, level: float) -> Tensor:
            gap = max(level**2 - smallest**2, 0.0)
            q_Bm, score = whole(q_Bu, gap), score_of(model, c_B1F, level)
            if gap <= 1e-6 * smallest**2:
                return -level * score(q_Bm)[:, ~known_m]
            found = moments_of(score, q_Bm, gap)
            moved_Bu, _, _ = conditioned(found, x_Bm, known_m, (smallest / level) ** 2)
            return -level * (found.mean_Bm[:, ~known_m] + moved_Bu - q_Bu) / gap

        def raising(high: float, raised: float) -> None:
            nonlocal noise_Bk
            before, more = max(high**2 - smallest**2, 0.0), raised**2 - high**2
            noise_Bk = math.sqrt(before) * noise_Bk + math.sqrt(more) * normal_like(noise_Bk, generator)
            noise_Bk = noise_Bk / math.sqrt(before + more)

        q_Bu = centre_Bm[:, ~known_m] + moved_Bu + width * normal_like(moved_Bu, generator)
        return whole(self.descend(self.ladder(model), slope, q_Bu, generator, raising), 0.0)

    def log_density_of(self, model: NoisyBlockScores, c_B1F: Tensor, x_Bm: Tensor, known_m: Tensor) -> Tensor:
        """Return the log-density of what is known of a block: by its flow, or of a part as a Gaussian's, (n,)."""
        if bool(known_m.all()):
            return log_density_of_block(model, c_B1F, x_Bm, self.steps)
        top, smallest = model.levels[0], model.levels[-1]
        gap, (centre_Bm, _) = top**2 - smallest**2, _start(model, c_B1F, x_Bm.shape[1])
        found = moments_of(score_of(model, c_B1F, top), centre_Bm, gap)
        return log_density_of_known(found, x_Bm, known_m, gap, (smallest / top) ** 2)


def _start(model: NoisyBlockScores, c_B1F: Tensor, size: int) -> tuple[Tensor, float]:
    """Return centre (n, size) and standard deviation of the Gaussian that the flow of a block begins with."""
    like_B1b = c_B1F[..., :1].expand(-1, -1, max(model.ordering.sizes, default=1))
    centre_B1b, width = start_of(model, c_B1F, like_B1b)
    return centre_B1b[:, 0, :size], width


class BlockFlow(FromNoise):
    """The probability flow of every block, or its stochastic sampler (Karras et al. 2022, algorithms 1 and 2).

    From the Gaussian of `likelihood.block_flow_ode.start_of` Heun steps of dx/dsigma = - sigma s go down to the
    smallest level. Only the head runs inside.

    Args:
        steps: per block; two evaluations of the head each.
        rho: the larger, the more of the steps are at small levels.
        churn: 0 for the flow; otherwise every step but the first adds noise, as much as churn / steps of its level (and
            .41 of it at most), and removes it again, which corrects errors of the steps before.
        particles: see `FromNoise`.

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

    @within_ranges
    def __init__(
        self,
        steps: Count = 12,
        rho: PositiveNumber = 5.0,
        churn: Annotated[float, AtLeast(0)] = 0.0,
        particles: Count = 1,
    ) -> None:
        super().__init__(steps, rho, particles)
        self.churn = churn

    def descend(
        self, levels: Sequence[float], slope: Slope, q_Bm: Tensor, generator: Generator | None, raising: Raising
    ) -> Tensor:
        """Return what the flow carries a block at the first level to at the last, shape of q."""
        for number, (high, low) in enumerate(itertools.pairwise(levels)):
            share = min(self.churn / self.steps, LARGEST_CHURN)
            raised = min(high * (1 + share), levels[0])  # no further than the model was trained
            if number and raised > high:
                q_Bm = q_Bm + math.sqrt(raised**2 - high**2) * normal_like(q_Bm, generator)
                raising(high, raised)
                high = raised
            q_Bm = heun(slope, q_Bm, high, low)
        return q_Bm


def heun(slope: Slope, q: Tensor, start: float, end: float) -> Tensor:
    """Return the end of one Heun step of dq/dsigma = slope(q, sigma)."""
    first = slope(q, start)
    return q + 0.5 * (end - start) * (first + slope(q + (end - start) * first, end))


class BlockLangevin(Blockwise[BlockScores]):
    """Langevin dynamics of every block: x <- x + a s(x) + sqrt(2 a) z, of models of one noise level.

    What is known of a block is held fixed while the rest moves. There is no density to weigh draws by, so nothing may
    be known after what is not.

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
        x_Bm = c_B1F[:, 0, :1].expand(-1, size)
        return self.draw_rest(model, c_B1F, x_Bm, torch.zeros(size, dtype=torch.bool, device=x_Bm.device), generator)

    def draw_rest(
        self, model: BlockScores, c_B1F: Tensor, x_Bm: Tensor, known_m: Tensor, generator: Generator | None
    ) -> Tensor:
        """Return the same with the known entries of the block held fixed, shape (n, size)."""
        a, size = step_size(self.step, model), x_Bm.shape[1]
        q_Bm = torch.where(known_m, x_Bm, model.mean + model.scale * normal_like(x_Bm, generator))
        for _ in range(self.steps):
            s_B1b = model.block_score(padded(model, q_Bm).unsqueeze(1), c_B1F)
            moved_Bm = q_Bm + a * s_B1b[:, 0, :size] + (2 * a) ** 0.5 * normal_like(q_Bm, generator)
            q_Bm = torch.where(known_m, x_Bm, moved_Bm)
        return q_Bm
