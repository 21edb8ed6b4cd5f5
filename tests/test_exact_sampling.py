"""Samplers that draw the very law of the likelihood: inverse CDF, parallel, flow, level to level; and completing."""

from typing import Any

import pytest
import torch
from test_likelihood import LAWS, Analytic, far_modes
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.figures.two_samples import maximum_mean_discrepancy
from scorewise.heads import ConditionalScore, Cosine, Gaussian
from scorewise.likelihood import FlowODE, Quadrature, TailMass
from scorewise.ordering import Ordering
from scorewise.sampling import Annealed, Flow, InverseCDF, Parallel

pytestmark = pytest.mark.usefixtures("double")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_model(head: str, dims: int = 5) -> Any:
    torch.manual_seed(3)
    model: Any = {
        "gaussian": lambda: Gaussian(MADE((dims,), 2, (16,)), std=1.0, noise=0.4),
        "cosine": lambda: Cosine(MADE((dims,), 8, (16,)), low=-3.0, high=3.0, terms=8, noise=0.4),
        "conditional_score": lambda: ConditionalScore(MADE((dims,), 4, (16,)), hidden=(8, 8), noise=0.4),
    }[head]()
    with torch.no_grad():
        model.backbone.output.bias.normal_(std=0.3)
    if head == "conditional_score":
        model.likelihood = Quadrature(-6, 6)
    return model.eval()


@pytest.mark.parametrize("name", LAWS)
def test_inverse_cdf_draws_the_law(name: str) -> None:
    model: Any = Analytic(2, *LAWS[name])
    model.likelihood, model.sampler = Quadrature(-3, 3, panels=30), InverseCDF()
    model.context_stream = lambda: Stream(model)
    x, y = model.sample(1000, seeded()), model.draw(1000)
    assert abs(maximum_mean_discrepancy(x, y, 0.3)) < 2e-3
    pit = model.likelihood.cdf(model, x, model.context(x)).flatten().sort().values
    n = len(pit)
    distance = (pit - (torch.arange(n) + 0.5) / n).abs().max()
    assert distance < 1.63 / n**0.5, "Kolmogorov: the 1 % point"


@torch.no_grad()
def test_the_flow_takes_the_steps_that_it_says_after_they_were_changed_too() -> None:
    model: Any = Analytic(1, [0.3, 0.7], [-2.0, 1.5], [0.1, 0.1])
    changed, contexts = Flow(2), torch.zeros(100, 1, 1)
    changed.steps = 64
    few, many, found = (each.draw_block(model, contexts, seeded()) for each in (Flow(2), Flow(64), changed))
    torch.testing.assert_close(found, many, rtol=0, atol=0)
    assert (found - few).abs().max() > 0.01


@torch.no_grad()
def test_long_steps_from_level_to_level_are_exact_too() -> None:
    model: Any = Analytic(1, [0.3, 0.7], [-2.0, 1.5], [0.1, 0.1])
    n = 20_000
    x = Annealed(4).draw_block(model, torch.zeros(n, 1, 1), seeded())
    log_w, m, s = model.parts
    pit = (log_w.exp() * torch.special.ndtr((x - m) / s)).sum(-1).sort().values
    assert (pit - (torch.arange(n) + 0.5) / n).abs().max() < 1.63 / n**0.5, "Kolmogorov: the 1 % point"


def test_no_uniform_number_has_an_infinite_quantile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, dtype, **_: torch.zeros(shape, dtype=dtype))
    for head in ("gaussian", "cosine", "conditional_score"):
        model = random_model(head)
        model.sampler = InverseCDF()
        assert torch.isfinite(model.sample(2)).all()
        assert model.sample(2).abs().max() < 100


class Stream:
    def __init__(self, model: Any) -> None:
        self.model, self.values, self.calls = model, torch.zeros(0), 0

    def start(self, n: int) -> Tensor:
        self.values = torch.zeros(n, 0)
        return self._next()

    def push(self, x_block: Tensor) -> Tensor:
        self.values = torch.cat([self.values, x_block], -1)
        return self._next()

    def _next(self) -> Tensor:
        self.calls += 1
        n, done = self.values.shape
        if done == self.model.dims:
            return torch.zeros(n, 0, 1)
        return 0.5 * self.values.sum(-1).reshape(n, 1, 1)


class Growing(Analytic):
    """Conditionals whose score does not decay: no law."""

    def _score(self, q_BD: Tensor, c_BDF: Tensor, sigma: Tensor) -> Tensor:
        return 0.2 * q_BD + 0 * c_BDF[..., 0]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("sampler", "likelihood"),
    [
        (InverseCDF(), Quadrature(-4, 4)),
        (Parallel(), Quadrature(-4, 4)),
        (Flow(4), FlowODE(4)),
        (Annealed(4), FlowODE()),
    ],
    ids=["inverse_cdf", "parallel", "flow", "annealed"],
)
def test_samples_of_a_refused_model_come_with_the_sentence(sampler: Any, likelihood: Any, training: bool) -> None:
    model: Any = Growing(2, *LAWS["gaussian"]).train(training)
    model.likelihood, model.sampler, model.context_stream = likelihood, sampler, lambda: Stream(model)
    with pytest.raises(TailMass) as refusal:
        model.log_prob(torch.zeros(3, 2))
    sentence = str(refusal.value).split("conditional's mass ")[1]
    for draw in (
        lambda: model.sample(3, seeded()),
        lambda: model.complete(torch.zeros(3, 2), torch.tensor([True, False])),
    ):
        with pytest.warns(UserWarning, match="not of a proper law") as told:
            assert torch.isfinite(draw()).all()
        assert len(told) == 1
        assert sentence in str(told[0].message)
        assert told[0].filename == __file__


