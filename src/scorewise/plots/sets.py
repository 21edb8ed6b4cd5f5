"""Sets of examples of any shape."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scorewise.plots.columns import columns as columns_of
from scorewise.plots.image import images
from scorewise.plots.plane import plane
from scorewise.plots.style import Drawing


def samples(
    panels: Mapping[str, Any],
    shape: Sequence[int],
    path: str | Path | None = None,
    title: str = "",
    columns: Mapping[str, int] | None = None,
) -> Drawing:
    """Draw sets of examples: image grids, scatters on the same axes (D = 2) or densities per dimension.

    Args:
        panels: label -> examples (N, D); the first is drawn as data.
        shape: of one example; three axes mean an image in [-1, 1].
        path: a file to write.
        title: above everything.
        columns: images in a row of a panel, by label; a square where it is not given.
    """
    if len(shape) == 3:
        return images(panels, path, title=title, shape=shape, columns=columns)
    if math.prod(shape) == 2:
        return plane(None, panels, path, title=title)
    return columns_of(panels, None, path, title=title)
