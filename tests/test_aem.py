"""The autoregressive energy machine: its head, its objective and its sampler, against quadrature."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from laws import gaussian_law
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.capabilities import ConditionalEnergyModel, ConditionalScoreModel
from scorewise.gradients import elementwise_derivative
from scorewise.heads.conditional_energy import ConditionalEnergy
from scorewise.noise import Draws
from scorewise.objectives import CSM, Objective
from scorewise.objectives.aem import AEM, log_p_hat
from scorewise.sampling.resampling import Resampling

pytestmark = pytest.mark.usefixtures("double")

MEAN, STD = 1.5, 2.0


def draws(n: int, epoch: int = 0) -> Draws:
    return Draws.of(0, epoch, torch.arange(n))


def machine(dims: int = 3, seed: int = 0, spice: float = 0.0, **settings: Any) -> ConditionalEnergy:
    """Return a small model; spice makes its weights larger, and its conditionals far from Gaussian."""
    torch.manual_seed(seed)
    model = ConditionalEnergy(
        MADE((dims,), 8 + 9, (32,), "tanh"), hidden=(16, 16), context=8, components=3, mean=MEAN, std=STD, **settings
    )
    with torch.no_grad():
        model.of_query.mul_(1 + spice)
        model.last.weight.mul_(1 + 5 * spice)
    return model


def log_p_exact(model: ConditionalEnergy, x_BD: Tensor) -> Tensor:
    """Return log q(x_d | x_<d) with the normaliser by quadrature, shape (B, D)."""
    c_BDF = model.context(x_BD)
    line_G = torch.linspace(-12, 12, 801) * STD + MEAN
    energy_GBD = model.conditional_energy(line_G[:, None, None].expand(-1, *x_BD.shape), c_BDF)
    log_z_BD = torch.logsumexp(-energy_GBD, 0) + torch.log(line_G[1] - line_G[0])
    return -model.conditional_energy(x_BD, c_BDF) - log_z_BD


# The head.


def test_the_conditional_score_is_minus_the_slope_of_the_energy() -> None:
    model, x, step = machine(spice=1.0), MEAN + STD * torch.randn(7, 3), 1e-5
    c = model.context(x)
    s = model.conditional_score(x, c)
    numeric = -(model.conditional_energy(x + step, c) - model.conditional_energy(x - step, c)) / (2 * step)
    torch.testing.assert_close(s, numeric, rtol=1e-6, atol=1e-8)
    stacked = torch.stack([x, x + 1])
    torch.testing.assert_close(model.conditional_score(stacked, c)[0], s)
    with torch.inference_mode():
        torch.testing.assert_close(model.conditional_score(x, model.context(x)), s.detach())
    _, slope = elementwise_derivative(lambda q: model.conditional_score(q, c), x)
    numeric = (model.conditional_score(x + step, c) - model.conditional_score(x - step, c)) / (2 * step)
    torch.testing.assert_close(slope, numeric, rtol=1e-5, atol=1e-7)
    assert slope.requires_grad, "CSM differentiates it in the parameters"


def test_nothing_sees_its_own_or_a_later_dimension() -> None:
    model, x = machine(4, spice=1.0), torch.randn(1, 4)

    def of_context(f: Any) -> Tensor:
        query = x.clone()
        jacobian = torch.autograd.functional.jacobian(lambda x: f(query, model.context(x))[0], x)
        return torch.as_tensor(jacobian)[:, 0]

    for f in (model.conditional_energy, model.proposal_log_prob, model.conditional_score):
        jacobian = of_context(f)
        assert (jacobian.triu() == 0).all()
        assert (jacobian.tril(-1)[1:].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("defensive", [0.0, 0.05])
def test_the_proposal_is_a_density_and_its_draws_follow_it(defensive: float) -> None:
    model = machine(2, defensive=defensive)
    torch.nn.init.normal_(model.backbone.output.bias, std=1.0)
    x, n = MEAN + STD * torch.randn(3, 2), 4000
    c = model.context(x)
    line = torch.linspace(-40, 40, 8001) + MEAN
    density = model.proposal_log_prob(line[:, None, None].expand(-1, 3, 2), c).exp().detach()
    torch.testing.assert_close(density.sum(0) * 0.01, torch.ones(3, 2), rtol=1e-6, atol=0)
    q = model.proposal_sample(c, torch.rand(n, 3, 2), torch.randn(n, 3, 2)).detach().sort(0).values
    distribution = (density.cumsum(0) * 0.01).flatten(1).T.contiguous()
    place = torch.searchsorted(line, q.flatten(1).T.contiguous()).clamp(max=8000)
    assert (distribution.gather(1, place) - torch.arange(n) / n).abs().max() < 1.95 / n**0.5  # Kolmogorov, .1 %


def test_the_normaliser_is_finite_and_the_weights_are_bounded() -> None:
    model = machine(2, defensive=0.05)
    with torch.no_grad():
        model.last.bias.fill_(-50.0)  # softplus -> 0: the largest normaliser there can be
    x, root = torch.randn(5, 2), (2 * torch.pi) ** 0.5
    c, q = model.context(x), MEAN + STD * torch.linspace(-30, 30, 601)[:, None, None].expand(-1, 5, 2)
    weight = (-model.conditional_energy(q, c) - model.proposal_log_prob(q, c)).exp()
    assert weight.max() <= STD * root / 0.05 * (1 + 1e-9)
    assert float((-model.conditional_energy(q, c)).exp().sum(0).max().detach()) * 0.1 == pytest.approx(root)


def test_what_the_head_can_do_and_what_it_refuses() -> None:
    assert issubclass(ConditionalEnergy, ConditionalEnergyModel)
    assert issubclass(ConditionalEnergy, ConditionalScoreModel)
    assert ConditionalEnergy.width_needed(context=8, components=3) == 17
    with pytest.raises(ValueError, match="reads 42 features"):
        ConditionalEnergy(MADE((3,), 17, (8,)))
    with pytest.raises(ValueError, match=r"defensive=1.0 must be"):
        machine(defensive=1.0)


# The objective.


def test_the_bias_is_upward_and_as_large_as_stated() -> None:
    """E[log p_hat] - log p = Var(w) / (2 S Z^2) per dimension, to first order in 1 / S."""
    model, one, copies = machine(1, spice=2.0), torch.tensor([[0.3]]), 16_000
    torch.nn.init.constant_(model.backbone.output.bias[8 + 3 : 8 + 6], 1.2)  # a proposal that is off to one side
    x = one.expand(copies, 1)
    with torch.no_grad():
        c, exact = model.context(one), log_p_exact(model, one).sum()
        q = model.proposal_sample(c, torch.rand(200_000, 1, 1), torch.randn(200_000, 1, 1))
        w = (-model.conditional_energy(q, c) - model.proposal_log_prob(q, c)).exp()
        predicted = float(w.var() / w.mean().square()) / 2
        found = {s: log_p_hat(model, x, c.expand(copies, -1, -1), draws(copies), s).sum(-1) - exact for s in (20, 60)}
    for samples, bias in found.items():
        error = float(bias.std()) / copies**0.5
        assert float(bias.mean()) == pytest.approx(predicted / samples, rel=0.15, abs=3 * error)
        assert bias.mean() > 6 * error, "upward"
    assert 2 < found[20].mean() / found[60].mean() < 4.5, "falls as 1 / S"


def test_held_out_comes_to_the_exact_value_and_leaves_the_proposal_out() -> None:
    model, x = machine(3, spice=1.0), MEAN + STD * torch.randn(50, 3)
    exact = -log_p_exact(model, x).sum(-1).detach()
    with torch.no_grad():
        error = [(AEM(20, s).held_out(model, x, draws(50)) - exact).square().mean().sqrt() for s in (10, 100, 4000)]
    assert error[2] < 0.02
    assert error[0] > 2 * error[1] > 8 * error[2]
    few = AEM(20, 20)
    loss, held_out = few.per_example(model, x, draws(50)), few.held_out(model, x, draws(50))
    torch.testing.assert_close(held_out - loss, model.proposal_log_prob(x, model.context(x)).sum(-1))


def test_the_gradient_is_that_of_the_exact_likelihood() -> None:
    model, x = machine(2, spice=1.0), MEAN + STD * torch.randn(20, 2)
    parameters = list(model.parameters())
    exact = -(log_p_exact(model, x) + model.proposal_log_prob(x, model.context(x))).sum(-1).mean()
    true, biased = (
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])
        for loss in (exact, AEM(4000)(model, x, draws(20)).total)
    )
    assert (true - biased).norm() / true.norm() < 0.02
    # The proposal learns from log r(x) alone: draws and their log r are detached.
    proposal_only = torch.autograd.grad(
        log_p_hat(model, x, model.context(x), draws(20), 20).sum(), model.backbone.output.bias
    )[0].unflatten(0, (2, 17))
    assert (proposal_only[:, 8:] == 0).all()
    assert (proposal_only[:, :8] != 0).all()


def stream_fit(model: Any, objective: Objective, law: Any, steps: int, n: int = 200) -> None:
    """Fit on fresh examples in every step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        now = draws(n, step)
        loss = objective(model, law.sample(now.fork("data")) + MEAN, now).total
        (loss * objective.gain(model) / model.dims).backward()
        optimizer.step()
        scheduler.step()


