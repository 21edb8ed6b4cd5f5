"""Runs that differ in nothing but the seed, taken together."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from scorewise.comparison.record import Record, number
from scorewise.comparison.settings import same_but_seed

CONFIDENCE = 0.95
INTERVAL = "95 % Student-t interval of the mean over seeds"


class Mean(NamedTuple):
    """A mean over seeds and its 95 % interval, mean -+ t(.975, n - 1) s / sqrt(n).

    Args:
        mean: of the values.
        low: end of the interval; NaN for a single value, and where values are not finite or too large.
        high: likewise.
        n: how many values.
    """

    mean: float
    low: float
    high: float
    n: int


class Group(NamedTuple):
    """The runs that differ in the seed only.

    Args:
        members: places of its runs in the list that is compared, one for each seed.
        repeated: places of further runs of a seed that is in it already: they are not independent of it.
    """

    members: tuple[int, ...]
    repeated: tuple[int, ...]


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of at least one value with its interval."""
    n = len(values)
    if n == 1 or not all(map(math.isfinite, values)):
        return Mean(values[0] if n == 1 else math.nan, math.nan, math.nan, n)
    mean = math.nan
    try:
        mean = math.fsum(values) / n
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    except OverflowError:  # a sum, or a square, that no float holds
        return Mean(mean, math.nan, math.nan, n)
    from scipy.special import stdtrit  # slow to import, and who loads a model does not need it

    half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * deviation / math.sqrt(n)
    return Mean(mean, mean - half, mean + half, n)


def groups_of(records: Sequence[Record]) -> list[Group]:
    """Return runs grouped by all their settings but the seed, in the order in which they first come."""
    by_key: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        by_key.setdefault(same_but_seed(record), []).append(place)
    return [_group(records, places) for places in by_key.values()]


def _standing(record: Record) -> tuple[bool, bool]:
    """Return what a run is chosen by among those of its seed: the least counts."""
    return not record.finished, not record.summary.get("metrics")


def _group(records: Sequence[Record], places: Sequence[int]) -> Group:
    """Return a group; of two runs of a seed the finished one counts, and of these one that was tested, the first."""
    kept: dict[str, int] = {}
    for place in sorted(places, key=lambda place: (*_standing(records[place]), place)):
        kept.setdefault(repr(records[place].seed), place)
    members = tuple(sorted(kept.values(), key=lambda place: (number(records[place].seed) or 0, place)))
    return Group(members, tuple(place for place in places if place not in members))
