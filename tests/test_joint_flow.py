"""The probability flow of joint scores against known laws: draws, likelihoods, and the law of the levels."""

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from laws import gaussian_law
from torch import Tensor, nn

from scorewise.data.laws import GaussianMixtureLaw
from scorewise.figures.flow_nats import FlowNats
from scorewise.figures.noisy_copies import noisy_copies
from scorewise.likelihood import JointFlow
from scorewise.noise import Draws, karras_ladder
from scorewise.objectives.dsm_multiscale import DSMMultiscale
from scorewise.sampling import AnnealedLangevin, ProbabilityFlow
from scorewise.tasks.flow_likelihood import FlowLikelihood

pytestmark = pytest.mark.usefixtures("double")
HIGH, LOW = 4.0, 0.2
CORNERS = torch.tensor([[-1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)


class Exact(nn.Module):
    """The scores of a law at every noise level, and a start with its moments."""

    def __init__(self, law: GaussianMixtureLaw, std: float) -> None:
        super().__init__()
        self.law, self.noise = law, LOW
        self.levels: tuple[float, ...] = (HIGH, LOW)
        self.dims = law.means_KD.shape[1]
        self.mean, self.scale = torch.tensor(0.0), torch.tensor(math.hypot(std, LOW))
        self.evaluations = 0

    def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor:
        self.evaluations += 1
        return self.law.smoothed(float(sigma_B[0])).score(x_BD)


def two_modes(dims: int = 2) -> Exact:
    """Return modes of .3 and .7 of the mass, of which the start knows the moments of an entry."""
    covariance = 0.05 * torch.eye(dims).expand(2, dims, dims)
    law = GaussianMixtureLaw(torch.tensor([0.3, 0.7]), CORNERS[:, :1].expand(2, dims), covariance)
    model = Exact(law, math.sqrt(0.05 + 0.84))
    model.mean = torch.tensor(0.4)
    return model


def white(std: float, dims: int = 3) -> Exact:
    return Exact(GaussianMixtureLaw(torch.ones(1), torch.zeros(1, dims), std**2 * torch.eye(dims)[None]), std)


def test_nats_of_a_figure_have_projections_of_their_own_in_every_batch() -> None:
    covariance = torch.tensor([[1.0, 0.7, 0.3], [0.7, 1.0, 0.7], [0.3, 0.7, 1.0]])
    model = Exact(GaussianMixtureLaw(torch.ones(1), torch.zeros(1, 3), covariance[None]), 1.0)
    source = SimpleNamespace(examples=lambda *given: torch.zeros(len(given[1]), 3))
    run: Any = SimpleNamespace(model=model, source=source)
    found = FlowNats(images=32, steps=4, checked=2, probes=2).of(run, "test")
    exact = -JointFlow(4).log_prob(cast(Any, model), noisy_copies(torch.zeros(32, 3), LOW, 1)).value_B
    # The error of a linear score depends on the projections alone; equal ones would not average out over batches of 16.
    error = torch.tensor(found["nats"]) - exact
    assert (error[:16] - error[16:]).abs().max() > 0.01
    assert found["trace_error"] > 0


# Levels.


def test_held_out_nats_of_an_example_do_not_depend_on_its_batch() -> None:
    covariance = torch.tensor([[1.0, 0.7, 0.3], [0.7, 1.0, 0.7], [0.3, 0.7, 1.0]])
    model = Exact(GaussianMixtureLaw(torch.ones(1), torch.zeros(1, 3), covariance[None]), 1.0)
    source: Any = SimpleNamespace(dims=3, log_volume=0.0)
    x, draws = torch.randn(6, 3), Draws.of(0, -1, torch.arange(6))

    def nll(*sizes: int) -> Tensor:
        of = FlowLikelihood(cast(Any, model), JointFlow(4, 2), source, LOW, 6)
        parts = zip(*(each.split(sizes) for each in (x, draws.key_B, torch.arange(6))), strict=True)
        return torch.cat([of.of(part, Draws(key), index)["nll"] for part, key, index in parts])

    torch.testing.assert_close(nll(4, 2), nll(6))
    torch.testing.assert_close(nll(1, 5), nll(6))
    first = FlowLikelihood(cast(Any, model), JointFlow(4, 2), source, LOW, 3)
    assert first.of(x, draws, torch.arange(6))["nll"].tolist() == pytest.approx(nll(6)[:3].tolist())
    # Two processes, each with every second example: together the first three, by their places.
    even, odd = (
        first.of(x[start::2], Draws(draws.key_B[start::2]), torch.arange(start, 6, 2))["nll"].tolist()
        for start in (0, 1)
    )
    assert [even[0], odd[0], even[1]] == pytest.approx(nll(6)[:3].tolist())
    assert (len(even), len(odd)) == (2, 1)


@pytest.mark.parametrize("rho", [1.0, 3.0, 7.0])
def test_a_karras_ladder_is_even_in_its_root(rho: float) -> None:
    ladder = torch.tensor(karras_ladder(HIGH, LOW, 6, rho))
    steps = ladder.pow(1 / rho).diff()
    torch.testing.assert_close(steps, steps.mean().expand(5))
    assert (float(ladder[0]), float(ladder[-1])) == (HIGH, LOW)
    assert karras_ladder(2.0, 0.1, 1) == (0.1,)
    with pytest.raises(ValueError, match="positive rho"):
        karras_ladder(1.0, 0.1, 3, 0.0)


def test_a_large_rho_comes_to_a_constant_ratio() -> None:
    ladder = torch.tensor(karras_ladder(HIGH, LOW, 9, 1e5)).log().diff()
    torch.testing.assert_close(ladder, ladder.mean().expand(8), rtol=1e-3, atol=0)


@pytest.mark.parametrize("drawn", ["log_uniform", "log_normal"])
def test_levels_have_the_law_that_is_asked_for(drawn: str) -> None:
    mean = -0.5 if drawn == "log_normal" else None
    objective = DSMMultiscale(HIGH, LOW, 5, 0.0, drawn, log_mean=mean, log_std=0.8)
    sigma_B = objective.levels_of(Draws.of(0, 0, torch.arange(20_000)), torch.float64).sort().values
    if drawn == "log_uniform":
        cdf_B = (sigma_B / LOW).log() / math.log(HIGH / LOW)
    else:
        low, high, at_B = ((torch.as_tensor(s).log() + 0.5) / 0.8 for s in (LOW, HIGH, sigma_B))
        cdf = torch.special.ndtr
        cdf_B = (cdf(at_B) - cdf(low)) / (cdf(high) - cdf(low))
    even_B = (torch.arange(20_000) + 0.5) / 20_000
    assert (cdf_B - even_B).abs().max() < 1.63 / math.sqrt(20_000), "Kolmogorov and Smirnov at 1 %"
    assert sigma_B[0] >= LOW
    assert sigma_B[-1] <= HIGH


def test_a_law_of_levels_beside_the_ladder_is_refused() -> None:
    with pytest.raises(ValueError, match="give the logarithm of a level there"):
        DSMMultiscale(HIGH, LOW, 5, 0.0, "log_normal", log_mean=9.0)
    with pytest.raises(ValueError, match="give both or neither"):
        DSMMultiscale(HIGH, LOW, 5, 0.0, "log_normal")
    with pytest.raises(ValueError, match="drawn"):
        DSMMultiscale(HIGH, LOW, 5, 0.0, "log_cauchy")


# Draws.


@pytest.mark.parametrize("std", [0.1, 1.0])
def test_a_gaussian_is_drawn_to_the_error_of_the_steps(std: float) -> None:
    """The flow of N(0, v) is linear: x sqrt(v + low^2) / sqrt(v + high^2), of which Heun's error falls by its order."""
    model, exact = white(std), math.sqrt((std**2 + LOW**2) / (std**2 + HIGH**2))
    off = []
    for steps in (8, 16, 32):
        x_BD = ProbabilityFlow(steps=steps, rho=7.0).draw(model, 4, torch.Generator().manual_seed(0))
        z_BD = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)) * math.hypot(std, HIGH)
        off.append(float((x_BD / z_BD / exact - 1).abs().max()))
    assert off[2] < 2e-3
    assert off[0] / off[1] > 3, "second order"
    assert off[1] / off[2] > 3


