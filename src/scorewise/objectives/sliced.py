"""What sliced objectives share: random projections of the scores."""

import math
from abc import ABC
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from scorewise.capabilities.roles import Scaled
from scorewise.noise import Draws
from scorewise.objectives.objective import FieldObjective, M, score_gain
from scorewise.ranges import Count, OneOf, within_ranges

PROJECTIONS = ("gaussian", "rademacher", "sphere", "unit_sphere")


def projections(law: str, draws: Draws, count: int, dims: int, dtype: torch.dtype) -> Tensor:
    """Return M random directions per example, shape (M, B, D).

    Args:
        law: gaussian, rademacher, sphere (of radius sqrt(D)) or unit_sphere. E[v v^T] is I, but I / D for the last.
        draws: of the batch.
        count: M.
        dims: D.
        dtype: of the result.
    """
    if law == "rademacher":
        return (draws.uniform(count, dims) < 0.5).to(dtype).mul(2).sub(1).transpose(0, 1)
    v_MBD = draws.normal(count, dims, dtype=dtype).transpose(0, 1)
    if law == "gaussian":
        return v_MBD
    on_sphere_MBD: Tensor = v_MBD / v_MBD.norm(dim=-1, keepdim=True) * (math.sqrt(dims) if law == "sphere" else 1.0)
    return on_sphere_MBD


class Sliced(FieldObjective[M], ABC):
    """An objective that looks at scores along random directions.

    Args:
        projection: law of the directions, one of `LEGAL`.
        projections: M, directions per example.
        field: joint, conditional or auto.

    Raises:
        ValueError: a law that would change what is minimised, no such field, or fewer than one projection.
    """

    derivatives = 1
    LEGAL: ClassVar[tuple[str, ...]] = PROJECTIONS

    @within_ranges
    def __init__(
        self, projection: Annotated[str, OneOf(PROJECTIONS)] = "rademacher", projections: Count = 1, field: str = "auto"
    ) -> None:
        super().__init__(field)
        if projection not in self.LEGAL:
            raise ValueError(
                f"objective.projection={projection} has E[v v^T] = I / D, and this objective needs I, or it would "
                "weigh its two terms wrongly: use objective.projection="
                f"{', '.join(self.LEGAL[:-1])} or {self.LEGAL[-1]}"
            )
        self.projection, self.projections = projection, projections

    def directions(self, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the directions of a batch, shape (M, B, D)."""
        return projections(self.projection, draws.fork("slices"), self.projections, x_BD.shape[1], x_BD.dtype)

    def gain(self, model: Scaled) -> float:
        """Return sigma^2 of the smoothed law, or the variance of the data where that has no noise."""
        return score_gain(model)
