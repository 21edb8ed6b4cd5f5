"""Curves of trainings that differ in the seed: their mean as a line, the range of the seeds as a band."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.spread import thinned


def curve_of(runs: Sequence[FinishedRun], metric: str, unit: float = 1.0) -> dict[str, list[Any]]:
    """Return a metric of the runs of one training: `steps`, which all seeds share, and `seeds`, values of each.

    Args:
        runs: of one training.
        metric: its name.
        unit: by which values are divided.
    """
    curves = [thinned([(step, value / unit) for step, value in run.curves[metric]]) for run in runs]
    return {"steps": [step for step, _ in curves[0]], "seeds": [[value for _, value in curve] for curve in curves]}


def draw_curve(axes: Axes, curve: Mapping[str, Any], style: str, of_step: float = 1.0, **how: Any) -> None:
    """Draw a curve of `curve_of`; one of a single step is a dot.

    Args:
        axes: to draw on.
        curve: to draw.
        style: of the line.
        of_step: by which steps, counted from one, are multiplied.
        how: further settings of the line.
    """
    places = [(step + 1) * of_step for step in curve["steps"]]
    values_SN = np.asarray(curve["seeds"])
    marker = {"marker": "o", "ms": 4} if len(places) == 1 else {}
    (line,) = axes.plot(places, values_SN.mean(0), style, **{**marker, **how})
    if len(values_SN) > 1:
        axes.fill_between(places, values_SN.min(0), values_SN.max(0), color=line.get_color(), alpha=0.2, lw=0)
