"""Drawing many samples from a model, in chunks whose random numbers depend on nothing but their place."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from scorewise.capabilities import Sampler
from scorewise.capabilities.roles import Smoothed
from scorewise.errors import UserError
from scorewise.noise import Draws
from scorewise.sampling.ancestral import Ancestral
from scorewise.sampling.denoise import tweedie
from scorewise.sampling.parallel import Parallel

AT_ONCE = 100
"""Samples that are denoised at a time; a full pass holds the features of all dimensions."""


class Sampled(Smoothed, Sampler, Protocol):
    """What is asked of a model whose samples are judged."""

    @property
    def mean(self) -> Tensor:
        """The mean of the data, on the model's device."""

    @property
    def dims(self) -> int:
        """D."""

    @property
    def sampler(self) -> object:
        """The rule that draws the samples."""


def draw(
    model: Sampled, count: int, batch: int, seed: int, denoise: bool, rank: int = 0, world_size: int = 1
) -> Tensor:
    """Return samples of a model, shape (count, D); each process draws some, and those of the others are zero here.

    Args:
        model: with a sampler.
        count: samples in all.
        batch: samples that are drawn together.
        seed: of the draws.
        denoise: whether x + sigma^2 s(x) takes the noise of the modelled law away.
        rank: of this process.
        world_size: how many processes there are.

    Raises:
        UserError: samples that are not finite.
    """
    sampler = model.sampler
    watched = sampler if isinstance(sampler, Ancestral | Parallel) else None
    watch = None if watched is None else watched.watch
    x_BD = model.mean.new_zeros(count, model.dims)
    for chunk, rows in enumerate(torch.arange(count).split(batch)):
        if chunk % world_size != rank:
            continue
        if watched is not None and watch is not None:
            watched.watch = partial(_tell, watch, int(rows[0]) / count, len(rows) / count)
        key = Draws.of(seed, -1, torch.tensor([chunk])).fork("samples").key_B.item()
        drawn_BD = model.sample(len(rows), torch.Generator().manual_seed(int(key))).flatten(1)
        if denoise and model.noise:
            drawn_BD = torch.cat([tweedie(model, part_BD) for part_BD in drawn_BD.split(AT_ONCE)])
        x_BD[rows.to(x_BD.device)] = drawn_BD.detach()
    if watched is not None and watch is not None:
        watched.watch = watch
    if bad := int((~x_BD.isfinite()).any(1).sum()):
        raise UserError(
            f"{bad} of {len(x_BD)} samples by {type(sampler).__name__} are not finite, so nothing was compared: look "
            "at the loss of the training, or take another sampler."
        )
    return x_BD


def _tell(watch: Callable[[float], None], done: float, part: float, share: float) -> None:
    watch(done + part * share)


def describe(model: Smoothed, denoise: bool) -> str:
    """Return what samples of a model are, for a report."""
    if not model.noise:
        how = "as drawn from a model of clean images"
    elif denoise:
        how = f"denoised by x + sigma^2 s(x), sigma {model.noise:g}"
    else:
        how = f"with their noise of {model.noise:g}, not denoised"
    return f"samples ({how}, clamped, in 8 bits)"
