"""Outlier sets told from the data, with every number of that."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from scorewise import outliers
from scorewise.outliers.names import INSIDE


class Judged(NamedTuple):
    """Outlier sets told from the data.

    Args:
        scores: by statistic and set, the in-distribution ones first.
        detected: how well every statistic tells every set.
    """

    scores: Mapping[str, Mapping[str, Tensor]]
    detected: outliers.DetectionResults

    def estimates(self) -> dict[str, outliers.Estimate]:
        """Return every number by metric/statistic/set."""
        by_statistic, chosen = self.detected.estimates, self.detected.chosen
        flat = {
            f"{metric}/{name}/{label}": by_set[label][metric]
            for metric in outliers.METRICS
            for name, by_set in by_statistic.items()
            for label in by_set
        }
        if self.detected.others is not None:
            by_set = by_statistic[chosen]
            for metric in outliers.METRICS:
                others = [label for label in by_set if label not in (self.detected.chosen_on, "mean")]
                flat |= {f"{metric}/chosen/{label}": by_set[label][metric] for label in others}
                flat[f"{metric}/chosen/others"] = self.detected.others[metric]
        return flat

    def without_interval(self) -> dict[str, list[str]]:
        """Return the sets with too few examples for an interval, themselves or beside the data's own, by statistic."""
        found: dict[str, list[str]] = {}
        for name, by_set in self.detected.estimates.items():
            few = [label for label in self.scores[name] if label != INSIDE and not by_set[label]["auroc"].has_interval]
            found |= {name: few} if few else {}
        return found
