"""Figure 2: loss curves of DSM, SSM and CSM on a Gaussian in 100 dimensions, and one axis that compares them."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from scorewise.figures.bench import Bench
from scorewise.figures.cost import seconds_per_step, training_step
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import thinned
from scorewise.objectives.csm import CSM
from scorewise.objectives.dsm import DSM
from scorewise.objectives.objective import Objective
from scorewise.objectives.ssm import SSM
from scorewise.objectives.ssm_vr import SSMVR

CURVES = ("train/loss", "val/fisher_error")
OBJECTIVES: dict[str, Objective] = {"CSM": CSM(), "SSM": SSM(), "SSM-VR": SSMVR(), "SSM on conditional scores": SSM()}


@final
class Fig2(Figure):
    """Training losses on N(0, std^2 I) with their closed-form optima, and fisher_error of every run.

    Args:
        dims: D.
        std: of every entry.
        timed_steps: interleaved rounds in which the time of a step is measured.
    """

    def __init__(self, dims: int, std: float, timed_steps: int) -> None:
        self.dims, self.std, self.timed_steps = dims, std, timed_steps

    def _optimum(self, name: str) -> float:
        """Return the least value that the objective can reach on N(0, std^2 I), in closed form."""
        variance = self.std**2
        if sigma := _sigma(name):
            return self.dims / 2 * variance / (sigma**2 * (variance + sigma**2))
        return -self.dims / 2 / variance

    def _bias(self, name: str) -> float:
        """Return the fisher_error of the exact minimiser: that of the blurred law for DSM, else 0."""
        variance, sigma = self.std**2, _sigma(name)
        return self.dims / 2 * variance * (1 / variance - 1 / (variance + sigma**2)) ** 2

    def _seconds(self, bench: Bench) -> dict[str, float]:
        x_BD = self.std * torch.randn(128, self.dims)
        steps = {
            name: training_step(runs[0].model.train(), OBJECTIVES.get(name) or DSM(_sigma(name)), x_BD)
            for name, runs in bench.runs.items()
        }
        return seconds_per_step(steps, self.timed_steps, torch.device("cpu"))

    def measure(self, bench: Bench) -> Results:
        """Return final losses and fisher errors beside their closed forms."""
        runs = bench.firsts
        identities = {name: run.summary["identity"] for name, run in runs.items()}
        settings = {"rounds": self.timed_steps, "runs": identities}
        seconds = bench.once("seconds-per-step", settings, lambda: self._seconds(bench))
        zero = self.dims / 2 / self.std**2  # fisher_error of the zero score
        errors = {name: run.summary["metrics"]["fisher_error"] / zero for name, run in runs.items()}
        ends = {name: run.curves["val/fisher_error"][-1][1] / zero for name, run in runs.items()}
        best = min((name for name in ends if name != "CSM"), key=lambda name: ends[name])
        perturbed = [name for name in errors if _sigma(name)]
        small, wide = min(perturbed, key=_sigma), max(perturbed, key=_sigma)
        bias, end = self._bias(wide) / zero, ends["CSM"]
        steps = max(run.summary["steps"] for each in bench.runs.values() for run in each)
        return Results(
            [ResultTable("runs", [self._row(name, run, zero, seconds[name]) for name, run in runs.items()])],
            [
                Claim("lowest", end < ends[best], end=end, best=best, next=ends[best]),
                Claim("small_sigma", errors[small] > 10 * errors["CSM"], sigma=_sigma(small), error=errors[small]),
                Claim("large_sigma", abs(errors[wide] / bias - 1) < 0.1, sigma=_sigma(wide), error=errors[wide]),
            ],
            {"steps": steps, "zero": zero, "csm": errors["CSM"], "bias": bias},
            data={
                "curves": {name: {key: thinned(run.curves[key]) for key in CURVES} for name, run in runs.items()},
                "seconds": seconds,
                "zero": zero,
                "optima": {name: self._optimum(name) for name in errors},
            },
        )

    def _row(self, name: str, run: FinishedRun, zero: float, seconds: float) -> list[Any]:
        metrics = run.summary["metrics"]
        return [
            name,
            round(metrics["loss"], 1),
            round(self._optimum(name), 1),
            metrics["fisher_error"] / zero,
            self._bias(name) / zero,
            next((step + 1 for step, value in run.curves["val/fisher_error"] if value < 0.1 * zero), "never"),
            round(1e3 * seconds, 2),
            run.summary["parameters"],
        ]

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw the loss curves, each on its own axis, and fisher_error of all on one."""
        names = list(data["curves"])
        columns = 4
        rows = -(-len(names) // columns)
        canvas.set_size_inches(13, 2.3 * rows + 3.8)
        top, bottom = np.asarray(canvas.subfigures(2, 1, height_ratios=[2.1 * rows, 3.6]))
        for i, name in enumerate(names, 1):
            _draw_loss(data, name, top.add_subplot(rows, columns, i))
        top.suptitle(text.panels["losses"], fontsize=10)
        for i, over in enumerate(("iteration", "seconds"), 1):
            axes = bottom.add_subplot(1, 2, i)
            for name in names:
                steps, values = zip(*data["curves"][name]["val/fisher_error"], strict=True)
                scale = 1.0 if over == "iteration" else data["seconds"][name]
                relative = [value / data["zero"] for value in values]
                style = "-" if not _sigma(name) else "--"
                axes.plot([(step + 1) * scale for step in steps], relative, style, lw=1.2, label=name)
            axes.set(yscale="log", xscale="log", xlabel=text.panels[over], ylabel=text.panels["error"])
            axes.grid(alpha=0.25)
            if i == 2:
                axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_loss(data: Mapping[str, Any], name: str, axes: Axes) -> None:
    steps, losses = zip(*data["curves"][name]["train/loss"], strict=True)
    axes.plot(steps, losses, lw=0.6)
    axes.axhline(data["optima"][name], color="k", lw=0.8, ls="--")
    kept = sorted(losses[len(losses) // 50 :])
    low, high = kept[0], kept[int(0.99 * (len(kept) - 1))]
    axes.set_ylim(min(low, data["optima"][name]) - 0.05 * (high - low), high + 0.15 * (high - low))
    axes.set_title(name, fontsize=9)
    axes.tick_params(labelsize=7)
    axes.locator_params(axis="x", nbins=4)


def _sigma(name: str) -> float:
    """Return the perturbation of a DSM run, 0 for others."""
    return float(name.partition("sigma=")[2] or 0)
