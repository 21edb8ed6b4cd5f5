"""Sliced score matching with reduced variance (Song et al. 2019)."""

from collections.abc import Callable

from torch import Tensor

from scorewise.gradients import sliced_trace
from scorewise.objectives.objective import FieldModel
from scorewise.objectives.sliced import SlicedTrace


class SSMVR(SlicedTrace[FieldModel]):
    """Sliced score matching with reduced variance: v^T (ds/dx) v + |s|^2 / 2, mean over M projections.

    It is J_2 of the poster (seed 002), which calls it sliced score matching. It needs E[v v^T] = I; with Rademacher
    projections and a diagonal Jacobian it equals J_CSM without any variance from v.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Score
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import SSMVR
        >>> model = Score(MLP((2,), (16,)), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = SSMVR()(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    LEGAL = ("gaussian", "rademacher", "sphere")

    def along(self, field: Callable[[Tensor], Tensor], x: Tensor, v_M: Tensor) -> Tensor:
        """Return the loss of a field along directions, shape of x without its last axis."""
        s, form_M = sliced_trace(field, x, v_M)
        return form_M.mean(0) + 0.5 * s.square().sum(-1)
