"""How well outlier scores tell two sets of examples apart, with bootstrap intervals."""

import math
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

METRICS = ("auroc", "aupr", "fpr95")
FOUND = 0.95
"""The share of outliers that fpr95 finds."""
LEAST = 10
"""Examples of each of two sets that an interval needs: resamples of fewer are too alike to tell of chance."""
AT_ONCE = 5_000_000
"""Weights per chunk of resamples."""
Scores = Mapping[str, Tensor]


class Estimate(NamedTuple):
    """A number with its bootstrap interval of 95 %, whose ends are NaN where it has none, see `LEAST`.

    Args:
        value: of all examples.
        low, high: the 2.5th and 97.5th percentiles of the resamples.
        se: their standard deviation.

    Example:
        >>> from scorewise.outliers import Estimate
        >>> Estimate(0.9, low=0.85, high=0.94, se=0.02).has_interval
        True
    """

    value: float
    low: float
    high: float
    se: float

    @property
    def has_interval(self) -> bool:
        """Whether both sets had enough examples for an interval."""
        return not math.isnan(self.se)


def detection(inside_N: Tensor, outside_N: Tensor) -> dict[str, float]:
    """Return AUROC, AUPR (average precision) and the false positive rate at 95 % of the outliers found.

    Outliers are the positive class and larger scores odder. Scores may be infinite.

    Raises:
        ValueError: a score is not a number, or one of the sets is empty.
    """
    from torchmetrics.functional.classification import (  # takes seconds
        binary_auroc,
        binary_average_precision,
        binary_specificity_at_sensitivity,
    )

    target_N, rank_N = _ranked(inside_N, outside_N)
    # torchmetrics takes what is not in [0, 1] for logits, whose sigmoid would tie large scores: it is given ranks.
    share_N = rank_N.double() / max(1, int(rank_N.max()))
    specificity, _ = binary_specificity_at_sensitivity(share_N, target_N, min_sensitivity=FOUND)
    return {
        "auroc": float(binary_auroc(share_N, target_N)),
        "aupr": float(binary_average_precision(share_N, target_N)),
        "fpr95": 1 - float(specificity),
    }