@pytest.mark.parametrize("churn", [0.0, 8.0])
def test_modes_get_their_weights(churn: float) -> None:
    model = two_modes()
    x_BD = ProbabilityFlow(steps=24, churn=churn).draw(model, 8000, torch.Generator().manual_seed(1))
    right_B = x_BD @ CORNERS[1] > 0
    assert abs(float(right_B.double().mean()) - 0.7) < 0.025
    for mode, chosen in ((1, right_B), (0, ~right_B)):
        torch.testing.assert_close(x_BD[chosen].mean(0), CORNERS[mode], rtol=0, atol=0.03)
        torch.testing.assert_close(x_BD[chosen].var(0), torch.full((2,), 0.05 + LOW**2), rtol=0.1, atol=0)


def test_a_dozen_steps_beat_as_many_of_langevin() -> None:
    """At 24 evaluations; at 2,000 annealed Langevin dynamics gets the weights right too."""
    model, off = two_modes(), {}
    model.levels = (HIGH, 0.9, LOW)
    for name, sampler in (("flow", ProbabilityFlow(steps=12)), ("langevin", AnnealedLangevin(steps=8))):
        model.evaluations = 0
        x_BD = sampler.draw(model, 4000, torch.Generator().manual_seed(2))
        assert model.evaluations == 24
        off[name] = float(
            (x_BD.var(0) - model.law.smoothed(LOW).sample(Draws.of(0, 0, torch.arange(4000))).var(0)).norm()
        )
    assert off["flow"] < 0.3 * off["langevin"]


