"""Example 3.3 of the slides: Langevin dynamics on a mixture in one dimension."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.data.laws import GaussianMixtureLaw
from scorewise.data.synthetic import Mixture1d
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.noise import geometric_ladder
from scorewise.sampling.langevin import langevin

EDGES = np.linspace(-3.5, 4.5, 91)


@final
class SlidesExample33(Figure):
    """Langevin samples of .6 N(2, .5^2) + .4 N(-2, .2^2) from U[-3, 3], plain and annealed.

    Args:
        chains: M.
        steps: of plain Langevin dynamics, and per level of the annealed one.
        epsilon: of the slides' step x + epsilon^2 / 2 s + epsilon z.
        sigma_max, sigma_min, levels: ladder of the annealed dynamics.
        step: its step in units of sigma^2.
        seed: of everything.
    """

    def __init__(
        self,
        chains: int,
        steps: int,
        epsilon: float,
        sigma_max: float,
        sigma_min: float,
        levels: int,
        step: float,
        seed: int = 0,
    ) -> None:
        self.chains, self.steps, self.epsilon, self.step, self.seed = chains, steps, epsilon, step, seed
        self.ladder = geometric_ladder(sigma_max, sigma_min, levels)

    def _plain(self, x_BD: Tensor, generator: torch.Generator) -> Tensor:
        return langevin(_law().score, x_BD, self.epsilon**2 / 2, self.steps, generator)

    def _annealed(self, x_BD: Tensor, generator: torch.Generator) -> Tensor:
        for sigma in self.ladder:
            x_BD = langevin(_law().smoothed(sigma).score, x_BD, self.step * sigma**2, self.steps, generator)
        return x_BD

    def measure(self, bench: Bench) -> Results:
        """Return the modes' weights, means and widths after plain and after annealed dynamics."""
        generator = torch.Generator().manual_seed(self.seed)
        start_BD = 6 * torch.rand(self.chains, 1, generator=generator, dtype=torch.float64) - 3
        ended = {"plain": self._plain(start_BD, generator), "annealed": self._annealed(start_BD, generator)}
        plain, annealed = (_modes(x_BD) for x_BD in ended.values())
        sigma = self.ladder[-1]
        rows = [
            ["truth", 0.6, 2.0, 0.5, -2.0, 0.2],
            [f"plain, {self.steps} steps", *plain],
            [f"truth + N(0, {sigma:g}^2)", 0.6, 2.0, (0.25 + sigma**2) ** 0.5, -2.0, (0.04 + sigma**2) ** 0.5],
            [f"annealed, {len(self.ladder)} levels", *annealed],
        ]
        basins = 0.60 <= plain[0] <= 0.67 and abs(plain[1] - 2) < 0.1 and 0.18 <= plain[4] <= 0.26
        density = {name: np.histogram(x_BD[:, 0], EDGES, density=True)[0].tolist() for name, x_BD in ended.items()}
        return Results(
            [ResultTable("modes", rows)],
            [Claim("plain", basins), Claim("annealed", abs(annealed[0] - 0.6) < 0.02)],
            {"plain": plain, "annealed": annealed},
            data={"edges": EDGES.tolist(), "density": density, "sigma": sigma},
        )

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw the two histograms with their densities."""
        canvas.set_size_inches(9, 3.4)
        line = torch.linspace(-3.5, 4.5, 600, dtype=torch.float64)[:, None]
        for i, (name, law) in enumerate((("plain", _law()), ("annealed", _law().smoothed(float(data["sigma"])))), 1):
            axes = canvas.add_subplot(1, 2, i)
            axes.stairs(data["density"][name], data["edges"], fill=True, alpha=0.5, label="chains")
            label = "density" if name == "plain" else f"density + N(0, {data['sigma']:g}$^2$)"
            axes.plot(line[:, 0], law.log_prob(line).exp(), "k", lw=1.2, label=label)
            axes.set(title=text.panels[name], xlabel="x", ylabel="density")
            axes.legend(frameon=False, fontsize=8)


def _law() -> GaussianMixtureLaw:
    law = Mixture1d().law
    assert law is not None
    return law


def _modes(x_BD: Tensor) -> list[float]:
    x_B = x_BD[:, 0]
    right, left = x_B[x_B > -0.8207], x_B[x_B <= -0.8207]
    numbers = (len(right) / len(x_B), right.mean(), right.std(), left.mean(), left.std())
    return [round(float(number), 4) for number in numbers]