def _ranked(inside_N: Tensor, outside_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of both sets' examples are outliers, and all their ranks from 0; equal scores have one."""
    if not len(inside_N) or not len(outside_N):
        raise ValueError(
            f"{len(inside_N)} scores of the data and {len(outside_N)} of outliers: there must be some of both"
        )
    pooled_N = torch.cat([inside_N, outside_N]).double()
    if bool(pooled_N.isnan().any()):
        raise ValueError("a score is not a number, so it has no rank")
    target_N = torch.cat([torch.zeros(len(inside_N)), torch.ones(len(outside_N))]).long()
    return target_N, torch.unique(pooled_N, return_inverse=True)[1].cpu()


def replicates(inside_N: Tensor, outside_N: Tensor, resamples: int, seeds: tuple[int, int]) -> dict[str, Tensor]:
    """Return AUROC, AUPR and FPR of bootstrap resamples, each (R,); both sets are drawn with replacement.

    Args:
        inside_N: scores of one set.
        outside_N: scores of the outliers.
        resamples: R.
        seeds: of what is drawn from each set; the same seed and number of examples draw the same ones.
    """
    _, rank_N = _ranked(inside_N, outside_N)
    groups, count = int(rank_N.max()) + 1, len(inside_N)
    column_N = groups - 1 - rank_N  # from the largest score down
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    of_outliers_G = torch.bincount(column_N[count:], minlength=groups).double()
    chunk = max(1, AT_ONCE // groups)
    parts: list[dict[str, Tensor]] = []
    for done in range(0, resamples, chunk):
        rows = min(chunk, resamples - done)
        false_RG, true_RG = (
            _drawn(column_n, rows, groups, generator)
            for column_n, generator in zip((column_N[:count], column_N[count:]), generators, strict=True)
        )
        parts.append(_of_counts(false_RG, true_RG, of_outliers_G))
    return {name: torch.cat([part[name] for part in parts]) for name in METRICS}


def _drawn(column_n: Tensor, rows: int, groups: int, generator: torch.Generator) -> Tensor:
    """Return how many of n examples drawn with replacement have every score, shape (rows, groups)."""
    drawn_Rn = column_n[torch.randint(len(column_n), (rows, len(column_n)), generator=generator)]
    return torch.zeros(rows, groups).scatter_add_(1, drawn_Rn, torch.ones(()).expand(drawn_Rn.shape)).double()


def _of_counts(false_RG: Tensor, true_RG: Tensor, of_outliers_G: Tensor) -> dict[str, Tensor]:
    """Return the three numbers from how many of each set have every score, from the largest down, each (R,).

    An outlier that is drawn several times counts for average precision as so many outliers with scores just below each
    other, and several outliers with one score as a tie, in which all are found at once, as in the examples themselves.

    Args:
        false_RG: examples of the data.
        true_RG: outliers.
        of_outliers_G: outliers with every score before they are drawn.
    """
    fp_RG, tp_RG = false_RG.cumsum(1), true_RG.cumsum(1)
    negatives_R, positives_R = fp_RG[:, -1], tp_RG[:, -1]
    above_RG = negatives_R[:, None] - fp_RG + 0.5 * false_RG
    precise_RG = true_RG * tp_RG / (tp_RG + fp_RG).clamp(min=1)
    # Of m outliers with scores just below each other: the sum over j = 1 .. m of (before + j) / (before + j + fp).
    again_RG = (true_RG > 1) & (of_outliers_G == 1)
    m_n, fp_n, last_n = true_RG[again_RG], fp_RG[again_RG], (tp_RG + fp_RG)[again_RG] + 1
    precise_RG[again_RG] = m_n - fp_n * (last_n.digamma() - (last_n - m_n).digamma())
    first_R1 = (tp_RG >= FOUND * positives_R[:, None] - 1e-9).int().argmax(1, keepdim=True)
    return {
        "auroc": (true_RG * above_RG).sum(1) / (negatives_R * positives_R),
        "aupr": precise_RG.sum(1) / positives_R,
        "fpr95": fp_RG.gather(1, first_R1).squeeze(1) / negatives_R,
    }


class DetectionResults(NamedTuple):
    """How well every statistic tells every outlier set from the data.

    Args:
        estimates: by statistic, set (and "mean" over all sets) and metric.
        chosen: the statistic with the highest AUROC on `chosen_on`, the first of several.
        chosen_on: a set.
        others: the chosen statistic's means over the other sets by metric; None where there are none.

    Example:
        >>> import torch
        >>> from scorewise.outliers import DetectionResults, compare
        >>> inside, outside = {"nll": torch.arange(20.0)}, {"far": {"nll": torch.arange(20.0) + 30}}
        >>> found = compare(inside, outside, choose_on="far", resamples=100, seed=0)
        >>> isinstance(found, DetectionResults), found.chosen
        (True, 'nll')
        >>> found.estimates["nll"]["far"]["auroc"].value
        1.0
    """

    estimates: Mapping[str, Mapping[str, Mapping[str, Estimate]]]
    chosen: str
    chosen_on: str
    others: Mapping[str, Estimate] | None

    @property
    def tied(self) -> list[str]:
        """The other statistics whose AUROC on `chosen_on` is as high: there is no telling which of them is better."""
        auroc = {name: by_set[self.chosen_on]["auroc"].value for name, by_set in self.estimates.items()}
        return [name for name, value in auroc.items() if name != self.chosen and value == auroc[self.chosen]]


def compare(
    inside: Scores, outside: Mapping[str, Scores], choose_on: str, resamples: int, seed: int
) -> DetectionResults:
    """Return how well every statistic tells every outlier set from the data.

    In-distribution examples are resampled alike for all sets, which are resampled by themselves.

    Args:
        inside: scores of in-distribution examples by statistic.
        outside: scores of every set by statistic.
        choose_on: the set that a statistic is chosen on, to be reported on the others.
        resamples: of the bootstrap.
        seed: of the bootstrap.
    """
    values: dict[str, dict[str, dict[str, float]]] = {}
    drawn: dict[str, dict[str, dict[str, Tensor]]] = {}
    for name, inside_N in inside.items():
        values[name] = {label: detection(inside_N, scores[name]) for label, scores in outside.items()}
        drawn[name] = {
            label: replicates(inside_N, scores[name], resamples, (seed, seed + 1 + zlib.crc32(label.encode())))
            for label, scores in outside.items()
        }
    chosen = max(values, key=lambda name: values[name][choose_on]["auroc"])

    def mean(name: str, labels: list[str]) -> dict[str, Estimate]:
        few = any(min(len(inside[name]), len(outside[label][name])) < LEAST for label in labels)
        return {
            metric: _estimate(
                sum(values[name][label][metric] for label in labels) / len(labels),
                None if few else torch.stack([drawn[name][label][metric] for label in labels]).mean(0),
            )
            for metric in METRICS
        }

    estimates = {
        name: {**{label: mean(name, [label]) for label in outside}, "mean": mean(name, list(outside))}
        for name in inside
    }
    others = [label for label in outside if label != choose_on]
    return DetectionResults(estimates, chosen, choose_on, mean(chosen, others) if others else None)


def _estimate(value: float, drawn_R: Tensor | None) -> Estimate:
    if drawn_R is None:
        return Estimate(value, math.nan, math.nan, math.nan)
    low, high = drawn_R.quantile(drawn_R.new_tensor([0.025, 0.975])).tolist()
    return Estimate(value, low, high, float(drawn_R.std(correction=0)))
