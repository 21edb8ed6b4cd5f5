"""Likelihoods by quadrature and by flow: analytic conditionals, normalisation, tails, gradients."""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.heads import ConditionalEnergy, ConditionalScore, Cosine, Gaussian, Mixture
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.likelihood import Conditionals, FlowODE, Panels, Quadrature, TailMass, Transition
from scorewise.noise import Draws, geometric_ladder
from scorewise.objectives import CSM, CSMMLE, MLE
from scorewise.tasks.measures import ExactLikelihood

pytestmark = pytest.mark.usefixtures("double")


class Analytic(NumericallyNormalised):
    """Conditionals that are the same mixture of Gaussians in every dimension, shifted by half the sum before it."""

    def __init__(self, dims: int, weight: list[float], location: list[float], scale: list[float]) -> None:
        super().__init__(MADE((dims,), 1, (4,)), mean=0.0, std=1.0, noise=min(scale))
        self.parts = torch.tensor(weight).log(), torch.tensor(location), torch.tensor(scale)
        self.levels = geometric_ladder(4.0, self.noise, 12)
        self.std = 1.0

    def context(self, x_BD: Tensor) -> Tensor:
        return 0.5 * (x_BD.cumsum(-1) - x_BD).unsqueeze(-1)

    def _by_part(self, q_BD: Tensor, c_BDF: Tensor, sigma: Tensor | float) -> tuple[Tensor, Tensor]:
        """Return the log-density of every part with its weight, and its score, (B, D, K) each."""
        log_w_K, m_K, s_K = self.parts
        s_BDK = (s_K.square() + torch.as_tensor(sigma).square().unsqueeze(-1)).sqrt()
        z_BDK = ((q_BD - c_BDF[..., 0]).unsqueeze(-1) - m_K) / s_BDK
        return log_w_K - 0.5 * z_BDK**2 - s_BDK.log() - 0.5 * math.log(2 * math.pi), -z_BDK / s_BDK

    def exact(self, q_BD: Tensor, c_BDF: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        return torch.logsumexp(self._by_part(q_BD, c_BDF, sigma)[0], -1)

    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        return self._score(q_BD, c_BDF, torch.zeros(()))

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        """The level is the whole noise: the parts already have the smallest."""
        return self._score(q_BD, c_BDF, (sigma_BD**2 - self.noise**2).clamp(min=0).sqrt())

    def _score(self, q_BD: Tensor, c_BDF: Tensor, sigma: Tensor) -> Tensor:
        log_p_BDK, s_BDK = self._by_part(q_BD, c_BDF, sigma)
        return (torch.softmax(log_p_BDK, -1) * s_BDK).sum(-1)

    def draw(self, n: int) -> Tensor:
        log_w_K, m_K, s_K = self.parts
        x_BD = torch.zeros(n, self.dims)
        for d in range(self.dims):
            k_B = torch.multinomial(log_w_K.exp(), n, replacement=True)
            x_BD[:, d] = self.context(x_BD)[:, d, 0] + m_K[k_B] + s_K[k_B] * torch.randn(n)
        return x_BD


LAWS = {
    "gaussian": ([1.0], [0.1], [0.3]),
    "separated": ([0.3, 0.7], [-0.5, 0.5], [0.1, 0.1]),
    "unequal": ([0.5, 0.5], [-0.2, 0.7], [0.05, 0.2]),
}


@pytest.mark.parametrize("name", LAWS)
def test_the_scores_of_analytic_conditionals_are_gradients(name: str) -> None:
    model, q = Analytic(3, *LAWS[name]), torch.randn(5, 3)
    c = model.context(q)
    for more in (torch.zeros(()), torch.tensor(0.4)):
        found = torch.func.grad(lambda q, more=more: model.exact(q, c, more).sum())(q)
        torch.testing.assert_close(model._score(q, c, more), found)


ERRORS = {"gaussian": 1e-6, "separated": 5e-2, "unequal": 2e-3}


@pytest.mark.parametrize("name", LAWS)
@torch.no_grad()
def test_quadrature_of_analytic_conditionals(name: str) -> None:
    model = Analytic(3, *LAWS[name])
    model.likelihood = Quadrature(-6, 6)
    x = model.draw(100)
    exact = model.exact(x, model.context(x)).sum(-1)
    coarse = (model.log_prob(x) - exact).abs().max()
    model.likelihood = Quadrature(-6, 6, panels=4 * model.likelihood.rule(model).count)
    fine = (model.log_prob(x) - exact).abs().max()
    assert coarse < 3 * ERRORS[name]
    assert fine < 2e-5
    assert model.likelihood.numbers(model, x)["nll_quadrature_error"].max() < 1e-4


class FarModes(Analytic):
    """The law .95 N(-m, s^2) + .05 N(m, s^2), s = .3, whose score is a step about s^2 / m wide between the modes."""

    def __init__(self, m: float) -> None:
        super().__init__(1, [0.95, 0.05], [-m, m], [0.3, 0.3])
        self.m = m

    def _score(self, q_BD: Tensor, c_BDF: Tensor, sigma: Tensor) -> Tensor:
        y_BD = q_BD - c_BDF[..., 0]
        s_BD: Tensor = (self.m * torch.tanh(self.m * y_BD / 0.09 - 0.5 * math.log(19)) - y_BD) / 0.09
        return s_BD


def far_modes(apart: float, offset: float = 0.0) -> Any:
    """Return the law with 2m = apart s, and its default rule with a range that begins so much further out."""
    m = 0.15 * apart
    model: Any = FarModes(m).eval()
    model.likelihood = Quadrature(-m - 1.8 - offset, m + 1.8, largest_tail=1e-3)
    return model


@pytest.mark.parametrize("offset", [0.0, 0.13, 0.41])
@pytest.mark.parametrize("apart", [6, 12, 20, 30, 60])
@torch.no_grad()
def test_sharp_scores_between_far_modes_are_resolved(apart: float, offset: float) -> None:
    """Panels of two noise levels alone give the rare mode up to nine times its weight."""
    model = far_modes(apart, offset)
    m, side = 0.15 * apart, torch.linspace(-1.2, 1.2, 17)
    x = torch.cat([side - m, side + m, torch.linspace(-m, m, 17)])[:, None]
    exact = model.exact(x, model.context(x))
    torch.testing.assert_close(model.log_prob(x), exact[:, 0], rtol=0, atol=1e-3)
    u = ((torch.arange(500) + 0.5) / 500)[:, None]
    c = torch.zeros(500, 1, 1)
    y, rule = model.likelihood.quantile(model, u, c), model.likelihood
    shares = (torch.special.ndtr((y - model.parts[1]) / 0.3) * model.parts[0].exp()).sum(-1)
    torch.testing.assert_close(shares, u[:, 0], rtol=0, atol=1e-3)
    torch.testing.assert_close(rule.cdf(model, y, c), u, rtol=0, atol=1e-3)
    assert rule.numbers(model, x)["nll_quadrature_error"].max() < 1e-3


def test_refined_conditionals_have_their_gradients() -> None:
    model = far_modes(20)
    x = torch.tensor([[-2.0], [1.7], [0.05]], requires_grad=True)
    found = torch.autograd.grad(model.log_prob(x).sum(), x)[0]
    torch.testing.assert_close(found, model.conditional_score(x, model.context(x)), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", ["gaussian", "random"])
@torch.no_grad()
def test_smooth_conditionals_keep_their_panels(name: str) -> None:
    """Number for number what the first rule says."""
    model: Any = Analytic(3, *LAWS["gaussian"])
    if name == "random":
        torch.manual_seed(0)
        model = ConditionalScore(MADE((3,), 4, (8,)), hidden=(8, 8), std=1.0, noise=0.4)
    model.likelihood = rule = Quadrature(-6, 6)
    x = torch.randn(40, 3)
    c = model.context(x).flatten(0, 1)
    law = rule.conditionals(model, c)
    assert torch.equal(rule.conditional_log_prob(model, x)[0].flatten(), law.log_density(x.flatten()))
    u = torch.rand(120)
    assert torch.equal(rule.quantile(model, u[:, None], c[:, None])[:, 0], rule.conditionals(model, c, 0.7).quantile(u))


@pytest.mark.parametrize("score", ["jump", "nan"])
def test_what_no_panels_resolve_is_refused(score: str) -> None:
    class Odd(Analytic):
        def _score(self, q_BD: Tensor, c_BDF: Tensor, sigma: Tensor) -> Tensor:
            wild = 300 * torch.sin(4000 * q_BD) if score == "jump" else torch.where(q_BD > 0.2, torch.nan, 0 * q_BD)
            return wild - q_BD / 0.09 + 0 * c_BDF[..., 0]

    model: Any = Odd(2, *LAWS["gaussian"])
    model.likelihood = Quadrature(-3, 3)
    sentence = "a conditional is not resolved by 64 times the panels of likelihood.panels=10"
    with pytest.raises(TailMass, match=rf"dimension \d: {sentence}"):
        model.eval().log_prob(torch.zeros(2, 2))


@pytest.mark.parametrize("name", LAWS)
def test_distribution_function_and_quantiles(name: str) -> None:
    model = Analytic(1, *LAWS[name])
    rule = Quadrature(-3, 3, panels=120)
    x = model.draw(500)
    cdf = rule.cdf(model, x, model.context(x))
    log_w, m, s = model.parts
    exact = (log_w.exp() * torch.special.ndtr((x.unsqueeze(-1) - m) / s)).sum(-1)
    torch.testing.assert_close(cdf, exact, atol=2e-6, rtol=0)
    torch.testing.assert_close(
        rule.cdf(model, rule.quantile(model, cdf, model.context(x)), model.context(x)), cdf, atol=1e-5, rtol=0
    )


def test_the_tails_belong_to_the_law() -> None:
    """A range that cuts a Gaussian off: the linear continuation is that Gaussian again, mass and quantiles included."""
    normal = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    law = Conditionals.of_score(Panels(-0.7, 1.9, 20), lambda q: -q, 1.0)
    x = torch.linspace(-5, 5, 41)
    rows = Conditionals.of_score(Panels(torch.full((41,), -0.7), 1.9, 20), lambda q: -q, 1.0)
    torch.testing.assert_close(rows.log_density(x), normal.log_prob(x))
    torch.testing.assert_close(rows.cdf(x), normal.cdf(x))
    torch.testing.assert_close(rows.quantile(normal.cdf(x)), x, atol=1e-6, rtol=0)
    assert abs(float(law.outside()) - float(normal.cdf(torch.tensor(-0.7)) + 1 - normal.cdf(torch.tensor(1.2)))) < 1e-12


@pytest.mark.parametrize("likelihood", [Quadrature(-6, 6), FlowODE()])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none_have_no_density(likelihood: Any, value: float) -> None:
    model = Analytic(3, *LAWS["gaussian"])
    model.likelihood, x = likelihood, torch.zeros(4, 3)
    x[2, 1] = value
    with pytest.raises(ValueError, match="x is not finite in row 2"):
        model.log_prob(x)


@pytest.mark.parametrize("settings", [{"order": 1}, {"panels": 0}, {"values": 0}, {"steps": 0}, {"largest_tail": 0}])
def test_no_quadrature_rule_at_the_largest_level(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        FlowODE(**settings)


def test_a_score_that_does_not_decay_is_named() -> None:
    class Flat(Analytic):
        def _score(self, q_BD: Tensor, c_BDF: Tensor, sigma: Tensor) -> Tensor:
            return 0.0 * q_BD

    model, x = Flat(3, *LAWS["gaussian"]), torch.zeros(2, 3)
    model.likelihood = Quadrature(-1, 1)
    named = r"dimension \d: .* % of a conditional's mass lies outside"
    assert torch.isfinite(MLE().per_example(model, x, Draws.fresh(2))).all()  # in training it is a loss like another
    for wanted, training in itertools.product((True, False), repeat=2):
        with torch.set_grad_enabled(wanted), pytest.raises(TailMass, match=named):
            model.train(training).log_prob(x)


def test_a_refusal_does_not_depend_on_the_other_examples() -> None:
    class Escaping(Analytic):
        def _score(self, q_BD: Tensor, c_BDF: Tensor, sigma: Tensor) -> Tensor:
            return torch.where(c_BDF[..., 0] > 2, 0.5, -1.0) * q_BD

    model = Escaping(2, *LAWS["gaussian"]).eval()
    model.likelihood, x = Quadrature(-5, 5, largest_tail=1e-3), torch.zeros(5000, 2)
    assert torch.isfinite(model.log_prob(x)).all()
    x[17, 0] = 4.2  # of which the other dimension's context is half
    with pytest.raises(TailMass, match=r"dimension 1: .* % of a conditional's mass lies outside \[-5, 5\]"):
        model.log_prob(x)


def test_a_growing_score_has_no_flow() -> None:
    class Growing(Analytic):
        def _score(self, q_BD: Tensor, c_BDF: Tensor, sigma: Tensor) -> Tensor:
            return 0.2 * q_BD

    model = Growing(1, *LAWS["gaussian"]).eval()
    model.likelihood = FlowODE()
    with pytest.raises(TailMass, match=r"dimension 0: .* at the largest level"):
        model.log_prob(torch.zeros(3, 1))


@torch.no_grad()
def test_long_steps_of_a_flow_are_halved_where_they_fold() -> None:
    """Two steps that turn the line around leave a positive product: each is looked at."""
    model: Any = Analytic(1, [0.3, 0.7], [-2.0, 1.5], [0.2, 0.2]).eval()
    x = torch.linspace(-3, 3, 2001)[:, None]
    for steps, error in ((8, 0.06), (16, 2e-3), (32, 1e-4)):
        log_q_B1, outside_B1 = FlowODE(steps).conditional_log_prob(model, x)
        assert not outside_B1.isnan().any()
        assert abs(log_q_B1.exp().sum() * (x[1] - x[0]) - 1) < error
    model.likelihood = FlowODE(1)
    with pytest.raises(TailMass, match=r"folded by the flow even in steps of an eighth of likelihood.steps=1"):
        model.log_prob(x)


def test_full_precision_under_autocast() -> None:
    models: list[Any] = [Analytic(2, *LAWS["separated"]), closed_forms()["cosine"]]
    models[0].likelihood = Quadrature(-9, 9)
    for model in models:
        model.eval()
        x = torch.randn(20, model.dims)
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            found = model.log_prob(x)
        with torch.no_grad():
            torch.testing.assert_close(found, model.log_prob(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("head", ["gaussian", "mixture", "cosine"])
def test_held_out_likelihoods_are_in_single_precision_under_mixed_precision(head: str) -> None:
    """Autocast takes float32 to bfloat16, and float64 to nothing."""
    model: Any = closed_forms()[head].float().eval()
    x = torch.randn(20, 3, dtype=torch.float32)
    source: Any = SimpleNamespace(dims=3, log_volume=0.0)
    said = {
        "measure": lambda: ExactLikelihood(model, source).of(x)["nll"],
        "held out": lambda: MLE().held_out(model, x, Draws.fresh(20)),
    }
    with torch.no_grad():
        expected = -model.log_prob(x)
        for say in said.values():
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = say()
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_cosine_series_say_how_good_their_normaliser_is() -> None:
    model, x = closed_forms()["cosine"].eval(), torch.randn(20, 3)
    assert model.quadrature_error(x).max() < 1e-10
    rough = Cosine(MADE((3,), 12, (8,)), low=-4.0, high=4.0, terms=12, nodes=16, std=1.2, noise=0.4)
    with torch.no_grad():
        rough.backbone.output.bias.normal_().mul_(20)
    assert rough.quadrature_error(x).max() > 1e-3


def test_points_outside_are_finite_and_counted() -> None:
    model = Analytic(2, *LAWS["gaussian"])
    model.likelihood = Quadrature(-3, 3)
    x = torch.tensor([[0.1, 0.0], [3.5, 0.1], [-9.0, 9.0]])
    exact = model.exact(x, model.context(x)).sum(-1)
    with torch.no_grad():
        assert torch.isfinite(model.likelihood.conditional_log_prob(model, x)[0]).all()
    assert model.likelihood.numbers(model, x)["nll_outside"].tolist() == [0, 1, 2]
    with torch.no_grad():
        torch.testing.assert_close(model.likelihood.conditional_log_prob(model, x)[0].sum(-1), exact)


def closed_forms() -> dict[str, Any]:
    return {
        "gaussian": Gaussian(MADE((3,), 2, (8,)), std=1.2, noise=0.4),
        "mixture": Mixture(MADE((3,), 9, (8,)), components=3, std=1.2, noise=0.4),
        "cosine": Cosine(MADE((3,), 12, (8,)), low=-4.0, high=4.0, terms=12, nodes=400, std=1.2, noise=0.4),
    }


@pytest.mark.parametrize("head", ["gaussian", "mixture", "cosine"])
def test_quadrature_equals_closed_forms(head: str) -> None:
    model, x = closed_forms()[head], torch.randn(20, 3)
    low, high = (-4.0, 4.0) if head == "cosine" else (-40.0, 40.0)
    rule = Quadrature(low, high, panels=400, largest_tail=1.0)
    torch.testing.assert_close(rule.log_prob(model, x), model.log_prob(x), atol=1e-6, rtol=0)


def test_the_cosine_series_is_a_density() -> None:
    model = Cosine(MADE((2,), 12, (8,)), low=-2.0, high=2.0, terms=12, std=1.0, noise=0.5).eval()
    with torch.no_grad():
        model.backbone.output.bias.normal_()
    side = torch.linspace(-6, 6, 241)
    grid = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    with torch.no_grad():
        mass = model.log_prob(grid).exp().sum() * (side[1] - side[0]) ** 2
    assert abs(mass - 1) < 1e-3
    x, c = torch.linspace(-4, 4, 33)[:, None].expand(33, 2), model.context(torch.randn(33, 2)).detach()
    slope = torch.func.grad(lambda q: model.conditional_log_prob(q, c).sum())(x)
    torch.testing.assert_close(model.conditional_score(x, c), slope)
    torch.testing.assert_close(model.log_normaliser(c), model.log_normaliser(c, 4000), atol=1e-6, rtol=0)
    u = torch.rand(500, 2)
    c = model.context(torch.randn(500, 2)).detach()
    rule = Quadrature(-2, 2, panels=60, largest_tail=1.0)
    back = torch.cat([rule.conditionals(model, c[:, d]).cdf(model.conditional_quantile(u, c)[:, d]) for d in (0, 1)])
    torch.testing.assert_close(back, u.T.flatten(), atol=2e-3, rtol=0)


def test_too_few_nodes_of_a_cosine_series_are_refused() -> None:
    with pytest.raises(ValueError, match=r"head.nodes=12 is below 4/3 of head.terms=12"):
        Cosine(MADE((2,), 12, (8,)), low=-2.0, high=2.0, terms=12, nodes=12)


@pytest.mark.parametrize("head", ["score", "energy"])
def test_gradients_are_those_of_the_identity(head: str) -> None:
    """d log q(x) / d s(t) = F(t) - 1[t >= x], checked through every parameter, and against plain autograd."""
    model: Any = (
        ConditionalScore(MADE((3,), 4, (8,)), hidden=(8, 8), std=1.0, noise=0.4)
        if head == "score"
        else ConditionalEnergy(MADE((3,), 10, (8,)), context=4, components=2, hidden=(8, 8), noise=0.4)
    )
    rule = Quadrature(-8, 8, in_training=1.0)
    model.likelihood = rule
    x, weight = 0.8 * torch.randn(5, 3), torch.rand(5)
    found = torch.autograd.grad((weight * model.log_prob(x)).sum(), list(model.parameters()), allow_unused=True)
    log_q, *_ = rule._of_rows(model, x.flatten(), model.context(x).flatten(0, 1), 1)
    plain = torch.autograd.grad(
        (weight[:, None] * log_q.reshape(5, 3)).sum(), list(model.parameters()), allow_unused=True
    )
    for one, two in zip(found, plain, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two)
    if head == "score":
        c, t = model.context(x), torch.linspace(-7.9999, 7.9999, 801)[:, None, None]
        s = model.conditional_score(t.expand(-1, 5, 3), c)
        rows = torch.stack([rule.cdf(model, torch.full_like(x, float(point)), c) for point in t[:, 0, 0]])
        identity = (weight[:, None] * (rows - (t >= x).double()) * s).sum() * float(t[1] - t[0])
        ours = torch.autograd.grad(identity, model.last.weight, retain_graph=True)[0]
        index = next(i for i, parameter in enumerate(model.parameters()) if parameter is model.last.weight)
        torch.testing.assert_close(ours, found[index], rtol=2e-2, atol=1e-3)


def test_maximum_likelihood_of_a_free_form_conditional() -> None:
    """An energy trained by exact likelihood finds a bimodal law's weights, which score matching alone does not see."""
    torch.manual_seed(0)
    law = Analytic(1, [0.25, 0.75], [-1.0, 1.0], [0.2, 0.2])
    model = ConditionalScore(MADE((1,), 4, (8,)), hidden=(32, 32), std=1.0, noise=0.2)
    model.likelihood = Quadrature(-3, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 120)
    for _ in range(120):
        optimizer.zero_grad()
        MLE()(model, law.draw(256), Draws.fresh(256)).total.backward()
        optimizer.step()
        scheduler.step()
    x = law.draw(2000)
    with torch.no_grad():
        gap = (law.exact(x, law.context(x)).sum(-1) - model.log_prob(x)).mean()
    assert 0 < gap + 0.005 < 0.04
    assert abs(float(model.likelihood.cdf(model, torch.zeros(1, 1), model.context(torch.zeros(1, 1)))) - 0.25) < 0.03


@pytest.mark.parametrize("name", ["gaussian", "separated"])
@torch.no_grad()
def test_the_flow_of_analytic_conditionals(name: str) -> None:
    model: Any = Analytic(2, *LAWS[name])
    x = model.draw(200)
    exact = model.exact(x, model.context(x)).sum(-1)
    errors = [(FlowODE(steps).log_prob(model, x) - exact).abs().mean() for steps in (32, 64, 128)]
    assert errors[0] < 0.05
    assert errors[2] < 0.003
    assert errors[1] < errors[0] / 2.5
    flow = FlowODE(128)
    model.likelihood = flow
    u = torch.rand(300, 2)
    y = flow.quantile(model, u, torch.zeros(300, 2, 1))
    log_w, m, s = model.parts
    cdf = (log_w.exp() * torch.special.ndtr((y.unsqueeze(-1) - m) / s)).sum(-1)
    assert (cdf - u).abs().max() < 0.02


@pytest.mark.parametrize("name", ["gaussian", "separated"])
@torch.no_grad()
def test_the_density_of_draws_from_level_to_level(name: str) -> None:
    model: Any = Analytic(2, *LAWS[name])
    x = model.draw(8)
    found = Transition(5).conditional_log_prob(model, x)
    torch.testing.assert_close(found, model.exact(x, model.context(x)), rtol=0, atol=2e-4)


def test_a_transition_needs_two_levels() -> None:
    with pytest.raises(ValueError, match="levels=1 must be a whole number of at least 2"):
        Transition(1)


@torch.no_grad()
def test_single_precision_is_enough() -> None:
    model = Analytic(3, *LAWS["separated"])
    x = model.draw(50)
    double = Quadrature(-6, 6).log_prob(model, x)
    model.parts = tuple(part.float() for part in model.parts)  # type: ignore[assignment]
    single = Quadrature(-6, 6).log_prob(model.float(), x.float())
    assert (single.double() - double).abs().max() < 1e-3


def test_csm_changes_over_to_maximum_likelihood() -> None:
    model, x, draws = closed_forms()["mixture"], torch.randn(20, 3), Draws.fresh(20)
    objective = CSMMLE(0.25)
    for done, expected in ((0.0, CSM()), (0.7499, CSM()), (0.75, MLE()), (1.0, MLE())):
        objective.progress(done)
        torch.testing.assert_close(objective(model, x, draws).total, expected(model, x, draws).total)
        torch.testing.assert_close(objective.held_out(model, x, draws), -model.log_prob(x).detach())


def test_ranges_must_be_ranges() -> None:
    with pytest.raises(ValueError, match=r"likelihood.low=1 must be below likelihood.high=1"):
        Quadrature(1, 1)
    with pytest.raises(ValueError, match="panels=0 must be a whole number of at least 1"):
        Quadrature(0, 1, panels=0)
