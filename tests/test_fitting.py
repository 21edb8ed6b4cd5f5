"""Networks fitted by objectives end where known laws are; closed forms in 100 dimensions; golden losses."""

import math
from typing import Any

import pytest
import torch
from fitting import draws, fit, relative_error
from laws import TrueConditionals, TrueJoint, gaussian_law
from torch import Tensor

from scorewise.backbones import MADE, MLP
from scorewise.heads import ConditionalScore, Energy, Gaussian, Mixture, Score
from scorewise.objectives import CSM, DSM, MLE, SM, Objective

pytestmark = pytest.mark.usefixtures("double")


# The closed forms of N(0, 0.1^2 I) in 100 dimensions.

STD, DIMS = 0.1, 100


def test_csm_and_sm_at_the_true_score() -> None:
    x = STD * torch.randn(20_000, DIMS)
    csm = CSM()(TrueConditionals(STD, DIMS), x, draws(len(x))).per_example
    assert abs(csm.mean() / -5000 - 1) < 0.01
    assert abs(csm.std() / (math.sqrt(DIMS / 2) / STD**2) - 1) < 0.02  # 707
    few = x[:500]
    for model in (TrueJoint(STD), TrueConditionals(STD, DIMS)):
        torch.testing.assert_close(SM()(model, few, draws(500)).per_example, csm[:500])


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.1, 0.3, 1.0])
def test_the_minimum_of_dsm(sigma: float) -> None:
    n, variance = 40_000, STD**2
    x = STD * torch.randn(n, DIMS)
    for model in (TrueJoint(math.hypot(STD, sigma)), TrueConditionals(math.hypot(STD, sigma), DIMS)):
        found = DSM(sigma)(model, x, draws(n)).per_example
        minimum = DIMS / 2 * variance / (sigma**2 * (variance + sigma**2))
        assert abs(found.mean() / minimum - 1) < 0.01
        assert abs(found.std() / (minimum * math.sqrt(2 / DIMS)) - 1) < 0.02


def test_mle_at_the_true_density_is_the_entropy() -> None:
    model = Gaussian(MADE((DIMS,), 2, (4,)), std=STD)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    x = STD * torch.randn(20_000, DIMS)
    entropy = DIMS / 2 * math.log(2 * math.pi * math.e * STD**2)
    assert abs(MLE()(model, x, draws(len(x))).per_example.mean() - entropy) < 0.2


# Every objective recovers a known Gaussian in sign and scale.


@pytest.mark.parametrize("objective", [CSM(), MLE()])
def test_gaussian_head_recovers_a_correlated_gaussian(objective: Objective) -> None:
    law = gaussian_law(3, 2.0, 0.8)
    x = law.sample(draws(2000)) + 1.5
    model = Gaussian(MADE((3,), 2, (32,), "tanh"), std=2.0, mean=1.5)
    fit(model, objective, x)
    assert relative_error(model, x, law.conditional_score(x - 1.5, range(3))) < 0.02
    model.sampler = None
    mean, covariance = sample_moments(model, 40_000)
    assert (mean - 1.5).abs().max() < 0.1
    assert (covariance - law.covariances_KDD[0]).abs().max() < 0.25


def sample_moments(model: Gaussian, n: int) -> tuple[Tensor, Tensor]:
    from scorewise.sampling import Exact

    model.sampler = Exact()
    x = model.sample(n, torch.Generator().manual_seed(1))
    return x.mean(0), torch.cov(x.T)


@pytest.mark.parametrize(("form", "noise"), [("raw", 0.0), ("edm", 0.5), ("denoiser", 0.5)])
def test_csm_recovers_conditional_scores(form: str, noise: float) -> None:
    law = gaussian_law(3, 1.0, 0.7).smoothed(noise)
    x = law.sample(draws(1000))
    model = ConditionalScore(MADE((3,), 8, (32,), "tanh"), hidden=(16,), form=form, noise=noise)
    fit(model, CSM(), x)
    assert relative_error(model, x, law.conditional_score(x, range(3))) < 0.03


