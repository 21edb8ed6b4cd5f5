"""The rest of examples of which any part is known, drawn block by block."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from scorewise.capabilities.roles import InBlocks, NoisyBlockScores
from scorewise.noise import uniform_like


class Fills(Protocol):
    """A sampler as the filling sees it."""

    def draw_block(self, model: Any, c_B1F: Tensor, size: int, generator: Generator | None) -> Tensor:
        """Return a draw of a block of some size, shape (n, size)."""

    def draw_rest(
        self, model: Any, c_B1F: Tensor, x_Bm: Tensor, known_m: Tensor, generator: Generator | None
    ) -> Tensor:
        """Return a draw of what is not known of a block given the rest of it, shape (n, size)."""

    def tick(self, share: float) -> None:
        """Tell which share is done."""


@runtime_checkable
class Weighs(Protocol):
    """A sampler that has the density of what it draws too, and so can heed what is known after what is not.

    Args:
        particles: draws per example that are weighed.
    """

    particles: int

    def log_density_of(self, model: Any, c_B1F: Tensor, x_Bm: Tensor, known_m: Tensor) -> Tensor:
        """Return the log-density of what is known of a block given its context, shape (n,)."""


def fill_in(sampler: Fills, model: InBlocks, x_BD: Tensor, known_D: Tensor, generator: Generator | None) -> Tensor:
    """Return the examples with what is not known drawn given what is, shape (n, D): sequential Monte Carlo.

    A block that is not known is drawn given the blocks before it, by the sampler. What is known of a later block
    weighs `sampler.particles` such draws per example by its density given them; they are drawn anew from each other
    where the weights have become uneven, and one is returned. The law is right as the number of draws grows, but for
    a block of which a part is known, whose rest is drawn as `Sampler.draw_rest` says.

    Args:
        sampler: draws blocks.
        model: of blocks.
        x_BD: examples; entries that are not known are not read.
        known_D: boolean, which entries are known, of all examples.
        generator: of the draws.

    Raises:
        ValueError: what is known comes after what is not, and there is one draw per example only.
    """
    blocks = model.ordering.blocks
    known = [known_D[list(block)] for block in blocks]
    first = next((number for number, known_m in enumerate(known) if not bool(known_m.all())), len(blocks))
    later = any(bool(known_m.any()) for known_m in known[first + 1 :])
    weigher = sampler if later and isinstance(sampler, Weighs) else None
    if later and weigher is None:
        raise ValueError(
            f"block {first} of the model's order is not known and later ones are, and {type(sampler).__name__} has no "
            "density to weigh draws by: train with an order that begins with the known ones"
        )
    if weigher is not None and weigher.particles == 1:
        raise ValueError(
            f"the known dimensions are not whole blocks at the beginning of the model's order: block {first} of it is "
            "not known and later ones are, which weigh several draws by their density: set model.sampler.particles to "
            "32, say, or train with an order that begins with the known ones"
        )
    many = 1 if weigher is None else weigher.particles
    x_BD, log_w_NP = x_BD.repeat_interleave(many, 0), x_BD.new_zeros(len(x_BD), many, dtype=torch.float64)
    stream = model.context_stream()
    c_B1F = stream.start(len(x_BD))
    for number, (block, known_m) in enumerate(zip(blocks, known, strict=True)):
        dims = list(block)
        if weigher is not None and number > first and bool(known_m.any()):
            log_w_NP = log_w_NP + weigher.log_density_of(model, c_B1F, x_BD[:, dims], known_m).reshape(log_w_NP.shape)
            if _uneven(log_w_NP):
                x_BD, log_w_NP = _resampled(x_BD, log_w_NP, generator), torch.zeros_like(log_w_NP)
                stream, c_B1F = _contexts_up_to(model, x_BD, number)
        if not bool(known_m.any()):
            x_BD[:, dims] = sampler.draw_block(model, c_B1F, len(dims), generator)
        elif not bool(known_m.all()):
            x_BD[:, dims] = sampler.draw_rest(model, c_B1F, x_BD[:, dims], known_m, generator)
        if number + 1 < len(blocks):
            c_B1F = stream.push(padded(model, x_BD[:, dims]))
        sampler.tick((number + 1) / len(blocks))
    return _resampled(x_BD, log_w_NP, generator)[::many]


def padded(model: InBlocks, x_Bm: Tensor) -> Tensor:
    """Return the entries of a block, padded with the mean to the largest, shape (n, b)."""
    more = max(model.ordering.sizes, default=1) - x_Bm.shape[1]
    return torch.nn.functional.pad(x_Bm, (0, more), value=float(model.mean)) if more else x_Bm


def _uneven(log_w_NP: Tensor) -> bool:
    """Return whether the weights of some example are worth fewer than half of its draws (effective sample size)."""
    share_NP = torch.softmax(log_w_NP, -1)
    return bool((share_NP.square().sum(-1) * log_w_NP.shape[1] > 2).any())


def _resampled(x_BD: Tensor, log_w_NP: Tensor, generator: Generator | None) -> Tensor:
    """Return every example's draws, drawn anew by their weights at evenly spaced points, shape of x."""
    n, many = log_w_NP.shape
    if many == 1:
        return x_BD
    start_N1 = uniform_like(x_BD[:n, :1], generator).double()
    points_NP = (start_N1 + torch.arange(many, device=x_BD.device)) / many
    edges_NP = torch.softmax(log_w_NP, -1).cumsum(-1)
    chosen_NP = torch.searchsorted(edges_NP, points_NP).clamp(max=many - 1)
    # Which of the equal draws is taken in the end must not depend on its place.
    order_NP = uniform_like(x_BD[:1, :1].expand(n, many), generator).argsort(-1)
    rows_NP = chosen_NP.gather(1, order_NP) + many * torch.arange(n, device=x_BD.device)[:, None]
    return x_BD[rows_NP.flatten()]


