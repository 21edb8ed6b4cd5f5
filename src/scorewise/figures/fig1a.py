"""Figure 1a: what a training step of SM, SSM, DSM and CSM costs as the dimension grows."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas

from scorewise.backbones.made import MADE
from scorewise.backbones.mlp import MLP
from scorewise.figures.bench import Bench
from scorewise.figures.cost import peak_bytes, seconds_per_step, training_step
from scorewise.figures.figure import Figure
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.heads.conditional_score import ConditionalScore
from scorewise.heads.score import Score
from scorewise.objectives.csm import CSM
from scorewise.objectives.dsm import DSM
from scorewise.objectives.sm import SM
from scorewise.objectives.ssm import SSM

METHODS = ("SM", "SM stacked", "SSM", "DSM", "CSM")
MEBIBYTE = 2**20
Cost = Mapping[str, Mapping[str, float]]


@final
class Fig1a(Figure):
    """Time and peak memory per iteration: forward, backward and Adam, interleaved within every dimension.

    SM, SSM and DSM train a joint score on a network of three hidden layers; CSM trains AR-CSM on a MADE of the same
    hidden layers with 8 context numbers per dimension and a shared head of two layers.

    Args:
        dims: the dimensions D, ascending.
        batch: examples per step.
        hidden: width of the three hidden layers.
        rounds: timed rounds per dimension.
        at: the dimension of the headline ratio, one of `dims`.
        ratio: that SM / CSM must reach there.
        device: cpu or cuda.
    """

    def __init__(
        self, dims: Sequence[int], batch: int, hidden: int, rounds: int, at: int, ratio: float, device: str
    ) -> None:
        self.dims, self.batch, self.hidden, self.rounds = list(dims), batch, hidden, rounds
        self.at, self.ratio = at, ratio
        self.device = torch.device(device)

    def _costs(self, dims: int) -> dict[str, dict[str, float]]:
        torch.manual_seed(0)
        x_BD = 0.1 * torch.randn(self.batch, dims, device=self.device)
        joint = Score(MLP((dims,), [self.hidden] * 3), std=0.1).to(self.device)
        made = MADE((dims,), 8, [self.hidden] * 3)
        causal = ConditionalScore(made, hidden=(32, 32), std=0.1).to(self.device)
        steps = {
            "SM": training_step(joint, SM(), x_BD),
            "SM stacked": training_step(joint, SM("stacked"), x_BD),
            "SSM": training_step(joint, SSM(), x_BD),
            "DSM": training_step(joint, DSM(0.1), x_BD),
            "CSM": training_step(causal, CSM(), x_BD),
        }
        seconds = seconds_per_step(steps, self.rounds, self.device)
        return {name: {"seconds": seconds[name], "bytes": peak_bytes(steps[name], self.device)} for name in steps}

    def measure(self, bench: Bench) -> Results:
        """Return the costs per dimension, and SM / CSM."""
        settings = {"batch": self.batch, "hidden": self.hidden, "rounds": self.rounds, "device": self.device.type}
        costs = {dims: bench.once(f"D={dims}", settings, partial(self._costs, dims)) for dims in self.dims}
        first, last, at = (costs[dims] for dims in (self.dims[0], self.dims[-1], self.at))
        growth = {name: last[name]["seconds"] / first[name]["seconds"] for name in METHODS}
        times = at["SM"]["seconds"] / at["CSM"]["seconds"]
        clock = "processor time" if self.device.type == "cpu" else "wall time"
        return Results(
            [
                ResultTable("seconds", _rows(costs, "seconds", 1e3, 2)),
                ResultTable("bytes", _rows(costs, "bytes", 1 / MEBIBYTE, 1)),
            ],
            [
                Claim("cheaper", times >= self.ratio, times=times),
                Claim("growth", growth["SM"] > 2 * growth["CSM"], growth=growth),
            ],
            {"clock": clock, "smallest": self.dims[0], "largest": self.dims[-1]},
            data={"costs": {str(dims): cost for dims, cost in costs.items()}},
        )

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw time and memory over D, both axes logarithmic."""
        canvas.set_size_inches(9, 3.6)
        dims = [int(key) for key in data["costs"]]
        for i, (key, scale) in enumerate((("seconds", 1e3), ("bytes", 1 / MEBIBYTE)), 1):
            axes = canvas.add_subplot(1, 2, i)
            for name in METHODS:
                values = [scale * cost[name][key] for cost in data["costs"].values()]
                axes.plot(dims, values, "o-", ms=3, label=name)
            axes.set(xscale="log", yscale="log", xlabel="dimension D", ylabel=text.panels[key])
            axes.grid(alpha=0.25, which="both")
            axes.legend(frameon=False, fontsize=8)
        canvas.suptitle(text.title, fontsize=10)


def _rows(costs: Mapping[int, Cost], key: str, scale: float, digits: int) -> list[list[Any]]:
    """Return a row per dimension: a cost by method, and SM / CSM."""
    return [
        [
            dims,
            *(round(scale * cost[name][key], digits) for name in METHODS),
            round(cost["SM"][key] / cost["CSM"][key], 1),
        ]
        for dims, cost in costs.items()
    ]
