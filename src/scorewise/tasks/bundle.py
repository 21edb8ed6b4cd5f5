"""What every task is given: a model, how it is fitted, and to what."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from scorewise.data.source import Source
from scorewise.heads.trained import Trained
from scorewise.objectives.objective import Objective
from scorewise.tasks.optimisation import Optimisation

ModelT = TypeVar("ModelT", bound=Trained, covariant=True)
ObjectiveT = TypeVar("ObjectiveT", bound=Objective | None, covariant=True)


@dataclass(frozen=True)
class Bundle(Generic[ModelT, ObjectiveT]):
    """Everything that training needs, whatever the task.

    Args:
        model: what is trained.
        objective: how it is fitted; None where the task itself says how.
        optimisation: how parameters move.
        source: the data set, for its scale and, where known, its law.
        smoothing: standard deviation of the Gaussian noise that belongs to the data.
        seed: of all noise.
        monitor: name of the metric that decides which checkpoint is best; None: the last one is kept.
    """

    model: ModelT
    objective: ObjectiveT
    optimisation: Optimisation
    source: Source
    smoothing: float = 0.0
    seed: int = 0
    monitor: str | None = "val/loss"
