"""What one training step costs: AR-CSM fused, as the paper describes it, and a mixture of logistics by MLE.

    python benchmarks/train_step.py [--rounds 15] [--threads 1] [--device cpu]

A step is the loss of 64 examples of 784 dimensions, its gradient and Adam; no clipping, no averaging. MADE 2 x 1000,
context 32, head 2 x 64 silu. The reference multiplies masks at every forward pass, differentiates twice and uses
Adam's default for-loop. The mixture has 10 components on the same trunk by blocks, with fused Adam. `csm_narrow` is
the same trunk with context 12 and one hidden layer of 64, which has fewer nats after equal time
(benchmarks/equal_time.py). All variants are timed in turn in one process (process time on a CPU: every thread counts);
ratios are taken within a round, and every timed step follows an untimed one of its own kind.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import torch
from record import now, ratio_row, write
from reference import ReferenceARCSM
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.heads import ConditionalScore, Mixture
from scorewise.heads.model import Model
from scorewise.noise import Draws
from scorewise.objectives import CSM, MLE, Objective
from scorewise.tasks.optimisation import Optimisation

BATCH, DIMS, CONTEXT, TRUNK, HEAD, NOISE = 64, 784, 32, (1000, 1000), (64, 64), 0.3


def step_with(loss: Callable[[Tensor], Tensor], optimizer: torch.optim.Optimizer, x_BD: Tensor) -> None:
    """Return one step; gradients are given back, as between the steps of a training run."""
    loss(x_BD).backward()
    optimizer.step()
    optimizer.zero_grad()


def ours(model: Model, objective: Objective) -> Callable[[Tensor], None]:
    """Return a step as `scorewise` takes it."""
    draws = Draws.of(0, 0, torch.arange(BATCH, device=model.mean.device))
    factor = objective.gain(model) / DIMS
    optimizer = Optimisation().optimizer(model.parameters())
    return partial(step_with, lambda x_BD: objective(model, x_BD, draws).total * factor, optimizer)


def reference(module: ReferenceARCSM) -> Callable[[Tensor], None]:
    """Return a step of the reference."""
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-4, foreach=False, fused=False)
    return partial(step_with, lambda x_BD: module.loss(x_BD) / DIMS, optimizer)


def conditional_score(context: int = CONTEXT, head: Sequence[int] = HEAD) -> ConditionalScore:
    """Return AR-CSM on a MADE."""
    return ConditionalScore(MADE((DIMS,), context, TRUNK), hidden=head, noise=NOISE)


def steps(device: torch.device) -> dict[str, Callable[[Tensor], None]]:
    """Return a step of every kind."""
    compiled = conditional_score().to(device)
    compiled.compile_csm()
    return {
        "reference": reference(ReferenceARCSM(DIMS, CONTEXT, TRUNK, HEAD).to(device)),
        "csm_eager": ours(conditional_score().to(device), CSM()),
        "csm_compiled": ours(compiled, CSM()),
        "csm_narrow": ours(conditional_score(12, (64,)).to(device), CSM()),
        "mol10": ours(Mixture(MADE((DIMS,), 30, TRUNK), noise=NOISE).to(device), MLE()),
    }


def timed(step: Callable[[Tensor], None], x_BD: Tensor) -> float:
    """Return the milliseconds of a step that follows one of its own kind, as in a training run."""
    step(x_BD)
    start = now(x_BD.device)
    step(x_BD)
    return 1e3 * (now(x_BD.device) - start)


def in_turn(variants: dict[str, Callable[[Tensor], None]], x_BD: Tensor, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of a step of every kind, by rounds that take them in turn, there and back."""
    for step in variants.values():  # the first step compiles and allocates
        step(x_BD)
        step(x_BD)
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for round_ in range(rounds):
        names = list(variants)
        for name in names if round_ % 2 else reversed(names):
            taken[name].append(timed(variants[name], x_BD))
    return taken


def main() -> None:
    """Measure, print and write docs/benchmarks/train_step.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = torch.device(arguments.device)
    x_BD = torch.randn(BATCH, DIMS, device=device)
    variants = steps(device)
    taken = in_turn(variants, x_BD, arguments.rounds)

    def ratios(one: str, other: str) -> list[float]:
        return [a / b for a, b in zip(taken[one], taken[other], strict=True)]

    rows = [
        ratio_row("CSM step / reference step", ratios("csm_eager", "reference"), 0.40),
        ratio_row("CSM step, compiled / reference step", ratios("csm_compiled", "reference"), 0.28),
        ratio_row("CSM step / MoL-10 MLE step", ratios("csm_eager", "mol10"), 1.9),
        ratio_row("CSM step, compiled / MoL-10 MLE step", ratios("csm_compiled", "mol10"), 1.45),
        ratio_row("CSM step, context 12, head of one layer / reference step", ratios("csm_narrow", "reference"), 0.20),
        ratio_row("CSM step, context 12, head of one layer / MoL-10 MLE step", ratios("csm_narrow", "mol10"), 1.1),
    ]
    milliseconds = {name: median(values) for name, values in taken.items()}
    print(", ".join(f"{name} {value:.0f} ms" for name, value in milliseconds.items()))
    write("train_step", rows, device, milliseconds=milliseconds)


if __name__ == "__main__":
    main()
