"""The discretised mixture of logistics: probabilities by hand, their sum, draws, and what it refuses."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from scorewise.backbones import MADE, PixelCNNPP
from scorewise.capabilities import (
    ClosedFormDensity,
    ConditionalSampler,
    ConditionalScoreModel,
    DiscreteDensity,
    NormalisedDensity,
    QuantileModel,
    ScoreModel,
)
from scorewise.data import Cifar10, Digits, Mnist, Toy2d, Wine
from scorewise.heads import DiscretisedMixture
from scorewise.sampling import Exact, InverseCDF, Parallel
from scorewise.tasks.density import bits_per_dim

pytestmark = pytest.mark.usefixtures("double")


def made(dims: int = 3, components: int = 2, levels: int = 256, **settings: Any) -> DiscretisedMixture:
    backbone = MADE((dims,), 3 * components, (16,), "tanh")
    return DiscretisedMixture(backbone, components=components, levels=levels, mean=-0.4, std=0.7, **settings)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_bits_per_dim_by_hand() -> None:
    """One logistic at 0.1 with scale 0.2 in the data's units, 8-bit pixels 0, 130 and 255."""
    model = DiscretisedMixture(MADE((3,), 3, (4,)), components=1, mean=-0.4, std=0.5)
    with torch.no_grad():
        model.backbone.output.weight.zero_()
        # logit, location (0.1 + 0.4) / 0.5 and log-scale log(0.2 / 0.5) + 1, in standard units
        model.backbone.output.bias.copy_(torch.tensor([0.0, 1.0, math.log(0.4) + 1]).repeat(3))
    middle = 130 / 127.5 - 1
    p = [
        sigmoid((-1 + 1 / 255 - 0.1) / 0.2),
        sigmoid((middle + 1 / 255 - 0.1) / 0.2) - sigmoid((middle - 1 / 255 - 0.1) / 0.2),
        1 - sigmoid((1 - 1 / 255 - 0.1) / 0.2),
    ]
    by_hand = -sum(math.log2(one) for one in p) / 3
    x = torch.tensor([[0.0, 130.0, 255.0]]) / 127.5 - 1
    found = bits_per_dim(-model.log_prob(x), 3, 3 * math.log(Mnist.units_per_step))
    assert float(found.detach()) == pytest.approx(by_hand, rel=1e-12)
    torch.testing.assert_close(
        model.level_log_prob(torch.tensor([[0.0, 130.0, 255.0]]), model.context(x)).exp().detach(), torch.tensor([p])
    )


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("spread", [0.3, 30.0])
def test_it_sums_to_one_over_its_levels(levels: int, spread: float) -> None:
    """Also where logistics are narrower than a cell, wider than the range, or beyond its ends."""
    model = made(components=4, levels=levels)
    c = spread * torch.randn(5, 3, 12)
    level = torch.arange(float(levels))[:, None, None]
    p = torch.stack([model.level_log_prob(one.expand(5, 3), c) for one in level]).exp()
    torch.testing.assert_close(p.sum(0), torch.ones(5, 3))


def test_the_whole_density_sums_to_one_over_the_grid() -> None:
    model = DiscretisedMixture(PixelCNNPP((3, 1, 1), 6, filters=4, resnets=1, levels=1), components=2, levels=5)
    grid = torch.cartesian_prod(*[torch.linspace(-1, 1, 5)] * 3)
    assert float(model.log_prob(grid).exp().sum().detach() * 0.5**3) == pytest.approx(1)


def test_log_prob_is_constant_in_a_cell_and_goes_on_beyond_the_ends() -> None:
    model = made(dims=1)
    x = torch.tensor([[0.2], [0.2 + 0.9 / 255], [1.0], [7.0], [-1.0], [-3.0]])
    x[:2] = (x[:2] * 127.5).round() / 127.5 + torch.tensor([[0.0], [0.9 / 255]])
    a, b, one, above, minus, below = model.log_prob(x).detach().tolist()
    assert (a, one, minus) == (b, above, below)


def test_no_probability_underflows() -> None:
    """The naive difference of two distribution functions is zero here, in single precision far earlier."""
    model = made(dims=1, components=1).float()
    c = torch.tensor([[[0.0, 40.0, 1.0]], [[0.0, -40.0, 1.0]], [[0.0, 0.0, 40.0]]], dtype=torch.float32)
    c.requires_grad_()
    log_p = model.level_log_prob(torch.full((3, 1), 128.0, dtype=torch.float32), c)
    assert torch.isfinite(log_p).all()
    assert torch.isfinite(torch.autograd.grad(log_p.sum(), c)[0]).all()


def test_gradients_in_the_features() -> None:
    model = made(levels=17)
    level = torch.tensor([[0.0, 8.0, 16.0], [1.0, 15.0, 3.0]])
    c = torch.randn(2, 3, 6, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: model.level_log_prob(level, c), c)


def test_draws_lie_on_the_levels_and_follow_the_probabilities() -> None:
    model = made(dims=1, levels=17)
    model.sampler = Exact()
    x = model.sample(20_000, torch.Generator().manual_seed(0))
    level = model.level_of(x)
    assert torch.equal(model.value_of(level), x)
    assert x.abs().max() <= 1
    p = model.level_log_prob(torch.arange(17.0)[:, None], model.context(torch.zeros(17, 1))).exp()[:, 0].detach()
    found = torch.bincount(level[:, 0].long(), minlength=17) / 20_000
    assert (found - p).abs().max() < 4 * (0.25 / 20_000) ** 0.5
    assert len(found) == 17


@pytest.mark.parametrize("levels", [2, 3, 17, 255, 256])
def test_the_quantile_is_the_first_level_beyond(levels: int) -> None:
    model, c = made(levels=levels), torch.randn(50, 3, 6)
    p = torch.stack([model.level_log_prob(torch.full((50, 3), float(k)), c) for k in range(levels)], -1).exp()
    total, u = p.cumsum(-1), torch.rand(50, 3)
    u[0] = 0
    expected = (total <= u[..., None]).sum(-1).clamp(max=levels - 1)
    found: Tensor = model.level_of(model.conditional_quantile(u, c))
    assert torch.equal(found, expected.to(found))


def test_sequential_and_parallel_draws_are_the_same() -> None:
    model = DiscretisedMixture(PixelCNNPP((3, 2, 2), 6, filters=4, resnets=1, levels=1), components=2).eval()
    draws = []
    for sampler in (Exact(), InverseCDF(), Parallel()):
        model.sampler = sampler
        draws.append(model.sample(5, torch.Generator().manual_seed(0)))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2])


def test_what_it_can_do() -> None:
    has = {NormalisedDensity, DiscreteDensity, ConditionalSampler, QuantileModel}
    lacks = {ConditionalScoreModel, ScoreModel, ClosedFormDensity}
    assert {each for each in has | lacks if issubclass(DiscretisedMixture, each)} == has


def test_data_say_their_levels() -> None:
    assert {source.levels for source in (Mnist, Cifar10)} == {256}
    assert (Digits.levels, Toy2d.levels, Wine.levels) == (17, None, None)
    for source in (Digits, Mnist):
        assert source.levels is not None
        assert 2 / (source.levels - 1) == pytest.approx(1 / source.units_per_step), "a cell is one unit wide"


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match=r"of the levels themselves, and the law has noise 0\.3"):
        made(noise=0.3)
    with pytest.raises(ValueError, match="at least 2"):
        made(levels=1)
    with pytest.raises(ValueError, match="reads 12 features"):
        DiscretisedMixture(MADE((3,), 5, (8,)), components=4)
