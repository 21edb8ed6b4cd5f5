"""Whether a device computes what the processor computes: objectives, gradients, likelihoods and draws, in float64.

    python benchmarks/device_checks.py --device cuda

Every model has the same weights and every objective the same random numbers on both, so numbers agree to the order of
summation. The exit status is not 0 where one does not. Draws on the device are from a generator of the processor.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from scorewise.backbones import MADE, MLP, NoisyMLP, PatchTransformer, Transformer
from scorewise.capabilities import Sampler
from scorewise.gradients import elementwise_derivative
from scorewise.heads import (
    BlockScore,
    ConditionalEnergy,
    ConditionalScore,
    Energy,
    Mixture,
    NoisyBlockScore,
    NoisyConditionalScore,
    NoisyScore,
    Score,
)
from scorewise.heads.model import Model
from scorewise.likelihood import FlowODE, JointFlow, Quadrature
from scorewise.noise import Draws
from scorewise.objectives import CSM, CSMDSM, DSM, MLE, SM, SSM, SSMVR, CSMAnnealed, DSMMultiscale, Objective
from scorewise.sampling import BlockFlow, InverseCDF, Parallel, ProbabilityFlow, ReverseDiffusion1d

BATCH, DIMS, NOISE, LEVELS = 32, 12, 0.3, (1.0, 0.5, 0.3)
CLOSE = 1e-9
"""Largest relative difference of what is computed in float64."""


def models() -> dict[str, Model]:
    """Return a small model of every kind."""
    made = lambda width: MADE((DIMS,), width, (32,), "silu")  # noqa: E731
    transformer = Transformer((DIMS,), 8, size=16, blocks=1)
    several = {"levels": LEVELS, "noise": NOISE}
    return {
        "conditional_score": ConditionalScore(made(8), hidden=(16,), noise=NOISE, form="edm"),
        "conditional_score on transformer": ConditionalScore(transformer, noise=NOISE, form="edm"),
        "conditional_energy": ConditionalEnergy(made(42), hidden=(16,), noise=NOISE),
        "mixture": Mixture(made(30), noise=NOISE),
        "noisy_conditional_score": NoisyConditionalScore(made(8), hidden=(16,), **several),  # type: ignore[arg-type]
        "block_score": BlockScore(PatchTransformer((DIMS,), 8, (3,), size=16, blocks=1), noise=NOISE),
        "noisy_block_score": NoisyBlockScore(made(8), block=3, **several),  # type: ignore[arg-type]
        "score": Score(MLP((DIMS,), (16,), "silu"), noise=NOISE),
        "energy": Energy(MLP((DIMS,), (16,), "silu"), noise=NOISE),
        "noisy_score": NoisyScore(NoisyMLP((DIMS,), 1, (16,)), **several),  # type: ignore[arg-type]
    }


OBJECTIVES: dict[str, list[Objective]] = {
    "conditional_score": [CSM(), CSMDSM(NOISE), SSM(), SSMVR()],
    "conditional_score on transformer": [CSM()],
    "conditional_energy": [CSM()],
    "mixture": [MLE(), CSM()],
    "noisy_conditional_score": [CSMAnnealed(1.0, NOISE, 3, NOISE), CSMAnnealed(1.0, NOISE, 3, NOISE, "dsm")],
    "block_score": [CSM(), SSMVR()],
    "noisy_block_score": [CSMAnnealed(1.0, NOISE, 3, NOISE, "dsm", draws=2)],
    "score": [SM(), SSM(), DSM(NOISE)],
    "energy": [SM(), DSM(NOISE)],
    "noisy_score": [DSMMultiscale(1.0, NOISE, 3, NOISE)],
}
SAMPLERS: dict[str, list[Sampler]] = {
    "conditional_score": [InverseCDF(), Parallel()],
    "noisy_conditional_score": [ReverseDiffusion1d()],
    "noisy_block_score": [BlockFlow()],
    "noisy_score": [ProbabilityFlow(), ProbabilityFlow(churn=4.0)],
}


def trained(model: Model) -> Model:
    """Return a model whose weights are all away from zero, so that nothing agrees for being nothing."""
    generator = torch.Generator().manual_seed(0)
    for weights in model.parameters():
        weights.data += 0.1 * torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
    return model


def loss_and_gradients(model: Model, objective: Objective, x_BD: Tensor) -> list[Tensor]:
    """Return the loss of every example and the gradients of all weights."""
    draws = Draws.of(0, 0, torch.arange(len(x_BD), device=x_BD.device))
    loss = objective(model, x_BD, draws)
    weights = [one for one in model.parameters() if one.requires_grad]
    gradients = torch.autograd.grad(loss.total, weights, allow_unused=True)
    return [loss.per_example.detach(), *(one for one in gradients if one is not None)]


def likelihood(model: Model, x_BD: Tensor) -> list[Tensor]:
    """Return the log-density of every example, where the model has one."""
    if isinstance(model, NoisyScore):
        return list(JointFlow(8).log_prob(model, x_BD))
    if isinstance(model, ConditionalScore | ConditionalEnergy):
        model.likelihood = Quadrature(-4.0, 4.0, 24)
        return [model.unchecked_log_prob(x_BD)]
    if isinstance(model, NoisyConditionalScore):
        model.likelihood = FlowODE(8)
        return [model.unchecked_log_prob(x_BD)]
    return [model.log_prob(x_BD)] if isinstance(model, Mixture) else []


def drawn(model: Any, sampler: Sampler) -> list[Tensor]:
    """Return a few draws, from random numbers of the processor."""
    if isinstance(model, ConditionalScore):
        model.likelihood = Quadrature(-4.0, 4.0, 24)
    model.sampler = sampler
    return [model.sample(8, torch.Generator().manual_seed(0))]


def twice(model: ConditionalScore, x_BD: Tensor) -> float:
    """Return how far the fused loss is from what automatic differentiation of the scores gives, on one device."""
    fused_B = loss_and_gradients(model, CSM(), x_BD)[0]
    c_BDF = model.context(x_BD)
    s_BD, ds_BD = elementwise_derivative(lambda q_BD: model.conditional_score(q_BD, c_BDF), x_BD)
    plain_B = (0.5 * s_BD.square() + ds_BD).sum(-1)
    return float(((fused_B - plain_B).abs().max() / plain_B.abs().max()).detach())


def off(compute: Callable[[Model, Tensor], list[Tensor]], model: Model, x_BD: Tensor, device: torch.device) -> float:
    """Return the largest difference between the processor and a device, relative to the largest number."""
    here = compute(copy.deepcopy(model), x_BD)
    there = compute(copy.deepcopy(model).to(device), x_BD.to(device))
    pairs = zip(here, there, strict=True)
    return max((float((a - b.cpu()).abs().max() / a.abs().max().clamp(min=1e-12)) for a, b in pairs), default=0.0)


def checks(device: torch.device) -> Iterator[tuple[str, float]]:
    """Yield what was computed twice, and how far apart the two are."""
    x_BD = torch.randn(BATCH, DIMS, generator=torch.Generator().manual_seed(1))
    for name, untrained in models().items():
        model = trained(untrained).eval()
        for objective in OBJECTIVES.get(name, []):
            what = f"{name}: {type(objective).__name__} and its gradients"
            yield what, off(lambda m, x, o=objective: loss_and_gradients(m, o, x), model, x_BD, device)
        if isinstance(model, ConditionalScore):
            yield f"{name}: CSM from one pass and by differentiating twice", twice(model.to(device), x_BD.to(device))
            model.cpu()
        with torch.no_grad():
            if likelihood(model, x_BD):
                yield f"{name}: log-density", off(likelihood, model, x_BD, device)
            for sampler in SAMPLERS.get(name, []):
                what = f"{name}: draws by {type(sampler).__name__}"
                yield what, off(lambda m, _, s=sampler: drawn(m, s), model, x_BD, device)


def main() -> None:
    """Print every check."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(parser.parse_args().device)
    torch.set_default_dtype(torch.float64)
    print(torch.cuda.get_device_name(device) if device.type == "cuda" else device.type, flush=True)
    failed = 0
    for what, apart in checks(device):
        limit = 1e-6 if "draws" in what else CLOSE
        failed += not apart <= limit
        print(f"{'ok    ' if apart <= limit else 'FAILED'} {apart:9.2e}  {what}", flush=True)
    sys.exit(f"{failed} checks failed" if failed else 0)


if __name__ == "__main__":
    main()
