"""What blurs AR-CSM in figure 3b: its recipe changed by one factor after another.

    python benchmarks/figure3b_factors.py [--toys rings two_spirals] [--seeds 0] [--minutes 30]

The recipe is that of `figure=fig3b budget=cpu` but for fewer validations (10,000 steps of 512, 2 to 4 minutes of one
core each). Every model is judged like there: squared MMD of 5,000 samples by reverse diffusion to fresh data, three
samples, beside that of data to data, and nats on 10,000 held-out examples by the probability flow beside the entropy.
Finished trainings are found again; nothing is begun after so many minutes.
"""

import argparse
import time
from statistics import mean

import torch
from record import Row, ratio_row, write

import scorewise
from scorewise.data.synthetic import Toy2d
from scorewise.figures import toys
from scorewise.likelihood import FlowODE
from scorewise.sampling import Flow, ReverseDiffusion1d

RECIPE = (
    *("data.smoothing=0.1", "data.batch_size=512", "data.examples_per_epoch=20480", "data.epochs=250"),
    *("objective=csm_annealed", "objective.sigma_max=4", "objective.levels=12", "head=noisy_conditional_score"),
    *("head.context=16", "head.hidden=[64,64,64]", "backbone=made", "backbone.hidden=[64,64]", "optim.lr=5e-3"),
    *("optim.ema_decay=0.995", "trainer.check_val_every_n_epoch=50", "test=false", "callbacks.samples=16"),
)
KNOTS = ("backbone.init=knots", "backbone.activation=silu", "backbone.hidden=[48,48,48]")
FACTORS = {
    "figure": (),
    "knots": KNOTS,
    "knots, edm weight": (*KNOTS, "objective.weight=edm"),
    "knots, 4 draws": (*KNOTS, "objective.draws=4"),
    "knots in the head too, 4 draws": (*KNOTS, "objective.draws=4", "head.init=knots"),
}
"""Knots: a trunk whose first units bend where the data are, smooth and a layer deeper, with fewer weights."""
COUNT, REPEATS = 10_000, 3


def judged(toy: str, factor: str, seed: int, numbers: dict[str, float]) -> None:
    """Train and judge one model, and note its numbers."""
    model = scorewise.fit("toy2d", f"data.name={toy}", *RECIPE, *FACTORS[factor], f"seed={seed}", quiet=True)
    source = Toy2d(toy)
    model.likelihood = FlowODE(32)
    with torch.no_grad():
        nll = -float(model.log_prob(toys.smoothed(source, COUNT, toys.HELD_OUT)).double().mean())
    found = {"nats above entropy": nll - numbers[f"{toy}: entropy"]}
    for name, sampler in {"mmd": ReverseDiffusion1d(200), "mmd by the flow": Flow(32)}.items():
        model.sampler = sampler
        drawn = [model.sample(COUNT, torch.Generator().manual_seed(number)).flatten(1) for number in range(REPEATS)]
        found[name] = 1e3 * mean(
            toys.distances(x_BD, toys.smoothed(source, COUNT, number), source.std, 10)["mmd"]
            for number, x_BD in enumerate(drawn)
        )
    for name, value in found.items():
        numbers[f"{toy}, {factor}, seed {seed}: {name}"] = value
    size = sum(weights.numel() for weights in model.parameters())
    print(f"{toy}, {factor}, seed {seed} ({size:,} weights): " + ", ".join(f"{k} {v:.3f}" for k, v in found.items()))


def main() -> None:
    """Measure, print and write docs/benchmarks/figure3b_factors.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toys", nargs="+", default=["rings", "two_spirals"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    end, numbers = time.monotonic() + 60 * arguments.minutes, dict[str, float]()
    rows: list[Row] = []
    for toy in arguments.toys:
        source = Toy2d(toy)
        numbers[f"{toy}: entropy"] = toys.entropy(source, COUNT, 200_000)["nll"]
        floors = [
            1e3 * toys.distances(*(toys.smoothed(source, COUNT, n + more) for more in (0, 1000)), source.std, 10)["mmd"]
            for n in range(REPEATS)
        ]
        numbers[f"{toy}: mmd of data to data, largest"] = max(floors)
        for factor in FACTORS:
            for seed in arguments.seeds:
                if time.monotonic() < end:
                    judged(toy, factor, seed, numbers)
        best = [numbers.get(f"{toy}, knots, 4 draws, seed {seed}: mmd") for seed in arguments.seeds]
        if all(value is not None for value in best):
            beyond = [value - max(floors) for value in best if value is not None]
            rows.append(ratio_row(f"{toy}: 1,000 squared MMD of AR-CSM, knots and 4 draws - floor", beyond, 0.0))
    write("figure3b_factors", rows, torch.device("cpu"), numbers=numbers)


if __name__ == "__main__":
    main()
