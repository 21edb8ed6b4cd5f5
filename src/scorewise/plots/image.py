"""Sets of images beside each other."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scorewise.plots.style import Array, Drawing, finished, numbers, styled, wrapped


def grid(images: Array, columns: int | None = None) -> Array:
    """Return images (N, C, H, W) in [-1, 1] as one picture with a thin border around each; square by itself."""
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    canvas = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, channels))
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + 1) + 1, (i % columns) * (width + 1) + 1
        canvas[top : top + height, left : left + width] = np.clip(image.transpose(1, 2, 0) / 2 + 0.5, 0, 1)
    return canvas if channels == 3 else canvas[..., 0]


@styled
def images(
    panels: Mapping[str, Any],
    path: str | Path | None = None,
    *,
    title: str = "",
    shape: Sequence[int] | None = None,
    columns: Mapping[str, int] | None = None,
) -> Drawing:
    """Draw sets of images beside each other: data and samples, say.

    Args:
        panels: images in [-1, 1] by label, each (N, channels, height, width) or (N, height, width), or (N, D) with a
            shape.
        path: a file to write.
        title: above everything.
        shape: of one image; None: as the sets have it.
        columns: images in a row of a set, by label; a square where it is not given.

    Raises:
        ValueError: a set has no image, or numbers that are none of that shape.
    """
    wide = across(len(panels))
    picture = Drawing(3.6 * wide, 3.9 * math.ceil(len(panels) / wide) + 0.4 * bool(title))
    for i, (label, x) in enumerate(panels.items(), 1):
        axes = picture.add_subplot(math.ceil(len(panels) / wide), wide, i)
        x_N = numbers(x)
        axes_of_one = tuple(shape or x_N.shape[1:])
        if not len(x_N) or not 2 <= len(axes_of_one) <= 3 or math.prod(axes_of_one) != math.prod(x_N.shape[1:]):
            raise ValueError(
                f"{label} has the shape {list(x_N.shape)}, and images of {list(axes_of_one)} were asked for: give one "
                "at least, and as many numbers each as shape says"
            )
        x_NCHW = x_N.reshape(-1, *(1,) * (3 - len(axes_of_one)), *axes_of_one)
        axes.imshow(grid(x_NCHW, (columns or {}).get(label)), cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
        axes.set_title(wrapped(label))
    picture.suptitle(title)
    return finished(picture, path)


def across(panels: int) -> int:
    """Return how many panels stand in a row: at most three, and four in two rows."""
    return 2 if panels == 4 else max(1, min(panels, 3))
