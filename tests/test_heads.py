"""Heads against independent derivations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from laws import gaussian_law
from scipy import stats

from scorewise.backbones import MADE, MLP
from scorewise.capabilities import (
    ConditionalSampler,
    ConditionalScoreModel,
    EnergyModel,
    NormalisedDensity,
    Sampler,
    ScoreModel,
)
from scorewise.gradients import score_of_log_density
from scorewise.heads import ConditionalEnergy, ConditionalScore, Energy, Gaussian, Mixture, NoisyConditionalScore, Score
from scorewise.heads.forms import ScoreForm
from scorewise.heads.model import CausalModel

pytestmark = pytest.mark.usefixtures("double")

NORMALISED: list[Callable[[int], Any]] = [
    lambda dims: Gaussian(MADE((dims,), 2, (16,), "tanh"), mean=0.4, std=1.3),
    lambda dims: Mixture(MADE((dims,), 12, (16,), "tanh"), components=4, mean=0.4, std=1.3),
]


@pytest.mark.parametrize("make", NORMALISED)
def test_a_density_integrates_to_one(make: Callable[[int], Any]) -> None:
    model = make(2)
    line = torch.linspace(-60, 60, 3001)
    grid = torch.cartesian_prod(line[::3], line[::3])
    total = model.log_prob(grid).exp().sum() * (line[3] - line[0]) ** 2
    assert abs(float(total.detach()) - 1) < 1e-3


@pytest.mark.parametrize("make", NORMALISED)
def test_conditional_scores_are_derivatives_of_the_log_density(make: Callable[[int], Any]) -> None:
    model, x = make(4), torch.randn(9, 4)
    s = model.conditional_score(x, model.context(x))
    # Entry d of the gradient of log q(x_<=d); the last one is that of the whole log-density.
    joint = score_of_log_density(model.log_prob, x)
    torch.testing.assert_close(s[:, -1], joint[:, -1])
    c = model.context(x)
    if isinstance(model, Mixture):
        torch.testing.assert_close(s, score_of_log_density(lambda q: model.conditional_log_prob(q, c).sum(-1), x))
    assert (s[:, 0] - joint[:, 0]).abs().max() > 1e-4, "a conditional score is not an entry of the joint score"


@pytest.mark.parametrize("make", NORMALISED)
def test_exact_draws_follow_the_density(make: Callable[[int], Any]) -> None:
    from scorewise.sampling import Exact

    model = make(1)
    model.sampler = Exact()
    x = model.sample(20_000, torch.Generator().manual_seed(0))[:, 0].sort().values
    line = torch.linspace(-60, 60, 20_001)
    distribution = torch.cumsum(model.log_prob(line[:, None]).detach().exp(), 0) * (line[1] - line[0])
    expected = distribution[torch.searchsorted(line, x).clamp(max=20_000)]
    assert (expected - torch.arange(20_000) / 20_000).abs().max() < 0.015


def test_the_confining_term_is_a_standard_normal() -> None:
    model, x = Energy(MLP((3,), (8,)), mean=1.0, std=2.0), torch.randn(5, 3)
    torch.nn.init.zeros_(model.last.weight)
    torch.testing.assert_close(model.score(x).detach(), -(x - 1) / 4)


def test_forms_start_where_they_should() -> None:
    for form, expected in (("edm", "normal"), ("raw", "zero"), ("denoiser", "denoiser")):
        model = ConditionalScore(MADE((3,), 4, (8,)), form=form, mean=0.5, std=1.2, noise=0.9)
        torch.nn.init.zeros_(model.last.weight)
        torch.nn.init.zeros_(model.last.bias)
        x = torch.randn(4, 3)
        s = model.conditional_score(x, model.context(x)).detach()
        slope = {"normal": -1 / 2.25, "zero": 0.0, "denoiser": -1 / 0.81}[expected]
        torch.testing.assert_close(s, slope * (x - 0.5))
    assert ScoreForm("auto", 1.0, 0.0).name == "raw"
    assert ScoreForm("auto", 1.0, 0.1).name == "edm"
    with pytest.raises(ValueError, match="divides by the noise"):
        ScoreForm("edm", 1.0, 0.0)
    with pytest.raises(ValueError, match="none of auto"):
        ScoreForm("karras", 1.0, 0.1)


def test_the_denoiser_form_is_tweedie() -> None:
    """For data N(0, 1) and noise s the denoised value is x / (1 + s^2): the form must give the true score."""
    noise = 0.7
    form = ScoreForm("denoiser", 1.0, noise)
    x = torch.randn(10)
    scale = (1 + noise**2) ** 0.5
    u = x / scale
    true = gaussian_law(1).smoothed(noise).score(x[:, None])[:, 0]
    torch.testing.assert_close(form(u / (1 + noise**2), u) / scale, true)


def test_what_heads_can_do() -> None:
    can = {
        ConditionalScore: {ConditionalScoreModel, NormalisedDensity, Sampler},
        Gaussian: {ConditionalScoreModel, NormalisedDensity, ConditionalSampler, Sampler},
        Mixture: {ConditionalScoreModel, NormalisedDensity, ConditionalSampler, Sampler},
        Score: {ScoreModel, Sampler},
        Energy: {ScoreModel, EnergyModel, Sampler},
    }
    every = set().union(*can.values())
    for head, capabilities in can.items():
        assert {capability for capability in every if issubclass(head, capability)} == capabilities
        assert issubclass(head, CausalModel) == (ConditionalScoreModel in capabilities)


def test_widths_must_fit() -> None:
    with pytest.raises(ValueError, match="reads 2 features"):
        Gaussian(MADE((3,), 5, (8,)))
    with pytest.raises(ValueError, match="reads 12 features"):
        Mixture(MADE((3,), 5, (8,)), components=4)
    with pytest.raises(ValueError, match="context=9"):
        ConditionalScore(MADE((3,), 5, (8,)), context=9)


def test_a_model_put_together_by_hand_says_so(tmp_path: Path) -> None:
    model = Gaussian(MADE((3,), 2, (8,)))
    with pytest.raises(ValueError, match="by hand"):
        model.save(tmp_path)
    with pytest.raises(ValueError, match="no sampler"):
        model.sample(3)


@pytest.mark.parametrize(
    "made",
    [
        lambda init: ConditionalScore(MADE((2,), 12, (8,)), hidden=(500, 8), init=init),
        lambda init: NoisyConditionalScore(MADE((2,), 16, (8,)), hidden=(500, 8), levels=(1.0, 0.3), init=init),
        lambda init: ConditionalEnergy(MADE((2,), 42, (8,)), hidden=(500, 8), init=init),
    ],
)
def test_knots_are_kinks_all_over_the_data_and_nothing_else(made: Callable[[str], Any]) -> None:
    torch.manual_seed(0)
    plain = made("default")
    torch.manual_seed(0)
    knots = made("knots")
    changed = {name for name, value in knots.state_dict().items() if not torch.equal(value, plain.state_dict()[name])}
    assert changed == {"of_query", "of_context.bias"}
    kink = (plain.of_context.bias - knots.of_context.bias) / knots.of_query
    assert stats.kstest(kink.detach().numpy(), stats.uniform(-2, 4).cdf).pvalue > 0.01
    assert stats.kstest(knots.of_query.detach().abs().numpy(), stats.uniform(0.5, 2.5).cdf).pvalue > 0.01
    assert 200 < int((knots.of_query > 0).sum()) < 300
