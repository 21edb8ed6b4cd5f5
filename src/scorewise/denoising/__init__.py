"""Denoising with a trained model, and the filters that it is compared with."""

from scorewise.denoising.corruption import gaussian, salt_and_pepper
from scorewise.denoising.filters import median, wiener
from scorewise.denoising.infill import infill, infill_in_order, outliers
from scorewise.denoising.linear import LinearMMSE
from scorewise.denoising.single_step import joint, joint_score, parallel, sequential

__all__ = [
    "LinearMMSE",
    "gaussian",
    "infill",
    "infill_in_order",
    "joint",
    "joint_score",
    "median",
    "outliers",
    "parallel",
    "salt_and_pepper",
    "sequential",
    "wiener",
]