def test_the_flow_repeats_and_churn_does_not_leave_the_ladder() -> None:
    model = white(0.5)
    seen: list[float] = []
    plain, score = model.noisy_score, model.noisy_score

    def noted(x_BD: Tensor, sigma_B: Tensor) -> Tensor:
        seen.append(float(sigma_B[0]))
        return plain(x_BD, sigma_B)

    model.noisy_score = noted  # type: ignore[method-assign]
    ProbabilityFlow(steps=5, churn=50.0).draw(model, 2, torch.Generator().manual_seed(0))
    assert min(seen) >= LOW
    assert max(seen) <= HIGH
    model.noisy_score = score  # type: ignore[method-assign]
    first, again = (ProbabilityFlow().draw(model, 3, torch.Generator().manual_seed(3)) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)


# Likelihoods.


@pytest.mark.parametrize("probes", [None, 2])
@pytest.mark.parametrize("std", [0.1, 1.0])
def test_the_likelihood_of_a_gaussian(std: float, probes: int | None) -> None:
    """Its Jacobian is a multiple of the identity, so projections on signs are exact too."""
    model = white(std)
    x_BD = torch.randn(6, 3, generator=torch.Generator().manual_seed(0)) * math.hypot(std, LOW)
    v = std**2 + LOW**2
    true_B = -0.5 * (x_BD.square().sum(-1) / v + 3 * math.log(2 * math.pi * v))
    off = [
        float((JointFlow(steps, probes).log_prob(model, x_BD).value_B - true_B).abs().max()) for steps in (32, 64, 128)
    ]
    assert off[2] < 2e-3
    assert off[0] / off[1] > 3
    assert off[1] / off[2] > 3
    finer_B = JointFlow(32, probes).log_prob(model, x_BD, finer=2).value_B
    torch.testing.assert_close(finer_B, JointFlow(64, probes).log_prob(model, x_BD).value_B)


def test_the_likelihood_of_two_modes() -> None:
    """Up to what the Gaussian start is off at the largest level."""
    model = two_modes()
    law = model.law.smoothed(LOW)
    x_BD = law.sample(Draws.of(0, 0, torch.arange(500)))
    off_B = JointFlow(steps=128).log_prob(model, x_BD).value_B - law.log_prob(x_BD)
    assert off_B.abs().max() < 0.4
    assert off_B.mean().abs() < 0.01


def test_a_density_integrates_to_one() -> None:
    """Whatever the field: here one that no law has, turned by a right angle at large noise."""
    model = white(0.5, dims=2)
    straight = model.noisy_score

    def turned(x_BD: Tensor, sigma_B: Tensor) -> Tensor:
        s_BD = straight(x_BD, sigma_B)
        return s_BD + 0.3 * torch.stack([s_BD[:, 1], -s_BD[:, 0].sin()], -1)

    model.noisy_score = turned  # type: ignore[method-assign]
    side = torch.linspace(-4, 4, 121)
    grid_BD = torch.cartesian_prod(side, side)
    mass = JointFlow(steps=48).log_prob(model, grid_BD).value_B.exp().sum() * (side[1] - side[0]) ** 2
    assert abs(float(mass) - 1) < 2e-3


