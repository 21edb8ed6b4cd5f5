"""What a training iteration of each VAE costs, and what AIS of one image costs.

    python benchmarks/vae.py [--rounds 20] [--threads 1] [--device cpu]

An iteration is 128 binarised images of 784 pixels, z = 8, networks of 2 x 256: one step of the score network where
there is one, and one of encoder and decoder, each with RMSprop, without Lightning's own work around them. Kernel
methods take 16 particles, whose common part of the encoder is computed once per image. All methods are timed in turn
in one process (process time on a CPU), every timed iteration follows an untimed one of its own kind, and ratios are
taken within a round. AIS is 50 temperatures x 8 chains of 16 images; its cost is proportional to all three.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import torch
from record import now, ratio_row, write
from torch import Tensor

from scorewise.backbones import MADE, MLP
from scorewise.figures.vaes import iteration
from scorewise.heads import ConditionalScore, Score
from scorewise.heads.model import Model
from scorewise.latent import AIS, DenseVAE
from scorewise.noise import Draws
from scorewise.objectives import CSM, SSMVR, Objective

BATCH, SHAPE, Z, HIDDEN, PARTICLES = 128, (1, 28, 28), 8, (256, 256), 16
CHAINS, IMAGES, TEMPERATURES = 8, 16, 50


def causal(z: int, condition: int) -> Model:
    """Return the score network of CSM and SSM-AR."""
    made = MADE((z,), 16, HIDDEN, activation="tanh", condition=condition)
    return ConditionalScore(made, hidden=(64, 64), activation="softplus")


def joint(z: int, condition: int) -> Model:
    """Return the score network of SSM."""
    return Score(MLP((z,), HIDDEN, "tanh", condition=condition))


def networks() -> dict[str, tuple[DenseVAE, Objective | None]]:
    """Return a VAE of every kind and the objective of its score network."""
    shared: dict[str, Any] = {"z": Z, "hidden": HIDDEN, "particles": PARTICLES}
    of_score: dict[str, Any] = {**shared, "method": "score"}
    return {
        "elbo": (DenseVAE(SHAPE, method="elbo", **shared), None),
        "stein": (DenseVAE(SHAPE, method="stein", **shared), None),
        "spectral": (DenseVAE(SHAPE, method="spectral", **shared), None),
        "ssm": (DenseVAE(SHAPE, score=joint, **of_score), SSMVR()),
        "ssm_ar": (DenseVAE(SHAPE, score=causal, **of_score), SSMVR()),
        "csm": (DenseVAE(SHAPE, score=causal, **of_score), CSM()),
    }


def timed(step: Callable[[], None], device: torch.device) -> float:
    """Return the milliseconds of an iteration that follows one of its own kind."""
    step()
    start = now(device)
    step()
    return 1e3 * (now(device) - start)


def ais_seconds(vae: DenseVAE, x_BD: Tensor, rounds: int) -> list[float]:
    """Return seconds per image of 500 temperatures and 8 chains, scaled from a shorter annealing."""
    ais, draws = AIS(TEMPERATURES, CHAINS), Draws.of(0, -1, torch.arange(IMAGES, device=x_BD.device))
    o_BD = vae.observation.observe(x_BD[:IMAGES], draws)
    run = partial(vae.annealed, ais, o_BD, draws)
    run()
    taken = []
    for _ in range(rounds):
        start = now(x_BD.device)
        run()
        taken.append((now(x_BD.device) - start) / IMAGES * 498 / (TEMPERATURES - 2))
    return taken


def main() -> None:
    """Measure, print and write docs/benchmarks/vae.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    device = torch.device(given.device)
    x_BD = (torch.rand(BATCH, 784) * 2 - 1).to(device)
    made = {name: (vae.to(device), objective) for name, (vae, objective) in networks().items()}
    steps = {name: iteration(vae, objective, x_BD) for name, (vae, objective) in made.items()}
    for step in steps.values():
        for _ in range(3):
            step()
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(given.rounds):
        names: Sequence[str] = list(steps)
        for name in names if round_ % 2 else reversed(names):
            taken[name].append(timed(steps[name], device))

    def ratios(one: str) -> list[float]:
        return [a / b for a, b in zip(taken[one], taken["elbo"], strict=True)]

    rows = [ratio_row("VAE, z = 8: iteration of CSM / of ELBO", ratios("csm"), 3.0)]
    milliseconds = {name: median(values) for name, values in taken.items()}
    seconds = ais_seconds(made["elbo"][0], x_BD, max(2, given.rounds // 5))
    print(", ".join(f"{name} {value:.1f} ms" for name, value in milliseconds.items()))
    print(f"AIS, 500 temperatures x 8 chains: {median(seconds):.2f} s per image")
    write("vae", rows, device, milliseconds=milliseconds, ais_seconds_per_image={"500 x 8": median(seconds)})


if __name__ == "__main__":
    main()
