"""Figure 1 of the poster: energies of two-dimensional densities, normalised on a grid."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas

from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.noise import Draws, smoothing_noise

SIDE = 4.5


@final
class PosterFig1(Figure):
    """Exp(-E) normalised on a grid, beside the smoothed density itself.

    Args:
        cells: of the grid, per axis.
        points: examples that the true density is counted from.
        near: the total variation distance that is wanted.
    """

    def __init__(self, cells: int, points: int, near: float) -> None:
        self.cells, self.points, self.near = cells, points, near
        edges = torch.linspace(-SIDE, SIDE, cells + 1)
        self.edges, self.centres = edges.numpy(), (edges[1:] + edges[:-1]) / 2

    def _model(self, run: FinishedRun) -> np.ndarray:
        """Return exp(-E) on the grid, scaled so that its cells sum to one; rows are x_2."""
        y, x = torch.meshgrid(self.centres, self.centres, indexing="ij")
        with torch.no_grad():
            energy_N = run.model.energy(torch.stack([x.flatten(), y.flatten()], -1)).double()
        return torch.softmax(-energy_N, 0).reshape(self.cells, self.cells).numpy()

    def _truth(self, run: FinishedRun, seed: int) -> np.ndarray:
        draws = Draws.of(seed, -1, torch.arange(self.points))
        x_BD = run.source.sample(draws.fork("data")).float()
        x_BD = x_BD + run.model.noise * smoothing_noise(draws, x_BD)
        counts, *_ = np.histogram2d(x_BD[:, 1].numpy(), x_BD[:, 0].numpy(), [self.edges, self.edges])
        share: np.ndarray = counts / counts.sum()
        return share

    def measure(self, bench: Bench) -> Results:
        """Return the total variation distance of every model to the truth, on the grid."""
        grids: dict[str, dict[str, np.ndarray]] = {}
        apart: dict[str, float] = {}
        rows, distances, claims = [], {}, []
        for name, run in bench.firsts.items():
            objective, _, toy = name.partition("/")
            if toy not in grids:
                grids[toy] = {"true density": self._truth(run, -100)}
                apart[toy] = round(_total_variation(self._truth(run, -101), grids[toy]["true density"]), 4)
            shown = grids[toy]
            shown[objective] = self._model(run)
            distances[name] = _total_variation(shown[objective], shown["true density"])
            flat = _total_variation(np.full_like(shown[objective], 1 / self.cells**2), shown["true density"])
            distance = round(distances[name], 4)
            rows.append([toy, objective, distance, round(flat, 4), apart[toy], run.summary["parameters"]])
            claims.append(Claim("near", distance < self.near, name=name, distance=distance, apart=apart[toy]))
        return Results(
            [ResultTable("distances", rows)],
            claims,
            {"side": SIDE, "noise": bench.first.model.noise},
            data={"distances": distances},
            arrays={"grids": grids},
        )

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw the densities side by side, one row per data set, each row on one colour scale."""
        canvas.set_size_inches(9, 3.1 * len(data["grids"]))
        for i, (toy, grids) in enumerate(data["grids"].items()):
            brightest = np.quantile(grids["true density"], 0.999)
            for j, (name, grid) in enumerate(grids.items()):
                axes = canvas.add_subplot(len(data["grids"]), len(grids), i * len(grids) + j + 1)
                axes.imshow(
                    grid, origin="lower", extent=(-SIDE, SIDE, -SIDE, SIDE), vmin=0, vmax=brightest, cmap="magma"
                )
                distance = data["distances"].get(f"{name}/{toy}")
                axes.set_title(f"{toy}: {name}" + ("" if distance is None else f" (TV {distance:.3f})"), fontsize=9)


def _total_variation(one: np.ndarray, other: np.ndarray) -> float:
    return 0.5 * float(np.abs(one - other).sum())
