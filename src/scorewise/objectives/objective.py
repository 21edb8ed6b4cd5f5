"""What every objective is: one number per example, weighted and summed by one piece of code."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Generic

import torch
from torch import Tensor
from typing_extensions import TypeVar

from scorewise.capabilities import (
    BlockScoreModel,
    ClosedFormDensity,
    ConditionalScoreModel,
    FusedCSMModel,
    FusedNoisyCSMModel,
    NoisyBlockScoreModel,
    NoisyConditionalScoreModel,
    ScoreModel,
)
from scorewise.capabilities.roles import Scaled
from scorewise.gradients import FIELDS, Derivatives, score_of_log_density
from scorewise.noise import Draws
from scorewise.ranges import OneOf, within_ranges

M = TypeVar("M", default=Any)
"""The models that an objective fits."""
FieldModel = ScoreModel | ConditionalScoreModel | BlockScoreModel | ClosedFormDensity
"""The models that have a vector field to fit."""
OF_CONDITIONALS = (ConditionalScoreModel, NoisyConditionalScoreModel, BlockScoreModel, NoisyBlockScoreModel)
"""What has scores of conditionals, of dimensions or of blocks."""


@dataclass(frozen=True)
class Loss:
    """A loss of a batch.

    Args:
        total: the differentiable weighted sum over examples.
        per_example: the unweighted values (B,), detached, in the objective's own units.
        logs: further named numbers.
    """

    total: Tensor
    per_example: Tensor
    logs: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(ABC, Generic[M]):
    """A way of fitting a model to data.

    Class attributes:
        needs: capabilities of which a model must have at least one.
        heads: names of the heads that head=auto tries, in order.
        derivatives: of the scores that the loss holds, 1 for ds/dx: what is differentiated must be smooth.
        any_order: it trains models of any order on random known parts; others train them along one order.
        remembers: it keeps a state between steps, which one process can hold.
        ranks_by_likelihood: its held-out number is the negative log-likelihood.
    """

    needs: ClassVar[tuple[type, ...]] = ()
    heads: ClassVar[tuple[str, ...]] = ()
    derivatives: ClassVar[int] = 0
    any_order: ClassVar[bool] = False
    remembers: ClassVar[bool] = False
    ranks_by_likelihood: ClassVar[bool] = False
    noise: float = 0.0
    """Standard deviation of the noise that the objective itself adds to the data."""
    references: int = 0
    """How many training examples the objective keeps for itself, see `refer_to`."""

    @property
    def name(self) -> str:
        """What the objective is called: the name of its file."""
        return type(self).__module__.rpartition(".")[2]

    @classmethod
    def needs_with(cls, **settings: Any) -> tuple[type, ...]:
        """Return `needs` under the given settings."""
        return cls.needs

    @classmethod
    def heads_with(cls, **settings: Any) -> tuple[str, ...]:
        """Return `heads` under the given settings."""
        return cls.heads

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if any(vars(cls).get(name) for name in ("differentiates_query", "differentiates_backbone")):
            text = (
                f"{cls.__name__}: derivatives = 1 says what differentiates_query did; that goes with the next release."
            )
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            cls.derivatives = 1

    @classmethod
    def field_with(cls, head: type, field: str = "auto", **settings: Any) -> str | None:
        """Return the vector field of a head's models that the loss holds, joint or conditional; None for no field."""
        if field == "auto":
            return "conditional" if issubclass(head, OF_CONDITIONALS) else "joint"
        return field

    @classmethod
    def derivatives_with(cls, **settings: Any) -> int:
        """Return `derivatives` under the given settings."""
        return cls.derivatives

    @classmethod
    def differentiates(cls, head: type, **settings: Any) -> Derivatives:
        """Return how often the loss differentiates the parts of a head's models, of `field_with` their scores.

        Derivatives of conditional scores are in their query, so they do not reach the backbone.
        """
        field = cls.field_with(head, **settings)
        if field is None:
            return Derivatives(0, 0)
        own: Derivatives = head.derivatives_of(field)  # type: ignore[attr-defined]
        more = cls.derivatives_with(**settings)
        return Derivatives(own.head + more, own.backbone + (more if field == "joint" else 0))

    @classmethod
    def several_passes_with(cls, **settings: Any) -> bool:
        """Return whether several passes over an example must be of the same function, which dropout is not."""
        return False

    @abstractmethod
    def per_example(self, model: M, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example, shape (B,), differentiable in the parameters."""

    def held_out(self, model: M, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return what ranks models on held-out examples, shape (B,): the loss itself, where that does."""
        return self.per_example(model, x_BD, draws)

    def fused(self, model: object) -> FusedCSMModel | FusedNoisyCSMModel | None:
        """Return the model if it has this loss with its gradients in one pass, else nothing."""
        return None

    def numbers(self, loss_B: Tensor) -> Mapping[str, Tensor]:
        """Return further named numbers per example that follow from the loss, such as its value in another scale."""
        return {}

    def without_constant(self, loss_B: Tensor, x_BD: Tensor, draws: Draws) -> Tensor | None:
        """Return the loss of examples less the part that no model changes, (B,), so that settings of it compare.

        Args:
            loss_B: the loss of the examples.
            x_BD: the examples.
            draws: that the loss had.

        Returns:
            None where there is no such part, or it is not known.
        """
        return None

    def refer_to(self, x_ND: Tensor) -> None:
        """Give the objective its reference examples, smoothed as the data are."""

    def state(self) -> dict[str, Tensor]:
        """Return what the objective remembers between steps, for checkpoints."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""

    def warning(self, dims: int) -> str | None:
        """Return what a user should know before training on examples of D dimensions, if anything."""
        return None

    def progress(self, done: float) -> None:
        """Tell the objective which share of a run's steps is done, before every step."""

    def gain(self, model: Scaled) -> float:
        """Return the factor that brings the loss per dimension to order one, for clipping at a fixed norm."""
        return 1.0

    def __call__(self, model: M, x_BD: Tensor, draws: Draws, weight_B: Tensor | None = None) -> Loss:
        """Return the loss of a batch; weights default to 1/B.

        Raises:
            ValueError: the batch has no example.
        """
        refuse_empty(x_BD)
        loss_B = self.per_example(model, x_BD, draws)
        weight_B = torch.full_like(loss_B, 1 / len(loss_B)) if weight_B is None else weight_B
        logs = {name: (weight_B * value_B).sum() for name, value_B in self.numbers(loss_B.detach()).items()}
        return Loss((weight_B * loss_B).sum(), loss_B.detach(), logs)


def refuse_empty(x_BD: Tensor) -> None:
    """Refuse a batch without examples, whose mean is no number.

    Raises:
        ValueError: it is one.
    """
    if not len(x_BD):
        raise ValueError("a loss is the mean over the examples of a batch, and this batch has none")


def score_gain(model: Scaled) -> float:
    """Return sigma^2 of the noise in the law, or the variance of the data where there is none."""
    return float(model.noise**2 if model.noise > 0 else model.scale**2)


def score_field(model: object, field: str = "auto") -> Callable[[Tensor], Tensor]:
    """Return the vector field of a model.

    Args:
        model: with conditional scores, a joint score or a density in closed form.
        field: conditional (scores of the conditionals, of dimensions or of blocks), joint (grad_x log q(x)), or
            auto: conditional scores where the model has them, else the joint score.

    Returns:
        from (B, D) to (B, D).

    Raises:
        ValueError: the model has none of them.
    """
    if field != "joint" and isinstance(model, ConditionalScoreModel):
        return lambda x_BD: model.conditional_score(x_BD, model.context(x_BD))
    if field != "joint" and isinstance(model, BlockScoreModel):
        of_blocks: Any = model
        return lambda x_BD: of_blocks.join(of_blocks.block_score(of_blocks.split(x_BD), of_blocks.block_context(x_BD)))
    if isinstance(model, ScoreModel):
        return model.score
    if not isinstance(model, ClosedFormDensity):
        raise ValueError(
            f"{type(model).__name__} has no score: take a model with score, conditional_score or block_score"
        )
    return lambda x_BD: score_of_log_density(model.log_prob, x_BD)


class FieldObjective(Objective[M], ABC):
    """An objective that fits a vector field, be it the joint score or the conditional scores.

    Args:
        field: joint, conditional or auto, see `score_field`.

    Raises:
        ValueError: no such field.
    """

    needs = (ScoreModel, ConditionalScoreModel, BlockScoreModel)
    heads = ("score", "conditional_score", "block_score")
    NEEDS: ClassVar[Mapping[str, tuple[type, ...]]] = {
        "auto": (ScoreModel, ConditionalScoreModel, BlockScoreModel),
        "joint": (ScoreModel, ClosedFormDensity),
        "conditional": (ConditionalScoreModel, BlockScoreModel),
    }
    HEADS: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "auto": ("score", "conditional_score", "block_score"),
        "joint": ("score", "mixture"),
        "conditional": ("conditional_score", "block_score"),
    }

    @within_ranges
    def __init__(self, field: Annotated[str, OneOf(FIELDS)] = "auto") -> None:
        self.field = field

    @classmethod
    def needs_with(cls, field: str = "auto", **settings: Any) -> tuple[type, ...]:
        """Return what the chosen field needs."""
        return cls.NEEDS.get(field, cls.needs)

    @classmethod
    def heads_with(cls, field: str = "auto", **settings: Any) -> tuple[str, ...]:
        """Return the heads that carry the chosen field."""
        return cls.HEADS.get(field, cls.heads)

    def field_of(self, model: M) -> Callable[[Tensor], Tensor]:
        """Return the vector field that is fitted."""
        return score_field(model, self.field)
