"""Figure 1a: what a training step of SM, SSM, DSM and CSM costs as the dimension grows."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas

from scorewise.backbones.made import MADE
from scorewise.backbones.mlp import MLP
from scorewise.figures.cost import peak_bytes, seconds_per_step, training_step
from scorewise.figures.figure import Bench, Claim, Figure, Results, Table
from scorewise.heads.conditional_score import ConditionalScore
from scorewise.heads.score import Score
from scorewise.objectives.csm import CSM
from scorewise.objectives.dsm import DSM
from scorewise.objectives.sm import SM
from scorewise.objectives.ssm import SSM

METHODS = ("SM", "SM stacked", "SSM", "DSM", "CSM")
MEBIBYTE = 2**20


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

    title = "Time and memory per iteration against the dimension (figure 1a)"

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
        costs: dict[int, dict[str, dict[str, float]]] = {}
        for dims in self.dims:
            settings = {"batch": self.batch, "hidden": self.hidden, "rounds": self.rounds, "device": self.device.type}
            costs[dims] = bench.once(f"D={dims}", settings, partial(self._costs, dims))
        time_ms = [
            [
                dims,
                *(round(1e3 * cost[name]["seconds"], 2) for name in METHODS),
                _ratio(cost, "seconds"),
            ]
            for dims, cost in costs.items()
        ]
        memory = [
            [
                dims,
                *(round(cost[name]["bytes"] / MEBIBYTE, 1) for name in METHODS),
                _ratio(cost, "bytes"),
            ]
            for dims, cost in costs.items()
        ]
        first, last = costs[self.dims[0]], costs[self.dims[-1]]
        growth = {name: last[name]["seconds"] / first[name]["seconds"] for name in METHODS}
        ratio = costs[self.at]["SM"]["seconds"] / costs[self.at]["CSM"]["seconds"]
        kind = "processor time" if self.device.type == "cpu" else "wall time"
        return Results(
            [
                Table(
                    f"{kind} per iteration, ms (median of {self.rounds} interleaved rounds, batch {self.batch}, "
                    f"3 hidden layers of {self.hidden}).",
                    ("D", *METHODS, "SM / CSM"),
                    time_ms,
                ),
                Table("Peak memory of the tensors of one iteration, MiB.", ("D", *METHODS, "SM / CSM"), memory),
            ],
            [
                Claim(
                    f"SM takes at least {self.ratio:g} times as long as CSM at D = {self.at}",
                    ratio >= self.ratio,
                    f"{ratio:.1f} times",
                ),
                Claim(
                    f"from D = {self.dims[0]} to {self.dims[-1]} SM grows faster than CSM, by a factor of 2 at least",
                    growth["SM"] > 2 * growth["CSM"],
                    f"SM {growth['SM']:.0f} times, CSM {growth['CSM']:.0f} times",
                ),
            ],
            [
                "SM is D backward passes; SM stacked is D tangents in one forward-mode pass. The work of CSM's head is "
                "proportional to D, so its time is flat only while a device has parallel units to spare.",
            ],
            {"costs": {str(dims): cost for dims, cost in costs.items()}},
        )

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
        """Draw time and memory over D, both axes logarithmic."""
        canvas.set_size_inches(9, 3.6)
        dims = [int(key) for key in data["costs"]]
        for i, (key, scale, label) in enumerate(
            (("seconds", 1e3, "ms per iteration"), ("bytes", 1 / MEBIBYTE, "peak memory, MiB")), 1
        ):
            axes = canvas.add_subplot(1, 2, i)
            for name in METHODS:
                values = [scale * cost[name][key] for cost in data["costs"].values()]
                axes.plot(dims, values, "o-", ms=3, label=name)
            axes.set(xscale="log", yscale="log", xlabel="dimension D", ylabel=label)
            axes.grid(alpha=0.25, which="both")
            axes.legend(frameon=False, fontsize=8)
        canvas.suptitle(self.title, fontsize=10)


def _ratio(cost: Mapping[str, Mapping[str, float]], key: str) -> float:
    return round(cost["SM"][key] / cost["CSM"][key], 1)
