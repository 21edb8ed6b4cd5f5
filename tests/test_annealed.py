"""Composite score matching at many noise levels, its derivative-free twins, and its sampler."""

import itertools
import math
from typing import Any
from unittest.mock import patch

import pytest
import torch
from fitting import draws, fit, relative_error
from laws import gaussian_law
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.capabilities import ContextStream
from scorewise.data.laws import GaussianMixtureLaw
from scorewise.heads import ConditionalScore, NoisyConditionalScore
from scorewise.heads.streams import FullPassStream
from scorewise.noise import Draws, geometric_ladder, smoothing_noise
from scorewise.objectives import CSM, CSMDSM, CSMAnnealed
from scorewise.objectives.objective import score_field
from scorewise.sampling import AnnealedLangevin1d, Langevin1d, ReverseDiffusion1d, tweedie

pytestmark = pytest.mark.usefixtures("double")


def noisy_head(dims: int, levels: tuple[float, ...], std: float = 1.0) -> NoisyConditionalScore:
    made = MADE((dims,), 8, (32,), "tanh")
    return NoisyConditionalScore(made, levels=levels, hidden=(24, 24), std=std, noise=levels[-1])


def smoothed(clean: Tensor, sigma: float, epoch: int = 0) -> tuple[Tensor, Draws]:
    every = draws(len(clean), epoch)
    return clean + sigma * smoothing_noise(every, clean), every


def test_a_geometric_ladder() -> None:
    ladder = geometric_ladder(4.0, 0.5, 4)
    assert ladder[0] == 4.0
    assert ladder[-1] == pytest.approx(0.5)
    assert all(a / b == pytest.approx(2.0) for a, b in itertools.pairwise(ladder))
    assert geometric_ladder(3.0, 0.2, 1) == (0.2,)
    for bad in ((1.0, 2.0, 3), (1.0, 0.0, 3), (1.0, 0.5, 0)):
        with pytest.raises(ValueError, match="needs at least one level"):
            geometric_ladder(*bad)


def test_ladders_start_at_the_smoothing() -> None:
    objective = CSMAnnealed(2.0, None, 5, 0.3)
    assert objective.levels[-1] == pytest.approx(0.3)
    assert objective.noise == 0.0
    objective = CSMAnnealed(2.0, 0.5, 5, 0.3)
    assert objective.noise == pytest.approx(0.4)
    with pytest.raises(ValueError, match=r"sigma_min=null takes data\.smoothing"):
        CSMAnnealed(2.0, None, 5, 0.0)
    with pytest.raises(ValueError, match="is less noise than"):
        CSMAnnealed(2.0, 0.1, 5, 0.3)
    with pytest.raises(ValueError, match="is none of csm, dsm"):
        CSMAnnealed(2.0, None, 5, 0.3, "ssm")


@pytest.mark.parametrize("sigma", [0.3, 0.8])
def test_csm_dsm_is_csm_up_to_a_constant(sigma: float) -> None:
    """The identity on smoothed data: for any two models the expected losses differ by the same D / (2 sigma^2)."""
    law = gaussian_law(3, 1.0, 0.7)
    x, every = smoothed(law.sample(draws(200_000, 7)), sigma)
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = ConditionalScore(MADE((3,), 4, (8,), "tanh"), hidden=(8,), noise=sigma)
        with torch.no_grad():
            dsm, csm = (objective.per_example(model, x, every) for objective in (CSMDSM(sigma), CSM()))
        gap = dsm - csm
        assert abs(float(gap.mean()) - 3 / (2 * sigma**2)) < 4 * float(gap.std()) / len(x) ** 0.5
    with pytest.raises(ValueError, match=r"data\.smoothing is 0"):
        CSMDSM(0.0)


