"""Outlier scores of a user's examples."""

import warnings
from pathlib import Path

import torch
from torch import Tensor

from scorewise import outliers
from scorewise.data.datamodule import Batch
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.errors import printable
from scorewise.files import write
from scorewise.tasks.outlier_survey import OutlierSurvey, Reference
from scorewise.tasks.prediction import DIGITS, Given, Prediction


class OutlierScores(Prediction):
    """The outlier score of every example and its percentile among those of held-out in-distribution examples.

    Args:
        survey: of the model.
        statistic: that is written; None: see `OutlierSurvey.reference`.
    """

    file, by_name = "outliers.csv", True

    def __init__(self, survey: OutlierSurvey, statistic: str | None) -> None:
        self.survey, self.statistic = survey, statistic
        self._reference: Reference | None = None

    @property
    def reference(self) -> Reference:
        """What examples are compared with, once prediction has begun."""
        assert self._reference is not None
        return self._reference

    @property
    def what(self) -> str:
        """What was done to the examples."""
        return f"scored by {self.reference.statistic}"

    def begin(self) -> None:
        """Score held-out in-distribution examples.

        Raises:
            UserError: the statistic needs a likelihood, and the model has none to report.
        """
        self._reference = self.survey.reference(self.statistic)

    def of(self, batch: Batch) -> Tensor:
        """Return the outlier score of every example, shape (B,)."""
        return self.survey.score(batch.x_BD, batch.index_B, self.reference)

    def unusable(self, given: Given, found: Tensor) -> list[Skipped]:
        """Return the examples whose score is no number."""
        scored = zip(given.names, found, strict=True)
        unknown = [Skipped(name, "no number for a score") for name, score in scored if score.isnan()]
        if unknown:
            warnings.warn(
                f"{len(unknown)} of {len(found)} examples have no score: {reasons_of(unknown)}.", stacklevel=2
            )
        return unknown

    def write(self, given: Given, found: Tensor, folder: Path) -> None:
        """Write name, score and percentile of every example that has one; images by name, rows in their order."""
        scored = [
            (name, float(score)) for name, score in zip(given.names, found, strict=True) if not bool(score.isnan())
        ]
        places = self.percentiles(torch.tensor([score for _, score in scored], dtype=torch.float64)).tolist()
        lines = [(printable(name), score, place) for (name, score), place in zip(scored, places, strict=True)]
        images = len(self.survey.source.shape) == 3
        header = ("name", "outlier_score", "percentile")
        write(folder / self.file, header, sorted(lines) if images else lines, digits=DIGITS)

    def percentiles(self, score_B: Tensor) -> Tensor:
        """Return where scores lie among those of held-out examples, 0 to 100."""
        return outliers.percentiles(score_B.cpu(), self.reference.scores_N)
