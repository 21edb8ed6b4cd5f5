"""Log-densities of a user's rows, and where they lie among those of the training data."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from scorewise.capabilities import CellSurprises, NormalisedDensity
from scorewise.data.datamodule import Batch
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.data.source import Source
from scorewise.errors import UserError
from scorewise.files import write
from scorewise.heads.model import Model
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.objectives.any_order import of_any_order
from scorewise.outliers import Examiner, as_if_whole, percentiles, quantities, usual_surprise
from scorewise.tasks.prediction import DIGITS, Given, Prediction

REFERENCE = 10_000
"""Training rows that the percentiles refer to, at most."""
TOGETHER = 100
"""Training rows that are looked at in one pass."""


class LogDensities(Prediction):
    """The log-density of every row in the columns' own units, and its percentile, the oddest row at 100.

    Args:
        model: with a normalised density.
        source: that it was trained on.
        seed: of the training data's noise.

    Raises:
        UserError: the model has no density.
    """

    file = "densities.csv"

    def __init__(self, model: Model, source: Source, seed: int) -> None:
        if not isinstance(model, NormalisedDensity):
            raise UserError(f"{type(model).__name__} gives scores and no density: use task=ood for outlier scores.")
        self.model, self.source, self.seed = cast(Model, model), source, seed
        self.reference_N = torch.empty(0, dtype=torch.float64)
        self.usual_D: Tensor | None = None

    @property
    def what(self) -> str:
        """What was done to the rows."""
        return "rows given their log-density"

    def begin(self) -> None:
        """Take the log-densities of training rows.

        Raises:
            UserError: the model has none to report.
        """
        some = torch.arange(min(REFERENCE, self.source.count("train")))
        x_ND = self.source.examples("train", some, -1, self.seed)
        parts = [self._numbers(x_BD.to(self.model.mean.device)) for x_BD in x_ND.split(TOGETHER)]
        if of_any_order(self.model) and isinstance(self.model, CellSurprises):
            self.usual_D = usual_surprise(self.model, x_ND.to(self.model.mean.device))
        reference = {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}
        if reason := Examiner(self.model, 0.0, 0, REFERENCE).refusal(reference):
            raise UserError(
                f"log-densities need a likelihood, which this model has none of to report: {reason}; use task=ood "
                "task.statistic=abs_h."
            )
        self.reference_N = as_if_whole(reference["nll"], x_ND, self.usual_D).cpu()

    def of(self, batch: Batch) -> Tensor:
        """Return what there is to say of every row, shape (B, 3).

        nll, nats in the model's scale; 1 where it rests on mass outside the range, else 0; nll as if rows were whole.
        """
        with torch.autocast(batch.x_BD.device.type, enabled=False):
            found = self._numbers(batch.x_BD)
        beyond_B = torch.zeros_like(found["nll"])
        if "outside" in found:
            beyond_B = (found["outside"] > cast(WithLikelihood, self.model).normaliser().largest_tail).to(beyond_B)
        whole_B = as_if_whole(found["nll"], batch.x_BD, self.usual_D)
        return torch.stack([found["nll"], beyond_B, whole_B], -1)

    def _numbers(self, x_BD: Tensor) -> Mapping[str, Tensor]:
        return quantities(self.model, x_BD, ("nll",))

    def _log_densities(self, found_N3: Tensor) -> list[float]:
        return (-found_N3[:, 0] - self.source.log_volume).tolist()

    def unusable(self, given: Given, found: Tensor) -> list[Skipped]:
        """Return the rows without a number; a warning also counts those far from the training data."""
        if beyond := int(found[:, 1].sum()):
            warnings.warn(
                f"log-densities of {beyond} of {len(found)} rows rest on a conditional with mass outside the range of "
                "the likelihood: such rows are far from the training data.",
                stacklevel=2,
            )
        log_q = zip(given.names, self._log_densities(found), strict=True)
        unknown = [Skipped(f"row {name}", "no number") for name, one in log_q if not math.isfinite(one)]
        if unknown:
            warnings.warn(f"{len(unknown)} of {len(found)} rows have no density: {reasons_of(unknown)}.", stacklevel=2)
        return unknown

    def write(self, given: Given, found: Tensor, folder: Path) -> None:
        """Write number, identity, log-density and percentile of every row that has one."""
        places = percentiles(found[:, 2], self.reference_N).tolist()
        lines = [
            (int(name), *identity, one, place)
            for name, identity, one, place in zip(
                given.names, given.identities(), self._log_densities(found), places, strict=True
            )
            if math.isfinite(one)
        ]
        taken = ("row", "log_density", "percentile")
        write(folder / self.file, (taken[0], *given.header(taken), *taken[1:]), lines, digits=DIGITS)
