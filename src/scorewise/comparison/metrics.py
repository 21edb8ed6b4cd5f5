"""Held-out numbers: which there are, what they mean, and how they are written."""

import math
from collections.abc import Container, Sequence
from typing import NamedTuple

from scorewise.comparison.record import COMPANIONS, Record
from scorewise.comparison.typed_again import option_or_class
from scorewise.ranges import mapping_in
from scorewise.tracking.numbers import FIRST, LAST, OF_AN_OBJECTIVE

ENDINGS = (*COMPANIONS, "_without_number")
"""What the names of numbers about another metric end with; they have no column of their own."""


class Metric(NamedTuple):
    """A metric, of one objective where its scale is the objective's.

    Args:
        name: in summary.json; of a later test behind the name of that test, as in "ood: auroc".
        objective: of the runs that have it; empty where all objectives share it.
    """

    name: str
    objective: str = ""

    @property
    def title(self) -> str:
        """The title of its column."""
        return f"{self.name} ({self.objective})" if self.objective else self.name

    def of(self, record: Record) -> float | None:
        """Return a run's number, or None."""
        mine = not self.objective or self.objective == objective_of(record)
        return record.metrics.get(self.name) if mine else None


def objective_of(record: Record) -> str:
    """Return the objective that a run minimises; of a VAE with an entropy of another kind its method."""
    latent = mapping_in(record.config.get("latent"))
    if latent and latent.get("method") != "score":
        return str(latent.get("method"))
    return option_or_class("objective", record.config["objective"]["_target_"])


def of_which_test(name: str) -> tuple[str, str]:
    """Return a metric's name in two: "ood: " of a later test, empty of the run's own, and what the test calls it."""
    test, colon, own = name.rpartition(": ")
    return test + colon, own


def split(name: str, record: Record) -> Metric:
    """Return the metric that a name stands for in a run."""
    return Metric(name, objective_of(record) if of_which_test(name)[1] in OF_AN_OBJECTIVE else "")


def metrics_of(records: Sequence[Record]) -> list[Metric]:
    """Return the metrics that runs have, the most telling first, without standard errors and ends of intervals."""
    found = dict.fromkeys(
        split(name, record) for record in records for name in record.metrics if not about(name, record.metrics)
    )
    return sorted(found, key=_place)


def about(name: str, names: Container[str]) -> bool:
    """Return whether a number is about another one of these: its standard error, say."""
    return any(name.endswith(end) and name.removesuffix(end) in names for end in ENDINGS)


def _place(metric: Metric) -> tuple[int, int, str, str, str]:
    test, own = of_which_test(metric.name)
    first = own.partition("/")[0]
    if first in FIRST:
        return 0, FIRST.index(first), test, own, ""
    kind = 3 if first in LAST else 1 if first in OF_AN_OBJECTIVE else 2
    return kind, 0, test, own, metric.objective


def distinct(metrics: Sequence[Metric], records: Sequence[Record]) -> dict[Metric, list[Metric]]:
    """Return metrics with the losses that say the same in every run that has them, as loss (mle) is nll."""
    found: dict[Metric, list[Metric]] = {}
    for metric in metrics:
        same = (one for one in found if metric.objective and _repeats(metric, one, records))
        if first := next(same, None):
            found[first].append(metric)
        else:
            found[metric] = []
    return found


def _repeats(metric: Metric, other: Metric, records: Sequence[Record]) -> bool:
    pairs = [(value, other.of(record)) for record in records if (value := metric.of(record)) is not None]
    return all(there is not None and math.isclose(value, there, rel_tol=1e-5) for value, there in pairs)


def meanings(metric: Metric, records: Sequence[Record]) -> dict[str, list[str]]:
    """Return what a metric means, by text the labels of the runs that say so."""
    test, own = of_which_test(metric.name)
    parts = [test + part for part in (own, *own.split("/"))]
    found: dict[str, list[str]] = {}
    for record in records:
        if metric.of(record) is not None:
            texts = (record.conventions.get(part, "") for part in parts)
            text = "; ".join(dict.fromkeys(filter(None, texts))) or "no convention is stored"
            found.setdefault(text, []).append(record.label)
    return found


def plain(value: float) -> str:
    """Return a number with five significant digits."""
    return f"{value:.5g}"


def with_error(value: float, error: float | None) -> str:
    """Return a number with its standard error in brackets, to two digits of that error."""
    if error is None or not math.isfinite(error) or error <= 0 or not math.isfinite(value):
        return plain(value)
    digits = 1 - math.floor(math.log10(error))
    if -5 <= digits < 0:
        return f"{value:.0f} ({error:.0f})"
    if not 0 <= digits <= 5:
        return f"{value:.4g} ({error:.2g})"
    return f"{value:.{digits}f} ({error:.{digits}f})"


def with_interval(value: float, low: float, high: float) -> str:
    """Return a number with an interval in square brackets, to two digits of half its length."""
    half = (high - low) / 2
    if not math.isfinite(half) or half <= 0:
        return f"{plain(value)} [{plain(low)}, {plain(high)}]"
    digits = 1 - math.floor(math.log10(half))
    if not 0 <= digits <= 5:
        return f"{value:.5g} [{low:.5g}, {high:.5g}]"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def of_run(metric: Metric, record: Record) -> str:
    """Return a run's number as it is shown: with its standard error in ( ) or its interval in [ ]."""
    value = metric.of(record)
    if value is None:
        return ""
    error, low, high = (record.metrics.get(metric.name + end) for end in COMPANIONS)
    if low is not None and high is not None:
        return with_interval(value, low, high)
    return with_error(value, error)
