"""How pictures look: colours that colour-blind people tell apart, sizes that are read at half the size."""

import io
import textwrap
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, final

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from scorewise.files import put_bytes

P = ParamSpec("P")
R = TypeVar("R")
Array = np.ndarray[Any, Any]

BLUE, VERMILLION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
"""Colours of Okabe and Ito (2008)."""
DATA, MODEL = "0.35", BLUE
"""What is real is grey, what a model makes is blue."""
DENSITY_MAP, SIGNED_MAP = "Blues", "RdBu_r"
"""Colours of what is at least zero, and of what has a sign."""
DPI: Final = 110
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.grid": False,
    "axes.labelsize": 11,
    "axes.prop_cycle": cycler(color=[BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, "0.2"]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.titlesize": 13,
    "font.size": 11,
    "grid.alpha": 0.25,
    "image.interpolation": "nearest",
    "legend.fontsize": 11,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "text.parse_math": False,  # a column may be called $
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
}
"""Settings of matplotlib for every picture."""


@final
class Drawing(Figure):
    """A figure that a notebook shows, whether or not it has loaded pyplot."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def png(self) -> bytes:
        """Return the picture as a PNG file."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=DPI)
        return picture.getvalue()

    def _repr_png_(self) -> bytes:
        with mpl.rc_context(STYLE):
            return self.png()


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw in our style."""

    @wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawing


def finished(picture: Drawing, path: str | Path | None) -> Drawing:
    """Return a picture, written to a file where one is given."""
    if path is not None:
        put_bytes(Path(path), picture.png(), lasting=False)
    return picture


def numbers(x: Any) -> Array:
    """Return a tensor, an array or lists of numbers as float64."""
    return np.asarray(torch.as_tensor(x).detach().cpu().double().numpy())


def wrapped(text: str, most: int = 38) -> str:
    """Return text in lines of at most so many characters: two titles side by side shall not meet."""
    return "\n".join(textwrap.wrap(text, most))


def short(name: str, most: int = 24) -> str:
    """Return a name in at most so many characters."""
    return name if len(name) <= most else f"{name[: most - 1]}\N{HORIZONTAL ELLIPSIS}"
