"""Figure 1 of the poster: energies of two-dimensional densities, normalised on a grid."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas

from scorewise.figures.figure import Bench, Claim, Figure, Results, Run, Table
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

    title = "Energies fitted by SM and by SSM, normalised on a grid (poster, figure 1)"

    def __init__(self, cells: int, points: int, near: float) -> None:
        self.cells, self.points, self.near = cells, points, near
        edges = torch.linspace(-SIDE, SIDE, cells + 1)
        self.edges, self.centres = edges.numpy(), (edges[1:] + edges[:-1]) / 2

    def _model(self, run: Run) -> np.ndarray:
        """Return exp(-E) on the grid, scaled so that its cells sum to one; rows are x_2."""
        y, x = torch.meshgrid(self.centres, self.centres, indexing="ij")
        with torch.no_grad():
            energy_N = run.model.energy(torch.stack([x.flatten(), y.flatten()], -1)).double()
        return torch.softmax(-energy_N, 0).reshape(self.cells, self.cells).numpy()

    def _truth(self, run: Run, seed: int) -> np.ndarray:
        draws = Draws.of(seed, -1, torch.arange(self.points))
        x_BD = run.source.sample(draws.fork("data")).float()
        x_BD = x_BD + run.model.noise * smoothing_noise(draws, x_BD)
        counts, *_ = np.histogram2d(x_BD[:, 1].numpy(), x_BD[:, 0].numpy(), [self.edges, self.edges])
        share: np.ndarray = counts / counts.sum()
        return share

    def measure(self, bench: Bench) -> Results:
        """Return the total variation distance of every model to the truth, on the grid."""
        grids: dict[str, dict[str, np.ndarray]] = {}
        floors: dict[str, float] = {}
        rows, distances = [], {}
        for name, (run, *_) in bench.runs.items():
            objective, _, toy = name.partition("/")
            if toy not in grids:
                grids[toy] = {"true density": self._truth(run, -100)}
                again = self._truth(run, -101)
                floors[toy] = round(0.5 * float(np.abs(again - grids[toy]["true density"]).sum()), 4)
            shown = grids[toy]
            shown[objective] = self._model(run)
            distance = 0.5 * float(np.abs(shown[objective] - shown["true density"]).sum())
            uniform = 0.5 * float(np.abs(1 / self.cells**2 - shown["true density"]).sum())
            distances[name] = distance
            rows.append([toy, objective, round(distance, 4), round(uniform, 4), floors[toy], run.summary["parameters"]])
        return Results(
            [
                Table(
                    f"Total variation distance between exp(-E), normalised on {self.cells} x {self.cells} cells over "
                    f"[-{SIDE}, {SIDE}]^2, and {self.points:,} examples of data + N(0, {run.model.noise:g}^2) counted "
                    "there; beside it that of a flat density, and of a second count of as many examples to the first.",
                    ("density", "objective", "distance", "flat", "count to count", "parameters"),
                    rows,
                )
            ],
            [
                Claim(
                    f"{name}: total variation distance to the truth below {self.near:g}",
                    row[2] < self.near,
                    f"{row[2]:.3f}; two counts of the truth are {row[4]:.3f} apart",
                )
                for name, row in zip(distances, rows, strict=True)
            ],
            [
                "The poster does not name its two densities. Normalising on a grid removes its 'modes of unrealistic "
                "height'; what remains is that score matching sees the relative weight of separated modes only through "
                "the density between them, which is why the data are smoothed.",
            ],
            {"distances": distances},
            {"grids": grids},
        )

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
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
