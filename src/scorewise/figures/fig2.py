"""Figure 2: loss curves of DSM, SSM and CSM on a Gaussian in 100 dimensions, and one axis that compares them."""

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from scorewise.comparison.seeds import mean_of
from scorewise.figures.bench import Bench
from scorewise.figures.cost import seconds_per_step, training_step
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.seed_curves import curve_of, draw_curve
from scorewise.figures.spread import judged, ratio_of, said, seeds_said, thinned
from scorewise.objectives.csm import CSM
from scorewise.objectives.dsm import DSM
from scorewise.objectives.objective import Objective
from scorewise.objectives.ssm import SSM
from scorewise.objectives.ssm_vr import SSMVR

OURS = "CSM"
OBJECTIVES: dict[str, Objective] = {OURS: CSM(), "SSM": SSM(), "SSM-VR": SSMVR(), "SSM on conditional scores": SSM()}


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
        """Return final losses and fisher errors beside their closed forms, over seeds."""
        identities = {name: run.summary["identity"] for name, run in bench.firsts.items()}
        settings = {"rounds": self.timed_steps, "runs": identities}
        seconds = bench.once("seconds-per-step", settings, lambda: self._seconds(bench))
        zero = self.dims / 2 / self.std**2  # fisher_error of the zero score
        errors = {
            name: [run.summary["metrics"]["fisher_error"] / zero for run in runs] for name, runs in bench.runs.items()
        }
        ends = {
            name: [run.curves["val/fisher_error"][-1][1] / zero for run in runs] for name, runs in bench.runs.items()
        }
        biases = {name: self._bias(name) / zero for name in errors}
        rows = [self._row(name, runs, errors[name], biases[name], seconds[name]) for name, runs in bench.runs.items()]
        return Results(
            [ResultTable("runs", rows)],
            claims(errors, ends, biases),
            {"zero": zero, "seeds": seeds_said(len(bench.runs[OURS]))},
            data={
                "losses": {name: thinned(run.curves["train/loss"]) for name, run in bench.firsts.items()},
                "errors": {name: curve_of(runs, "val/fisher_error", zero) for name, runs in bench.runs.items()},
                "seconds": seconds,
                "optima": {name: self._optimum(name) for name in errors},
            },
        )

    def _row(
        self, name: str, runs: Sequence[FinishedRun], errors: Sequence[float], bias: float, seconds: float
    ) -> list[Any]:
        zero, first = self.dims / 2 / self.std**2, runs[0].summary
        reached = [
            next((f"{step + 1:,}" for step, value in run.curves["val/fisher_error"] if value < 0.1 * zero), "never")
            for run in runs
        ]
        return [
            name,
            f"{first['steps']:,}",
            said(mean_of([run.summary["metrics"]["loss"] for run in runs]), ",.1f"),
            f"{self._optimum(name):,.1f}",
            said(ratio_of(errors), ".2g"),
            f"{bias:.2g}",
            "; ".join(dict.fromkeys(reached)),
            round(1e3 * seconds, 2),
            first["parameters"],
        ]

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw the loss curves, each on its own axis, and fisher_error of all on one."""
        names = list(data["errors"])
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
                of_step = 1.0 if over == "iteration" else data["seconds"][name]
                style = "-" if not _sigma(name) else "--"
                draw_curve(axes, data["errors"][name], style, of_step, lw=1.2, label=name)
            axes.set(yscale="log", xscale="log", xlabel=text.panels[over], ylabel=text.panels["error"])
            axes.grid(alpha=0.25)
            if i == 2:
                axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def claims(
    errors: Mapping[str, Sequence[float]], ends: Mapping[str, Sequence[float]], biases: Mapping[str, float]
) -> list[Claim]:
    """Return whether CSM is the nearest to the law, and DSM far from its optimum or near it, by ratios seed by seed.

    Args:
        errors: fisher_error of the weights that are kept by training, one value per seed, relative to the zero score.
        ends: likewise, at the last validation.
        biases: of the exact minimisers.
    """
    others = [name for name in ends if name != OURS]
    means = {name: ratio_of(values).mean for name, values in ends.items()}
    best = min(others, key=means.__getitem__)
    perturbed = [name for name in errors if _sigma(name)]
    small, wide = min(perturbed, key=_sigma), max(perturbed, key=_sigma)
    least_S = [min(ends_N) for ends_N in zip(*(ends[name] for name in others), strict=True)]
    share = ratio_of([end / least for end, least in zip(ends[OURS], least_S, strict=True)])
    times = ratio_of([one / other for one, other in zip(errors[small], errors[OURS], strict=True)])
    off = mean_of([abs(error / biases[wide] - 1) for error in errors[wide]])
    error, csm, of_wide = (ratio_of(errors[name]).mean for name in (small, OURS, wide))
    return [
        judged("lowest", share, ".2g", lambda share: share < 1, end=means[OURS], best=best, next=means[best]),
        judged("small_sigma", times, ".2g", lambda times: times > 10, sigma=_sigma(small), error=error, csm=csm),
        judged("large_sigma", off, ".2g", lambda off: off < 0.1, sigma=_sigma(wide), error=of_wide, bias=biases[wide]),
    ]


def _draw_loss(data: Mapping[str, Any], name: str, axes: Axes) -> None:
    steps, losses = zip(*data["losses"][name], strict=True)
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
