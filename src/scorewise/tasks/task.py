"""What every LightningModule of ours shares: the model, its data, and held-out numbers with their standard errors."""

import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from lightning import LightningModule
from torch import Tensor

from scorewise.capabilities import Watched
from scorewise.data.datamodule import Batch
from scorewise.data.source import Split
from scorewise.errors import UserError
from scorewise.heads.trained import Trained
from scorewise.objectives.objective import Objective
from scorewise.tasks.bundle import Bundle
from scorewise.tasks.held_out import HeldOutNumber, without_number
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
        one_by_one: whether its test is of single test examples, so that fewer batches are fewer of them.

    Args:
        bundle: model, objective, optimisation, data and seed.
    """

    curves: ClassVar[tuple[tuple[str, str], ...]] = (
        ("train/loss", "training batch"),
        ("val/loss", "validation (averaged weights)"),
    )
    axis: ClassVar[str] = "loss per example (sum over dimensions)"
    busy: ClassVar[str] = "sampling"
    one_by_one: ClassVar[bool] = True

    def __init__(self, bundle: Bundle[Trained, Objective | None]) -> None:
        super().__init__()
        self.model, self.optimisation, self.source = bundle.model, bundle.optimisation, bundle.source
        self.smoothing, self.seed, self.monitor = bundle.smoothing, bundle.seed, bundle.monitor
        self.held_out: dict[str, HeldOutNumber] = {}
        self._without_number, self._warned = dict[str, str](), set[str]()
        self._cut: str | None = None

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

    def remarks(self) -> dict[str, Any]:
        """Return what a summary says of the examples of the last test: how many have no number, and which."""
        lost = {"without_number": dict(self._without_number)} if self._without_number else {}
        return lost | ({"tested": self._cut} if self._cut else {})

    def collect(self, name: str, values_B: Tensor, index_B: Tensor | None = None) -> None:
        """Collect one held-out number per example; its mean and standard error are logged at the end.

        Args:
            name: of the number.
            values_B: the numbers of some examples.
            index_B: places in the test split of these, or of more that come after; None: they are in none.
        """
        number = self.held_out.setdefault(name, HeldOutNumber(self.device))
        number.add(values_B, None if index_B is None else index_B[: len(values_B)])

    def on_test_start(self) -> None:
        """Forget the numbers of an earlier test, and warn where this one is of some of the test examples."""
        self.held_out, self._without_number, self._cut = {}, {}, None
        if not self.one_by_one:
            return
        count = self.source.count("test")
        if (tested := getattr(getattr(self.trainer, "datamodule", None), "tested", count)) < count:
            self._cut = f"the first {tested} of {count} test examples"
            setting = f"trainer.limit_test_batches={self.trainer.limit_test_batches}"
            warnings.warn(f"the held-out numbers are of {self._cut}, by {setting}.", stacklevel=2)

    def on_test_epoch_end(self) -> None:
        """Log the mean and the standard error of every held-out number, of the examples that have one."""
        for name, number in self.held_out.items():
            fine_N = number.finite()
            if missing := number.missing():
                said = without_number(missing, len(number.values()), f"test {self.source.one}", self._names("test"))
                self._without_number[name] = f"{said}: left out of the mean"
                self.log(f"test/{name}_without_number", float(len(missing)))
                end = "is left out of the mean" if len(fine_N) else "so it is not reported"
                warnings.warn(f"{name} of {said} is no finite number: {end}.", stacklevel=2)
            if len(fine_N):
                self.log(f"test/{name}", fine_N.mean())
            if len(fine_N) > 1:
                self.log(f"test/{name}_se", fine_N.std() / len(fine_N) ** 0.5)

    def notice(self, name: str, values_B: Tensor, index_B: Tensor) -> None:
        """Warn once of validation examples without a finite number, since the mean of all has none then either.

        Args:
            name: of the number.
            values_B: the numbers of the first examples of a batch.
            index_B: places of the batch in the validation split.
        """
        fine_B = values_B.isfinite()
        if name in self._warned or bool(fine_B.all()):
            return
        self._warned.add(name)
        missing = index_B[: len(values_B)][~fine_B].tolist()
        said = without_number(missing, len(values_B), f"validation {self.source.one}", self._names("val"))
        warnings.warn(
            f"val/{name} of {said} is no finite number, so the mean over all is none: weights are not kept as the best "
            "ones by such a mean.",
            stacklevel=2,
        )

    def _names(self, split: Split) -> list[str]:
        return self.source.names(split)

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
