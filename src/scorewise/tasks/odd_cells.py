"""Which cells of the oddest rows of a table are odd: `cells.csv` and a page."""

from dataclasses import replace
from pathlib import Path
from typing import cast, final

import torch
from torch import Tensor

from scorewise.capabilities import CompletesRows, NormalisedDensity, NumericalDensity, RowDensity
from scorewise.data.source import Source
from scorewise.data.tabular.source import Tabular
from scorewise.heads.model import Model
from scorewise.objectives.any_order import of_any_order
from scorewise.outliers import CellFindings, Explanation, write_page
from scorewise.outliers.replaced import Nodes, ReplacedCells
from scorewise.tasks.prediction import Given

KNOWN = 5000
"""Training rows that say where the cells of a column may lie."""
LEAST = 0.1
"""How far beyond these a cell may lie at least, in standard deviations of the column and sixths."""


@final
class OddCells:
    """The cells of the oddest rows, each given all others that are observed.

    A model of any order has their laws. Of any other closed density they are sums over what could stand there, about a
    hundred densities a cell; models without one have no such cells, and then nothing is written.

    Args:
        model: of the rows.
        source: that it was trained on.
        most: rows that are explained.
    """

    def __init__(self, model: Model, source: Source, most: int) -> None:
        self.model, self.source, self.most = model, source, most

    def write(self, given: Given, score_N: Tensor, p_N: Tensor | None, folder: Path) -> None:
        """Write `cells.csv` and `outliers.html` of the oddest rows.

        Args:
            given: all rows that were judged.
            score_N: their outlier scores.
            p_N: and p-values; None where there are none.
            folder: where the files go.
        """
        if not self.most or not len(given.names) or not isinstance(self.source, Tabular):
            return
        places = score_N.argsort(descending=True)[: self.most]
        oddest = given.some(places.tolist())
        found = self._found(oddest)
        if found is None:
            return
        p_B = torch.full_like(score_N, torch.nan)[places] if p_N is None else p_N[places]
        kept = self._modelled()
        codes = {d: [*words, "unknown"] for d, words in self.source.codes.items()}
        labels = {place: codes[d] for place, d in enumerate(kept) if d in codes}
        columns = [self.source.columns[d] for d in kept]
        explanation = Explanation(oddest.called(), columns, score_N[places], p_B, found, labels=labels, judged_N=p_N)
        explanation.write_cells(folder / "cells.csv")
        write_page(explanation, folder / "outliers.html")

    def _found(self, given: Given) -> CellFindings | None:
        """Return the cells of rows in the columns' own units, of columns that are modelled; None: there are none."""
        x_BD = given.x_ND.to(self.model.like)
        if of_any_order(self.model) and isinstance(self.model, RowDensity):
            found = CellFindings.of(self.model, x_BD, self._unordered())
        elif isinstance(self.model, NormalisedDensity) and not isinstance(self.model, NumericalDensity):
            found = CellFindings.among(ReplacedCells.of(self.model, x_BD, self._nodes(x_BD)), x_BD)
        else:
            return None
        table, kept = cast(Tabular, self.source).table, self._modelled()
        found = found.in_units(table.mean_D.to(x_BD.device), table.scale_D.to(x_BD.device))
        if given.raw_ND is not None:
            raw_BD, numbers = found.found_BD.double(), len(table.numeric)
            raw_BD[:, :numbers] = given.raw_ND[:, :numbers].to(raw_BD)
            found = replace(found, found_BD=raw_BD)
        names = ("found_BD", "p_BD", "expected_BD", "low_BD", "high_BD", "share_BD")
        found = replace(found, **{name: self._as_written(name, getattr(found, name))[:, kept].cpu() for name in names})
        return replace(found, share_BD=found.share_BD / found.share_BD.nansum(-1, keepdim=True).clamp(min=1e-300))

    def _as_written(self, name: str, value_BD: Tensor) -> Tensor:
        """Return values as they stand in a table, whole numbers and spikes without rounding; what was found as is."""
        table = cast(Tabular, self.source).table
        if table.mixed is None or name in ("found_BD", "p_BD", "share_BD"):
            return value_BD
        value_BD = value_BD.clone()
        for d in range(len(table.numeric)):
            for i, number in enumerate(value_BD[:, d].tolist()):
                cell = table.mixed.cell(d, number, table.scale[d], None) if number == number else None
                value_BD[i, d] = number if cell is None else float(cell)
        return value_BD

    def _modelled(self) -> list[int]:
        """Return the columns that are not only read."""
        if not isinstance(self.model, CompletesRows):
            return list(range(self.source.dims))
        return (~self.model.only_read()).nonzero()[:, 0].tolist()

    def _unordered(self) -> list[int]:
        """Return the columns of categories."""
        table = cast(Tabular, self.source).table
        return [] if table.mixed is None else [d for d, kind in enumerate(table.mixed.kinds) if kind.levels]

    def _nodes(self, like: Tensor) -> Nodes:
        some = torch.arange(min(KNOWN, self.source.count("train")))
        x_ND = self.source.examples("train", some, -1, 0)
        return Nodes.of(x_ND.to(like), max(self.model.noise, LEAST), self.model.noise or LEAST)