def test_csm_dsm_recovers_the_smoothed_conditional_scores() -> None:
    clean, sigma = gaussian_law(2, 1.0, 0.8), 0.6
    examples = clean.sample(draws(2000, 3))
    model = ConditionalScore(MADE((2,), 8, (32,), "tanh"), hidden=(16,), noise=sigma)
    objective = CSMDSM(sigma)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
    for step in range(200):
        x, every = smoothed(examples, sigma, step)
        optimizer.zero_grad()
        (objective(model, x, every).total * sigma**2).backward()
        optimizer.step()
    x, _ = smoothed(clean.sample(draws(4000, 11)), sigma, 12)
    assert relative_error(model, x, clean.smoothed(sigma).conditional_score(x, range(2))) < 0.03


def test_at_one_level_it_is_csm_of_the_smoothed_law() -> None:
    """With sigma_max = sigma_min = smoothing nothing is added: sigma^2 times CSM on the same numbers."""
    model = noisy_head(4, (0.5,))
    x, every = smoothed(torch.randn(6, 4), 0.5)
    annealed = CSMAnnealed(0.5, None, 1, 0.5)(model, x, every).per_example
    torch.testing.assert_close(annealed, 0.25 * CSM()(model, x, every).per_example)
    twin = CSMAnnealed(0.5, None, 1, 0.5, "dsm")(model, x, every).per_example
    torch.testing.assert_close(twin, 0.25 * CSMDSM(0.5)(model, x, every).per_example)


def at_level(law: GaussianMixtureLaw, q_BD: Tensor, x_BD: Tensor, sigma: float, smallest: float) -> Tensor:
    """Return d/dq log p_sigma(q_d | x_<d) of two dimensions, contexts at the smallest level, by conditioning."""
    c = law.covariances_KDD[0]
    given = c[0, 0] + smallest**2
    mean = c[1, 0] / given * x_BD[:, 0]
    variance = c[1, 1] - c[1, 0] ** 2 / given + sigma**2
    first = -q_BD[:, 0] / (c[0, 0] + sigma**2)
    return torch.stack([first, -(q_BD[:, 1] - mean) / variance], -1)


@pytest.mark.parametrize(
    ("target", "smoothing", "sigma_min"), [("csm", 0.2, 0.3), ("dsm", 0.3, None), ("dsm", 0.0, 0.3)]
)
def test_every_level_is_recovered(target: str, smoothing: float, sigma_min: float | None) -> None:
    """Sign and scale at every level, the context at the smallest: the same law however the noise is divided.

    The other divisions are those of the closed form below.
    """
    law = gaussian_law(2, 1.0, 0.8)
    objective = CSMAnnealed(2.0, sigma_min, 4, smoothing, target)
    model = noisy_head(2, objective.levels)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    for step in range(200):
        x, every = smoothed(law.sample(draws(600, step)), smoothing, step)
        optimizer.zero_grad()
        objective(model, x, every).total.backward()
        optimizer.step()
        scheduler.step()
    x = law.smoothed(0.3).sample(draws(2000, 999))
    with torch.no_grad():
        c = model.context(x)
        for sigma in objective.levels:
            q = law.smoothed(sigma).sample(draws(2000, 1001))
            s = model.noisy_conditional_score(q, c, torch.full_like(q, sigma))
            true = at_level(law, q, x, sigma, 0.3)
            assert float((s - true).square().mean() / true.square().mean()) < 0.05
        law_03 = law.smoothed(0.3)
        assert relative_error(model, x, law_03.conditional_score(x, range(2))) < 0.05


def test_the_derivative_is_of_the_query_alone() -> None:
    """The loss's derivative term is the diagonal of the Jacobian in the query, the context held fixed."""
    model, x = noisy_head(3, (1.0, 0.4)), torch.randn(2, 3)
    objective = CSMAnnealed(1.0, None, 2, 0.4, continuous=False)
    every = draws(2)
    sigma = objective.sigmas(every, 3, x.dtype)
    assert set(sigma.unique().tolist()) <= {1.0, 0.4}
    q = x + objective.extra(sigma) * every.fork("query").normal(3, dtype=x.dtype)
    c = model.context(x)
    jacobian = torch.autograd.functional.jacobian(lambda y: model.noisy_conditional_score(y, c, sigma), q)
    slope = torch.einsum("bdbd->bd", jacobian)
    s = model.noisy_conditional_score(q, c, sigma)
    expected = (sigma**2 * (0.5 * s**2 + slope)).sum(-1)
    torch.testing.assert_close(objective(model, x, every).per_example, expected.detach())
    levels = CSMAnnealed(2.0, None, 2, 0.5).sigmas(draws(50_000), 1, x.dtype)
    assert float(levels.log().mean()) == pytest.approx(0.5 * (math.log(2.0) + math.log(0.5)), abs=0.01)
    assert levels.min() >= 0.5
    assert levels.max() <= 2.0


