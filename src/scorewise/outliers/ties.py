"""Where scores lie among held-out ones, when the same row computed twice differs in its last digits."""

import torch
from torch import Tensor

OF_SPREAD, OF_SIZE = 1e-5, 1e-6
"""Scores are equal that differ by no more than these parts of the held-out scores' spread and of their own size."""


def counts_below(score_B: Tensor, held_out_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many held-out scores are smaller than each score, and how many are smaller or equal, shape (B,).

    Equal up to rounding: a batch of another size sums in another order, and equal rows must tie whatever stands beside
    them.

    Args:
        score_B: numbers, or infinite.
        held_out_N: numbers, or infinite, in any order.
    """
    ordered_N, score_B = held_out_N.double().sort().values, score_B.double().contiguous()
    finite_N = ordered_N[ordered_N.isfinite()]
    spread = float(finite_N[int(0.95 * len(finite_N))] - finite_N[int(0.05 * len(finite_N))]) if len(finite_N) else 0.0
    rounding_B = torch.where(score_B.isfinite(), OF_SPREAD * spread + OF_SIZE * score_B.abs(), 0.0)
    below_B = torch.searchsorted(ordered_N, score_B - rounding_B)
    return below_B, torch.searchsorted(ordered_N, score_B + rounding_B, right=True)