def slopes(model: Any, x: Tensor, true: Tensor) -> tuple[float, Sequence[float]]:
    s = model.conditional_score(x, model.context(x)).detach()
    return float((s - true).square().mean() / true.square().mean()), ((s * true).sum(0) / true.square().sum(0)).tolist()


@pytest.mark.parametrize(("objective", "correlation"), [(AEM(20), 0.8), (CSM(), 0.8)])
def test_it_recovers_a_correlated_gaussian(objective: Objective, correlation: float) -> None:
    law, model = gaussian_law(2, STD, correlation), machine(2)
    stream_fit(model, objective, law, 350)
    x = law.sample(draws(2000, 999))
    error, slope = slopes(model, x + MEAN, law.conditional_score(x, range(2)))
    assert error < 0.05
    assert slope == pytest.approx([1.0, 1.0], abs=0.1)
    with torch.no_grad():
        exact = log_p_exact(model, x[:500] + MEAN).sum(-1)
        assert 0 < (law.log_prob(x[:500]) - exact).mean() < 0.03, "Kullback-Leibler, nats"
    if isinstance(objective, AEM):
        with torch.no_grad():
            held_out = -objective.held_out(model, x[:500] + MEAN, draws(500))
        assert abs((held_out - exact).mean()) < 0.02
        model.sampler = Resampling()
        y = model.sample(5_000, torch.Generator().manual_seed(1))
        assert (y.mean(0) - MEAN).abs().max() < 0.2
        assert (torch.cov(y.T) - law.covariances_KDD[0]).abs().max() < 0.35


