"""Pictures of a run."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110, bbox_inches="tight")


def loss_curves(
    curves: Mapping[str, Sequence[tuple[int, float]]],
    path: Path,
    title: str,
    shown_names: Sequence[tuple[str, str]],
    axis: str,
) -> None:
    """This draws metrics of training and validation over steps.

    The axis is cut below the first tenth of training, where the loss of an untrained model hides the rest.

    Args:
        curves: (step, value) by name.
        path: the file.
        title: above it.
        shown_names: names that are drawn where they are there, with their labels.
        axis: what the values are.
    """
    figure = Figure(figsize=(6.5, 4))
    axes = figure.add_subplot()
    shown: list[float] = []
    for name, label in shown_names:
        style = {"lw": 0.7, "alpha": 0.5} if name.startswith("train/") else {"lw": 1.8, "marker": "o", "ms": 2.5}
        if points := curves.get(name):
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, label=label, **style)  # type: ignore[arg-type]
            shown += [value for step, value in points if step >= steps[-1] / 10]
    if shown:
        low, high = min(shown), max(shown)
        axes.set_ylim(low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1))
        axes.legend(frameon=False)
    axes.set(xlabel="step", ylabel=axis, title=title)
    axes.grid(alpha=0.25)
    _save(figure, path)


def grid(images: np.ndarray[Any, Any], columns: int | None = None) -> np.ndarray[Any, Any]:
    """This is images (N, C, H, W) in [-1, 1] as one picture with a thin border around each; square by itself."""
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    canvas = np.ones((rows * (height + 1) + 1, columns * (width + 1) + 1, channels))
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + 1) + 1, (i % columns) * (width + 1) + 1
        canvas[top : top + height, left : left + width] = np.clip(image.transpose(1, 2, 0) / 2 + 0.5, 0, 1)
    return canvas if channels == 3 else canvas[..., 0]


def samples(
    panels: Mapping[str, Tensor],
    shape: Sequence[int],
    path: Path,
    title: str,
    columns: Mapping[str, int] | None = None,
) -> None:
    """This draws sets of examples side by side: image grids, scatters (D = 2) or histograms per dimension.

    Args:
        panels: label -> examples (N, D).
        shape: of one example; three axes mean an image in [-1, 1].
        path: the file.
        title: above everything.
        columns: images in a row of a panel, by label; a square where it is not given.
    """
    figure = Figure(figsize=(4.2 * len(panels), 4.6))
    for i, (label, x_BD) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(1, len(panels), i)
        x = x_BD.detach().cpu().float().numpy()
        if len(shape) == 3:
            picture = grid(x.reshape(-1, *shape), (columns or {}).get(label))
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_axis_off()
        elif math.prod(shape) == 2:
            axes.scatter(x[:, 0], x[:, 1], s=2, alpha=0.6)
            axes.set_aspect("equal")
        else:
            for d in range(min(math.prod(shape), 5)):
                axes.hist(x[:, d], bins=40, histtype="step", density=True, label=f"x_{d + 1}")
            axes.legend(frameon=False, fontsize=7)
        axes.set_title(label, fontsize=9)
    figure.suptitle(title, fontsize=10)
    _save(figure, path)
