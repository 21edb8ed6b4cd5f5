"""Gaussian noise removed in a single step (Robbins 1956; Tweedie's formula; AR-CSM, section 5.4)."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from scorewise.capabilities import (
    BlockScoreModel,
    ConditionalScoreModel,
    DiscreteDensity,
    NoisyBlockScoreModel,
    NoisyConditionalScoreModel,
    NoisyScoreModel,
    NormalisedDensity,
    ScoreModel,
    UncheckedDensity,
)
from scorewise.capabilities.roles import BlockScores, CausalNoisyScore, Levelled, NoisyBlockScores, Smoothed
from scorewise.errors import UserError
from scorewise.gradients import log_density_and_score
from scorewise.ranges import is_number

COARSE = 0.35
"""Share of a likelihood's nodes for its gradient, which tolerates fewer: as many as training takes."""


def joint_score(model: ScoreModel | NormalisedDensity, x_BD: Tensor, sigma: float | None = None) -> Tensor:
    """Return grad_x log q(x), shape (B, D): sum_{k>=d} d/dx_d log q(x_k | x_<k) for a model of conditionals.

    Args:
        model: with a joint score, one at every noise level, or a log-density that can be differentiated.
        x_BD: where.
        sigma: the noise level, for models of several; None: the smallest.

    Raises:
        ValueError: the model has probabilities of levels, or no log-density.
    """
    with torch.no_grad():
        if isinstance(model, NoisyScoreModel) and sigma is not None:
            return model.noisy_score(x_BD, torch.full_like(x_BD[:, 0], sigma))
        if isinstance(model, ScoreModel):
            return model.score(x_BD)
    if isinstance(model, DiscreteDensity):
        raise ValueError(
            f"{type(model).__name__} has probabilities of levels, a density that is constant around each, so it has no "
            "score: take a model with a density of continuous values, head=mixture for one"
        )
    if isinstance(model, UncheckedDensity):
        return log_density_and_score(lambda y_BD: model.unchecked_log_prob(y_BD, COARSE), x_BD)[1]
    return log_density_and_score(model.log_prob, x_BD)[1]


def parallel(model: ConditionalScoreModel, y_BD: Tensor, sigma: float) -> Tensor:
    """Return y_d + sigma^2 s_d(y_d | y_<d) = E[x_d | y_<=d], all dimensions from one pass, shape (B, D).

    The contexts are noisy pixels, so the model must have been trained with this noise on all of them.
    """
    with torch.no_grad():
        return y_BD + sigma**2 * model.conditional_score(y_BD, model.context(y_BD))


def sequential(model: CausalNoisyScore, y_BD: Tensor, sigma: float) -> Tensor:
    """Return y_d + sigma^2 s_d(y_d | restored x_<d, sigma), one dimension after the other, shape (B, D).

    For models whose contexts were trained (nearly) clean while the query had any noise level, see `csm_annealed`.
    """
    x_BD, stream, done = y_BD.clone(), model.context_stream(), 0
    with torch.no_grad():
        c_BDF = stream.start(len(y_BD))
        while c_BDF.shape[1]:
            dims = list(model.ordering.sequence[done : done + c_BDF.shape[1]])
            q_BD = y_BD[:, dims]
            s_BD = model.noisy_conditional_score(q_BD, c_BDF, torch.full_like(q_BD, sigma))
            x_BD[:, dims] = q_BD + sigma**2 * s_BD
            c_BDF, done = stream.push(x_BD[:, dims]), done + len(dims)
    return x_BD


def parallel_blocks(model: BlockScores, y_BD: Tensor, sigma: float) -> Tensor:
    """Return y_k + sigma^2 s_k(y_k | y_<k) = E[x_k | y_<=k] of every block k, all from one pass, shape (B, D)."""
    with torch.no_grad():
        s_BKb = model.block_score(model.split(y_BD), model.block_context(y_BD))
        return y_BD + sigma**2 * model.join(s_BKb)


def sequential_blocks(model: NoisyBlockScores, y_BD: Tensor, sigma: float) -> Tensor:
    """Return y_k + sigma^2 s_k(y_k | restored x_<k, sigma), one block after the other, shape (B, D)."""
    x_BD, y_BKb = y_BD.clone(), model.split(y_BD)
    with torch.no_grad():
        stream = model.context_stream()
        c_B1F = stream.start(len(y_BD))
        for number, block in enumerate(model.ordering.blocks):
            q_B1b = y_BKb[:, number, None]
            x_B1b = q_B1b + sigma**2 * model.noisy_block_score(q_B1b, c_B1F, torch.full_like(q_B1b[..., 0], sigma))
            x_BD[:, list(block)] = x_B1b[:, 0, : len(block)]
            c_B1F = stream.push(model.split(x_BD)[:, number])
    return x_BD


def joint(model: ScoreModel | NormalisedDensity, y_BD: Tensor, sigma: float) -> Tensor:
    """Return y + sigma^2 grad log q(y) = E[x | y], which sees all of the image, shape (B, D)."""
    return y_BD + sigma**2 * joint_score(model, y_BD, sigma)


class UnknownNoise(UserError, ValueError):
    """A noise level that a model was not trained on; the message says which it knows."""


WAYS: Sequence[tuple[type, Callable[[Any, Tensor, float], Tensor]]] = (
    (NoisyConditionalScoreModel, sequential),
    (ConditionalScoreModel, parallel),
    (NoisyBlockScoreModel, sequential_blocks),
    (BlockScoreModel, parallel_blocks),
    (object, joint),
)
"""How noise is removed by a model that has something: the first that applies."""


def denoise(model: Smoothed, y_BD: Tensor, sigma: float | None = None) -> Tensor:
    """Return y without its Gaussian noise, in the way that the model was trained for, shape (B, D).

    Sequential where it has conditional scores at every noise level, of dimensions or of blocks, parallel where it has
    conditional scores, joint otherwise; see the functions of these names.

    Args:
        model: with conditional or joint scores, or a log-density that can be differentiated.
        y_BD: examples with noise on every entry.
        sigma: standard deviation of the noise; None: of the law that was modelled, the smallest level where there are
            several.

    Raises:
        UnknownNoise: the model was trained without noise, or not on this level.
    """
    several = isinstance(model, NoisyConditionalScoreModel | NoisyBlockScoreModel | NoisyScoreModel)
    levels = cast(Levelled, model).levels if several else (model.noise,)
    low, high = levels[-1], levels[0]
    if high <= 0:
        raise UnknownNoise("this model was trained without noise and can remove none: train with data.smoothing=0.6.")
    level = low if sigma is None else sigma
    if isinstance(level, np.generic) or (isinstance(level, Tensor) and level.numel() == 1):
        level = level.item()
    if not is_number(level):
        raise UnknownNoise(f"sigma={sigma!r} is no number: give the standard deviation of the noise.")
    if not low * (1 - 1e-6) <= level <= high * (1 + 1e-6):
        known = f"{low:g}" if low == high else f"from {low:g} to {high:g}"
        raise UnknownNoise(
            f"sigma={sigma!r} is not the noise that this model was trained on, which is {known}: give that, or "
            "train with another."
        )
    return next(way for kind, way in WAYS if isinstance(model, kind))(model, y_BD, float(level))
