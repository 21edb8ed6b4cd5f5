"""What every LightningModule of ours shares: the model, its data, and held-out numbers with their standard errors."""

from abc import ABC
from typing import Any, ClassVar

import torch
from lightning import LightningModule
from torch import Tensor
from torchmetrics import CatMetric

from scorewise.data.source import Source
from scorewise.errors import UserError
from scorewise.heads.trained import Trained
from scorewise.tasks.optimisation import Optimisation


class NotFinite(UserError):
    """A loss or a gradient is not finite, so the step was not taken."""


class Task(LightningModule, ABC):
    """A model in training, and what its test reports.

    Class attributes:
        curves: metrics that curves.png shows, with their labels.
        axis: what they are.

    Args:
        model: what is trained.
        optimisation: how parameters move.
        source: the data set, for its scale and, where known, its law.
        smoothing: standard deviation of the Gaussian noise that belongs to the data.
        seed: of all noise.
    """

    curves: ClassVar[tuple[tuple[str, str], ...]] = (
        ("train/loss", "training batch"),
        ("val/loss", "validation (averaged weights)"),
    )
    axis: ClassVar[str] = "loss per example (sum over dimensions)"

    def __init__(
        self, model: Trained, optimisation: Optimisation, source: Source, *, smoothing: float, seed: int
    ) -> None:
        super().__init__()
        self.model, self.optimisation, self.source = model, optimisation, source
        self.smoothing, self.seed = smoothing, seed
        self.held_out: dict[str, CatMetric] = {}

    @property
    def name(self) -> str:
        """What the task's test is called, for files."""
        return type(self).__name__.lower()

    def panels(self) -> dict[str, Tensor]:
        """Return sets of examples (N, D) of the last test for a picture, by label; none where there is none."""
        return {}

    def columns(self) -> dict[str, int]:
        """Return how many examples stand in a row of a panel, by its label; a square where it is not given."""
        return {}

    def points(self) -> dict[str, Tensor]:
        """Return sets of points (N, 2) of the last test for a scatter plot, by label; none where there is none."""
        return {}

    def histograms(self) -> dict[str, dict[str, Tensor]]:
        """Return numbers (N,) of the last test for a picture, by what they are and by set."""
        return {}

    def scores(self) -> dict[str, Tensor]:
        """Return the model's scores at validation examples, by what they are; none where there are none."""
        return {}

    def intervals(self) -> dict[str, float]:
        """Return the ends of intervals and the standard errors of the last test, too many for a log, by name."""
        return {}

    def remarks(self) -> dict[str, Any]:
        """Return what a summary says about further data of the test: files left out, say."""
        return {}

    def conventions(self) -> dict[str, str]:
        """Return what metrics of this task alone mean."""
        return {}

    def report(self, name: str, values_B: Tensor) -> None:
        """Collect one held-out number per example; its mean and standard error are logged at the end."""
        metric = self.held_out.setdefault(name, CatMetric().to(self.device))
        metric.update(values_B.detach().double())

    def on_test_start(self) -> None:
        """Forget the numbers of an earlier test."""
        self.held_out = {}

    def on_test_epoch_end(self) -> None:
        """Log the mean and the standard error of every held-out number."""
        for name, metric in self.held_out.items():
            values_B = torch.as_tensor(metric.compute()).reshape(-1)
            self.log(f"test/{name}", values_B.mean())
            self.log(f"test/{name}_se", values_B.std() / len(values_B) ** 0.5)
