"""Normalising flows: an exact inverse, an exact Jacobian, a mass of one, and the package that they need."""

import builtins
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import Outcome
from test_compose import settled

import scorewise
from scorewise.backbones import ConvNet, Glow
from scorewise.config import choices
from scorewise.config.build import build
from scorewise.config.choices import IncompatibleChoice
from scorewise.errors import UserError
from scorewise.heads import Energy, NormalisingFlow

BOTH = ("objective=mle", "backbone=glow", "head=auto")


def awake(shape: tuple[int, ...], **settings: Any) -> NormalisingFlow:
    """Return a flow whose couplings do something: they are the identity at the start."""
    flow = NormalisingFlow(Glow(shape, **settings), mean=-0.3, std=0.6, noise=0.3)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return flow


@pytest.mark.parametrize(
    ("shape", "settings"),
    [((1, 4, 4), {"levels": 2, "steps": 2}), ((3, 4, 2), {"levels": 1, "steps": 3}), ((2, 8, 8), {"levels": 3})],
)
def test_the_inverse_and_the_jacobian_are_exact(shape: tuple[int, ...], settings: Any, double: None) -> None:
    flow = awake(shape, filters=8, **{"steps": 1, **settings})
    u = torch.randn(3, flow.dims)
    z, log_det = flow.backbone.to_normal(u)
    torch.testing.assert_close(flow.backbone.from_normal(z), u)
    rows = torch.autograd.functional.jacobian(lambda v: flow.backbone.to_normal(v[None])[0][0], u[0])
    torch.testing.assert_close(torch.linalg.slogdet(rows)[1], log_det[0])
    assert log_det.std() > 1e-3, "a map whose volume depends on the image"
    assert z.shape == u.shape


def test_the_density_has_mass_one(double: None) -> None:
    """By importance sampling from a wider normal law in four dimensions, to a part in a hundred."""
    flow = awake((1, 2, 2), levels=1, steps=2, filters=8)
    wide = torch.distributions.Normal(flow.mean, 2 * float(flow.scale))
    x = wide.sample((200_000, 4))
    with torch.no_grad():
        ratio = (flow.log_prob(x) - wide.log_prob(x).sum(-1)).exp()
    assert ratio.mean() == pytest.approx(1, abs=5 * float(ratio.std()) / len(x) ** 0.5)
    assert float(ratio.std()) / len(x) ** 0.5 < 0.01


def test_score_and_draws_are_those_of_the_density(double: None) -> None:
    flow = awake((1, 2, 2), levels=1, steps=2, filters=8)
    x = torch.randn(2, 4)
    s = flow.score(x).detach()
    step = 1e-6 * torch.eye(4)
    for d in range(4):
        with torch.no_grad():
            slope = (flow.log_prob(x + step[d]) - flow.log_prob(x - step[d])) / 2e-6
        torch.testing.assert_close(s[:, d], slope, rtol=1e-5, atol=1e-6)
    flow.sampler = scorewise.sampling.Pushforward()
    draws = flow.sample(20_000, torch.Generator().manual_seed(0))
    # E_q[s] = 0 and E_q[x s] = -1 hold for draws of q alone.
    s = flow.score(draws).detach()
    assert (s.mean(0) / (s.std(0) / len(s) ** 0.5)).abs().max() < 4.5
    moment = s * draws
    assert ((moment.mean(0) + 1) / (moment.std(0) / len(s) ** 0.5)).abs().max() < 4.5


def test_scales_come_from_a_batch_when_they_are_asked_for() -> None:
    glow = Glow((1, 8, 8), levels=1, filters=8)
    u = 3 + 2 * torch.randn(200, 64)
    with torch.no_grad():
        before, _ = glow.to_normal(u)
    assert before.abs().mean() > 1.5, "a first pass alone sets nothing"
    glow.initialise(u)
    z = glow.to_normal(u)[0].detach()
    assert z.mean().abs() < 0.05
    # Couplings come after the last normalisation, and start by taking half of the channels times sigmoid(2).
    half = (1 + float(torch.tensor(2.0).sigmoid()) ** 2) / 2
    assert float(z.std()) == pytest.approx(half**0.5, abs=0.02)
    again = Glow((1, 8, 8), levels=1, filters=8)
    again.load_state_dict(glow.state_dict())
    torch.testing.assert_close(again.to_normal(u - 1)[0], glow.to_normal(u - 1)[0])