@pytest.mark.parametrize("sampler", [InverseCDF(), Parallel()])
def test_samples_of_a_proper_law_come_without_a_word(sampler: Any, recwarn: pytest.WarningsRecorder) -> None:
    model = random_model("conditional_score")
    model.sampler = sampler
    model.sample(3, seeded())
    assert not recwarn.list


@pytest.mark.parametrize("apart", [6, 12, 20, 30])
def test_a_rare_far_mode_is_drawn_as_often_as_it_should(apart: float) -> None:
    model = far_modes(apart)
    model.sampler, model.context_stream = InverseCDF(), lambda: Stream(model)
    share = float((model.sample(4000, seeded()) > 0).double().mean())
    assert abs(share - 0.05) < 3 * (0.05 * 0.95 / 4000) ** 0.5


@pytest.mark.parametrize("sampler", [InverseCDF(), Parallel()])
def test_nothing_is_left_to_complete(sampler: Any) -> None:
    model, x = random_model("gaussian"), torch.randn(3, 5)
    model.sampler = sampler
    assert torch.equal(model.complete(x, torch.ones(5, dtype=torch.bool)), x)


def test_inverse_cdf_equals_the_closed_form() -> None:
    model = random_model("gaussian")
    c, u = model.context(torch.randn(50, 5)).detach(), torch.rand(50, 5)
    found = Quadrature(-30, 30, panels=600).quantile(model, u, c)
    torch.testing.assert_close(found, model.conditional_quantile(u, c), atol=1e-8, rtol=0)


@pytest.mark.parametrize("head", ["gaussian", "cosine", "conditional_score"])
@pytest.mark.parametrize("block", [None, 2])
def test_parallel_is_sequential(head: str, block: int | None) -> None:
    """The same uniforms, block by block or all at once, with an order of its own."""
    model = random_model(head)
    model.sampler = InverseCDF()
    one = model.sample(20, seeded())
    model.sampler = Parallel(block, tolerance=1e-9)
    torch.testing.assert_close(model.sample(20, seeded()), one, atol=1e-6, rtol=0)
    assert model.sampler.rounds <= (6 if block is None else 9)


def test_one_context_per_dimension() -> None:
    model: Any = Analytic(4, *LAWS["gaussian"])
    stream = Stream(model)
    model.context_stream, model.likelihood, model.sampler = lambda: stream, Quadrature(-6, 6), InverseCDF()
    shares: list[float] = []
    model.sampler.watch = shares.append
    model.sample(3, seeded())
    assert stream.calls == 5
    assert shares == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("sampler", [Annealed(20), Flow(64)], ids=["annealed", "flow"])
@pytest.mark.parametrize("name", ["gaussian", "separated"])
def test_level_to_level(sampler: Any, name: str) -> None:
    model: Any = Analytic(1, *LAWS[name])
    model.context_stream, model.sampler = lambda: Stream(model), sampler
    x = model.sample(n := 2000, seeded())
    exact = Quadrature(-6, 6, panels=120)
    pit = exact.cdf(model, x, torch.zeros(n, 1, 1)).flatten().sort().values
    assert (pit - (torch.arange(n) + 0.5) / n).abs().max() < 1.63 / n**0.5 + 0.005


def test_a_noise_conditional_model_is_normalised_by_its_flow() -> None:
    model: Any = Analytic(2, *LAWS["unequal"])
    model.likelihood = FlowODE(64)
    with torch.no_grad():
        x = model.draw(100)
        exact = model.exact(x, model.context(x)).sum(-1)
        assert (model.log_prob(x) - exact).abs().mean() < 0.02


def test_completing_a_prefix_follows_the_conditional_law() -> None:
    """Two dimensions with correlation: x_1 given x_0 is normal with the regression's mean and variance."""
    model: Any = Analytic(2, [1.0], [0.0], [0.5])
    model.likelihood, model.sampler = Quadrature(-8, 8), InverseCDF()
    model.context_stream = lambda: Stream(model)
    x = model.complete(torch.tensor([[1.4, 99.0]]).expand(4000, 2), torch.tensor([True, False]), seeded())
    assert (x[:, 0] == 1.4).all()
    assert abs(x[:, 1].mean() - 0.7) < 0.03
    assert abs(x[:, 1].std() - 0.5) < 0.02


class Whole:
    """A user's own sampler, of whole examples."""

    def draw(self, model: Any, n: int, generator: Any) -> Tensor:
        """Return zeros."""
        return torch.zeros(n, model.dims)


@pytest.mark.parametrize("sampler", [InverseCDF(), Parallel(tolerance=1e-9)])
def test_completing_in_another_order(sampler: Any) -> None:
    model = Gaussian(MADE((3,), 2, (16,), ordering=[2, 0, 1]), noise=0.3).eval()
    model.sampler = sampler
    x = torch.randn(6, 3)
    full = model.complete(x, torch.tensor([True, False, True]), seeded())
    torch.testing.assert_close(full[:, [0, 2]], x[:, [0, 2]])
    u = torch.rand(6, 1, generator=seeded())
    expected = model.conditional_quantile(u, model.context(full)[:, 1:2])
    torch.testing.assert_close(full[:, 1:2], expected, atol=1e-8, rtol=0)
    with pytest.raises(ValueError, match="dimension 2 comes before the last of them"):
        model.complete(x, torch.tensor([True, False, False]), seeded())
    model.sampler = Whole()
    with pytest.raises(ValueError, match="draws whole examples only"):
        model.complete(x, torch.tensor([False, False, True]), seeded())
    assert Ordering.named("raster", 3).sequence == (0, 1, 2)
