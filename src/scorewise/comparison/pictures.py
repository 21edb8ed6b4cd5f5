"""Sample grids of runs, small enough for one page."""

import base64
import io
from pathlib import Path
from typing import NamedTuple

from PIL import Image

MOST = 36
"""Pictures on a page."""
WIDTH, NARROW, FEW = 560, 400, 12
"""Pixels of a picture, where there are few and where there are more."""
PIXELS = 40_000_000
"""Of a picture; no run draws a larger one."""


class PagePicture(NamedTuple):
    """A picture for a page.

    Args:
        uri: the picture itself, as a data URI; empty where it cannot be shown.
        width: in pixels.
        height: likewise.
        problem: why it cannot be shown.
    """

    uri: str
    width: int = 0
    height: int = 0
    problem: str = ""


def picture(path: Path, width: int = WIDTH) -> PagePicture:
    """Return a picture at most so many pixels wide, as WebP; the page links to the file itself."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.width * image.height > PIXELS:
                return PagePicture(
                    "", problem=f"{path.name} has {image.width} x {image.height} pixels, which is too many"
                )
            small = image.convert("RGB")
        small.thumbnail((width, 4 * width))
        file = io.BytesIO()
        small.save(file, format="WEBP", quality=80, method=2)
    except FileNotFoundError:
        return PagePicture("", problem=f"{path.name}: there is none")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return PagePicture("", problem=f"{path.name}: it is damaged")
    data = base64.b64encode(file.getvalue()).decode()
    return PagePicture(f"data:image/webp;base64,{data}", small.width, small.height)
