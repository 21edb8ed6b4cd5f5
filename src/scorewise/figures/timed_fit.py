"""A training that is as long as a number of processor seconds, with the distance of its scores from a known law."""

import time
from typing import Any, NamedTuple

import torch

from scorewise.data.source import Source
from scorewise.heads.block_model import BlockModel
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.objective import Objective, score_field

HELD_OUT = 2000
"""Examples that the distance is of."""


class TimedFit(NamedTuple):
    """How one is trained.

    Attributes:
        source: with a law.
        smoothing: of the data.
        batch: examples per step.
        seconds: of processor.
    """

    source: Source
    smoothing: float
    batch: int
    seconds: float


def fitted(model: BlockModel, objective: Objective, fit: TimedFit, rate: float) -> dict[str, Any]:
    """Return what became of a model: its steps, E|s - s*|^2 / 2, and that as a share of E|s*|^2 / 2.

    Adam, with a learning rate that falls to zero over the time, clipped as a training of the train command is.

    Args:
        model: of blocks; it is trained.
        objective: of the training.
        fit: how.
        rate: learning rate at the start.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    gain, steps, used = objective.gain(model) / model.dims, 0, 0.0
    while used < fit.seconds:
        index_B = torch.arange(steps * fit.batch, (steps + 1) * fit.batch)
        draws = Draws.of(0, 0, index_B)
        clean_BD = fit.source.examples("train", index_B, 0, 0)
        started = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - used / fit.seconds)
        optimizer.zero_grad(set_to_none=True)
        x_BD = clean_BD + fit.smoothing * smoothing_noise(draws, clean_BD)
        (gain * objective(model, x_BD, draws).total).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        used, steps = used + time.process_time() - started, steps + 1
    assert fit.source.law is not None
    law, draws = fit.source.law.smoothed(fit.smoothing), Draws.of(1, -1, torch.arange(HELD_OUT))
    x_BD = law.sample(draws).float()
    with torch.no_grad():
        s_BD, true_BD = score_field(model)(x_BD).double(), law.block_score(x_BD, model.ordering)
    error, whole = (0.5 * float(one.square().sum(-1).mean()) for one in (s_BD - true_BD, true_BD))
    return {"steps": steps, "error": error, "share": error / whole, "rate": rate}
