"""What one training step of annealed CSM costs: in one fused pass, compiled, and by differentiating twice.

    python benchmarks/annealed_step.py [--rounds 15] [--threads 1] [--device cpu]

A step is the loss of a batch, its gradient and Adam. Two jobs: AR-CSM of figure 3b (512 examples of 2 dimensions, 4
draws of level and noise each, MADE 3 x 48, head 3 x 64), and 64 images of 784 pixels (MADE 2 x 1000, context 32, head
2 x 64). The twin without derivatives (target=dsm) stands beside. All in turn in one process (process time on a CPU);
ratios are taken within a round, and every timed step follows an untimed one of its own kind.
"""

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from record import ratio_row, write
from torch import Tensor
from train_step import in_turn, step_with

from scorewise.backbones import MADE
from scorewise.heads import NoisyConditionalScore
from scorewise.noise import Draws
from scorewise.objectives import CSMAnnealed
from scorewise.tasks.optimisation import Optimisation

LEVELS, SMOOTHING = (4.0, 0.6, 0.1), 0.1
JOBS = {"figure 3b": (512, 2, 4), "784 pixels": (64, 784, 1)}
"""Examples, dimensions and draws per context."""


def model_of(dims: int) -> NoisyConditionalScore:
    """Return the model of a job."""
    if dims == 2:
        made, hidden = MADE((2,), 16, (48, 48, 48), "silu"), (64, 64, 64)
        return NoisyConditionalScore(made, levels=LEVELS, hidden=hidden, noise=SMOOTHING)
    return NoisyConditionalScore(MADE((dims,), 32, (1000, 1000)), levels=LEVELS, hidden=(64, 64), noise=SMOOTHING)


def steps(batch: int, dims: int, count: int, device: torch.device) -> dict[str, Callable[[Tensor], None]]:
    """Return a step of every kind."""
    every = Draws.of(0, 0, torch.arange(batch, device=device))
    of: dict[str, Callable[[Tensor], None]] = {}
    for name in ("twice", "fused", "compiled", "dsm"):
        objective = CSMAnnealed(LEVELS[0], None, 12, SMOOTHING, draws=count, target="dsm" if name == "dsm" else "csm")
        model = model_of(dims).to(device)
        if name == "compiled":
            model.compile_csm()

        def loss(
            x_BD: Tensor,
            name: str = name,
            objective: CSMAnnealed = objective,
            model: NoisyConditionalScore = model,
        ) -> Tensor:
            if name == "twice":
                return objective.per_example(model, x_BD, every).mean() / dims
            return objective(model, x_BD, every).total / dims

        of[name] = partial(step_with, loss, Optimisation().optimizer(model.parameters()))
    return of


def main() -> None:
    """Measure, print and write docs/benchmarks/annealed_step.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = torch.device(arguments.device)
    rows, milliseconds = [], {}
    for job, (batch, dims, count) in JOBS.items():
        x_BD = torch.randn(batch, dims, device=device)
        variants = steps(batch, dims, count, device)
        taken = in_turn(variants, x_BD, arguments.rounds)
        pairs = (("fused", "twice", 0.75), ("compiled", "twice", 0.6), ("fused", "dsm", 2.0))
        for one, other, goal in pairs:
            ratios = [a / b for a, b in zip(taken[one], taken[other], strict=True)]
            rows.append(ratio_row(f"{job}: annealed CSM, {one} / {other}", ratios, goal))
        milliseconds |= {f"{job}, {name}": median(values) for name, values in taken.items()}
    print(", ".join(f"{name} {value:.1f} ms" for name, value in milliseconds.items()))
    write("annealed_step", rows, device, milliseconds=milliseconds)


if __name__ == "__main__":
    main()