# The sampler.


def test_resampling_draws_the_model_and_a_seed_reproduces_it() -> None:
    model = machine(1, spice=1.5)
    model.sampler = Resampling(200)
    x = model.sample(4000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(x, model.sample(4000, torch.Generator().manual_seed(0)), rtol=0, atol=0)
    line = torch.linspace(-20, 20, 4001) + MEAN
    with torch.no_grad():
        c = model.context(x[:1])
        density = (-model.conditional_energy(line[:, None, None], c)).exp()[:, 0, 0]
        proposal = model.proposal_log_prob(line[:, None, None], c).exp()[:, 0, 0]
    ordered = x[:, 0].sort().values
    place = torch.searchsorted(line, ordered).clamp(max=4000)

    def distance(law: Tensor) -> float:
        return float(((law.cumsum(0) / law.sum())[place] - torch.arange(4000) / 4000).abs().max())

    assert distance(density) < 1.95 / 4000**0.5
    assert distance(proposal) > 0.05, "the proposal itself is another law"


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"samples=0 must be"):
        AEM(0)
    with pytest.raises(ValueError, match=r"held_out_samples=-1 must be"):
        AEM(20, -1)
    with pytest.raises(ValueError, match=r"proposals=0 must be"):
        Resampling(0)


def test_golden_loss() -> None:
    """One number that must not change by accident: fixed weights, fixed data."""
    model, generator = machine(5), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
        for layer in (*model.backbone.layers, model.backbone.output):
            layer.weight.mul_(layer.mask)
    x = torch.randn(16, 5, generator=generator)
    assert float(AEM(20)(model, x, draws(16)).per_example.mean().detach()) == pytest.approx(25.458887825, rel=1e-6)
