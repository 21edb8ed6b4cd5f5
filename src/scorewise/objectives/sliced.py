"""What sliced objectives share: random projections of the scores."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from scorewise.capabilities import BlockScoreModel
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
        return draws.signs(count, dims, dtype=dtype).transpose(0, 1)
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


class SlicedTrace(Sliced[M], ABC):
    """One that takes the exact form v^T (ds/dx) v, along directions of the example or, where there are, of its blocks.

    Inside blocks contexts are held fixed, so one pass through the head alone serves all blocks.
    """

    @abstractmethod
    def along(self, field: Callable[[Tensor], Tensor], x: Tensor, v_M: Tensor) -> Tensor:
        """Return the loss of a field along directions, the mean over M of them, shape of x without its last axis."""

    def per_example(self, model: M, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example, shape (B,)."""
        if isinstance(model, BlockScoreModel):
            return self._inside_blocks(model, x_BD, draws)
        return self.along(self.field_of(model), x_BD, self.directions(x_BD, draws))

    def _inside_blocks(self, model: Any, x_BD: Tensor, draws: Draws) -> Tensor:
        x_BKb, c_BKF = model.split(x_BD), model.block_context(x_BD)
        blocks, size = x_BKb.shape[1:]
        if "sphere" in self.projection and blocks * size > x_BD.shape[1]:
            raise ValueError(
                f"objective.projection={self.projection} has another radius in blocks of another size, and these are "
                "not of one: use objective.projection=rademacher"
            )
        v_MBd = projections(self.projection, draws.fork("slices"), self.projections * blocks, size, x_BD.dtype)
        v_MBKb = v_MBd.unflatten(0, (self.projections, blocks)).transpose(1, 2)
        return self.along(lambda q_BKb: model.block_score(q_BKb, c_BKF), x_BKb, v_MBKb).sum(-1)
