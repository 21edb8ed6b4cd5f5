"""Pictures of a run."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from scorewise.files import put_bytes


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, bbox_inches="tight")
    put_bytes(path, picture.getbuffer(), lasting=False)


def loss_curves(
    curves: Mapping[str, Sequence[tuple[int, float]]],
    path: Path,
    title: str,
    shown_names: Sequence[tuple[str, str]],
    axis: str,
) -> None:
    """Draw metrics of training and validation over steps.

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


def histograms(panels: Mapping[str, Mapping[str, Tensor]], path: Path, title: str) -> None:
    """Draw histograms of numbers, one panel per name and one line per set.

    The axis is linear within the spread of the first set and logarithmic beyond it.

    Args:
        panels: name -> set -> numbers (N,), the first set drawn solid.
        path: the file.
        title: above everything.
    """
    columns = min(len(panels), 4)
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows + 0.6))
    figure.subplots_adjust(hspace=0.3, wspace=0.15, bottom=0.15 / rows)
    for i, (name, sets) in enumerate(panels.items(), 1):
        axes = figure.add_subplot(rows, columns, i)
        numbers = {label: x_N.detach().cpu().double().numpy() for label, x_N in sets.items()}
        finite = {label: x[np.isfinite(x)] for label, x in numbers.items()}
        middle, width, edges = _bins([x for x in finite.values() if len(x)])
        for j, (label, x) in enumerate(finite.items()):
            share = np.full(len(x), 1 / max(1, len(numbers[label])))
            shown = label if len(x) == len(numbers[label]) else f"{label} ({len(numbers[label]) - len(x)} infinite)"
            kind = {"histtype": "stepfilled", "alpha": 0.35, "color": "0.4"} if j == 0 else {"histtype": "step"}
            axes.hist(x, bins=edges, weights=share, label=shown, **kind)  # type: ignore[arg-type]
        axes.set_xscale(
            "function",
            functions=(
                lambda x, m=middle, w=width: np.arcsinh((x - m) / w),
                lambda y, m=middle, w=width: m + w * np.sinh(y),
            ),
        )
        ticks = _ticks(middle, width, edges)
        axes.set_xticks(ticks, [f"{tick:.4g}" for tick in ticks], fontsize=7)
        axes.set_title(name, fontsize=9)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(labels), frameon=False)
    figure.suptitle(title, fontsize=10, y=0.97)
    _save(figure, path)


def _bins(sets: Sequence[np.ndarray[Any, Any]]) -> tuple[float, float, np.ndarray[Any, Any]]:
    """Return the median and the interquartile range of the first set, and edges, even in asinh."""
    pooled = np.concatenate([*sets, np.zeros(0)]) if sets else np.zeros(1)
    first = sets[0] if sets else pooled
    low, middle, high = np.percentile(first, (25, 50, 75))
    width = float(high - low) or float(np.ptp(pooled)) or 1.0
    y = np.arcsinh((pooled - middle) / width)
    margin = 0.02 * float(np.ptp(y)) + 1e-3
    edges = np.linspace(y.min() - margin, y.max() + margin, 61)
    return float(middle), width, middle + width * np.sinh(edges)


def _ticks(middle: float, width: float, edges: np.ndarray[Any, Any]) -> list[float]:
    """Return five places along the axis, rounded to two digits of what they are apart from the middle."""
    ends = np.arcsinh((edges[[0, -1]] - middle) / width)
    places = middle + width * np.sinh(np.linspace(ends[0], ends[1], 7)[1:-1])
    digits = [max(0, 1 - math.floor(math.log10(abs(place - middle) + 1e-3 * width))) for place in places]
    return [round(float(place), digit) for place, digit in zip(places, digits, strict=True)]


def grid(images: np.ndarray[Any, Any], columns: int | None = None) -> np.ndarray[Any, Any]:
    """Return images (N, C, H, W) in [-1, 1] as one picture with a thin border around each; square by itself."""
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
    """Draw sets of examples side by side: image grids, scatters (D = 2) or histograms per dimension.

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
