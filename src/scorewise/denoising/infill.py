"""Pixels that are lost, or that must be found first: salt and pepper."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from scorewise.capabilities import ConditionalSampler
from scorewise.capabilities.roles import CausalQuantile, CausalSampler, Density, JointScore
from scorewise.denoising.filters import median, median_of_known
from scorewise.denoising.single_step import joint_score
from scorewise.noise import of_some, step_size, uniform_like

HALF = 0.5
"""Step of the ascent in units of sigma^2; 1 would replace a pixel by its denoised value, and overshoots."""
FOLDS = 2
"""Every FOLDS-th row and column is left out together when pixels are tested: neighbours never are."""


def infill(model: JointScore | Density, x_BD: Tensor, known_BD: Tensor, shape: Sequence[int], steps: int) -> Tensor:
    """Return x with its unknown entries moved up grad log q given the known ones, shape (B, D).

    x_M <- x_M + sigma^2 / 2 (grad log q(x))_M, kept in [-1, 1], from the median of the known neighbours; the mean of
    the second half of the way is returned. Both what precedes a pixel and what follows it count, which is why it takes
    the joint score (see `joint_score`) and not the conditional one.

    Args:
        model: see `joint_score`.
        x_BD: images in [-1, 1]; unknown entries are not read.
        known_BD: which entries are known.
        shape: of one image, (channels, height, width).
        steps: of the ascent.

    Raises:
        ValueError: no step.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} must be at least 1")
    a = step_size(HALF, model)
    x_BD = median_of_known(x_BD, known_BD, shape, float(model.mean))
    second_half = []
    for step in range(steps):
        moved_BD = (x_BD + a * joint_score(model, x_BD)).clamp(-1, 1)
        x_BD = torch.where(known_BD, x_BD, moved_BD)
        if step >= steps // 2:
            second_half.append(x_BD)
    return torch.where(known_BD, x_BD, torch.stack(second_half).mean(0))


def infill_in_order(
    model: CausalQuantile | CausalSampler,
    x_BD: Tensor,
    known_BD: Tensor,
    draws: int = 16,
    generator: Generator | None = None,
) -> Tensor:
    """Return x with every unknown entry the mean of draws given what comes before it, shape (B, D).

    One dimension after the other in the model's order, contexts from what is known or filled already. What follows
    a pixel is not used. With one draw it is a draw from the conditionals.

    Args:
        model: of conditionals with quantiles or exact draws.
        x_BD: examples; unknown entries are not read.
        known_BD: which entries are known.
        draws: per unknown entry.
        generator: of the draws.
    """
    x_BD, stream, done = x_BD.clone(), model.context_stream(), 0
    with torch.no_grad():
        c_BDF = stream.start(len(x_BD))
        while c_BDF.shape[1]:
            dims = list(model.ordering.sequence[done : done + c_BDF.shape[1]])
            block_BD, lost_B = x_BD[:, dims], ~known_BD[:, dims].all(1)
            if bool(lost_B.any()):
                own = of_some(generator, lost_B.nonzero()[:, 0], f"dimension {done}", draws)
                y_BD = _mean_of_draws(model, c_BDF[lost_B], draws, own)
                block_BD[lost_B] = torch.where(known_BD[lost_B][:, dims], block_BD[lost_B], y_BD)
            x_BD[:, dims] = block_BD
            c_BDF, done = stream.push(block_BD), done + len(dims)
    return x_BD


def _mean_of_draws(
    model: CausalQuantile | CausalSampler, c_BDF: Tensor, draws: int, generator: Generator | None
) -> Tensor:
    c_MBDF = c_BDF.repeat(draws, 1, 1)
    if isinstance(model, ConditionalSampler):
        y_MBD = model.conditional_sample(c_MBDF, generator)
    else:
        y_MBD = model.conditional_quantile(uniform_like(c_MBDF[..., 0], generator), c_MBDF)
    mean_BD: Tensor = y_MBD.unflatten(0, (draws, -1)).mean(0)
    return mean_BD


def impulse_mask(model: JointScore | Density, x_BD: Tensor, shape: Sequence[int], steps: int, jump: float) -> Tensor:
    """Return which entries look like salt or pepper, shape (B, D), boolean, all channels of a pixel together.

    Only pixels at 1 or at -1 can be. Every pixel is filled in from the others, a quarter of them at a time together
    with those that a median filter suspects, and is an outlier when it is further than `jump` from what it was
    expected to be (mean over channels).

    Args:
        model: see `joint_score`.
        x_BD: images in [-1, 1].
        shape: of one image, (channels, height, width).
        steps: of every infilling.
        jump: between what a pixel is and what was expected; 1 is half of the way to the other end.
    """
    channels, (height, width) = shape[0], shape[1:]

    def far(expected_BD: Tensor) -> Tensor:
        apart_BCP = (x_BD - expected_BD).abs().unflatten(1, (channels, -1))
        far_BD: Tensor = (apart_BCP.mean(1) > jump).repeat(1, channels) & at_end_BD
        return far_BD

    x_BCP = x_BD.unflatten(1, (channels, -1))
    at_end_BD = ((x_BCP >= 1).all(1) | (x_BCP <= -1).all(1)).repeat(1, channels)
    suspect_BD = far(median(x_BD, shape))
    row, column = torch.arange(height, device=x_BD.device), torch.arange(width, device=x_BD.device)
    fold_D = (FOLDS * (row % FOLDS)[:, None] + column % FOLDS).flatten().repeat(channels)
    expected_BD = x_BD
    for fold in range(FOLDS**2):
        filled_BD = infill(model, x_BD, ~(suspect_BD | (fold_D == fold)), shape, steps)
        expected_BD = torch.where(fold_D == fold, filled_BD, expected_BD)
    return far(expected_BD)