@pytest.mark.draws
def test_a_flow_trains_tests_loads_and_samples(command: Callable[..., Outcome]) -> None:
    words = ("backbone.filters=8", "backbone.steps=1", "trainer.max_steps=6", "trainer.limit_test_batches=2")
    ended = command(*BOTH, *words, "callbacks.progress=false", "callbacks.samples=4", "optim.warmup_steps=2")
    assert ended.status == 0, ended.err
    metrics = json.loads((ended.run / "summary.json").read_text())["metrics"]
    assert {"nll", "bits_per_dim"} <= set(metrics)
    assert all(torch.isfinite(torch.tensor(value)) for value in metrics.values())
    model = scorewise.load(ended.run)
    assert isinstance(model, NormalisingFlow)
    assert model.sample(3, torch.Generator().manual_seed(0)).shape == (3, 1, 8, 8)
    assert (ended.run / "samples.png").is_file()


def test_what_does_not_fit_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for choice, words in (
        (("data=toy2d",), "examples of shape [2] do not halve"),
        (("backbone.levels=4",), "do not halve so often: use fewer levels"),
        (("backbone.init=knots",), "init=knots is none of data, default"),
    ):
        with pytest.raises(UserError) as refused:
            build(settled(*BOTH, *choice), 0)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
    with pytest.raises(IncompatibleChoice, match=r"backbone\.activation=relu has no second derivative"):
        settled("objective=dsm", "backbone=glow", "head=flow", "backbone.activation=relu")
    settled(*BOTH, "backbone.activation=relu")
    honest = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "normflows":
            raise ImportError(name)
        return honest(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError) as refused:
        build(settled(*BOTH), 0)
    assert str(refused.value) == (
        "backbone=glow needs the package normflows, which is not installed: pip install normflows"
    )


def test_convolutions_make_an_energy_of_the_whole_image(double: None) -> None:
    net = ConvNet((1, 9, 8), channels=(4, 6), features=5)
    assert net.features(torch.randn(3, 72)).shape == (3, 5)
    energy = Energy(net, noise=0.3)
    x = torch.randn(2, 72)
    s = energy.score(x)
    torch.testing.assert_close(s[0], energy.score(x[:1])[0], msg="examples do not see each other")
    assert (s.abs() > 0).all()
    for shape, words in (((2,), "takes images of shape"), ((1, 3, 3), "to nothing")):
        with pytest.raises(ValueError, match=words):
            ConvNet(shape, channels=(4, 6))


def test_pcd_trains_an_energy_of_images(command: Callable[..., Outcome]) -> None:
    small = ("backbone.channels=[8,8]", "backbone.features=16", "objective.steps=4", "objective.buffer=64")
    limits = ("data.batch_size=32", "trainer.max_steps=60", "trainer.limit_val_batches=1", "callbacks.progress=false")
    ended = command(
        "objective=pcd",
        "backbone=convnet",
        "callbacks.samples=4",
        "sampler=langevin",
        "sampler.steps=20",
        *small,
        *limits,
    )
    assert ended.status == 0, ended.err
    metrics = json.loads((ended.run / "summary.json").read_text())["metrics"]
    assert all(torch.isfinite(torch.tensor(value)) for value in metrics.values())
    model = scorewise.load(ended.run)
    data = choices.build_source(settled()).examples("test", torch.arange(100), -1, 0)
    clean = data + 0.3 * torch.randn_like(data)
    assert model.energy(clean).mean() < model.energy(3 * torch.randn(100, 64)).mean()
    x = model.sample(8, torch.Generator().manual_seed(0))
    assert x.isfinite().all()
    assert x.abs().max() < 6
