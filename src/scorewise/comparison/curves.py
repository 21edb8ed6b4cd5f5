"""Loss curves of many runs, one panel per metric and law, as SVG."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scorewise.comparison.compared import Compared
from scorewise.comparison.metrics import Metric, objective_of, split
from scorewise.comparison.record import Curve
from scorewise.errors import printable
from scorewise.tracking.numbers import FIRST, OF_AN_OBJECTIVE, WITHOUT

POINTS = 4_000
"""Points of a panel, over all its curves."""
POINTS_OF_A_PAGE = 60_000
"""Over all its panels."""
FEWEST, MOST = 20, 300
"""Points of a curve."""
WITH_TRAINING = 8
"""Runs in a panel up to which the curves of training are drawn beside those of validation."""
PANELS = 36
LARGEST = 1e300
"""Of the values that are drawn: an axis needs room above and below."""
UNIT = {
    "nll": "nats per example",
    "bits_per_dim": "bits per dimension",
    "fisher_error": "1/2 E|s - s*|^2",
    "ais": "- log p(x), nats",
    "iwae": "- log p(x), nats",
    "neg_elbo": "nats",
    WITHOUT: "loss - |z|^2 / (2 sigma^2)",
}
STYLES = {"-": "", "--": "7 3", ":": "2 2.5", "-.": "7 2.5 2 2.5"}
"""Line styles, and what they are in SVG."""
TAB10 = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf")


class Line(NamedTuple):
    """A curve of a panel.

    Args:
        group: place of the group that its run is in.
        training: whether it is measured on training batches.
        points: (step, value).
    """

    group: int
    training: bool
    points: Curve


class Panel(NamedTuple):
    """Curves on one axis.

    Args:
        metric: that they are of.
        law: letter and text of the law, empty where all runs share one.
        lines: the curves.
        notes: what must be known about them.
    """

    metric: Metric
    law: str
    lines: list[Line]
    notes: list[str]

    @property
    def title(self) -> str:
        """The title above the panel."""
        return printable(self.metric.title + (f", law {self.law}" if self.law else ""))


def thinned(points: Curve, most: int) -> Curve:
    """Return a curve of at most so many points: the means of consecutive ones, with NaN where one is not finite."""
    if len(points) <= most:
        return points
    ends = np.linspace(0, len(points), most + 1).astype(int)
    steps, values = (np.fromiter((point[i] for point in points), float, len(points)) for i in (0, 1))
    values = np.where(np.isfinite(values), values, np.nan)
    sizes = np.diff(ends)
    means = np.add.reduceat(values, ends[:-1]) / sizes
    middles = np.add.reduceat(steps, ends[:-1]) / sizes
    return [(round(step), float(value)) for step, value in zip(middles, means, strict=True)]


def panels(compared: Compared) -> list[Panel]:
    """Return the panels: metrics that all objectives share first, one for each law, and losses one per objective."""
    found: dict[tuple[Metric, str], dict[str, list[tuple[int, Curve]]]] = {}
    for place, record in enumerate(compared.records):
        law = compared.law_of(place)
        letter = f"{law.letter}: {law.text}" if len(compared.laws) > 1 else ""
        for name, points in record.curves.items():
            kind, _, metric = name.partition("/")
            copied = metric in OF_AN_OBJECTIVE[1:] and points == record.curves.get(f"{kind}/{OF_AN_OBJECTIVE[0]}")
            copied |= metric == "bits_per_dim" and f"{kind}/nll" in record.curves  # the same on another scale
            if not metric.endswith("grad_norm") and not copied:
                where = found.setdefault((split(metric, record), letter), {"train": [], "val": []})
                where[kind].append((place, points))
    order = sorted(found, key=lambda key: (_place(key[0]), key[1]))
    most = min(POINTS, POINTS_OF_A_PAGE // max(1, min(len(order), PANELS)))
    return [_panel(compared, metric, law, found[metric, law], most) for metric, law in order]


def _place(metric: Metric) -> tuple[int, str, str]:
    first = FIRST.index(metric.name) if metric.name in FIRST else len(FIRST)
    return first + (metric.name not in (*FIRST, *OF_AN_OBJECTIVE)), metric.name, metric.objective


def _panel(
    compared: Compared, metric: Metric, law: str, found: dict[str, list[tuple[int, Curve]]], most_points: int
) -> Panel:
    notes = []
    validated = {place for place, _ in found["val"]}
    runs = validated | {place for place, _ in found["train"]}
    alone = [(place, points) for place, points in found["train"] if place not in validated]
    training = found["train"] if len(runs) <= WITH_TRAINING else alone
    if training and found["val"]:
        notes.append("thin: on training batches")
    elif training:
        notes.append("on training batches")
    if len(training) < len(found["train"]):
        notes.append(f"curves of training are drawn for up to {WITH_TRAINING} runs")
    most = max(FEWEST, min(MOST, most_points // max(1, len(training) + len(found["val"]))))
    both = [*((True, one) for one in training), *((False, one) for one in found["val"])]
    if any(len(points) > most for _, (_, points) in both):
        notes.append(f"thinned to {most} means of consecutive values per curve")
    scales = [name for name in compared.differing if name.startswith("objective.") and metric.name != WITHOUT]
    mine = [place for place in runs if objective_of(compared.records[place]) == metric.objective]
    if changed := [name for name in scales if metric.objective and len({compared.setting(i, name) for i in mine}) > 1]:
        notes.append(f"{', '.join(map(printable, changed))} differ, and with them the scale")
    lines = [Line(compared.group_of(place), kind, thinned(points, most)) for kind, (place, points) in both]
    return Panel(metric, law, lines, notes)


def styles(compared: Compared) -> dict[int, tuple[str, str]]:
    """Return colours and line styles by group; groups of one law differ, and no panel holds two laws."""
    if len(compared.groups) <= len(TAB10) * len(STYLES):
        return {i: _style(i, len(compared.groups)) for i in range(len(compared.groups))}
    by_law: dict[str, list[int]] = {}
    for i, group in enumerate(compared.groups):
        by_law.setdefault(compared.law_of(group.members[0]).letter, []).append(i)
    return {i: _style(rank, len(groups)) for groups in by_law.values() for rank, i in enumerate(groups)}


def _style(rank: int, count: int) -> tuple[str, str]:
    dashes = list(STYLES)
    if count <= len(TAB10) * len(dashes):
        return TAB10[rank % len(TAB10)], dashes[rank // len(TAB10)]
    return matplotlib.colors.to_hex(matplotlib.colormaps["turbo"](rank / (count - 1))), dashes[rank % len(dashes)]


def _drawable(value: float) -> bool:
    return abs(value) <= LARGEST  # NaN is not


def _limits(lines: Sequence[Line]) -> tuple[float, float, bool] | None:
    """Return the ends of the axis, and whether it cuts: values of the first tenth of training and far outliers."""
    last = max(line.points[-1][0] for line in lines)
    every = [value for line in lines for _, value in line.points if _drawable(value)]
    late = [value for line in lines for step, value in line.points if step >= last / 10 and _drawable(value)]
    if not every:
        return None
    values = np.asarray(late or every)
    low, middle, high = np.percentile(values, (10, 50, 90))
    reach = 4 * max(high - low, 1e-3 * abs(middle), 1e-12)
    bottom, top = max(values.min(), low - reach), min(values.max(), high + reach)
    margin = 0.05 * (top - bottom or abs(top) or 1.0)
    bottom, top = bottom - margin, top + margin
    return float(bottom), float(top), min(every) < bottom or max(every) > top


def draw(panel: Panel, number: int, styles: Mapping[int, tuple[str, str]]) -> tuple[str, list[str]]:
    """Return a panel as SVG for a page, with notes; its curves are named `curve-<panel>-<n>-<group>`.

    Args:
        panel: to draw.
        number: of the panel on the page.
        styles: colour and line style of every group.
    """
    notes = list(panel.notes)
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": f"panel {number}",
        "font.family": "sans-serif",
        "font.size": 9,
    }
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(5.2, 3.1))
        axes = figure.add_axes((0.16, 0.155, 0.82, 0.785))  # a layout engine would take half of the time
        for i, line in enumerate(panel.lines):
            steps, values = zip(*line.points, strict=True)
            colour, dashes = styles[line.group]
            weight: dict[str, Any] = {"lw": 0.7, "alpha": 0.45} if line.training else {"lw": 1.6}
            if len(line.points) <= 30 and not line.training:
                weight |= {"marker": "o", "ms": 2.5}
            finite = [value if _drawable(value) else math.nan for value in values]
            axes.plot(steps, finite, color=colour, ls=dashes, gid=f"curve-{number}-{i}-{line.group}", **weight)
        if limits := _limits(panel.lines):
            axes.set_ylim(*limits[:2])
            if limits[2]:
                notes.append("the axis cuts values of early training or far outliers")
        if any(not _drawable(value) for line in panel.lines for _, value in line.points):
            notes.append("a gap: no finite number")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("step", parse_math=False)
        axes.set_ylabel(UNIT.get(panel.metric.name, printable(panel.metric.name)), parse_math=False)
        axes.grid(alpha=0.25)
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    return _inline(file.getvalue()), notes


def _inline(svg: str) -> str:
    """Return an SVG without prologue, size, fonts and style sheet, with coordinates to a tenth of a point."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.DOTALL)
    opening = r'<svg viewBox="\1" aria-hidden="true" focusable="false">'
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', opening, svg, count=1)
    svg = re.sub(r"font-family: [^;]*; ", "", svg)
    svg = re.sub(r">\s+<", "><", svg)
    return re.sub(r' d="[^"]*"', _shortened, svg)


def _shortened(path: re.Match[str]) -> str:
    return re.sub(r"\s+([A-Za-z])\s+", r"\1", re.sub(r"(\.\d)\d+", r"\1", path[0].replace("\n", " ")))