def _contexts_up_to(model: InBlocks, x_BD: Tensor, number: int) -> tuple[Any, Tensor]:
    """Return a stream that has seen the blocks before one, and the contexts of that."""
    stream = model.context_stream()
    c_B1F = stream.start(len(x_BD))
    for block in model.ordering.blocks[:number]:
        c_B1F = stream.push(padded(model, x_BD[:, list(block)]))
    return stream, c_B1F


class BlockMoments(NamedTuple):
    """What a block is, at the smallest noise level, given itself at a larger one.

    Attributes:
        mean_Bm: E[x | q] = q + gap s(q) with gap = sigma^2 - sigma_min^2 (Tweedie's formula).
        share_Bmm: its covariance in units of gap, I + gap ds/dq, made symmetric.
    """

    mean_Bm: Tensor
    share_Bmm: Tensor


def moments_of(score: Callable[[Tensor], Tensor], q_Bm: Tensor, gap: float) -> BlockMoments:
    """Return the moments of a block from its score, by m tangents."""
    basis_mm = torch.eye(q_Bm.shape[1], dtype=q_Bm.dtype, device=q_Bm.device)

    def along(v_m: Tensor) -> Tensor:
        row_Bm: Tensor = torch.func.jvp(score, (q_Bm,), (v_m.expand_as(q_Bm),))[1]
        return row_Bm

    slope_Bmm = torch.vmap(along)(basis_mm).movedim(0, -1)
    return BlockMoments(q_Bm + gap * score(q_Bm), basis_mm + 0.5 * gap * (slope_Bmm + slope_Bmm.mT))


def conditioned(found: BlockMoments, x_Bm: Tensor, known_m: Tensor, smallest: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return what is known of a block taken into account, as if the block were a Gaussian with its moments.

    Args:
        found: the moments.
        x_Bm: the block, of which the known entries are read.
        known_m: boolean, which these are.
        smallest: eigenvalue of the share of the known, below which no law with this noise is.

    Returns:
        by how much the mean of the unknown entries moves, (B, u); eigenvalues of the share of the known, (B, k); and
        the misses of the known in their directions, (B, k).
    """
    values_Bk, vectors_Bkk = torch.linalg.eigh(found.share_Bmm[:, known_m][:, :, known_m])
    values_Bk = values_Bk.clamp(min=smallest)
    miss_Bk = (vectors_Bkk.mT @ (x_Bm - found.mean_Bm)[:, known_m, None])[..., 0]
    pull_Bk1 = vectors_Bkk @ (miss_Bk / values_Bk)[..., None]
    return (found.share_Bmm[:, ~known_m][:, :, known_m] @ pull_Bk1)[..., 0], values_Bk, miss_Bk


def log_density_of_known(found: BlockMoments, x_Bm: Tensor, known_m: Tensor, gap: float, smallest: float) -> Tensor:
    """Return the log-density of what is known of a block under a Gaussian with its moments, shape (B,)."""
    _, values_Bk, miss_Bk = conditioned(found, x_Bm, known_m, smallest)
    log_q_Bk = -0.5 * (miss_Bk.square() / (gap * values_Bk) + (2 * math.pi * gap * values_Bk).log())
    return log_q_Bk.sum(-1)


def score_of(model: NoisyBlockScores, c_B1F: Tensor, level: float) -> Callable[[Tensor], Tensor]:
    """Return the score of one block at a level, from (n, m) to (n, m)."""

    def score(q_Bm: Tensor) -> Tensor:
        q_B1b = padded(model, q_Bm).unsqueeze(1)
        return model.noisy_block_score(q_B1b, c_B1F, q_Bm.new_full((1, 1), level))[:, 0, : q_Bm.shape[1]]

    return score
