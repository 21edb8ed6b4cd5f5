"""Histograms of numbers that spread far."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from scorewise.plots.image import across
from scorewise.plots.style import DATA, Array, Drawing, finished, numbers, styled


@styled
def histograms(panels: Mapping[str, Mapping[str, Tensor]], path: str | Path | None = None, title: str = "") -> Drawing:
    """Draw histograms of numbers, one panel per name and one line per set.

    The axis is linear within the spread of the first set and logarithmic beyond it.

    Args:
        panels: name -> set -> numbers (N,), the first set drawn solid.
        path: a file to write.
        title: above everything.
    """
    columns = across(len(panels))
    rows = math.ceil(len(panels) / columns)
    picture = Drawing(max(4.5, 3.6 * columns), 2.6 * rows + 0.9)
    for i, (name, sets) in enumerate(panels.items(), 1):
        axes = picture.add_subplot(rows, columns, i)
        found = {label: numbers(x_N) for label, x_N in sets.items()}
        finite = {label: x[np.isfinite(x)] for label, x in found.items()}
        middle, width, edges = _bins([x for x in finite.values() if len(x)])
        for j, (label, x) in enumerate(finite.items()):
            share = np.full(len(x), 1 / max(1, len(found[label])))
            shown = label if len(x) == len(found[label]) else f"{label} ({len(found[label]) - len(x)} infinite)"
            kind = (
                {"histtype": "stepfilled", "alpha": 0.35, "color": DATA} if j == 0 else {"histtype": "step", "lw": 1.6}
            )
            axes.hist(x, bins=edges, weights=share, label=shown, **kind)  # type: ignore[arg-type]
        axes.set_xscale(
            "function",
            functions=(
                lambda x, m=middle, w=width: np.arcsinh((x - m) / w),
                lambda y, m=middle, w=width: m + w * np.sinh(y),
            ),
        )
        ticks = _ticks(middle, width, edges)
        axes.set_xticks(ticks, [f"{tick:.4g}" for tick in ticks])
        axes.set_title(name)
    handles, labels = picture.axes[0].get_legend_handles_labels()
    picture.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), max(2, columns)))
    picture.suptitle(title)
    return finished(picture, path)


def _bins(sets: Sequence[Array]) -> tuple[float, float, Array]:
    """Return the median and the interquartile range of the first set, and edges, even in asinh."""
    pooled = np.concatenate([*sets, np.zeros(0)]) if sets else np.zeros(1)
    first = sets[0] if sets else pooled
    low, middle, high = np.percentile(first, (25, 50, 75))
    width = float(high - low) or float(np.ptp(pooled)) or 1.0
    y = np.arcsinh((pooled - middle) / width)
    margin = 0.02 * float(np.ptp(y)) + 1e-3
    count = min(60, max(12, math.ceil(2 * math.sqrt(len(first)))))
    edges = np.linspace(y.min() - margin, y.max() + margin, count + 1)
    return float(middle), width, middle + width * np.sinh(edges)


def _ticks(middle: float, width: float, edges: Array) -> list[float]:
    """Return five places along the axis, rounded to two digits of what they are apart from the middle."""
    ends = np.arcsinh((edges[[0, -1]] - middle) / width)
    places = middle + width * np.sinh(np.linspace(ends[0], ends[1], 7)[1:-1])
    digits = [max(0, 1 - math.floor(math.log10(abs(place - middle) + 1e-3 * width))) for place in places]
    return [round(float(place), digit) for place, digit in zip(places, digits, strict=True)]
