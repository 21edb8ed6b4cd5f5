"""What blocks of b dimensions cost between composite score matching and score matching: time, memory, variance."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, StrMethodFormatter
from torch import Tensor

from scorewise.backbones.made import MADE
from scorewise.data.synthetic import GaussianData
from scorewise.figures.bench import Bench
from scorewise.figures.cost import peak_bytes, seconds_per_step, training_step
from scorewise.figures.figure import Figure
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.timed_fit import TimedFit, fitted
from scorewise.heads.block_score import BlockScore
from scorewise.heads.conditional_score import ConditionalScore
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.csm import CSM
from scorewise.objectives.csm_dsm import CSMDSM
from scorewise.objectives.objective import Objective
from scorewise.objectives.ssm import SSM
from scorewise.objectives.ssm_vr import SSMVR

SMOOTHING, CORRELATION, VARIANCE = 0.3, 0.9, 1.0
MEBIBYTE = 2**20
OBJECTIVES: Mapping[str, Objective] = {
    "exact": CSM(),
    "ssm_vr": SSMVR(),
    "ssm": SSM(),
    "denoising": CSMDSM(SMOOTHING),
}
"""What is trained, on the same trunk and head."""
COLOURS = {"exact": "C0", "ssm_vr": "C1", "ssm": "C2", "denoising": "C3"}


def variance_of(name: str, b: int, dims: int, v: float) -> float:
    """Return the variance of the loss of one example of N(0, v I) at the true score, see the documentation of blocks.

    Args:
        name: exact, ssm_vr or ssm (both with Rademacher projections), or denoising, where v = SMOOTHING^2 + the clean
            variance and the target is the noise: of D products of normal numbers.
        b: dimensions of a block.
        dims: D.
        v: variance of every entry.
    """
    if name == "denoising":  # |s + z / sigma|^2 / 2 with s + z / sigma ~ N(0, 1 / sigma^2 - 1 / v) in every entry
        return dims * 0.5 * (1 / SMOOTHING**2 - 1 / v) ** 2
    return dims / (2 * v**2) * (b if name == "ssm" else 1)


class Truth:
    """N(0, v I) in blocks of b as a model with the true scores."""

    noise = 0.0

    def __init__(self, b: int, v: float) -> None:
        self.b, self.v = b, v

    def split(self, x_BD: Tensor) -> Tensor:
        """Return blocks, shape (B, K, b)."""
        x_BKb: Tensor = x_BD.unflatten(-1, (-1, self.b))
        return x_BKb

    def join(self, x_BKb: Tensor) -> Tensor:
        """Return examples, shape (B, D)."""
        return x_BKb.flatten(-2)

    def block_context(self, x_BD: Tensor) -> Tensor:
        """Return nothing for every block, shape (B, K, 1)."""
        return x_BD.new_zeros(len(x_BD), x_BD.shape[1] // self.b, 1)

    def block_score(self, q_BKb: Tensor, c_BKF: Tensor) -> Tensor:
        """Return - x / v."""
        return -q_BKb / self.v


@final
class BlocksCost(Figure):
    """Exact traces, projections and denoising against the size of a block, on one trunk and one head.

    A MADE of two hidden layers gives contexts; the head has two residual layers. For every b: processor time and memory
    of a step (interleaved over objectives and b), the variance of the loss at the true score beside its closed form,
    and fisher_error after the same processor time of training on a correlated Gaussian, as a share of that of a score
    of zero, which makes blocks of different sizes comparable.

    Args:
        sizes: b by D, ascending, each dividing it.
        batch: examples per step.
        hidden: width of the trunk.
        head: width of the head.
        rounds: timed rounds.
        draws: examples that a variance is of.
        seconds: of processor, of every training.
        wide: D of the headline: exact steps at b = 16 and at b = 1, on one trunk.
        most_times: that the former may take of the latter.
        rates: learning rates, of which each training has the best.
    """

    def __init__(
        self,
        sizes: Mapping[int, Sequence[int]],
        batch: int,
        hidden: int,
        head: int,
        rounds: int,
        draws: int,
        seconds: float,
        wide: int,
        most_times: float,
        rates: Sequence[float],
    ) -> None:
        self.sizes = {int(dims): list(some) for dims, some in sizes.items()}
        self.batch, self.hidden, self.head, self.rounds, self.draws = batch, hidden, head, rounds, draws
        self.seconds, self.wide, self.most_times, self.rates = seconds, wide, most_times, list(rates)

    def _model(self, dims: int, b: int) -> BlockScore:
        torch.manual_seed(0)
        trunk = MADE((dims,), self.head, [self.hidden] * 2, "silu")
        return BlockScore(trunk, block=b, hidden=self.head, std=VARIANCE**0.5, noise=SMOOTHING)

    def _costs(self, dims: int) -> dict[str, dict[str, float]]:
        x_BD = GaussianData(dims, correlation=CORRELATION).examples("train", torch.arange(self.batch), 0, 0)
        device = x_BD.device
        steps = {
            f"{name}/{b}": training_step(self._model(dims, b), objective, x_BD)
            for b in self.sizes[dims]
            for name, objective in OBJECTIVES.items()
        }
        seconds = seconds_per_step(steps, self.rounds, device)
        return {name: {"seconds": seconds[name], "bytes": peak_bytes(steps[name], device)} for name in steps}

    def _wide(self) -> dict[str, float]:
        """Return seconds of exact steps at b = 16 and 1, and of the fused head of one dimension on the same trunk."""
        x_BD = GaussianData(self.wide, correlation=CORRELATION).examples("train", torch.arange(self.batch), 0, 0)
        torch.manual_seed(0)
        trunk = MADE((self.wide,), self.head, [self.hidden] * 2, "silu")
        fused = ConditionalScore(
            trunk, hidden=(self.head,) * 2, context=self.head, activation="silu", noise=SMOOTHING, std=VARIANCE**0.5
        )
        steps = {
            "16": training_step(self._model(self.wide, 16), CSM(), x_BD),
            "1": training_step(self._model(self.wide, 1), CSM(), x_BD),
            "fused": training_step(fused, CSM(), x_BD),
        }
        return seconds_per_step(steps, self.rounds, x_BD.device)

    def _variances(self, dims: int) -> dict[str, float]:
        found, v = {}, VARIANCE + SMOOTHING**2
        draws = Draws.of(0, 0, torch.arange(self.draws))
        clean_BD = VARIANCE**0.5 * draws.fork("clean").normal(dims, dtype=torch.float64)
        for b in self.sizes[dims]:
            for name, objective in OBJECTIVES.items():
                x_BD = clean_BD + SMOOTHING * smoothing_noise(draws, clean_BD)
                with torch.no_grad():
                    loss_B = objective.per_example(Truth(b, v), x_BD, draws)
                found[f"{name}/{b}"] = float(loss_B.var())
        return found

    def _fits(self, dims: int) -> dict[str, dict[str, float]]:
        source = GaussianData(dims, correlation=CORRELATION)
        found: dict[str, dict[str, float]] = {}
        for b in self.sizes[dims]:
            for name, objective in OBJECTIVES.items():
                fit = TimedFit(source, SMOOTHING, self.batch, self.seconds)
                tried = [fitted(self._model(dims, b), objective, fit, rate) for rate in self.rates]
                found[f"{name}/{b}"] = min(tried, key=lambda one: one["share"])
        return found

    def measure(self, bench: Bench) -> Results:
        """Return the costs, variances and errors by D, b and objective."""
        common = {"batch": self.batch, "hidden": self.hidden, "head": self.head}
        costs, variances, fits = {}, {}, {}
        for dims, some in self.sizes.items():
            told = {**common, "dims": dims, "sizes": some}
            costs[dims] = bench.once(f"cost-{dims}", {**told, "rounds": self.rounds}, partial(self._costs, dims))
            variances[dims] = bench.once(
                f"variance-{dims}", {**told, "draws": self.draws}, partial(self._variances, dims)
            )
            fits[dims] = bench.once(
                f"fit-{dims}", {**told, "seconds": self.seconds, "rates": self.rates}, partial(self._fits, dims)
            )
        wide = bench.once(f"wide-{self.wide}", {**common, "rounds": self.rounds}, self._wide)
        off = max(
            abs(value / variance_of(*_split(key), dims, VARIANCE + SMOOTHING**2) - 1)
            for dims, some in variances.items()
            for key, value in some.items()
        )
        rows = [
            [
                dims,
                b,
                *(round(1e3 * costs[dims][f"{name}/{b}"]["seconds"], 2) for name in ("exact", "ssm_vr", "denoising")),
                *(round(costs[dims][f"{name}/{b}"]["bytes"] / MEBIBYTE, 1) for name in ("exact", "ssm_vr")),
                *(round(100 * fits[dims][f"{name}/{b}"]["share"], 2) for name in OBJECTIVES),
            ]
            for dims, some in self.sizes.items()
            for b in some
        ]
        return Results(
            [ResultTable("costs", rows)],
            [
                Claim("step", wide["16"] / wide["1"] <= self.most_times, times=wide["16"] / wide["1"]),
                Claim("variance", off <= 6 * math.sqrt(2 / self.draws), off=100 * off),
            ],
            {
                "smoothing": SMOOTHING,
                "correlation": CORRELATION,
                "to_fused": wide["16"] / wide["fused"],
                **{f"ms_{name}": 1e3 * value for name, value in wide.items()},
            },
            data={
                "sizes": {str(dims): some for dims, some in self.sizes.items()},
                "costs": {str(dims): some for dims, some in costs.items()},
                "variances": {str(dims): some for dims, some in variances.items()},
                "wide": wide,
                "fits": {str(dims): some for dims, some in fits.items()},
            },
        )

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw time, memory, variance and error over b, one row per D."""
        canvas.set_size_inches(13, 3.1 * len(data["sizes"]))
        for row, (dims, sizes) in enumerate(data["sizes"].items()):
            costs, fits = data["costs"][dims], data["fits"][dims]
            for column, panel in enumerate(("seconds", "bytes", "variance", "error")):
                axes = canvas.add_subplot(len(data["sizes"]), 4, 4 * row + column + 1)
                for name, colour in COLOURS.items():
                    if panel == "variance":
                        v = VARIANCE + SMOOTHING**2
                        values = [data["variances"][dims][f"{name}/{b}"] for b in sizes]
                        axes.plot(sizes, values, "o", ms=4, color=colour, label=name)
                        axes.plot(sizes, [variance_of(name, b, int(dims), v) for b in sizes], "-", lw=1, color=colour)
                    elif panel == "error":
                        values = [100 * fits[f"{name}/{b}"]["share"] for b in sizes]
                        axes.plot(sizes, values, "o-", ms=3, color=colour, label=name)
                    else:
                        scale = 1e3 if panel == "seconds" else 1 / MEBIBYTE
                        values = [scale * costs[f"{name}/{b}"][panel] for b in sizes]
                        axes.plot(sizes, values, "o-", ms=3, color=colour, label=name)
                axes.set(xscale="log", yscale="log", xlabel="b", title=f"D = {dims}: {text.panels[panel]}")
                axes.title.set_fontsize(8)
                axes.set_xticks(sizes, [str(b) for b in sizes])
                axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
                axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
                axes.minorticks_off()
                axes.grid(alpha=0.25)
                if not row and not column:
                    axes.legend(frameon=False, fontsize=8)


def _split(key: str) -> tuple[str, int]:
    name, _, b = key.partition("/")
    return name, int(b)
