"""What every LightningModule of ours shares: the model, its data, and held-out numbers with their standard errors."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from lightning import LightningModule
from torch import Tensor
from torchmetrics import CatMetric

from scorewise.capabilities import Watched
from scorewise.data.datamodule import Batch
from scorewise.errors import UserError
from scorewise.heads.trained import Trained
from scorewise.objectives.objective import Objective
from scorewise.tasks.bundle import Bundle
from scorewise.tasks.prediction import Prediction
from scorewise.tasks.report import Report


class NotFinite(UserError):
    """A loss or a gradient is not finite, so the step was not taken."""


class Task(LightningModule, ABC):
    """A model in training, and what its test reports.

    Class attributes:
        curves: metrics that curves.png shows, with their labels.
        axis: what they are.
        busy: what the model does in a test that takes long, one word.

    Args:
        bundle: model, objective, optimisation, data and seed.
    """

    curves: ClassVar[tuple[tuple[str, str], ...]] = (
        ("train/loss", "training batch"),
        ("val/loss", "validation (averaged weights)"),
    )
    axis: ClassVar[str] = "loss per example (sum over dimensions)"
    busy: ClassVar[str] = "sampling"

    def __init__(self, bundle: Bundle[Trained, Objective | None]) -> None:
        super().__init__()
        self.model, self.optimisation, self.source = bundle.model, bundle.optimisation, bundle.source
        self.smoothing, self.seed, self.monitor = bundle.smoothing, bundle.seed, bundle.monitor
        self.held_out: dict[str, CatMetric] = {}

    @property
    @abstractmethod
    def name(self) -> str:
        """What this test is called among others of the same model, for files."""

    @property
    def prediction(self) -> Prediction | None:
        """What can be predicted for a user's examples; None where the task has no answer to them."""
        return None

    @property
    def watched(self) -> Watched | None:
        """What tells how far a long test is; None where nothing does."""
        return None

    def found(self) -> Report:
        """Return what the last test left beside its logged numbers."""
        return Report()

    def scores(self) -> dict[str, Tensor]:
        """Return the model's scores at validation examples, by what they are; none where there are none."""
        return {}

    def conventions(self) -> dict[str, str]:
        """Return what metrics of this task alone mean."""
        return {}

    def collect(self, name: str, values_B: Tensor) -> None:
        """Collect one held-out number per example; its mean and standard error are logged at the end."""
        metric = self.held_out.setdefault(name, CatMetric().to(self.device))
        metric.update(values_B.detach().double())

    def on_test_start(self) -> None:
        """Forget the numbers of an earlier test."""
        self.held_out = {}

    def on_test_epoch_end(self) -> None:
        """Log the mean and the standard error of every held-out number."""
        for name, metric in self.held_out.items():
            values_B = joined(metric)
            self.log(f"test/{name}", values_B.mean())
            self.log(f"test/{name}_se", values_B.std() / len(values_B) ** 0.5)

    def on_predict_start(self) -> None:
        """Compute what predictions refer to."""
        self._predicting().begin()

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return what is predicted for every example, see `prediction`."""
        return self._predicting().of(batch)

    def _predicting(self) -> Prediction:
        if self.prediction is None:
            raise UserError(f"{type(self).__name__} predicts nothing for such examples: take another task.")
        return self.prediction


def joined(metric: CatMetric) -> Tensor:
    """Return the values that all processes have collected, shape (N,)."""
    return torch.as_tensor(metric.compute()).reshape(-1)
