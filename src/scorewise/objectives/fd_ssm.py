"""Finite-difference sliced score matching (Pang et al. 2020)."""

from typing import Annotated, Any

import torch
from torch import Tensor

from scorewise.capabilities.roles import ClosedForm, ConditionalScores, JointScore
from scorewise.noise import Draws
from scorewise.objectives.objective import score_gain
from scorewise.objectives.sliced import PROJECTIONS, Sliced
from scorewise.ranges import Between, Count, OneOf, within_ranges

ScaledFieldModel = JointScore | ConditionalScores | ClosedForm
"""The models that have a vector field to fit, and a scale to take the step in."""


class FDSSM(Sliced[ScaledFieldModel]):
    """Sliced score matching with finite differences for the derivative along v.

    v^T (s(x + h v) - s(x - h v)) / 2h + (v^T (s(x + h v) + s(x - h v)) / 2)^2 / 2: two evaluations of the score side by
    side and no second derivative; it differs from SSM by O(h^2).

    Args:
        step: h, in units of the noise in the law (of the data, where there is none); for a direction of length
            sqrt(D) the two points are 2 h sqrt(D) of them apart.
        projection: law of the directions.
        projections: M, directions per example.
        field: joint, conditional or auto.

    Raises:
        ValueError: step not positive, or see `Sliced`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Energy
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import FDSSM
        >>> model = Energy(MLP((2,), (16,)), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = FDSSM()(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    derivatives = 0

    @within_ranges
    def __init__(
        self,
        step: Annotated[float, Between(0, 1, "it is a small difference that it divides by", without=("low",))] = 0.01,
        projection: Annotated[str, OneOf(PROJECTIONS)] = "rademacher",
        projections: Count = 1,
        field: str = "auto",
    ) -> None:
        super().__init__(projection, projections, field)
        self.step = step

    @classmethod
    def several_passes_with(cls, **settings: Any) -> bool:
        """Return true: the score at two points is compared."""
        return True

    def per_example(self, model: ScaledFieldModel, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example, shape (B,)."""
        v_MBD = self.directions(x_BD, draws)
        h: float = self.step * score_gain(model) ** 0.5
        field = self.field_of(model)
        apart_BD = torch.cat([x_BD + h * v_MBD, x_BD - h * v_MBD]).flatten(0, 1)
        plus_MBD, minus_MBD = field(apart_BD).unflatten(0, (-1, len(x_BD))).chunk(2)
        slope_MB = (v_MBD * (plus_MBD - minus_MBD)).sum(-1) / (2 * h)
        along_MB = (v_MBD * (plus_MBD + minus_MBD)).sum(-1) / 2
        loss_B: Tensor = (slope_MB + 0.5 * along_MB.square()).mean(0)
        return loss_B
