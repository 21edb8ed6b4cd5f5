"""Laws in the plane: points, a density map, a field of scores."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from scorewise.capabilities import (
    BlockScoreModel,
    ClosedFormDensity,
    ConditionalScoreModel,
    DiscreteDensity,
    EnergyModel,
    NormalisedDensity,
    ScoreModel,
    UncheckedDensity,
)
from scorewise.objectives.objective import score_field
from scorewise.plots.image import across
from scorewise.plots.style import (
    DATA,
    DENSITY_MAP,
    MODEL,
    VERMILLION,
    Array,
    Drawing,
    finished,
    numbers,
    styled,
    wrapped,
)

CELLS = 72
"""Of a density map, along each axis."""
ARROWS = 21
"""Of a field of scores, along each axis."""
STEP = 1e-3
"""Of differences of a log-density, in sides of the window."""
Field = Callable[[Tensor], Tensor]
DENSITIES: Sequence[tuple[type, Callable[[Any], Field]]] = (
    (UncheckedDensity, lambda model: model.unchecked_log_prob),
    (NormalisedDensity, lambda model: model.log_prob),
    (EnergyModel, lambda model: lambda x_B2: -model.energy(x_B2)),
)
"""The log-density of models that have something, up to a constant: the first that applies."""


class Window(NamedTuple):
    """A square of the plane.

    Args:
        left: its least first coordinate.
        bottom: its least second coordinate.
        side: how long its sides are.
    """

    left: float
    bottom: float
    side: float

    @classmethod
    def around(cls, x_N2: Array) -> "Window":
        """Return a square around all but the outermost points.

        Raises:
            ValueError: there is no point of the plane.
        """
        if x_N2.ndim != 2 or x_N2.shape[1] != 2 or not np.isfinite(x_N2).all(-1).any():
            raise ValueError(f"examples of the shape {list(x_N2.shape)} are no points of the plane: give some, (N, 2)")
        low_2, high_2 = np.percentile(x_N2[np.isfinite(x_N2).all(-1)], (0.5, 99.5), axis=0)
        side = 1.3 * float((high_2 - low_2).max()) or 1.0
        left, bottom = (low_2 + high_2) / 2 - side / 2
        return cls(float(left), float(bottom), side)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top."""
        return self.left, self.left + self.side, self.bottom, self.bottom + self.side

    def places(self, count: int) -> tuple[Array, Array]:
        """Return the middles of count x count cells, coordinate by coordinate."""
        middles = (np.arange(count) + 0.5) / count * self.side
        return self.left + middles, self.bottom + middles

    def holds(self, x_N2: Array) -> Array:
        """Return which points are inside, shape (N,)."""
        left, right, bottom, top = self.extent
        x_N, y_N = x_N2.T
        return np.asarray((left <= x_N) & (x_N <= right) & (bottom <= y_N) & (y_N <= top))


@styled
def density(model: Any, x: Any, path: str | Path | None = None, *, title: str = "density") -> Drawing:
    """Draw the density of a model of two dimensions as a map, under examples.

    Args:
        model: with log_prob or energy; an energy is normalised over the map.
        x: examples (N, 2) on the device of the model, which say what is shown.
        path: a file to write.
        title: above it.

    Raises:
        ValueError: the model has no density.
    """
    log_q = log_density(model)
    if log_q is None:
        instead = ": try plots.scores" if score_of(model) else ""
        raise ValueError(f"{type(model).__name__} has neither a density nor an energy to draw{instead}")
    picture, x_N2 = Drawing(4.4, 4.6), numbers(x)
    axes, window = picture.add_subplot(), Window.around(x_N2)
    _draw_density(axes, window, log_q, _device(x))
    axes.scatter(x_N2[:500, 0], x_N2[:500, 1], s=2, color=VERMILLION, alpha=0.5, lw=0)
    _frame(axes, window, title)
    return finished(picture, path)


@styled
def scores(model: Any, x: Any, path: str | Path | None = None, *, title: str = "") -> Drawing:
    """Draw the scores of models of two dimensions as arrows, under examples.

    Args:
        model: with a score, conditional scores or a density; or several by label, a panel each.
        x: examples (N, 2) on the device of the models, which say what is shown.
        path: a file to write.
        title: above everything; of a single model, what the arrows are where it is empty.

    Raises:
        ValueError: a model has none of them.
    """
    several = isinstance(model, Mapping)
    x_N2, device = numbers(x), _device(x)
    window = Window.around(x_N2)
    panels: list[tuple[str, Callable[[Axes], None]]] = []
    for label, one in model.items() if several else [(title, model)]:
        found = score_of(one)
        if found is None:
            instead = ": try plots.density" if log_density(one) else ""
            raise ValueError(f"{type(one).__name__} has no scores to draw{instead}")
        draw = partial(_draw_arrows, window=window, field=found[1], device=device, under_N2=x_N2)
        panels.append((label or found[0], draw))
    return finished(_side_by_side(panels, window, title if several else ""), path)


@styled
def plane(model: Any, points: Mapping[str, Any], path: str | Path | None = None, *, title: str = "") -> Drawing:
    """Draw sets of points and what a model of two dimensions says of the plane, on the same axes.

    Args:
        model: whose density and scores are drawn where it has them; None: neither.
        points: sets (N, 2) by label; the first is drawn as data, and says what is shown; the last is where the model
            computes.
        path: a file to write.
        title: above everything.
    """
    sets = {label: numbers(x) for label, x in points.items()}
    data_N2 = next(iter(sets.values()))
    window, device = Window.around(data_N2), _device([*points.values()][-1])
    log_q, field = (None, None) if model is None else (log_density(model), score_of(model))
    panels: list[tuple[str, Callable[[Axes], None]]] = [
        (_labelled(label, x, window), partial(_draw_points, x_N2=x, colour=MODEL if i else DATA))
        for i, (label, x) in enumerate(sets.items())
    ]
    if log_q is not None:
        panels.append(("density", partial(_draw_density, window=window, log_q=log_q, device=device)))
    if field is not None:
        panels.append((field[0], partial(_draw_arrows, window=window, field=field[1], device=device, under_N2=data_N2)))
    return finished(_side_by_side(panels, window, title), path)


