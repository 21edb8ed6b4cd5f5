"""P-values of outlier scores that are valid whatever the model: split-conformal ones, and lists of discoveries."""

import torch
from torch import Tensor

from scorewise.outliers.ties import counts_below


def conformal_p_values(score_B: Tensor, held_out_N: Tensor) -> Tensor:
    """Return (1 + #{held-out scores >= score}) / (N + 1), shape (B,), float64.

    For a row that is exchangeable with the held-out ones P(p <= a) <= a at every a (Vovk et al. 2005), however bad the
    model that scores, as long as it was not fitted to the held-out rows. The smallest p-value is 1 / (N + 1).

    Scores that are equal up to rounding tie, which counts as at least as odd.

    Args:
        score_B: larger means odder.
        held_out_N: scores of held-out rows of the data; infinite ones count as they are.

    Raises:
        ValueError: no held-out score, or one that is not a number.
    """
    if not len(held_out_N) or bool(held_out_N.isnan().any()) or bool(score_B.isnan().any()):
        raise ValueError(
            f"p-values need scores that are numbers: of {len(held_out_N)} held-out ones "
            f"{int(held_out_N.isnan().sum())} are none, and of {len(score_B)} others {int(score_B.isnan().sum())}"
        )
    below_B, _ = counts_below(score_B, held_out_N)
    return (1.0 + len(held_out_N) - below_B).double() / (len(held_out_N) + 1)


def false_discovery_rates(p_B: Tensor) -> Tensor:
    """Return for every row the least false discovery rate at which it is on the list, shape (B,), float64.

    Of the rows with a value <= a the expected share that belongs to the data is at most a (Benjamini and Hochberg 1995,
    adjusted p-values), also for split-conformal p-values, which depend on each other (Bates et al. 2023, theorem 2).

    Args:
        p_B: p-values of all rows that were looked at, the unremarkable ones too.

    Raises:
        ValueError: one is no p-value.
    """
    count = len(p_B)
    if strange := int((~((p_B >= 0) & (p_B <= 1))).sum()):
        raise ValueError(
            f"{strange} of {count} p-values are no numbers from 0 to 1, so there is no false discovery rate"
        )
    ordered_B, order_B = p_B.double().sort()
    at_B = ordered_B * count / torch.arange(1, count + 1, dtype=torch.float64, device=p_B.device)
    least_B = at_B.flip(0).cummin(0).values.flip(0).clamp(max=1.0) if count else at_B
    return torch.empty_like(least_B).scatter_(0, order_B, least_B)


def discoveries(p_B: Tensor, rate: float) -> Tensor:
    """Return which rows are on the list at a false discovery rate, boolean, shape (B,).

    Raises:
        ValueError: a rate that is none.
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate={rate:g} is no false discovery rate: give a number between 0 and 1")
    return false_discovery_rates(p_B) <= rate
