"""Filling in the missing cells of rows, and how well that goes on cells that are hidden for it."""

import warnings
from pathlib import Path
from statistics import fmean
from typing import Annotated, cast, final

import torch
from torch import Tensor

from scorewise.capabilities import CompletesRows
from scorewise.data.datamodule import Batch
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.data.source import Source
from scorewise.data.tabular.source import Tabular
from scorewise.errors import printable
from scorewise.files import shortest, write
from scorewise.noise import Draws, OfRows
from scorewise.objectives.any_order import of_any_order
from scorewise.ranges import Between, Count, within_ranges
from scorewise.tasks.measures import INTERVAL
from scorewise.tasks.prediction import Given, Prediction
from scorewise.tasks.score_task import ScoreBundle, ScoreTask

Hidden = Annotated[float, Between(0, 1, without=("low",))]


class Imputations(Prediction):
    """Every missing cell of a user's rows: draws given the observed ones, their mean, and a 90 % interval.

    `imputed.csv` has a line per missing cell; `completed.csv` the rows with the first of the draws, what was observed
    as it was given. Of categories there are draws alone. What is drawn for a row follows from its number in the file
    and the seed.

    Args:
        model: of the rows.
        source: that it was trained on.
        draws: per missing cell.
        seed: of the draws.
    """

    file, by_name = "imputed.csv", True

    def __init__(self, model: CompletesRows, source: Source, draws: int, seed: int) -> None:
        self.model, self.source, self.draws, self.seed = model, source, draws, seed

    @property
    def what(self) -> str:
        """What was done to the rows."""
        return "rows completed"

    def of(self, batch: Batch) -> Tensor:
        """Return the ends of the interval of every cell, then the rows completed by every draw, (B, 2 + draws, D).

        Of a row that lacks a cell which the model only reads they are no numbers.
        """
        whole_B = ~self._lacks(batch.x_BD).any(-1)
        x_BD, draws = batch.x_BD[whole_B], Draws.of(self.seed, batch.epoch_B[whole_B], batch.index_B[whole_B])
        found = batch.x_BD.new_full((len(whole_B), len(INTERVAL) + self.draws, x_BD.shape[1]), torch.nan)
        if len(x_BD):
            cells = self.model.cells(x_BD, torch.ones(x_BD.shape[1], dtype=torch.bool, device=x_BD.device))
            ends = [cells.quantile(u) for u in INTERVAL]
            drawn = [self.model.fill(x_BD, OfRows(draws.fork(f"draw {k}"))) for k in range(self.draws)]
            found[whole_B] = torch.stack([*ends, *drawn], 1)
        return found

    def _lacks(self, x_BD: Tensor) -> Tensor:
        """Return which cells are missing that the model only reads, boolean, (B, D)."""
        return x_BD.isnan() & self.model.only_read().to(x_BD.device)

    def unusable(self, given: Given, found: Tensor) -> list[Skipped]:
        """Return the rows that lack a cell which the model only reads; a warning names the columns."""
        header, lacks_ND = cast(Tabular, self.source).table.header, self._lacks(given.x_ND)
        left_out = [
            Skipped(f"row {given.names[i]}", f"no {printable(header[d])}, which the model only reads")
            for i, d in ((i, int(lacks_D.int().argmax())) for i, lacks_D in enumerate(lacks_ND) if lacks_D.any())
        ]
        if left_out:
            said = f"{len(left_out)} of {len(found)} rows cannot be completed: {reasons_of(left_out)}."
            warnings.warn(said, stacklevel=2)
        return left_out

    def write(self, given: Given, found: Tensor, folder: Path) -> None:
        """Write the missing cells, and the completed rows."""
        whole = (~self._lacks(given.x_ND).any(-1)).nonzero()[:, 0]
        given, found = given.some(whole.tolist()), found[whole]
        table = cast(Tabular, self.source).table
        words = [None] * len(table.numeric) + list(table.codes)
        low, high, *drawn = (table.cells(found[:, k]) for k in range(found.shape[1]))
        lines = []
        for i, d in given.x_ND[:, : table.single].isnan().nonzero().tolist():
            ordered = words[d] is None
            mean = table.to_scale(d, fmean(float(rows[i][d]) for rows in drawn)) if ordered else ""
            ends = (mean, low[i][d], high[i][d]) if ordered else ("", "", "")
            lines.append(
                (int(given.names[i]), *given.identities()[i], table.header[d], *ends, *(rows[i][d] for rows in drawn))
            )
        first, *taken = ("row", "column", "mean", "low", "high", *(f"draw_{k}" for k in range(1, self.draws + 1)))
        write(folder / self.file, (first, *given.header([first, *taken]), *taken), lines)
        if given.raw_ND is not None:
            for i, d in (~given.raw_ND[:, : len(table.numeric)].isnan()).nonzero().tolist():
                drawn[0][i][d] = shortest(float(given.raw_ND[i, d]))
        named = zip(given.names, given.identities(), drawn[0], strict=True)
        rows = [(int(name), *identity, *cells) for name, identity, cells in named]
        header = ("row", *given.header(("row", *table.header)), *table.header)
        write(folder / "completed.csv", header, rows)