def _side_by_side(panels: Sequence[tuple[str, Callable[[Axes], None]]], window: Window, title: str) -> Drawing:
    """Return a picture of panels with the same axes, each with its label."""
    wide = across(len(panels))
    rows = math.ceil(len(panels) / wide)
    width, height = (3.6, 3.8) if len(panels) > 1 else (4.4, 4.6)
    picture = Drawing(width * wide, height * rows + 0.4 * bool(title))
    for i, (label, draw) in enumerate(panels, 1):
        axes = picture.add_subplot(rows, wide, i)
        draw(axes)
        _frame(axes, window, label)
    picture.suptitle(title)
    return picture


def log_density(model: Any) -> Field | None:
    """Return log q of a model, up to a constant where it has an energy alone; None where it has neither."""
    return next((of(model) for kind, of in DENSITIES if isinstance(model, kind)), None)


def score_of(model: Any) -> tuple[str, Field] | None:
    """Return the scores of a model and what they are: grad log q where it can be had; None where there are none."""
    if isinstance(model, (ScoreModel, ClosedFormDensity)):
        return "scores, grad log q", score_field(model, "joint")
    if isinstance(model, DiscreteDensity):
        return None
    if (log_q := log_density(model)) is not None:
        return "scores, grad log q", lambda x_B2: _differences(log_q, x_B2)
    if isinstance(model, ConditionalScoreModel):
        return "scores of the conditionals", score_field(model)
    if isinstance(model, BlockScoreModel):
        return "scores of the blocks", score_field(model)
    return None


def _differences(log_q: Field, x_B2: Tensor) -> Tensor:
    """Return the gradient by central differences: a density by quadrature need not be differentiable."""
    step = STEP * float(x_B2.amax() - x_B2.amin())
    moved_4B2 = torch.stack([x_B2 + sign * step * axis for axis in torch.eye(2).to(x_B2) for sign in (1, -1)])
    log_q_4B = log_q(moved_4B2.flatten(0, 1)).reshape(4, -1)
    return torch.stack([log_q_4B[0] - log_q_4B[1], log_q_4B[2] - log_q_4B[3]], -1) / (2 * step)


def _device(x: Any) -> torch.device:
    return torch.as_tensor(x).device


def _at(field: Field, window: Window, count: int, device: torch.device) -> tuple[Array, Array, Array]:
    """Return the places of a grid and what a field is there, (rows, columns, ...)."""
    x_K, y_K = window.places(count)
    x_KK, y_KK = np.meshgrid(x_K, y_K)
    places = torch.tensor(np.stack([x_KK, y_KK], -1).reshape(-1, 2), dtype=torch.get_default_dtype(), device=device)
    value = numbers(field(places))
    return x_KK, y_KK, value.reshape(count, count, *value.shape[1:])


def _draw_points(axes: Axes, x_N2: Array, colour: str) -> None:
    axes.scatter(x_N2[:, 0], x_N2[:, 1], s=4, color=colour, alpha=0.45, lw=0)


def _draw_density(axes: Axes, window: Window, log_q: Field, device: torch.device) -> None:
    with torch.no_grad():
        _, _, log_q_KK = _at(log_q, window, CELLS, device)
    finite = log_q_KK[np.isfinite(log_q_KK)]
    q_KK = np.exp(np.nan_to_num(log_q_KK, nan=-np.inf, posinf=-np.inf) - finite.max()) if len(finite) else log_q_KK
    most = float(np.percentile(q_KK, 99.8)) or float(q_KK.max())  # one spike shall not hide the rest
    axes.imshow(
        q_KK, origin="lower", extent=window.extent, cmap=DENSITY_MAP, vmin=0, vmax=most, interpolation="bilinear"
    )


def _draw_arrows(axes: Axes, window: Window, field: Field, device: torch.device, under_N2: Array) -> None:
    """Draw arrows over points, the longer ones shortened: far from the data a score is as large as one likes."""
    axes.scatter(under_N2[:, 0], under_N2[:, 1], s=4, color="0.8", lw=0)
    x_KK, y_KK, s_KK2 = _at(lambda x_B2: field(x_B2).detach(), window, ARROWS, device)
    norm_KK = np.linalg.norm(s_KK2, axis=-1)
    fine = np.isfinite(norm_KK)
    usual = float(np.median(norm_KK[fine])) if fine.any() else 1.0
    s_KK2 = s_KK2 / (norm_KK + usual + np.finfo(float).tiny)[..., None]
    spacing = window.side / ARROWS
    axes.quiver(
        x_KK[fine], y_KK[fine], *(1.5 * spacing * s_KK2[fine]).T, color=MODEL, angles="xy", scale_units="xy", scale=1,
        width=0.005, headwidth=3.5, headlength=4, headaxislength=3.5, pivot="middle",
    )  # fmt: skip


def _labelled(label: str, x_N2: Array, window: Window) -> str:
    outside = int((~window.holds(x_N2)).sum())
    far = f", {outside:,} outside" if outside > 0.02 * len(x_N2) else ""
    return f"{wrapped(label)}\n{len(x_N2):,} points{far}"


def _frame(axes: Axes, window: Window, title: str) -> None:
    left, right, bottom, top = window.extent
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", title=title)
    for spine in axes.spines.values():
        spine.set_visible(True)
