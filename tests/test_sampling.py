"""Samplers against exact laws."""

import math
from typing import Any

import pytest
import torch
from laws import gaussian_law
from torch import Tensor

from scorewise.backbones import MADE, MLP
from scorewise.capabilities import ContextStream
from scorewise.heads import ConditionalScore, Energy, Gaussian, Score
from scorewise.objectives import MLE
from scorewise.sampling import Exact, Langevin, Langevin1d, tweedie

pytestmark = pytest.mark.usefixtures("double")


def one_gaussian(dims: int = 3) -> Gaussian:
    """Return N(2, 3^2) per dimension, exactly, with a context."""
    model = Gaussian(MADE((dims,), 2, (8,)), mean=2.0, std=3.0)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    return model


@pytest.mark.parametrize("sampler", [Exact(), Langevin1d(steps=400, step=0.4)])
def test_ancestral_samplers_draw_the_model(sampler: Any) -> None:
    model = one_gaussian()
    model.sampler = sampler
    x = model.sample(4000, torch.Generator().manual_seed(0))
    assert (x.mean(0) - 2).abs().max() < 0.2
    assert (x.std(0) / 3 - 1).abs().max() < 0.05
    assert (torch.corrcoef(x.T) - torch.eye(3)).abs().max() < 0.06


def test_langevin_has_the_known_discretisation_bias() -> None:
    """On N(0, v), x + a s + sqrt(2a) z has variance v / (1 - a / (2 v))."""
    model = one_gaussian(1)
    model.sampler = Langevin1d(steps=40, step=16.0)
    x = model.sample(40_000, torch.Generator().manual_seed(0))
    assert float(x.var()) / 9 == pytest.approx(1 / (1 - 0.4), rel=0.03)


@pytest.mark.parametrize("head", ["score", "energy"])
def test_joint_langevin_draws_the_model(head: str) -> None:
    backbone = MLP((2,), (8,))
    model = Score(backbone, noise=1.0) if head == "score" else Energy(backbone, std=2**0.5)
    for parameter in model.last.parameters():
        torch.nn.init.zeros_(parameter)
    model.sampler = Langevin(steps=200, step=0.1)
    x = model.sample(4000, torch.Generator().manual_seed(0))
    assert (x.mean(0)).abs().max() < 0.1
    assert (x.var(0) / 2 - 1).abs().max() < 0.12


@pytest.mark.parametrize("sampler", [Exact(), Langevin1d(steps=3)])
def test_a_seed_reproduces_samples_and_leaves_the_global_generator_alone(sampler: Any) -> None:
    model = one_gaussian()
    model.sampler = sampler
    before = torch.random.get_rng_state()
    one, two = (model.sample(5, torch.Generator().manual_seed(4)) for _ in range(2))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.equal(one, model.sample(5, torch.Generator().manual_seed(5)))


class Counting(ConditionalScore):
    """A count of what the sampler asks for."""

    pushes = 0
    passes = 0

    def context_stream(self) -> ContextStream:
        return CountingStream(self, super().context_stream())

    def context(self, x_BD: Tensor) -> Tensor:
        self.passes += 1
        return super().context(x_BD)


class CountingStream:
    """A count of what is pushed."""

    def __init__(self, model: Counting, stream: ContextStream) -> None:
        self.model, self.stream = model, stream

    def start(self, n: int) -> Tensor:
        return self.stream.start(n)

    def push(self, x_block: Tensor) -> Tensor:
        self.model.pushes += 1
        return self.stream.push(x_block)


def test_one_context_evaluation_per_dimension() -> None:
    model = Counting(MADE((11,), 4, (8,)), noise=0.3)
    model.sampler = Langevin1d(steps=20)
    model.sample(2)
    assert (model.pushes, model.passes) == (11, 0)


def test_sampling_follows_the_order_of_the_model() -> None:
    """In the order (2, 0, 1) dimension 2 comes first, so its marginal must be right without the others."""
    law = gaussian_law(3, 1.0, 0.8)
    model = Gaussian(MADE((3,), 2, (32,), "tanh", "random", 1))
    assert model.ordering.sequence != (0, 1, 2)
    from fitting import fit

    from scorewise.noise import Draws

    fit(model, MLE(), law.sample(Draws.of(0, 0, torch.arange(4000))), steps=300)
    model.sampler = Exact()
    x = model.sample(20_000, torch.Generator().manual_seed(0))
    assert (torch.cov(x.T) - law.covariances_KDD[0]).abs().max() < 0.1


def test_tweedie_gives_the_causal_posterior_mean() -> None:
    """For N(0, 1) data and noise s the posterior mean is x / (1 + s^2), here from the form at its start."""
    noise = 0.6
    model = ConditionalScore(MADE((4,), 3, (8,)), noise=noise)
    torch.nn.init.zeros_(model.last.weight)
    torch.nn.init.zeros_(model.last.bias)
    x = math.hypot(1, noise) * torch.randn(5, 4)
    torch.testing.assert_close(tweedie(model, x), x / (1 + noise**2))
    joint = Score(MLP((4,), (8,)), noise=noise)
    torch.nn.init.zeros_(joint.last.weight)
    torch.nn.init.zeros_(joint.last.bias)
    torch.testing.assert_close(tweedie(joint, x), x / (1 + noise**2))
    with pytest.raises(ValueError, match="no score"):
        tweedie(torch.nn.Linear(1, 1), x)  # type: ignore[arg-type]
