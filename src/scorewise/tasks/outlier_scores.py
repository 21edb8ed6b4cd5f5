"""Outlier scores of a user's examples."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from scorewise import outliers
from scorewise.data.datamodule import Batch
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.errors import printable
from scorewise.files import write
from scorewise.tasks.odd_cells import OddCells
from scorewise.tasks.odd_places import OddPlaces
from scorewise.tasks.outlier_survey import OutlierSurvey, Reference
from scorewise.tasks.prediction import DIGITS, Given, Prediction

PAGE = "outliers.html"
EXPLAINED = ("cells.csv", "regions.csv", PAGE)
"""What tells why examples are odd."""


class OutlierScores(Prediction):
    """The outlier score of every example and its percentile among those of held-out in-distribution examples.

    Args:
        survey: of the model.
        statistic: that is written; None: see `OutlierSurvey.reference`.
        cells: rows of a table whose cells are explained, and images whose places are, the oddest.
    """

    file, by_name, keeps = "outliers.csv", True, True

    def __init__(self, survey: OutlierSurvey, statistic: str | None, cells: int = 0) -> None:
        self.survey, self.statistic = survey, statistic
        self.cells = OddCells(survey.model, survey.source, cells)
        self.places = OddPlaces(survey.model, survey.source, cells, survey.examiner.seed)
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

    def keep_in(self, folder: Path, about: str) -> None:
        """Keep what the model says of its own data, see `KeptSurveys`."""
        self.survey.kept = outliers.KeptSurveys(folder, about)

    def watch_with(self, tell: Callable[[float], None] | None) -> None:
        """Tell somebody the share of the held-out examples that are scored, see `begin`; None: nobody."""
        self.survey.tell = tell

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
        """Write a line for every example that has a score; images by name, rows in their order.

        Name, score and percentile, and where held-out examples say so, p-value and the least false discovery rate at
        which it is on the list of outliers, of all examples that were given. Of a table the cells of the oddest rows
        beside that, of images the places where the oddest are odd, and a page.
        """
        places = (~found.isnan()).nonzero()[:, 0].tolist()
        score_B = found[places].double().cpu()
        p_values = self.p_values(score_B)
        columns = zip(self.percentiles(score_B).tolist(), *p_values, strict=True)
        named = [(printable(given.names[i]), *map(printable, given.identities()[i])) for i in places]
        lines = [(*names, score, *of) for names, score, of in zip(named, score_B.tolist(), columns, strict=True)]
        images = len(self.survey.source.shape) == 3
        first, *taken = ("name", "outlier_score", "percentile", "p_value", "false_discovery_rate")
        header = (first, *given.header([first, *taken]), *taken)
        write(folder / self.file, header, sorted(lines) if images else lines, digits=DIGITS)
        for name in EXPLAINED:
            (folder / name).unlink(missing_ok=True)  # it would be of other examples
        p_B, rate_B = (torch.tensor([float(one or "nan") for one in found], dtype=torch.float64) for found in p_values)
        if images:
            self.places.write(given.some(places), score_B, p_B, rate_B, folder)
        else:
            self.cells.write(given.some(places), score_B, None if p_B.isnan().any() else p_B, folder)
        self.page = page if (page := folder / PAGE).is_file() else None

    def percentiles(self, score_B: Tensor) -> Tensor:
        """Return where scores lie among those of held-out examples, 0 to 100."""
        return outliers.percentiles(score_B.cpu(), self.reference.scores_N)

    def p_values(self, score_B: Tensor) -> tuple[list[float] | list[str], list[float] | list[str]]:
        """Return p-values and false discovery rates of scores; nothing where the reference learned its examples."""
        known_N = self.reference.scores_N[~self.reference.scores_N.isnan()]
        if not self.reference.held_out or not len(known_N):
            return [""] * len(score_B), [""] * len(score_B)
        p_B = outliers.conformal_p_values(score_B, known_N)
        return p_B.tolist(), outliers.false_discovery_rates(p_B).tolist()
