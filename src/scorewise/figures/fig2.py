"""Figure 2: loss curves of DSM, SSM and CSM on a Gaussian in 100 dimensions, and one axis that compares them."""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas

from scorewise.figures.cost import seconds_per_step, training_step
from scorewise.figures.figure import Bench, Claim, Figure, Results, Table, thinned
from scorewise.objectives.csm import CSM
from scorewise.objectives.dsm import DSM
from scorewise.objectives.objective import Objective
from scorewise.objectives.ssm import SSM
from scorewise.objectives.ssm_vr import SSMVR

OBJECTIVES: dict[str, Objective] = {"CSM": CSM(), "SSM": SSM(), "SSM-VR": SSMVR(), "SSM on conditional scores": SSM()}


@final
class Fig2(Figure):
    """Training losses on N(0, std^2 I) with their closed-form optima, and fisher_error of every run.

    Args:
        dims: D.
        std: of every entry.
        timed_steps: interleaved rounds in which the time of a step is measured.
    """

    title = "DSM, SSM and CSM on N(0, 0.1^2 I), D = 100 (figure 2)"

    def __init__(self, dims: int, std: float, timed_steps: int) -> None:
        self.dims, self.std, self.timed_steps = dims, std, timed_steps

    def _optimum(self, name: str) -> float:
        """Return the least value that the objective can reach (SCIENCE: closed forms of the Gaussian)."""
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
        identities = {name: run.summary["identity"] for name, (run, *_) in bench.runs.items()}
        settings = {"rounds": self.timed_steps, "runs": identities}
        seconds = bench.once("seconds-per-step", settings, lambda: self._seconds(bench))
        rows, errors, curves = [], {}, {}
        zero = self.dims / 2 / self.std**2  # fisher_error of the zero score
        for name, (run, *_) in bench.runs.items():
            metrics = run.summary["metrics"]
            errors[name] = metrics["fisher_error"] / zero
            half = next((step + 1 for step, value in run.curves["val/fisher_error"] if value < 0.1 * zero), None)
            rows.append(
                [
                    name,
                    round(metrics["loss"], 1),
                    round(self._optimum(name), 1),
                    errors[name],
                    self._bias(name) / zero,
                    half if half is not None else "never",
                    round(1e3 * seconds[name], 2),
                    run.summary["parameters"],
                ]
            )
            curves[name] = {key: thinned(run.curves[key]) for key in ("train/loss", "val/fisher_error")}
        steps = max(run.summary["steps"] for runs in bench.runs.values() for run in runs)
        ends = {name: run.curves["val/fisher_error"][-1][1] / zero for name, (run, *_) in bench.runs.items()}
        others = {name: error for name, error in ends.items() if name != "CSM"}
        best = min(others, key=lambda name: others[name])
        largest = max(_sigma(name) for name in errors)
        wide = f"DSM sigma={largest:g}"
        smallest = min(_sigma(name) for name in errors if _sigma(name))
        return Results(
            [
                Table(
                    f"After {steps:,} steps of batch 128: held-out loss and its optimum; fisher_error of the averaged "
                    "weights with the least validation loss, and of the exact minimiser (its bias), both relative to "
                    f"the zero score ({zero:g}); steps until a validation finds it below 10 %; processor time per "
                    "step, interleaved.",
                    ("run", "loss", "optimum", "fisher_error", "its bias", "steps to 10 %", "ms / step", "parameters"),
                    rows,
                )
            ],
            [
                Claim(
                    "CSM has the lowest fisher_error at the last validation (one seed)",
                    ends["CSM"] < others[best],
                    f"CSM {ends['CSM']:.2g}, next {best} {others[best]:.2g}",
                ),
                Claim(
                    f"DSM with a small sigma ({smallest:g}) is far from its own optimum while CSM is at its",
                    errors[f"DSM sigma={smallest:g}"] > 10 * errors["CSM"],
                    f"{errors[f'DSM sigma={smallest:g}']:.2g} against {errors['CSM']:.2g}",
                ),
                Claim(
                    f"DSM with a large sigma ({largest:g}) ends within 10 % of its closed-form bias",
                    abs(errors[wide] / (self._bias(wide) / zero) - 1) < 0.1,
                    f"{errors[wide]:.3f} against {self._bias(wide) / zero:.3f}",
                ),
            ],
            [
                "SSM, SSM-VR and DSM train a joint score net (3 x 256), CSM and the last SSM a MADE (3 x 128) with a "
                "shared head; on this isotropic law both have the same target. The shared head has an easy task on "
                "identical dimensions, which is part of CSM's lead; 'SSM on conditional scores' trains a model of the "
                "same sizes (its MADE has SiLU where CSM's has ReLU).",
                "All heads are in their raw form, which starts at the zero score.",
            ],
            {"curves": curves, "seconds": seconds, "zero": zero, "optima": {n: self._optimum(n) for n in errors}},
        )

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
        """Draw the loss curves, each on its own axis, and fisher_error of all on one."""
        names = list(data["curves"])
        columns = 4
        rows = -(-len(names) // columns)
        canvas.set_size_inches(13, 2.3 * rows + 3.8)
        top, bottom = np.asarray(canvas.subfigures(2, 1, height_ratios=[2.1 * rows, 3.6]))
        for i, name in enumerate(names, 1):
            axes = top.add_subplot(rows, columns, i)
            steps, losses = zip(*data["curves"][name]["train/loss"], strict=True)
            axes.plot(steps, losses, lw=0.6)
            axes.axhline(data["optima"][name], color="k", lw=0.8, ls="--")
            kept = sorted(losses[len(losses) // 50 :])
            low, high = kept[0], kept[int(0.99 * (len(kept) - 1))]
            axes.set_ylim(min(low, data["optima"][name]) - 0.05 * (high - low), high + 0.15 * (high - low))
            axes.set_title(name, fontsize=9)
            axes.tick_params(labelsize=7)
            axes.locator_params(axis="x", nbins=4)
        top.suptitle("training loss of a batch (each on its own axis; dashed: closed-form optimum)", fontsize=10)
        for i, over in enumerate(("iteration", "seconds of one CPU thread"), 1):
            axes = bottom.add_subplot(1, 2, i)
            for name in names:
                steps, values = zip(*data["curves"][name]["val/fisher_error"], strict=True)
                scale = 1.0 if over == "iteration" else data["seconds"][name]
                style = "-" if not _sigma(name) else "--"
                axes.plot(
                    [(step + 1) * scale for step in steps],
                    [v / data["zero"] for v in values],
                    style,
                    lw=1.2,
                    label=name,
                )
            axes.set(yscale="log", xscale="log", xlabel=over, ylabel="fisher_error / that of s = 0")
            axes.grid(alpha=0.25)
            if i == 2:
                axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _sigma(name: str) -> float:
    """Return the perturbation of a DSM run, 0 for others."""
    return float(name.partition("sigma=")[2] or 0)
