"""What a test leaves beside the numbers that are logged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Report:
    """Pictures and facts of one test, all optional.

    Args:
        panels: sets of examples (N, D) for a picture, by label.
        per_row: how many examples stand in a row of a panel, by its label; a square where it is not given.
        points: sets of points (N, 2) for a scatter plot, by label.
        histograms: numbers (N,) for a picture, by what they are and by set.
        intervals: ends of intervals and standard errors, too many for a log, by name.
        remarks: what a summary says about further data of the test: files left out, say.
    """

    panels: Mapping[str, Tensor] = field(default_factory=dict)
    per_row: Mapping[str, int] = field(default_factory=dict)
    points: Mapping[str, Tensor] = field(default_factory=dict)
    histograms: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    intervals: Mapping[str, float] = field(default_factory=dict)
    remarks: Mapping[str, Any] = field(default_factory=dict)
