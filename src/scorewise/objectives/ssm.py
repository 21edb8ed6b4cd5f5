"""Sliced score matching (Song et al. 2019)."""

from collections.abc import Callable

from torch import Tensor

from scorewise.gradients import sliced_trace
from scorewise.objectives.objective import FieldModel
from scorewise.objectives.sliced import SlicedTrace


class SSM(SlicedTrace[FieldModel]):
    """Plain sliced score matching: v^T (ds/dx) v + (v^T s)^2 / 2, mean over M projections.

    In energies it reads (v^T grad E)^2 / 2 - v^T (Hess E) v: the square of a sum, and a minus (the slides print
    neither). On conditional scores it is an unbiased estimate of J_CSM ("SSM-AR" in table 2 of the AR-CSM paper).
    Unit-sphere projections scale the whole objective by 1/D and are legal.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Score
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import SSM
        >>> model = Score(MLP((2,), (16,)), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = SSM()(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    def along(self, field: Callable[[Tensor], Tensor], x: Tensor, v_M: Tensor) -> Tensor:
        """Return the loss of a field along directions, shape of x without its last axis."""
        s, form_M = sliced_trace(field, x, v_M)
        return (form_M + 0.5 * (v_M * s).sum(-1).square()).mean(0)
