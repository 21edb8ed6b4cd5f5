"""Curves of a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from scorewise.plots.style import BLUE, GREEN, ORANGE, PURPLE, VERMILLION, Array, Drawing, finished, styled

Points = Sequence[tuple[int, float]]
WINDOW, FEW, LEAST = 25, 9, 12
"""A smoothed value is the mean over this part of a training, one over, of a few values; less than the least are not."""
LEFT_OUT = 0.1
"""The share of training at its begin that the axis does not have to show."""
TRAINING, HELD_OUT = (BLUE, PURPLE), (VERMILLION, GREEN, ORANGE)


@styled
def curves(
    values: Mapping[str, Points],
    path: str | Path | None = None,
    *,
    title: str = "",
    labels: Mapping[str, str] | None = None,
    axis: str = "loss",
) -> Drawing:
    """Draw metrics of training and validation over steps, and held-out values as dashed lines.

    What is called train/... is drawn faint, with its running mean above. The axis is cut to what is after the first
    tenth of training, where the loss of an untrained model hides the rest.

    Args:
        values: (step, value) by name: train/loss, val/loss, test/loss, say.
        path: a file to write.
        title: above it.
        labels: of the metrics that are drawn, by name; None: all, by their names.
        axis: what the values are.
    """
    picture = Drawing(6.6, 4.2)
    axes = picture.add_subplot()
    chosen = labels or {name: name for name in values if not name.startswith("test/")}
    shown: list[Array] = []
    colours = {True: iter(TRAINING), False: iter(HELD_OUT)}
    for name, label in chosen.items():
        if not (points := _finite(values.get(name, ()))):
            continue
        training = name.startswith("train/")
        colour = next(colours[training], "0.2")
        shown.append(_line(axes, points, label, colour, training))
        after = f"test/{name.partition('/')[2]}"
        if not training and (tested := _finite(values.get(after, ()))):
            shown.append(_level(axes, tested[-1][1], colour))
    if shown:
        low, high = min(x.min() for x in shown), max(x.max() for x in shown)
        margin = 0.06 * (high - low or abs(high) or 1)
        axes.set_ylim(low - margin, high + margin)
        axes.legend()
    axes.set(xlabel="step", ylabel=axis, title=title)
    axes.grid(visible=True)
    return finished(picture, path)


def loss_curves(
    curves_by_name: Mapping[str, Points],
    path: Path,
    title: str,
    shown_names: Sequence[tuple[str, str]],
    axis: str,
) -> Drawing:
    """Draw curves as `curves` does, to a file.

    Args:
        curves_by_name: (step, value) by name.
        path: the file.
        title: above it.
        shown_names: names that are drawn where they are there, with their labels.
        axis: what the values are.
    """
    return curves(curves_by_name, path, title=title, labels=dict(shown_names), axis=axis)


def _finite(points: Points) -> Points:
    return [(step, value) for step, value in points if np.isfinite(value)]


def _line(axes: Axes, points: Points, label: str, colour: str, training: bool) -> Array:
    """Draw one metric and return the values that the axis must show."""
    steps, values = np.array([step for step, _ in points]), np.array([value for _, value in points])
    late = steps >= steps[-1] * LEFT_OUT
    if not training:
        axes.plot(steps, values, label=label, color=colour, marker="o", ms=3.5, zorder=3)
        return np.asarray(values[late])
    if len(values) < LEAST:
        axes.plot(steps, values, label=label, color=colour)
        return np.asarray(values[late])
    axes.plot(steps, values, color=colour, lw=0.8, alpha=0.25)
    window = max(len(values) // WINDOW, min(FEW, len(values) // 4))
    mean = _running_mean(values, window)
    over = window * round((steps[-1] - steps[0]) / (len(steps) - 1))
    axes.plot(steps, mean, label=f"{label}, mean over {over:,} steps", color=colour)
    return np.concatenate([mean[late], np.percentile(values[late], (1, 99))])


def _running_mean(values: Array, window: int) -> Array:
    """Return the mean of so many values around each, of fewer at the ends."""
    kernel = np.ones(window)
    return np.asarray(np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same"))


def _level(axes: Axes, value: float, colour: str) -> Array:
    """Draw a held-out value as a line, and return it."""
    axes.axhline(value, color=colour, ls=(0, (5, 3)), lw=1.4, label=f"test {value:.4g}", zorder=2)
    return np.array([value])
