"""Several outlier scores as one, without looking at an outlier: the sum of their surprises."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from scorewise.outliers.ties import counts_below

BODY = 0.75
"""The share of the held-out scores below which their own distribution counts; above it the tail is exponential."""


@dataclass(frozen=True)
class Surprise:
    """How improbable it is that a row of the data is that odd: - log P(S >= s).

    In the body it is that of the held-out scores, ties by half; above a threshold the tail is exponential with their
    mean excess, so that scores beyond all of them still differ.

    Args:
        ordered_N: held-out scores.
        threshold: where the tail begins.
        excess: its mean.
        most: the largest surprise; infinite where scores are to be believed however far they are beyond.

    Example:
        >>> import torch
        >>> from scorewise.outliers import Surprise
        >>> surprise = Surprise.of(torch.arange(100.0), bounded=True)
        >>> surprise(torch.tensor([49.0, 1000.0]))
        tensor([0.6832, 4.6151], dtype=torch.float64)
    """

    ordered_N: Tensor
    threshold: float
    excess: float
    most: float = math.inf

    @classmethod
    def of(cls, held_out_N: Tensor, bounded: bool = False) -> Self:
        """Return the surprise by held-out scores of the data.

        Args:
            held_out_N: the scores, N.
            bounded: let no surprise exceed log(N + 1), which is all that N rows can show: for the scores of networks,
                whose size away from all rows that they have seen is an accident.
        """
        ordered_N = held_out_N.double().sort().values
        threshold = float(ordered_N.quantile(BODY))
        beyond = ordered_N[ordered_N > threshold] - threshold
        least = 1e-6 * (abs(threshold) + 1e-6)
        excess = max(float(beyond.mean()) if len(beyond) else 0.0, least)
        return cls(ordered_N, threshold, excess, math.log(len(ordered_N) + 1) if bounded else math.inf)

    def __call__(self, score_B: Tensor) -> Tensor:
        """Return - log P(S >= s), nats, shape (B,)."""
        score_B = score_B.double()
        below_B, up_to_B = counts_below(score_B, self.ordered_N)
        odder_B = 1 - 0.5 * (below_B + up_to_B).double() / len(self.ordered_N)
        tail_B = (score_B - self.threshold).clamp(min=0) / self.excess
        return (tail_B - odder_B.clamp(min=1 - BODY).log()).clamp(max=self.most)


def combined(scores: Sequence[Tensor], surprises: Sequence[Surprise], weights: Sequence[float]) -> Tensor:
    """Return the weighted sum of the surprises of several scores of the same rows, shape (B,).

    With equal weights it is how Fisher combines p-values.
    """
    parts = zip(scores, surprises, weights, strict=True)
    return torch.stack([weight * of(score_B) for score_B, of, weight in parts]).sum(0)
