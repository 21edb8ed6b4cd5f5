"""Figure 1b: the variance of sliced and of composite score matching."""

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas

from scorewise.backbones.made import MADE
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.heads.gaussian import Gaussian
from scorewise.noise import Draws
from scorewise.objectives.csm import CSM
from scorewise.objectives.objective import Objective
from scorewise.objectives.ssm import SSM
from scorewise.objectives.ssm_vr import SSMVR


@final
class Fig1b(Figure):
    """The standard deviation over examples of every objective at the true score of N(0, std^2 I).

    Args:
        dims: D.
        std: of every entry.
        draws: examples.
        projections: M of the many-projection rows.
        chunk: examples at a time.
        tolerance: relative, of the closed forms.
    """

    def __init__(self, dims: int, std: float, draws: int, projections: int, chunk: int, tolerance: float) -> None:
        self.dims, self.std, self.draws = dims, std, draws
        self.projections, self.chunk, self.tolerance = projections, chunk, tolerance

    def _cases(self) -> dict[str, tuple[Objective, float]]:
        """Return objective and closed form of its variance in units of 1 / std^4 (D the dimension, M projections)."""
        dims, m = self.dims, self.projections
        x_only = dims / 2  # the variance of |x|^2 / 2 alone: what remains when the projections are averaged
        rademacher, gaussian = dims**2 / 2, 0.75 * (dims**2 + 2 * dims) - dims**2 / 4
        return {
            "CSM": (CSM(), x_only),
            "SSM Rademacher": (SSM("rademacher"), rademacher),
            "SSM Gaussian": (SSM("gaussian"), gaussian),
            f"SSM Rademacher, {m} projections": (SSM("rademacher", m), x_only + (rademacher - x_only) / m),
            "SSM-VR Rademacher": (SSMVR("rademacher"), x_only),
            "SSM-VR Gaussian": (SSMVR("gaussian"), x_only + 2 * dims),
            f"SSM-VR Gaussian, {m} projections": (SSMVR("gaussian", m), x_only + 2 * dims / m),
        }

    def measure(self, bench: Bench) -> Results:
        """Return the measured and the closed-form standard deviation of every objective."""
        settings = {"dims": self.dims, "std": self.std, "draws": self.draws, "projections": self.projections}
        found: dict[str, dict[str, float]] = {}
        for name, (objective, variance) in self._cases().items():
            values = bench.once(name, settings, partial(self._moments, objective))
            found[name] = {**values, "expected": variance**0.5 / self.std**2}
        ratios = {name: case["std"] / case["expected"] for name, case in found.items()}
        rows = [
            [name, *(round(case[key], 1) for key in ("mean", "std", "expected")), ratios[name]]
            for name, case in found.items()
        ]
        plain, reduced = (found[f"{name} Rademacher"]["std"] / found["CSM"]["std"] for name in ("SSM", "SSM-VR"))
        worst = max(ratios, key=lambda name: abs(ratios[name] - 1))
        ratio, root = ratios[worst], self.dims**0.5
        return Results(
            [ResultTable("values", rows)],
            [
                Claim("closed_form", abs(ratio - 1) < self.tolerance, worst=worst, ratio=ratio),
                Claim("plain", abs(plain / root - 1) < self.tolerance, plain=plain, root=root),
                Claim("reduced", abs(reduced - 1) < self.tolerance, reduced=reduced),
            ],
            {"optimum": self._optimum, "percent": 100 * self.tolerance},
            data={"cases": found},
        )

    @property
    def _optimum(self) -> float:
        return -self.dims / 2 / self.std**2

    def _moments(self, objective: Objective) -> dict[str, float]:
        model = Gaussian(MADE((self.dims,), 2, (4,)), std=self.std)
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)  # N(0, std^2) per dimension, exactly
        generator = torch.Generator().manual_seed(0)
        total, squares, count = 0.0, 0.0, 0
        optimum = self._optimum
        for start in range(0, self.draws, self.chunk):
            n = min(self.chunk, self.draws - start)
            x_BD = self.std * torch.randn(n, self.dims, generator=generator)
            draws = Draws.of(0, 0, torch.arange(start, start + n))
            with torch.no_grad():
                value_B = objective.per_example(model, x_BD, draws).double() - optimum
            total, squares, count = total + float(value_B.sum()), squares + float(value_B.square().sum()), count + n
        mean = total / count
        return {"mean": mean + optimum, "std": (squares / count - mean**2) ** 0.5}

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw the standard deviations, closed forms as ticks."""
        canvas.set_size_inches(7.5, 3.4)
        axes = canvas.add_subplot()
        names = list(data["cases"])[::-1]
        axes.barh(names, [data["cases"][name]["std"] for name in names], color="tab:blue", alpha=0.6, label="measured")
        expected = [data["cases"][name]["expected"] for name in names]
        axes.plot(expected, range(len(names)), "k|", ms=16, mew=2, label="closed form")
        axes.set(xlabel="standard deviation over examples, at the optimum")
        axes.set_title(text.title, fontsize=10)
        axes.legend(frameon=False)