@final
class Imputation(ScoreTask):
    """Filling in missing cells.

    Test metrics, means over rows, of cells of the test rows that are hidden: nll_hidden, nats, of the hidden cells
    given the others; coverage_hidden, the share of hidden numbers inside the central 90 % interval of their law;
    mse_hidden, the squared distance of its median in units of the column's variance; accuracy_hidden, the share of
    hidden categories whose most probable value is the right one. What is predicted are draws, means and intervals.

    Args:
        bundle: model, objective, optimisation, data and seed.
        hide: share of the observed cells that are hidden.
        draws: per missing cell, of predictions.

    Raises:
        ValueError: a number out of range, or a model of one order.
    """

    needs = (CompletesRows,)

    @within_ranges
    def __init__(self, bundle: ScoreBundle, hide: Hidden = 0.3, draws: Count = 20) -> None:
        super().__init__(bundle)
        if not of_any_order(bundle.model):
            raise ValueError("a model of one order completes no rows: train with backbone=masked_mlp")
        self.hide, self.draws = hide, draws

    @property
    def rows(self) -> CompletesRows:
        """The model, as one of incomplete rows."""
        return cast(CompletesRows, self.model)

    @property
    def name(self) -> str:
        """What this test is called, for files."""
        return "imputation"

    @property
    def prediction(self) -> Imputations:
        """The missing cells of a user's rows."""
        return Imputations(self.rows, self.source, self.draws, self.seed)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Hide cells, the same ones each time, and collect what the model says of them."""
        x_BD = batch.x_BD
        if not len(x_BD):
            return
        u_BD = Draws.of(self.seed, batch.epoch_B, batch.index_B).fork("hidden").uniform(x_BD.shape[1])
        hidden_BD = (u_BD < self.hide) & ~x_BD.isnan() & ~self.rows.only_read()
        everything_D = torch.ones_like(self.rows.only_read())
        cells = self.rows.cells(x_BD.masked_fill(hidden_BD, torch.nan), everything_D)
        low_BD, median_BD, high_BD = (cells.quantile(u) for u in (INTERVAL[0], 0.5, INTERVAL[1]))
        numbers_BD = hidden_BD & cells.ordered_D
        with torch.no_grad():
            nll_B = -self.rows.log_prob_of_rest(x_BD, ~hidden_BD)
        some_B = hidden_BD.any(-1)
        self.collect("nll_hidden", nll_B[some_B], batch.index_B[some_B])
        inside_BD = (low_BD <= x_BD) & (x_BD <= high_BD)
        right_BD = (cells.likeliest_BD == x_BD).to(x_BD)
        for name, value_BD, counts_BD in (
            ("coverage_hidden", inside_BD.to(x_BD), numbers_BD),
            ("mse_hidden", (median_BD - x_BD).square(), numbers_BD),
            ("accuracy_hidden", right_BD, hidden_BD & ~cells.ordered_D),
        ):
            some_B = counts_BD.any(-1)
            mean_B = torch.where(counts_BD, value_BD, 0).sum(-1) / counts_BD.sum(-1)
            self.collect(name, mean_B[some_B], batch.index_B[some_B])

    def conventions(self) -> dict[str, str]:
        """Return what the metrics mean."""
        hidden = f"{self.hide:.0%} of the observed cells of a test row hidden at random"
        mean = "mean over rows of a row's own"
        return {
            "nll_hidden": f"nats per row, of the hidden cells given the others; {hidden}",
            "coverage_hidden": f"{mean} share of hidden numbers inside the central 90 % of their law given the others",
            "mse_hidden": f"{mean} squared distance of hidden numbers from their median, in variances of the column",
            "accuracy_hidden": f"{mean} share of hidden categories whose most probable value is the right one",
        }
