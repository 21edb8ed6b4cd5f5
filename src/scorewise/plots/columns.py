"""Columns of a table: densities of each, and correlations."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from scorewise.plots.style import (
    DATA,
    MODEL,
    ORANGE,
    SIGNED_MAP,
    VERMILLION,
    Array,
    Drawing,
    finished,
    numbers,
    short,
    styled,
)

MOST = 16
"""Columns that have a panel."""
PLACES = 240
"""That a density is drawn at."""
COLOURS = (DATA, MODEL, VERMILLION, ORANGE)


@styled
def table(
    samples: Any,
    data: Any,
    names: Sequence[str] | None = None,
    path: str | Path | None = None,
    *,
    title: str = "",
    labels: tuple[str, str] = ("data", "samples"),
    categories: Mapping[int, Sequence[str]] | None = None,
) -> Drawing:
    """Draw rows of a table and samples of a model of it: the density of every column, and their correlations.

    Args:
        samples: rows (N, D) that a model drew.
        data: rows (N, D) that it learned from, in the same units.
        names: of the columns; None: x_1 and so on.
        path: a file to write.
        title: above everything.
        labels: what data and samples are called.
        categories: see `columns`.
    """
    sets = dict(zip(labels, (data, samples), strict=True))
    return columns(sets, names, path, title=title, categories=categories)


@styled
def columns(
    sets: Mapping[str, Any],
    names: Sequence[str] | None = None,
    path: str | Path | None = None,
    *,
    title: str = "",
    categories: Mapping[int, Sequence[str]] | None = None,
) -> Drawing:
    """Draw sets of rows: the density of every column, all sets in one panel, and the correlations of each.

    A column of categories has their shares in place of a density, and no correlations.

    Args:
        sets: rows (N, D) by label; the first is drawn as data.
        names: of the columns; None: x_1 and so on.
        path: a file to write.
        title: above everything.
        categories: the names of codes 0 to K - 1, by the place of their column.
    """
    coded = categories or {}
    rows = {label: numbers(x) for label, x in sets.items()}
    dims = next(iter(rows.values())).shape[1]
    names = list(names or (f"x_{d}" for d in range(1, dims + 1)))[:MOST]
    wide = min(4, len(names))
    lines = math.ceil(len(names) / wide)
    of_numbers = [d for d in range(len(names)) if d not in coded]
    correlated = len(of_numbers) > 1
    heights = [2.1 * lines + 0.5, 4.2 if correlated else 0.0]
    picture = Drawing(max(6.0, 2.7 * wide), sum(heights) + 0.4 * bool(title))
    parts = picture.subfigures(1 + correlated, 1, height_ratios=heights[: 1 + correlated], squeeze=False)[:, 0]
    for d, name in enumerate(names):
        axes = parts[0].add_subplot(lines, wide, d + 1)
        of_column = {label: x[:, d] for label, x in rows.items()}
        if d in coded:
            _shares(axes, of_column, coded[d])
        else:
            _densities(axes, of_column)
        axes.set_title(short(name))
    handles, said = parts[0].axes[0].get_legend_handles_labels()
    parts[0].legend(handles, said, loc="outside lower center", ncols=len(said))
    if correlated:
        _correlations(parts[1], {label: x[:, of_numbers] for label, x in rows.items()}, [names[d] for d in of_numbers])
    more = f"the first {MOST} of {dims} columns" if dims > MOST else ""
    picture.suptitle(": ".join(filter(None, (title, more))))
    return finished(picture, path)


def _densities(axes: Axes, sets: Mapping[str, Array]) -> None:
    """Draw the density of one column in every set, where the data are, by the same kernel."""
    finite = {label: x[np.isfinite(x)] for label, x in sets.items()}
    data = next(iter(finite.values()))
    low, high = np.percentile(data, (0.5, 99.5)) if len(data) else (0.0, 1.0)
    width = float(high - low) or abs(float(low)) or 1.0
    place_P = np.linspace(low - 0.2 * width, high + 0.2 * width, PLACES)
    band = max(_band(data), 0.008 * width)
    for i, (label, x) in enumerate(finite.items()):
        colour = COLOURS[i % len(COLOURS)]
        density_P = _density(x, place_P, band)
        if i == 0:
            axes.fill_between(place_P, density_P, color=colour, alpha=0.3, lw=0)
        axes.plot(place_P, density_P, color=colour, label=f"{label} ({len(x):,})", lw=1.4 if i == 0 else 1.8)
    axes.set(ylim=(0, None), xlim=(place_P[0], place_P[-1]), yticks=[])
    axes.locator_params(axis="x", nbins=4)
    axes.spines["left"].set_visible(False)


def _shares(axes: Axes, sets: Mapping[str, Array], values: Sequence[str]) -> None:
    """Draw the share of every category of one column in every set, the bars of a category beside each other."""
    place_K, wide = np.arange(len(values)), 0.8 / len(sets)
    for i, (label, x) in enumerate(sets.items()):
        codes = x[np.isfinite(x)].round().astype(int)
        share_K = np.bincount(codes[(codes >= 0) & (codes < len(values))], minlength=len(values)) / max(1, len(codes))
        alpha = 0.3 if i == 0 else 1.0
        axes.bar(
            place_K + (i + 0.5) * wide - 0.4,
            share_K,
            wide,
            color=COLOURS[i % len(COLOURS)],
            alpha=alpha,
            label=f"{label} ({len(x):,})",
        )
    every = max(1, math.ceil(len(values) / 8))
    axes.set_xticks(place_K[::every], [short(value, 10) for value in values[::every]], rotation=30, ha="right")
    axes.set(yticks=[])
    axes.spines["left"].set_visible(False)


def _band(x_N: Array) -> float:
    """Return the width of a kernel by Silverman's rule (1986), of the spread of the narrowest half: of one mode."""
    half = len(x_N) // 2
    if not half:
        return 0.0
    ordered = np.sort(x_N)
    spread = float((ordered[half:] - ordered[:-half]).min()) / 1.35
    return float(0.7 * spread * len(x_N) ** -0.2)


def _density(x_N: Array, place_P: Array, band: float) -> Array:
    """Return the density of numbers by a normal kernel, per place."""
    z_PN = (place_P[:, None] - x_N) / band
    return np.asarray(np.exp(-0.5 * z_PN**2).sum(1) / (max(1, len(x_N)) * band * math.sqrt(2 * math.pi)))


def _correlations(part: SubFigure, sets: Mapping[str, Array], names: Sequence[str]) -> None:
    """Draw the correlations of the columns in every set beside each other, in the same colours."""
    panels = part.subplots(1, len(sets), squeeze=False)[0]
    named = [short(name, 14) for name in names]
    for axes, (label, x) in zip(panels, sets.items(), strict=True):
        usable = x[:, : len(names)][np.isfinite(x[:, : len(names)]).all(-1)]
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation_DD = np.corrcoef(usable.T) if len(usable) > 1 else np.full((len(names),) * 2, np.nan)
        shown = axes.imshow(correlation_DD, cmap=SIGNED_MAP, vmin=-1, vmax=1)
        axes.set_title(f"correlations: {label.partition(',')[0]}")
        axes.set_xticks(range(len(names)), named, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), named)
    part.colorbar(shown, ax=list(panels), shrink=0.8)