def test_projections_agree_with_the_exact_trace_within_their_error() -> None:
    model = two_modes(dims=40)
    x_BD = model.law.smoothed(LOW).sample(Draws.of(1, 0, torch.arange(200)))
    exact_B, none_B = JointFlow(steps=24).log_prob(model, x_BD)
    value_B, error_B = JointFlow(24, probes=32).log_prob(model, x_BD, torch.Generator().manual_seed(4))
    assert (none_B == 0).all()
    z_B = (value_B - exact_B) / error_B
    assert 0.8 < float(z_B.std()) < 1.25
    assert abs(float(z_B.mean())) < 0.3
    assert JointFlow(4, probes=1).log_prob(model, x_BD).trace_error_B.isnan().all(), "one projection tells no error"


def test_as_many_projections_as_dimensions_are_the_exact_trace() -> None:
    """Which costs no more, and has no error."""
    model = two_modes()
    x_BD = model.law.smoothed(LOW).sample(Draws.of(1, 0, torch.arange(20)))
    exact_B, _ = JointFlow(steps=6).log_prob(model, x_BD)
    for probes in (2, 8):
        value_B, error_B = JointFlow(6, probes).log_prob(model, x_BD)
        assert torch.equal(value_B, exact_B)
        assert not error_B.any()
    assert not torch.equal(JointFlow(6, 1).log_prob(model, x_BD).value_B, exact_B)
    source: Any = SimpleNamespace(dims=2, log_volume=0.0)
    for probes, has in ((1, True), (2, False)):
        of = FlowLikelihood(cast(Any, model), JointFlow(6, probes), source, LOW, 6)
        found = of.of(x_BD[:6], Draws.of(0, -1, torch.arange(6)), torch.arange(6))
        assert ("nll_trace_error" in found) == has


def test_a_correlated_gaussian_is_recovered_at_levels_between_the_rungs() -> None:
    """The loss has its minimum at the exact score, level by level, wherever levels are drawn."""
    law = gaussian_law(3, 0.7, 0.6)
    n, objective = 20_000, DSMMultiscale(2.0, 0.3, 2, 0.0, "log_normal", log_mean=-0.3, log_std=0.7)
    clean_BD = law.sample(Draws.of(5, 0, torch.arange(n)))
    draws = Draws.of(6, 0, torch.arange(n))
    sigma_B = objective.levels_of(draws.fork("level"), torch.float64)

    class Scaled:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def noisy_score(self, x_BD: Tensor, level_B: Tensor) -> Tensor:
            torch.testing.assert_close(level_B, sigma_B)
            cov_BDD = law.covariances_KDD[0] + level_B.square()[:, None, None] * torch.eye(law.means_KD.shape[1])
            s_BD: Tensor = -self.factor * torch.linalg.solve(cov_BDD, x_BD - law.means_KD[0])
            return s_BD

    losses = [float(objective.per_example(Scaled(f), clean_BD, draws).mean()) for f in (0.9, 1.0, 1.1)]  # type: ignore[arg-type]
    assert losses[1] < min(losses[0], losses[2])
    assert abs(losses[0] - losses[2]) < 0.1 * (losses[0] + losses[2] - 2 * losses[1]) + 0.05


@pytest.mark.parametrize("target", ["csm", "dsm"])
@pytest.mark.parametrize("blocks", [False, True])
def test_the_weight_of_a_level_is_that_of_the_networks_own_target(target: str, blocks: bool) -> None:
    """With a single level it is one factor, (sigma^2 + std^2) / std^2, of dimensions and of blocks."""
    from scorewise.backbones import MADE
    from scorewise.heads import NoisyBlockScore, NoisyConditionalScore
    from scorewise.objectives import CSMAnnealed

    backbone = MADE((4,), 8, (16,), "silu")
    model: NoisyBlockScore | NoisyConditionalScore = (
        NoisyBlockScore(backbone, block=2, levels=(0.5,), std=0.8, noise=0.5)
        if blocks
        else NoisyConditionalScore(backbone, levels=(0.5,), std=0.8, noise=0.5)
    )
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    x_BD, draws = torch.randn(6, 4), Draws.of(0, 0, torch.arange(6))
    plain_B, edm_B = (
        CSMAnnealed(0.5, 0.5, 1, 0.3, target, continuous=False, weight=weight)(model, x_BD, draws).per_example
        for weight in ("sigma2", "edm")
    )
    torch.testing.assert_close(edm_B, plain_B * (0.5**2 + 0.8**2) / 0.8**2)
