"""Two-dimensional densities: smoothed data, distances of samples to it, and likelihoods."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from scorewise.capabilities import NormalisedDensity
from scorewise.data.source import SampledSource
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.spread import mean_and_spread
from scorewise.figures.two_samples import maximum_mean_discrepancy, sliced_wasserstein
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.likelihood import FlowODE, Transition
from scorewise.noise import Draws, smoothing_noise

SMOOTHING = 0.1
HELD_OUT = 12_345
"""The seed of the examples that likelihoods are of, the same for all models and seeds."""
ByModel = Mapping[str, Sequence[float]]
"""What was found by model, a number per seed."""


def smoothed(source: SampledSource, count: int, seed: int) -> Tensor:
    """Return data + N(0, SMOOTHING^2 I) that no model was trained on, shape (count, 2)."""
    draws = Draws.of(-100 - seed, -1, torch.arange(count))
    x_BD = source.sample(draws.fork("data")).float()
    return x_BD + SMOOTHING * smoothing_noise(draws, x_BD)


def distances(x_BD: Tensor, y_BD: Tensor, width: float, projections: int) -> dict[str, float]:
    """Return the sliced Wasserstein distance of two samples, and the squared MMD of their first examples.

    Args:
        x_BD: a sample.
        y_BD: another of the same size.
        width: standard deviation of the data; the kernel of MMD has a quarter of it.
        projections: of the sliced Wasserstein distance.
    """
    few = min(len(x_BD), 5000)
    return {
        "swd": sliced_wasserstein(x_BD, y_BD, projections),
        "mmd": maximum_mean_discrepancy(x_BD[:few], y_BD[:few], 0.25 * width),
    }


def nll(run: FinishedRun, count: int) -> dict[str, float]:
    """Return the mean negative log-likelihood of held-out examples, nats: by the probability flow where it must be."""
    model, x_BD = run.model, smoothed(run.source, count, HELD_OUT)
    if isinstance(model, NumericallyNormalised):
        model.likelihood = FlowODE(32)
    return {"nll": _mean_nll(model, x_BD)}


def _mean_nll(model: NormalisedDensity, x_BD: Tensor) -> float:
    with torch.no_grad():
        return -float(model.log_prob(x_BD).double().mean())


def nll_two_ways(run: FinishedRun, count: int) -> dict[str, float]:
    """Return the mean negative log-likelihood of the same few examples by the flow and by transitions, nats."""
    x_BD = smoothed(run.source, count, HELD_OUT)
    with torch.no_grad():
        flow_B, steps_B = (rule.log_prob(run.model, x_BD).double() for rule in (FlowODE(32), Transition()))
    apart = float((flow_B - steps_B).abs().median())
    return {"flow": -float(flow_B.mean()), "transitions": -float(steps_B.mean()), "apart": apart}


def entropy(source: SampledSource, count: int, clean: int) -> dict[str, float]:
    """Return minus the mean log-density of held-out examples under clean ones convolved with the noise, nats."""
    x_BD = smoothed(source, count, HELD_OUT)
    y_ND = source.sample(Draws.of(-77, -1, torch.arange(clean)).fork("data")).float()
    log_p = map(partial(_log_mixture, y_ND=y_ND), x_BD.split(max(1, 20_000_000 // clean)))
    return {"nll": -float(torch.cat(list(log_p)).double().mean())}


def _log_mixture(x_BD: Tensor, y_ND: Tensor) -> Tensor:
    """Return the log-density of y + N(0, SMOOTHING^2 I), y uniform over examples, shape (B,)."""
    exponent_BN = -0.5 * (torch.cdist(x_BD, y_ND) / SMOOTHING).square()
    constant = math.log(len(y_ND)) + y_ND.shape[1] * math.log(SMOOTHING * math.sqrt(2 * math.pi))
    return torch.logsumexp(exponent_BN, 1) - constant


def wins_and_ties(found: Mapping[str, ByModel], ours: str, theirs: str) -> tuple[list[str], list[str]]:
    """Return the densities on which ours is nearer to the data, and those on which both are inside the floor.

    Args:
        found: distances by density and model, with those of data to data as "floor".
        ours: a model.
        theirs: the model that it is compared with.
    """
    wins: list[str] = []
    ties: list[str] = []
    for toy, by_model in found.items():
        one, other = (mean_and_spread(by_model[name])[0] for name in (ours, theirs))
        if max(one, other) <= max(by_model["floor"]):
            ties.append(toy)
        elif one < other:
            wins.append(toy)
    return wins, ties
