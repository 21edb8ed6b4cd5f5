"""Kinds of columns, found from their values or given."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorewise.errors import UserError, printable, spelled
from scorewise.ranges import is_number

WORDS = ("continuous", "positive", "bounded", "whole", "count", "category", "boolean")
"""What a kind may be called; a count is a whole number that is not negative."""
MOST_STEPS = 10_000
"""Whole numbers that spread wider than that, in steps, are as good as continuous."""
FEW = 20
"""Distinct values of a column that holds no more, many times each, may be a grid of fractions."""
PLACES = 6
"""Decimal places of such a grid, at most."""
SPIKE, LIKE_NO_OTHER, SPIKES = 0.05, 5, 3
"""A value is a spike that so large a share has, and so many times as many as any that is none; at most so many are."""
NEAR = 3.0
"""A column without negative values is positive where its mean is no farther from 0 than so many standard deviations."""
SHARES = ((0.0, 1.0), (0.0, 100.0))
"""Ends that shares and percentages have."""
FULL = 0.9
"""Of its upper end a share reaches at least that, else it is a number like others."""


@dataclass(frozen=True)
class FoundKind:
    """The kind of a column, in its own units.

    Args:
        kind: one of `WORDS` that a law has: continuous, positive, bounded, whole, category or boolean.
        because: why, a few words.
        low, high: the least and the largest value that there can be; None: no end.
        offset: how far from an end the map of positive and bounded columns has its pole.
        first, step: of whole numbers: one of them, and how far apart two are.
        spikes: single values that have a probability of their own.
        levels: of categories: how many there are.
        resolution: how far apart two values are at least, where they are rounded; 0: they are not.
    """

    kind: str
    because: str = "given"
    low: float | None = None
    high: float | None = None
    offset: float = 0.0
    first: float = 0.0
    step: float = 1.0
    spikes: tuple[float, ...] = ()
    levels: int = 0
    resolution: float = 0.0

    def sentence(self) -> str:
        """Return the kind with its numbers and why, as a summary says it."""
        ends = [] if self.low is None and self.high is None else [f"{_end(self.low)} to {_end(self.high)}"]
        steps = [f"in steps of {self.step:g}"] if self.kind == "whole" and self.step != 1 else []
        spikes = [f"with spikes at {', '.join(f'{spike:g}' for spike in self.spikes)}"] if self.spikes else []
        return f"{' '.join([self.kind, *ends, *steps, *spikes])} ({self.because})"

    def line(self, x_N: Tensor) -> Tensor:
        """Return where values are on the whole line, by the map of the kind, float64, shape of x."""
        if self.kind == "positive":
            return (x_N - _known(self.low) + self.offset).log()
        if self.kind == "bounded":
            low_N, high_N = x_N - _known(self.low) + self.offset, _known(self.high) - x_N + self.offset
            return low_N.log() - high_N.log()
        return x_N

    def recipe(self, x_N: Tensor, mean: float, scale: float) -> dict[str, Any]:
        """Return the column as a head reads it, in the standardised units (x - mean) / scale.

        Args:
            x_N: the training values, float64, in the column's own units; NaN where one is missing.
            mean: by which the column is standardised.
            scale: likewise.
        """
        if self.kind in ("category", "boolean"):
            return {"kind": self.kind, "levels": self.levels}
        rest_N = x_N[~x_N.isnan() & ~torch.isin(x_N, torch.tensor(self.spikes, dtype=x_N.dtype))]
        seen = replace(self, low=self._seen(self.low, mean, scale), high=self._seen(self.high, mean, scale))
        seen = replace(seen, offset=self.offset / scale)
        v_N = seen.line((rest_N - mean) / scale)
        v_N = v_N[v_N.isfinite()]
        std = max(float(v_N.std(correction=0)), 1e-6) if len(v_N) > 1 else 1.0
        # Rounding is no information: a law is no narrower than half a step of it where the bulk is.
        near = (float(rest_N.median()) - mean) / scale if len(rest_N) else 0.0
        pair_2 = torch.tensor([near, near + 0.5 * self.resolution / scale], dtype=torch.float64)
        rounding = float(seen.line(pair_2).diff()) / std if self.resolution else 0.0
        found = {
            "kind": self.kind,
            "mean": float(v_N.mean()) if len(v_N) else 0.0,
            "std": std,
            "floor": rounding if math.isfinite(rounding) else 0.0,
            "low": seen.low,
            "high": seen.high,
            "unit": scale,
        }
        if self.kind == "whole":  # what is narrower than a tenth of a step is one value
            steps = {"first": (self.first - mean) / scale, "step": self.step / scale}
            found |= steps | {"floor": 0.1 * steps["step"] / std}
        if self.offset:
            found["offset"] = seen.offset
        if self.spikes:
            found["spikes"] = [(spike - mean) / scale for spike in self.spikes]
        return {name: value for name, value in found.items() if value is not None}

    @staticmethod
    def _seen(end: float | None, mean: float, scale: float) -> float | None:
        return None if end is None else (end - mean) / scale


def found_kind(x_N: Tensor) -> FoundKind:
    """Return the kind of a column of numbers by its values.

    Two values that are 0 and 1 are a boolean. Whole numbers are whole, and so are few values that repeat on a grid of
    fractions. Others may have spikes, which are set aside; shares and percentages are bounded, numbers that are never
    negative and come near 0 positive, the rest continuous.

    Args:
        x_N: the training values, float64, in the column's own units; NaN where one is missing.
    """
    x_N = x_N[x_N.isfinite()]
    value_V, count_V = x_N.unique(return_counts=True)
    if set(value_V.tolist()) == {0.0, 1.0}:
        return FoundKind("boolean", "0 and 1", levels=2)
    if grid := _grid(value_V, len(x_N)):
        from_zero = grid[0] >= 0 and abs(math.remainder(grid[0], grid[1])) < 1e-9
        why = "whole numbers" if float(grid[1]).is_integer() else f"{len(value_V)} values on a grid"
        return FoundKind("whole", why, low=0.0 if from_zero else None, first=grid[0], step=grid[1])
    spikes = _spikes(value_V, count_V)
    is_rest_V = ~torch.isin(value_V, torch.tensor(spikes, dtype=value_V.dtype))
    rest = _of_numbers(torch.repeat_interleave(value_V[is_rest_V], count_V[is_rest_V]))
    if spikes:
        share = float(count_V[~is_rest_V].sum()) / len(x_N)
        rest = replace(rest, spikes=spikes, because=f"{rest.because}; {share:.0%} at single values")
        beyond = [min(*spikes, math.inf), max(*spikes, -math.inf)]
        rest = replace(rest, low=None if rest.low is None else min(rest.low, beyond[0]))
        rest = replace(rest, high=None if rest.high is None else max(rest.high, beyond[1]))
    return rest


def given_kind(name: str, given: object, x_N: Tensor) -> FoundKind:
    """Return the kind that a user gives a column, its numbers by its values where they are not given too.

    Args:
        name: of the column.
        given: a word of `WORDS`, or a mapping of kind, low, high and spikes.
        x_N: the training values, float64, NaN where one is missing.

    Raises:
        UserError: there is no such kind, or the values are not of it.
    """
    settings: dict[str, Any] = {"kind": given}
    if isinstance(given, Mapping):
        settings = {str(key): value for key, value in given.items()}
    word = settings.pop("kind", None)
    if word not in WORDS or not set(settings) <= {"low", "high", "spikes"}:
        raise UserError(
            f"data.kinds gives column {printable(name)} the kind {given}: use one of {', '.join(WORDS)}, or "
            "{kind: bounded, low: 0, high: 10, spikes: [0]}."
        )
    low, high, spikes = (settings.get(key) for key in ("low", "high", "spikes"))
    spikes = spikes or ()
    if not isinstance(spikes, list | tuple) or not all(map(_is_number, [low or 0, high or 0, *spikes])):
        raise UserError(f"data.kinds gives column {printable(name)} ends or spikes that are no numbers: {given}.")
    apart = tuple(map(float, spikes))
    x_N = x_N[x_N.isfinite() & ~torch.isin(x_N, torch.tensor(apart, dtype=x_N.dtype))]
    kind = _given(name, str(word), None if low is None else float(low), None if high is None else float(high), x_N)
    return replace(kind, spikes=apart, because="given")


def _is_number(value: object) -> bool:
    return is_number(value) and math.isfinite(value)


def _given(name: str, word: str, low: float | None, high: float | None, x_N: Tensor) -> FoundKind:
    least, most = (float(x_N.min()), float(x_N.max())) if len(x_N) else (0.0, 1.0)
    if word in ("positive", "count"):
        low = 0.0 if low is None else low
    if word == "bounded":
        ends = next(((a, b) for a, b in SHARES if a <= least and most <= b), (least, most))
        low, high = ends[0] if low is None else low, ends[1] if high is None else high
    beyond = least if low is not None and least < low else most if high is not None and most > high else None
    if beyond is not None:
        raise UserError(
            f"column {printable(name)} is given as {word} and has {beyond:g}, which is beyond {_end(low)} to "
            f"{_end(high)}: {_instead(name)}."
        )
    if word == "boolean":
        if not set(x_N.unique().tolist()) <= {0.0, 1.0}:
            raise UserError(f"column {printable(name)} is given as boolean and has other numbers than 0 and 1.")
        return FoundKind(word, levels=2)
    if word in ("whole", "count"):
        grid = _grid(x_N.unique(), len(x_N), most=math.inf, fractions=True)
        if grid is None:
            raise UserError(
                f"column {printable(name)} is given as {word} and holds no whole numbers: {_instead(name)}."
            )
        return FoundKind("whole", low=low, high=high, first=grid[0], step=grid[1])
    kind = FoundKind(word, low=low, high=high, resolution=_resolution(x_N))
    return replace(kind, offset=_offset(x_N, low, high)) if word in ("positive", "bounded") else kind


def _of_numbers(x_N: Tensor) -> FoundKind:
    """Return the kind of numbers without spikes that are no grid."""
    least, most, resolution = float(x_N.min()), float(x_N.max()), _resolution(x_N)
    for low, high in SHARES:
        once = int((x_N == low).sum()) == int((x_N == high).sum()) == 1  # scaled so that its ends are these
        if low <= least and FULL * high <= most <= high and not once:
            offset = _offset(x_N, low, high)
            return FoundKind("bounded", f"from {low:g} to {high:g}", low, high, offset, resolution=resolution)
    if least >= 0 and float(x_N.mean()) < NEAR * float(x_N.std(correction=0)):
        return FoundKind("positive", "never negative", 0.0, offset=_offset(x_N, 0.0, None), resolution=resolution)
    return FoundKind("continuous", "numbers", resolution=resolution)


def _offset(x_N: Tensor, low: float | None, high: float | None) -> float:
    """Return half of how far the nearest hundredth of the values that are not at an end is from it."""
    away = [x_N - low] if low is not None else []
    away += [high - x_N] if high is not None else []
    found = [
        float(one_N[one_N > 0].quantile(0.01)) for one_N in (part[:1_000_000] for part in away) if (one_N > 0).any()
    ]
    return 0.5 * min(found, default=1.0)


def _resolution(x_N: Tensor) -> float:
    """Return the least distance of two values where a tenth of them repeat, else 0."""
    value_V = x_N.unique()
    return float(value_V.diff().min()) if 1 < len(value_V) < 0.9 * len(x_N) else 0.0


def _grid(value_V: Tensor, rows: int, most: float = MOST_STEPS, fractions: bool = False) -> tuple[float, float] | None:
    """Return one value and the step of the grid that values lie on, None where there is none.

    Args:
        value_V: the distinct values, in order.
        rows: how many values there are with repeats.
        most: steps that they may span.
        fractions: whether a grid may be one of fractions; else that is so for few values.
    """
    if not len(value_V) or float(value_V.abs().max()) > 2.0**53:
        return None
    few = fractions or (len(value_V) <= FEW and 10 * len(value_V) <= rows)
    for places in range(PLACES + 1 if few else 1):
        unit = 10.0**places
        scaled_V = value_V * unit
        if bool(((scaled_V - scaled_V.round()).abs() < 1e-6).all()) and float(scaled_V.abs().max()) < 2.0**53:
            apart_V = scaled_V.round().to(torch.int64).diff()
            if len(apart_V) and int(apart_V.min()) < 1:  # they differ by less than such a unit
                continue
            step = int(np.gcd.reduce(apart_V.numpy())) if len(apart_V) else 1
            return (float(value_V[0]), step / unit) if int(apart_V.sum()) <= most * step else None
    return None


def _spikes(value_V: Tensor, count_V: Tensor) -> tuple[float, ...]:
    """Return the values, few, that are each far more frequent than all others."""
    ordered = count_V.argsort(descending=True)
    counts = [*count_V[ordered[: SPIKES + 1]].tolist()]
    for many in range(1, min(SPIKES, len(counts) - 1) + 1):
        if counts[many - 1] >= max(SPIKE * int(count_V.sum()), LIKE_NO_OTHER * counts[many]):
            return tuple(sorted(value_V[ordered[:many]].tolist()))
    return ()


def _instead(name: str) -> str:
    """Return how a user says that a column is continuous."""
    return shlex.quote(f"data.kinds={{{spelled(name)}: continuous}}")


def _known(end: float | None) -> float:
    assert end is not None
    return end


def _end(end: float | None) -> str:
    return "any" if end is None else f"{end:g}"
