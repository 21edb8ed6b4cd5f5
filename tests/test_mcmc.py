"""Chains that accept or reject, against exact laws."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from laws import gaussian_law
from torch import Generator, Tensor

from scorewise.backbones import MLP
from scorewise.gradients import log_density_and_score
from scorewise.heads import Energy
from scorewise.sampling import HMC, MALA, hmc, langevin, mala
from scorewise.sampling.hmc import leapfrog_path
from scorewise.sampling.metropolis import Point

pytestmark = pytest.mark.usefixtures("double")

WEIGHTS, MEANS, STD = torch.tensor([0.7, 0.3], dtype=torch.float64), (-1.0, 1.2), 0.5
COVARIANCE = gaussian_law(5, 1.5, 0.7).covariances_KDD[0]


def normal(x_BD: Tensor) -> Tensor:
    return -0.5 * x_BD.square().sum(-1)


def correlated(x_BD: Tensor) -> Tensor:
    u_BD = x_BD - 2
    log_p_B: Tensor = -0.5 * (u_BD * torch.linalg.solve(COVARIANCE, u_BD.T).T).sum(-1)
    return log_p_B


def bimodal(x_BD: Tensor) -> Tensor:
    modes = -0.5 * ((x_BD - torch.tensor(MEANS)) / STD).square()
    return torch.logsumexp(modes + WEIGHTS.log(), -1)


def bimodal_sample(n: int, generator: Generator) -> Tensor:
    first = torch.rand(n, 1, generator=generator) < WEIGHTS[0]
    return torch.where(first, *MEANS) + STD * torch.randn(n, 1, generator=generator)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize(("method", "step", "steps"), [(mala, 0.5, 250), (hmc, 0.15, 30)])
def test_a_correlated_gaussian(method: Callable[..., Any], step: float, steps: int) -> None:
    n = 4000
    x = method(correlated, torch.zeros(n, 5), step, steps, seeded(), warmup=20).x_BD
    assert (x.mean(0) - 2).abs().max() < 4 * 1.5 / n**0.5
    assert (torch.cov(x.T) - COVARIANCE).abs().max() < 4.5 * 1.5**2 * (2 / n) ** 0.5


@pytest.mark.parametrize(("method", "step", "steps"), [(mala, 0.3, 400), (hmc, 0.1, 80)])
def test_a_bimodal_mixture(method: Callable[..., Any], step: float, steps: int) -> None:
    """All chains start in the smaller mode, so the weights are found only by crossing."""
    n = 6000
    x = method(bimodal, torch.full((n, 1), MEANS[1]), step, steps, seeded()).x_BD
    mean = float(WEIGHTS @ torch.tensor(MEANS))
    variance = STD**2 + float(WEIGHTS @ (torch.tensor(MEANS) - mean).square())
    assert float(x.mean()) == pytest.approx(mean, abs=4 * (variance / n) ** 0.5)
    assert float(x.var()) == pytest.approx(variance, rel=0.06)
    assert float((x < 0).double().mean()) == pytest.approx(0.7 * 0.97725 + 0.3 * 0.0082, abs=0.025)


@pytest.mark.parametrize("jitter", [0.0, 0.5])
@pytest.mark.parametrize("method", [mala, hmc])
def test_detailed_balance(method: Callable[..., Any], jitter: float) -> None:
    """From the law itself, (x, x') and (x', x) have the same law after one step, here with half of them rejected."""
    if method is mala and jitter:
        return
    settings = {"leapfrog": 3, "jitter": jitter} if method is hmc else {}
    x = bimodal_sample(200_000, seeded(1))
    ended = method(bimodal, x, 0.5 if method is mala else 0.25, 1, seeded(2), **settings)
    assert 0.3 < ended.acceptance < 0.9
    y = ended.x_BD
    for f, g in ((lambda v: v, lambda v: v.square()), (lambda v: (v < 0).double(), lambda v: (2 * v).sin())):
        flow = f(x) * g(y) - g(x) * f(y)
        assert abs(float(flow.mean())) < 4 * float(flow.std()) / len(x) ** 0.5


def test_mala_has_no_bias_where_langevin_has_five_per_cent() -> None:
    """On N(0, 1), x + a s + sqrt(2a) z has variance 1 / (1 - a / 2)."""
    a, x = 2 * (1 - 1 / 1.05), torch.zeros(60_000, 1)
    biased = langevin(lambda x_BD: -x_BD, x, a, 40, seeded())
    assert float(biased.var()) == pytest.approx(1.05, abs=0.02)
    ended = mala(normal, x, a, 60, seeded())
    assert float(ended.x_BD.var()) == pytest.approx(1, abs=0.02)
    assert 0.9 < ended.acceptance < 1


@pytest.mark.parametrize("method", [mala, hmc])
def test_small_steps_are_all_accepted(method: Callable[..., Any]) -> None:
    x = bimodal_sample(2000, seeded(3))
    rejected = [1 - method(bimodal, x, a, 20, seeded()).acceptance for a in (1e-1, 1e-3, 1e-6)]
    assert rejected[0] > 1e-3 > rejected[1] >= rejected[2]
    assert rejected[2] < 1e-5


def test_hmc_with_one_leapfrog_step_is_mala() -> None:
    x = bimodal_sample(500, seeded(4))
    one = mala(bimodal, x, 0.3, 10, seeded())
    two = hmc(bimodal, x, 0.3, 10, seeded(), leapfrog=1, jitter=0.0)
    torch.testing.assert_close(one.x_BD, two.x_BD, rtol=0, atol=1e-10)
    assert 0 < one.acceptance == two.acceptance < 1


def test_the_leapfrog_path_is_reversible() -> None:
    start = Point.at(correlated, torch.randn(20, 5))
    p = torch.randn(20, 5)
    there, q = leapfrog_path(correlated, start, p, 0.3, 12)
    assert (there.x_BD - start.x_BD).abs().max() > 1
    back, minus_p = leapfrog_path(correlated, there, -q, 0.3, 12)
    torch.testing.assert_close(back.x_BD, start.x_BD, rtol=0, atol=1e-11)
    torch.testing.assert_close(-minus_p, p, rtol=0, atol=1e-11)


def test_the_leapfrog_path_keeps_volume() -> None:
    def flow(z: Tensor) -> Tensor:
        x, p = z[None, :1], z[None, 1:]
        for _ in range(4):
            half = p + 0.1 * score(x)
            x = x + 0.2 * half
            p = half + 0.1 * score(x)
        return torch.cat([x, p], -1)[0]

    def score(x: Tensor) -> Tensor:
        s: Tensor = torch.func.grad(lambda v: bimodal(v).sum())(x)
        return s

    z = torch.tensor([0.3, 0.8])
    there, q = leapfrog_path(bimodal, Point.at(bimodal, z[None, :1]), z[None, 1:], 0.2, 4)
    torch.testing.assert_close(flow(z), torch.cat([there.x_BD, q], -1)[0])
    assert float(torch.func.jacrev(flow)(z).det()) == pytest.approx(1, abs=1e-12)  # type: ignore[operator]


def test_the_energy_error_of_the_leapfrog_path_is_of_second_order() -> None:
    start, p = Point.at(correlated, torch.randn(50, 5) + 2), torch.randn(50, 5)

    def error(epsilon: float) -> float:
        end, q = leapfrog_path(correlated, start, p, epsilon, round(1.6 / epsilon))
        change = end.log_density_B - start.log_density_B - 0.5 * (q.square() - p.square()).sum(-1)
        return float(change.abs().mean())

    assert math.log2(error(0.04) / error(0.02)) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("method", "target"), [(mala, 0.574), (hmc, 0.8), (hmc, 0.65)])
@pytest.mark.parametrize("step", [1e-4, 30.0])
def test_the_warm_up_finds_the_step(method: Callable[..., Any], target: float, step: float) -> None:
    x = 2 + 1.5 * torch.randn(300, 5)
    ended = method(correlated, x, step, 20, seeded(), warmup=80, target=target)
    assert ended.acceptance == pytest.approx(target, abs=0.07)
    assert method(correlated, x, step, 3, seeded()).step == step


def test_one_evaluation_per_proposal_and_no_energy_that_is_not_finite() -> None:
    calls = []

    def walled(x_BD: Tensor) -> Tensor:
        calls.append(len(x_BD))
        return torch.where(x_BD[:, 0] > 0, normal(x_BD), torch.nan)

    x = mala(walled, torch.ones(2000, 1), 0.3, 60, seeded()).x_BD
    assert len(calls) == 61
    assert (x > 0).all()
    assert float(x.mean()) == pytest.approx((2 / math.pi) ** 0.5, abs=0.05)
    calls.clear()
    hmc(walled, torch.ones(5, 1), 0.3, 6, seeded(), leapfrog=4)
    assert len(calls) == 25


def test_value_and_score_work_in_every_scope() -> None:
    for scope in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with scope():
            x = torch.randn(4, 3)
            value, score = log_density_and_score(normal, x)
            torch.testing.assert_close(value, normal(x))
            torch.testing.assert_close(score, -x)
            assert not value.requires_grad
            assert not score.requires_grad


SAMPLERS = [MALA(steps=60, warmup=20), HMC(trajectories=12, leapfrog=4, warmup=15)]


def energy(dims: int) -> Energy:
    """Return exactly N(1, 2 I)."""
    model = Energy(MLP((dims,), (8,)), mean=1.0, std=2**0.5)
    torch.nn.init.zeros_(model.last.weight)
    return model


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_models_with_an_energy_are_drawn(sampler: Any) -> None:
    model = energy(3)
    model.sampler = sampler
    x = model.sample(4000, seeded())
    assert (x.mean(0) - 1).abs().max() < 0.1
    assert (x.var(0) / 2 - 1).abs().max() < 0.1
    assert sampler.acceptance == pytest.approx(sampler.target, abs=0.1)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_reproduces_and_leaves_the_global_generator_alone(sampler: Any) -> None:
    model = energy(2)
    model.sampler = sampler
    before = torch.random.get_rng_state()
    one, two = model.sample(5, seeded(4)), model.sample(5, seeded(4))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.equal(one, model.sample(5, seeded(5)))


@pytest.mark.parametrize(
    ("sampler", "settings"),
    [
        (MALA, {"steps": 0}),
        (MALA, {"step": 0.0}),
        (MALA, {"warmup": -1}),
        (HMC, {"target": 1.0}),
        (HMC, {"leapfrog": 0}),
        (HMC, {"jitter": 1.0}),
    ],
)
def test_settings_out_of_range_are_refused(sampler: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"chain|step|target|leapfrog|warmup=-1 must be"):
        sampler(**settings)