class KnownMixture(NoisyConditionalScore):
    """.8 N(4, 1) + .2 N(-4, 1) in one dimension, its scores exact at every level."""

    def __init__(self, levels: tuple[float, ...]) -> None:
        super().__init__(MADE((1,), 2, (2,)), levels=levels, std=4.0, noise=levels[-1])
        self.law = GaussianMixtureLaw(
            torch.tensor([0.8, 0.2]), torch.tensor([[4.0], [-4.0]]), torch.eye(1).expand(2, 1, 1)
        )

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        return self.law.smoothed(float(sigma_BD[0, 0])).score(q_BD)


def test_annealing_gets_the_weights_of_separated_modes_right() -> None:
    model: Any = KnownMixture(geometric_ladder(8.0, 0.5, 10))
    generator = torch.Generator().manual_seed(0)
    model.sampler = AnnealedLangevin1d(steps=60, step=0.1)
    x = model.sample(8000, generator)
    assert abs(float((x > 0).double().mean()) - 0.8) < 0.03
    right = x[x > 0]
    assert abs(float(right.mean()) - 4) < 0.06
    # ULA's bias at the last level: variance v / (1 - a / 2v) with v = 1.25, a = .025
    assert float(right.var()) == pytest.approx(1.25 / (1 - 0.025 / 2.5), rel=0.05)
    model.sampler = Langevin1d(steps=600, step=0.1)
    plain = float((model.sample(8000, generator) > 0).double().mean())
    assert abs(plain - 0.8) > 0.05, "without annealing the weights are those of the starting point"


def width_error(x: Tensor) -> float:
    """Return how far the variance of the right mode is from what it should be, relatively."""
    return abs(float(x[x > 0].var()) / 1.25 - 1)


def has_weights_and_means(x: Tensor) -> None:
    """Hold the weights and means of both modes."""
    assert abs(float((x > 0).double().mean()) - 0.8) < 0.015
    assert abs(float(x[x > 0].mean()) - 4) < 0.03
    assert abs(float(x[x < 0].mean()) + 4) < 0.06


def test_reverse_diffusion_draws_the_smallest_level() -> None:
    """The right weights, means and widths of separated modes, and the bias of few steps gone with many."""
    model: Any = KnownMixture(geometric_ladder(8.0, 0.5, 10))
    widths = []
    for steps in (8, 200):
        model.sampler = ReverseDiffusion1d(steps)
        widths.append(width_error(x := model.sample(20_000, torch.Generator().manual_seed(0))))
    has_weights_and_means(x)
    assert widths[1] < 0.04 < widths[0]
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        ReverseDiffusion1d(0)


def test_reverse_diffusion_of_second_order_takes_a_sixth_of_the_evaluations() -> None:
    """The weights, means and widths of separated modes by 40 evaluations, which first order has by 250."""
    model: Any = KnownMixture(geometric_ladder(8.0, 0.5, 10))
    widths = []
    for order in (1, 2):
        model.sampler = ReverseDiffusion1d(steps=24, settle=16, order=order)
        widths.append(width_error(x := model.sample(20_000, torch.Generator().manual_seed(0))))
    has_weights_and_means(x)
    assert widths[1] < 0.03 < widths[0]
    with pytest.raises(ValueError, match="order"):
        ReverseDiffusion1d(order=3)


