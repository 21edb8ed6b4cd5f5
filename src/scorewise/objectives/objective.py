"""What every objective is: one number per example, weighted and summed by one piece of code."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from scorewise.capabilities import ConditionalScoreModel, ScoreModel
from scorewise.noise import Draws


@dataclass(frozen=True)
class Loss:
    """This is a loss of a batch.

    Args:
        total: the differentiable weighted sum over examples.
        per_example: the unweighted values (B,), detached, in the objective's own units.
        logs: further named numbers.
    """

    total: Tensor
    per_example: Tensor
    logs: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(ABC):
    """This is a way of fitting a model to data.

    Class attributes:
        needs: capabilities of which a model must have at least one.
        heads: names of the heads that head=auto tries, in order.
        differentiates_query: the loss holds ds/dx, so the head must be smooth.
        differentiates_backbone: the loss holds derivatives through the backbone, so that must be smooth too.
    """

    needs: ClassVar[tuple[type, ...]]
    heads: ClassVar[tuple[str, ...]]
    differentiates_query: ClassVar[bool] = False
    differentiates_backbone: ClassVar[bool] = False
    noise: float = 0.0
    """Standard deviation of the noise that the objective itself adds to the data."""

    @abstractmethod
    def per_example(self, model: Any, x_BD: Tensor, draws: Draws) -> Tensor:
        """This is the loss of every example, shape (B,), differentiable in the parameters."""

    def gain(self, model: Any) -> float:
        """This is the factor that brings the loss per dimension to order one, for clipping at a fixed norm."""
        return 1.0

    def __call__(self, model: Any, x_BD: Tensor, draws: Draws, weight_B: Tensor | None = None) -> Loss:
        """This is the loss of a batch; weights default to 1/B."""
        loss_B = self.per_example(model, x_BD, draws)
        weight_B = torch.full_like(loss_B, 1 / len(loss_B)) if weight_B is None else weight_B
        return Loss((weight_B * loss_B).sum(), loss_B.detach())


def score_gain(model: Any) -> float:
    """This is sigma^2 of the smoothed law, or the variance of the data where there is no noise."""
    return float(model.noise**2 if model.noise > 0 else model.scale**2)


def score_field(model: Any) -> Callable[[Tensor], Tensor]:
    """This is the vector field of a model: conditional scores where it has them, else the joint score."""
    if isinstance(model, ConditionalScoreModel):
        return lambda x_BD: model.conditional_score(x_BD, model.context(x_BD))
    assert isinstance(model, ScoreModel)
    return model.score
