"""Conditional scores whose part of the context is computed once."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class FoldedScores(Protocol):
    """Has conditional scores at every noise level whose part of the context is computed once for many queries.

    What contexts become is (..., H) for any H; queries have the shape before its last axis, under any leading axes. The
    level is one number. No gradients of weights or contexts.
    """

    def folded(self, c_BDF: Tensor) -> Tensor:
        """Return what is kept of contexts, shape (..., H)."""

    def folded_score(self, q_BD: Tensor, folded_BDH: Tensor, level: float) -> Tensor:
        """Return s_d(c_d, q_d, level), shape of q."""

    def folded_slope(self, q_BD: Tensor, folded_BDH: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Return s_d and ds_d/dq_d, both of the shape of q."""
