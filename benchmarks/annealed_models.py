"""Likelihood and draws of noise-conditional conditional scores, with contexts folded into the head once and without.

The same small PixelCNN++ with untrained weights in turn: as it is, and as it was in release 0.1, when every query took
the context through the head again, slopes went by a backward pass and panels at the largest level were as wide as it.

    python benchmarks/annealed_models.py
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from record import Row, ratio_row, write
from torch import Tensor

from scorewise.backbones import PixelCNNPP
from scorewise.heads import NoisyConditionalScore
from scorewise.likelihood import FlowODE
from scorewise.noise import geometric_ladder
from scorewise.sampling import ReverseDiffusion1d

SHAPES = {"28 x 28": (1, 28, 28), "32 x 32 x 3": (3, 32, 32)}


class Again(NoisyConditionalScore):
    """The same head, which takes its contexts again with every query."""

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        """Return what the head that it builds on does."""
        return super().noisy_conditional_score(q_BD, c_BDF, sigma_BD)


def model_of(kind: type[NoisyConditionalScore], shape: tuple[int, ...], panels: int | None) -> NoisyConditionalScore:
    """Return an untrained model of images; both kinds have the same weights."""
    torch.manual_seed(0)
    backbone = PixelCNNPP(shape, width=16, filters=16)
    model = kind(backbone, levels=geometric_ladder(1.0, 0.1, 12), mean=0.0, std=0.6, noise=0.1)
    model.likelihood = FlowODE(panels=panels, largest_tail=1.0)
    return model.eval()


def seconds(what: Callable[[], object]) -> float:
    """Return the processor time of one call."""
    started = time.process_time()
    what()
    return time.process_time() - started


def main() -> None:
    """Measure, print and write docs/benchmarks/annealed_models.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=2, help="of every likelihood")
    parser.add_argument("--draws", type=int, default=100, help="together, 28 x 28")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Row] = []
    table: dict[str, float] = {}
    for name, shape in SHAPES.items():
        now, before = model_of(NoisyConditionalScore, shape, None), model_of(Again, shape, 15)
        x_BD = torch.randn(asked.images, now.dims)
        took = [[seconds(partial(model.log_prob, x_BD)) for model in (now, before)] for _ in range(asked.rounds)]
        rows.append(ratio_row(f"log_prob by flow_ode, {name}: folded / as in 0.1", [a / b for a, b in took], 0.5))
        for which, label in enumerate(("now", "before")):
            table[f"log_prob, {name}, {label}"] = median(pair[which] for pair in took) / asked.images
    now, before = model_of(NoisyConditionalScore, SHAPES["28 x 28"], None), model_of(Again, SHAPES["28 x 28"], None)
    for sampler, label, goal in (
        (ReverseDiffusion1d(), "reverse_diffusion_1d", 0.78),
        (ReverseDiffusion1d(20, 32, 2), "reverse_diffusion_1d of second order", 0.85),
    ):
        now.sampler = before.sampler = sampler
        took = [[seconds(partial(model.sample, asked.draws)) for model in (now, before)] for _ in range(2)]
        rows.append(ratio_row(f"{label}, 28 x 28: folded / not", [a / b for a, b in took], goal))
        for which, when in enumerate(("now", "before")):
            table[f"{label}, {when}"] = median(pair[which] for pair in took) / asked.draws
    print(", ".join(f"{name} {value:.3f} s" for name, value in table.items()))
    write("annealed_models", rows, torch.device("cpu"), seconds_per_image=table)


if __name__ == "__main__":
    main()
