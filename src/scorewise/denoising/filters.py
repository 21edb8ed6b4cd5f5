"""Filters of images without a model: the baselines of denoising."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def median(x_BD: Tensor, shape: Sequence[int], size: int = 3) -> Tensor:
    """Return the median of a size x size window around every pixel, per channel, edges mirrored (scipy), (B, D)."""
    from scipy.ndimage import median_filter

    images = x_BD.detach().cpu().numpy().reshape(-1, *shape)
    return torch.from_numpy(median_filter(images, size=(1, 1, size, size))).to(x_BD).reshape(x_BD.shape)


def wiener(x_BD: Tensor, shape: Sequence[int], sigma: float | None, size: int = 3) -> Tensor:
    """Return the adaptive Wiener filter on size x size windows, per channel (Lim 1990; scipy), (B, D).

    Args:
        x_BD: images.
        shape: of one image, (channels, height, width).
        sigma: of the noise; None: the mean of the local variances, as scipy has it.
        size: of the window.
    """
    from scipy.signal import wiener as of_plane

    planes = x_BD.detach().cpu().double().numpy().reshape(-1, *shape[1:])
    noise = None if sigma is None else sigma**2
    with np.errstate(divide="ignore", invalid="ignore"):  # windows without any variance, which stay as they are
        restored = np.stack([of_plane(plane, size, noise) for plane in planes])
    restored = np.where(np.isfinite(restored), restored, planes)
    return torch.from_numpy(restored).to(x_BD).reshape(x_BD.shape)


def median_of_known(x_BD: Tensor, known_BD: Tensor, shape: Sequence[int], otherwise: float) -> Tensor:
    """Return x with every unknown entry replaced by the median of the known ones around it, shape (B, D).

    Around means 3 x 3, then 5 x 5 where nothing is known there, then `otherwise`.
    """
    images = torch.where(known_BD, x_BD, torch.nan).reshape(-1, 1, *shape[1:])
    filled = images
    for reach in (1, 2):
        padded = functional.pad(images, (reach,) * 4, value=torch.nan)
        windows = functional.unfold(padded, 2 * reach + 1).reshape(len(images), -1, *shape[1:])
        filled = torch.where(filled.isnan(), windows.nanmedian(1, keepdim=True).values, filled)
    return filled.nan_to_num(nan=otherwise).reshape(x_BD.shape)
