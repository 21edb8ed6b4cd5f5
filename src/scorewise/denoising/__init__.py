"""Denoising with a trained model, and the filters that it is compared with."""

from scorewise.denoising.corruption import gaussian, salt_and_pepper
from scorewise.denoising.filters import median, wiener
from scorewise.denoising.infill import impulse_mask, infill, infill_in_order
from scorewise.denoising.linear import LinearMMSE
from scorewise.denoising.single_step import (
    UnknownNoise,
    denoise,
    joint,
    joint_score,
    parallel,
    parallel_blocks,
    sequential,
    sequential_blocks,
)
from scorewise.version import renamed

__all__ = [
    "LinearMMSE",
    "UnknownNoise",
    "denoise",
    "gaussian",
    "impulse_mask",
    "infill",
    "infill_in_order",
    "joint",
    "joint_score",
    "median",
    "parallel",
    "parallel_blocks",
    "salt_and_pepper",
    "sequential",
    "sequential_blocks",
    "wiener",
]

__getattr__ = renamed(__name__, {"outliers": "impulse_mask"})