def test_a_head_needs_levels() -> None:
    with pytest.raises(ValueError, match="must be positive noise levels"):
        NoisyConditionalScore(MADE((2,), 4, (4,)), levels=())
    with pytest.raises(ValueError, match="context=9"):
        NoisyConditionalScore(MADE((2,), 4, (4,)), levels=(1.0,), context=9)
    model, x = noisy_head(3, (1.0, 0.4)), torch.randn(2, 3)
    torch.nn.init.zeros_(model.last.weight)
    torch.nn.init.zeros_(model.last.bias)
    torch.testing.assert_close(score_field(model)(x).detach(), -x / (1 + 0.16))
    fit(model, CSMAnnealed(1.0, None, 2, 0.4), x, steps=1)


class CorrelatedGaussian(NoisyConditionalScore):
    """N(0, C) in three dimensions, its scores exact at every level, contexts at the smallest one."""

    covariance_DD = torch.tensor([[1.0, 0.7, 0.3], [0.7, 0.8, 0.5], [0.3, 0.5, 0.6]], dtype=torch.float64)

    def __init__(self, levels: tuple[float, ...]) -> None:
        super().__init__(MADE((3,), 2, (2,)), levels=levels, std=1.0, noise=levels[-1])
        noisy_DD = self.covariance_DD + levels[-1] ** 2 * torch.eye(3)
        self.weight_DD = torch.zeros(3, 3)
        for d in (1, 2):
            self.weight_DD[d, :d] = torch.linalg.solve(noisy_DD[:d, :d], self.covariance_DD[:d, d])
        self.given_D = (self.covariance_DD - self.weight_DD @ self.covariance_DD).diagonal()

    def context(self, x_BD: Tensor) -> Tensor:
        return torch.stack([x_BD @ self.weight_DD.mT, self.given_D.expand_as(x_BD)], -1)

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        return (c_BDF[..., 0] - q_BD) / (c_BDF[..., 1] + sigma_BD.square())

    def context_stream(self) -> ContextStream:
        return FullPassStream(self)


@pytest.mark.parametrize(("smoothing", "sigma_min"), [(0.2, None), (0.0, 0.2), (0.1, 0.2)])
def test_the_ladders_loss_at_the_true_score_is_its_closed_form(smoothing: float, sigma_min: float | None) -> None:
    """With v_d the variance of x_d given a context at the smallest level, every level sigma has in expectation

    csm: -sum_d sigma^2 / (2 (v_d + sigma^2)), dsm: sum_d v_d / (2 (v_d + sigma^2)).
    """
    n = 20_000
    clean = torch.randn(n, 3) @ torch.linalg.cholesky(CorrelatedGaussian.covariance_DD).mT
    x, every = smoothed(clean, smoothing)
    for target in ("csm", "dsm"):
        objective = CSMAnnealed(1.5, sigma_min, 5, smoothing, target)
        model = CorrelatedGaussian(objective.levels)
        for level in objective.levels:
            with patch.object(objective, "sigmas", lambda *_, level=level: torch.full((n, 1, 3), level)):
                found = objective.per_example(model, x, every).detach()
            share_D = level**2 / (model.given_D + level**2)
            expected = -0.5 * share_D.sum() if target == "csm" else 0.5 * (1 - share_D).sum()
            assert abs(float(found.mean() - expected)) < 4 * float(found.std()) / n**0.5, (target, level)


@pytest.mark.parametrize(
    ("sampler", "tolerance"),
    [
        (AnnealedLangevin1d(steps=80, step=0.2), 0.05),
        (ReverseDiffusion1d(200), 0.04),
        (ReverseDiffusion1d(24, settle=16, order=2), 0.04),
    ],
)
def test_sampling_conditions_on_noisy_entries_and_returns_a_denoised_copy(sampler: Any, tolerance: float) -> None:
    """Samples have covariance C + sigma_L^2 I, which they have only if contexts stay noisy; then E[clean_d | x_<=d]."""
    model: Any = CorrelatedGaussian(geometric_ladder(2.0, 0.4, 6))
    model.sampler = sampler
    x = model.sample(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(x.mT.cov(), model.covariance_DD + 0.16 * torch.eye(3), rtol=0, atol=tolerance)
    mean = x @ model.weight_DD.mT
    expected = mean + (x - mean) * model.given_D / (model.given_D + 0.16)
    torch.testing.assert_close(tweedie(model, x), expected)