def test_csm_of_a_mixture_head() -> None:
    law = gaussian_law(2, 1.0, 0.7)
    x = law.sample(draws(2000))
    model = Mixture(MADE((2,), 9, (32,), "tanh"), components=3)
    fit(model, CSM(), x, steps=300)
    assert relative_error(model, x, law.conditional_score(x, range(2))) < 0.05


@pytest.mark.parametrize("head", [Score, Energy])
def test_sm_recovers_slope_minus_one(head: Any) -> None:
    x = torch.randn(1000, 2)
    model = head(MLP((2,), (24, 24)), std=1.7)
    fit(model, SM(), x, steps=250, lr=5e-3)
    assert relative_error(model, x, -x) < 0.05
    with torch.no_grad():
        slope = float((model.score(x).detach() * x).sum() / x.square().sum())
    assert abs(slope + 1) < 0.07


@pytest.mark.parametrize("head", [Score, Energy])
@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_dsm_recovers_the_blurred_slope(head: Any, sigma: float) -> None:
    x = torch.randn(2000, 1)
    model = head(MLP((1,), (24, 24)), std=1.0, noise=sigma)
    fit(model, DSM(sigma), x)
    y = math.hypot(1, sigma) * torch.randn(4000, 1)
    slope = float((model.score(y).detach() * y).sum() / y.square().sum())
    assert abs(slope * (1 + sigma**2) + 1) < 0.05


def test_dsm_on_conditional_scores_learns_those_of_the_blurred_law() -> None:
    clean, sigma = gaussian_law(2, 1.0, 0.8), 0.6
    x = clean.sample(draws(2000))
    model = ConditionalScore(MADE((2,), 8, (32,), "tanh"), hidden=(16,), noise=sigma)
    fit(model, DSM(sigma), x)
    blurred = clean.smoothed(sigma)
    y = blurred.sample(draws(4000, 9))
    assert relative_error(model, y, blurred.conditional_score(y, range(2))) < 0.03
    assert relative_error(model, y, clean.conditional_score(y, range(2))) > 0.1


# Structure.


def test_sm_on_conditional_scores_is_csm() -> None:
    model, x = ConditionalScore(MADE((5,), 4, (16, 16)), noise=0.3), torch.randn(6, 5)
    csm, sm = (objective(model, x, draws(6)) for objective in (CSM(), SM()))
    torch.testing.assert_close(csm.per_example, sm.per_example)
    parameters = list(model.parameters())
    for a, b in zip(torch.autograd.grad(csm.total, parameters), torch.autograd.grad(sm.total, parameters), strict=True):
        torch.testing.assert_close(a, b)


def test_a_loss_weighs_its_examples() -> None:
    model, x = ConditionalScore(MADE((5,), 4, (16, 16)), noise=0.3), torch.randn(6, 5)
    weight = torch.rand(6)
    loss = CSM()(model, x, draws(6), weight)
    torch.testing.assert_close(loss.total.detach(), (weight * loss.per_example).sum())
    assert not loss.per_example.requires_grad
    torch.testing.assert_close(CSM()(model, x, draws(6)).total.detach(), loss.per_example.mean())


def test_dsm_needs_a_positive_sigma() -> None:
    with pytest.raises(ValueError, match="must be a positive number: DSM divides by it"):
        DSM(0.0)


GOLDEN = {"csm": 863.16623, "sm": 863.16623, "dsm": 1049.2173, "mle": 9.383703}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_losses(name: str) -> None:
    """One number per objective that must not change by accident: fixed weights, fixed data."""
    objectives: dict[str, Objective] = {"csm": CSM(), "sm": SM(), "dsm": DSM(0.5), "mle": MLE()}
    objective = objectives[name]
    made = MADE((5,), 30 if name == "mle" else 4, (8,))
    model = Mixture(made) if name == "mle" else ConditionalScore(made, noise=0.5)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        for layer in (*made.layers, made.output):
            layer.weight.mul_(layer.mask)
    x = torch.randn(16, 5, generator=generator)
    assert float(objective(model, x, draws(16)).per_example.mean()) == pytest.approx(GOLDEN[name], rel=1e-6)
