"""The fused steps of composite score matching, at one noise level and at many, against double backward."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from conftest import Outcome
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.backbones.tangents import CURVATURES, TANGENTS
from scorewise.capabilities import FusedCSMModel, FusedNoisyCSMModel
from scorewise.heads import ConditionalScore, NoisyConditionalScore, fused_csm
from scorewise.noise import Draws
from scorewise.objectives import CSM, CSMAnnealed
from scorewise.objectives.objective import Objective

SMOOTH = ("silu", "softplus", "tanh", "elu")
DIMS, BATCH = 5, 7


def model_with(activation: str = "silu", hidden: Sequence[int] = (6, 5), form: str = "edm") -> ConditionalScore:
    noise = 0.0 if form == "raw" else 0.4
    made = MADE((DIMS,), 3, (8,), "tanh")
    return ConditionalScore(made, hidden=hidden, activation=activation, form=form, noise=noise, mean=0.3, std=1.7)


def draws(n: int = BATCH) -> Draws:
    return Draws.of(0, 0, torch.arange(n))


def gradients(total: Tensor, model: torch.nn.Module) -> dict[str, Tensor]:
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(total, parameters), strict=True))


def by_double_backward(model: ConditionalScore, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    loss = Objective.__call__(CSM(), model, x, draws(len(x)), weight)
    return loss.total, loss.per_example


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", SMOOTH)
def test_the_table_of_tangents(name: str) -> None:
    a = torch.linspace(-9, 9, 37).add(0.01).requires_grad_()
    phi, slope, curvature = CURVATURES[name](a)
    expected: Tensor = getattr(torch.nn.functional, name)(a) if name != "tanh" else torch.tanh(a)
    (first,) = torch.autograd.grad(expected.sum(), a, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), a)
    for found, true in ((phi, expected), (slope, first), (curvature, second)):
        torch.testing.assert_close(found, true, rtol=0, atol=1e-12)
    assert all(torch.equal(one, other) for one, other in zip(TANGENTS[name](a), (phi, slope), strict=True))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("hidden", [(6,), (6, 5), (6, 5, 4)])
@pytest.mark.parametrize("form", ["raw", "denoiser", "edm"])
def test_values_and_every_gradient_equal_double_backward(
    activation: str, hidden: tuple[int, ...], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_csm, "ROWS", 8)  # 35 rows in uneven chunks
    model, x, weight = model_with(activation, hidden, form), 2 * torch.randn(BATCH, DIMS), torch.rand(BATCH)
    gain = CSM().gain(model) / model.dims
    fused = CSM()(model, x, draws(), weight)
    total, per_example = by_double_backward(model, x, weight)
    torch.testing.assert_close(fused.total, total, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(fused.per_example, per_example, rtol=1e-10, atol=1e-10)
    found, true = gradients(gain * fused.total, model), gradients(gain * total, model)
    assert len(found) == 2 * (2 + len(hidden) + 1) + 1
    for name in true:
        torch.testing.assert_close(found[name], true[name], rtol=1e-10, atol=1e-10, msg=name)
        assert true[name].abs().max() > 1e-6, name


def noisy_model_with(activation: str = "silu", hidden: Sequence[int] = (6, 5)) -> NoisyConditionalScore:
    made = MADE((DIMS,), 3, (8,), "tanh")
    levels = (2.0, 0.9, 0.4)
    return NoisyConditionalScore(
        made, levels=levels, hidden=hidden, activation=activation, noise=0.4, mean=0.3, std=1.7
    )


def annealed_by_double_backward(
    objective: CSMAnnealed, model: NoisyConditionalScore, x: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    loss_B = objective.per_example(model, x, draws(len(x)))
    return (weight * loss_B).sum(), loss_B


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("hidden", [(6,), (6, 5, 4)])
@pytest.mark.parametrize("settings", [{}, {"draws": 3, "weight": "edm"}, {"continuous": False, "sigma_min": 0.5}])
def test_at_many_levels_values_and_every_gradient_equal_double_backward(
    activation: str, hidden: tuple[int, ...], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_csm, "ROWS", 8)
    objective = CSMAnnealed(**{"sigma_max": 2.0, "sigma_min": None, "levels": 3, "smoothing": 0.4, **settings})
    model, x = noisy_model_with(activation, hidden), 2 * torch.randn(BATCH, DIMS)
    weight = torch.rand(BATCH).index_fill(0, torch.tensor([2]), 0.0)  # its value is told all the same
    loss = objective(model, x, draws(), weight)
    total, per_example = annealed_by_double_backward(objective, model, x, weight)
    torch.testing.assert_close(loss.total, total, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(loss.per_example, per_example, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(objective(model, x, draws()).total, per_example.mean(), rtol=1e-10, atol=1e-10)
    found, true = gradients(loss.total, model), gradients(total, model)
    assert len(found) == 2 * (2 + len(hidden) + 1) + 2
    for name in true:
        torch.testing.assert_close(found[name], true[name], rtol=1e-10, atol=1e-10, msg=name)
        assert true[name].abs().max() > 1e-6, name
    with torch.no_grad():
        torch.testing.assert_close(objective(model, x, draws(), weight).per_example, per_example)


@pytest.mark.usefixtures("double")
def test_at_many_levels_what_the_pass_cannot_do_takes_the_ordinary_path_or_is_refused() -> None:
    objective, model, x = CSMAnnealed(2.0, None, 3, 0.4), noisy_model_with(), torch.randn(BATCH, DIMS)
    mean = torch.full((BATCH,), 1 / BATCH)
    with pytest.raises(RuntimeError, match="differentiated once only"):
        torch.autograd.grad(objective(model, x, draws()).total, model.of_query, create_graph=True)
    wanting = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(model, wanting, draws()).total, wanting)
    assert gradient.abs().max() > 0
    with pytest.raises(ValueError, match="no second derivative"):
        objective(noisy_model_with("relu"), x, draws())
    other = DoubledAtEveryLevel(MADE((DIMS,), 3, (8,), "tanh"), levels=(2.0, 0.4), noise=0.4)
    assert isinstance(model, FusedNoisyCSMModel)
    assert not isinstance(other, FusedNoisyCSMModel)
    true = annealed_by_double_backward(objective, other, x, mean)[0]
    torch.testing.assert_close(objective(other, x, draws()).total, true)


def test_at_many_levels_mixed_precision_leaves_the_derivative_in_single() -> None:
    objective, model, x = CSMAnnealed(2.0, None, 3, 0.4), noisy_model_with(), torch.randn(BATCH, DIMS)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, context = objective(model, x, draws()), model.context(x)
    assert mixed.total.dtype == torch.float32
    model.context = lambda _: context  # type: ignore[method-assign, assignment]
    full = objective(model, x, draws())
    torch.testing.assert_close(mixed.per_example, full.per_example, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("double")
def test_without_gradients_it_is_values_alone() -> None:
    model, x = model_with(), torch.randn(BATCH, DIMS)
    per_example = by_double_backward(model, x, torch.ones(BATCH))[1]
    for scope in (torch.no_grad(), torch.inference_mode()):
        with scope:
            loss = CSM()(model, x, draws())
            torch.testing.assert_close(loss.per_example, per_example)
            torch.testing.assert_close(loss.total, per_example.mean())
            torch.testing.assert_close(CSM().per_example(model, x, draws()), per_example)
            assert not loss.total.requires_grad


@pytest.mark.usefixtures("double")
def test_weights_of_examples_may_be_learned() -> None:
    model, x, weight = model_with(), torch.randn(BATCH, DIMS), torch.rand(BATCH, requires_grad=True)
    loss = CSM()(model, x, draws(), weight)
    (gradient,) = torch.autograd.grad(3 * loss.total, weight)
    torch.testing.assert_close(gradient, 3 * loss.per_example)


@pytest.mark.usefixtures("double")
def test_it_cannot_be_differentiated_twice() -> None:
    model = model_with()
    total = CSM()(model, torch.randn(BATCH, DIMS), draws()).total
    with pytest.raises(RuntimeError, match="differentiated once only"):
        torch.autograd.grad(total, model.of_query, create_graph=True)


@pytest.mark.usefixtures("double")
def test_data_that_want_a_gradient_take_the_ordinary_path() -> None:
    model, x = model_with(), torch.randn(BATCH, DIMS, requires_grad=True)
    (gradient,) = torch.autograd.grad(CSM()(model, x, draws()).total, x, create_graph=True)
    assert gradient.abs().max() > 0
    gradient.sum().backward()


@pytest.mark.usefixtures("double")
def test_frozen_parts_and_repeated_backward() -> None:
    model, x = model_with(), torch.randn(BATCH, DIMS)
    true = gradients(CSM()(model, x, draws()).total, model)
    model.backbone.requires_grad_(False)
    total = CSM()(model, x, draws()).total
    for times in (1, 2):
        total.backward(retain_graph=True)
        assert model.of_query.grad is not None
        torch.testing.assert_close(model.of_query.grad, times * true["of_query"])
    assert all(parameter.grad is None for parameter in model.backbone.parameters())


def test_a_kinked_activation_is_refused_where_it_would_train_wrongly() -> None:
    model, x = model_with("relu"), torch.randn(BATCH, DIMS)
    with pytest.raises(ValueError, match="no second derivative"):
        CSM()(model, x, draws())
    with torch.no_grad():
        found = CSM()(model, x, draws()).per_example
    torch.testing.assert_close(found, by_double_backward(model, x, torch.ones(BATCH))[1])


@pytest.mark.parametrize("fused", [True, False])
def test_mixed_precision_leaves_the_derivative_in_single(fused: bool) -> None:
    model, x = model_with(), torch.randn(BATCH, DIMS)
    single = model.context(x)
    call = CSM().__call__ if fused else lambda *a: Objective.__call__(CSM(), *a)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, context = call(model, x, draws()), model.context(x)
    assert mixed.total.dtype == context.dtype == torch.float32
    assert not torch.allclose(context, single, rtol=1e-4), "the trunk is in half precision"
    model.context = lambda _: context  # type: ignore[method-assign, assignment]
    full = call(model, x, draws())
    torch.testing.assert_close(mixed.per_example, full.per_example, rtol=1e-6, atol=1e-6)
    mixed.total.backward(retain_graph=True)
    assert model.last.weight.grad is not None
    assert model.last.weight.grad.dtype == torch.float32


def test_single_precision_is_close() -> None:
    model, x, weight = model_with(), torch.randn(BATCH, DIMS), torch.rand(BATCH)
    found = gradients(CSM()(model, x, draws(), weight).total, model)
    true = gradients(by_double_backward(model, x, weight)[0], model)
    for name in true:
        torch.testing.assert_close(found[name], true[name], rtol=1e-4, atol=1e-5, msg=name)


class Doubled(ConditionalScore):
    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        return 2 * super().conditional_score(q_BD, c_BDF)


class DoubledAtEveryLevel(NoisyConditionalScore):
    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        return 2 * super().noisy_conditional_score(q_BD, c_BDF, sigma_BD)


def test_a_class_with_another_score_takes_the_ordinary_path() -> None:
    model, x = Doubled(MADE((DIMS,), 3, (8,)), noise=0.4), torch.randn(BATCH, DIMS)
    assert isinstance(model_with(), FusedCSMModel)
    assert not isinstance(model, FusedCSMModel)
    loss = CSM()(model, x, draws())
    torch.testing.assert_close(loss.total, by_double_backward(model, x, torch.full((BATCH,), 1 / BATCH))[0])


def test_training_in_mixed_precision(command: Callable[..., Outcome]) -> None:
    csm = {}
    for precision in ("32-true", "bf16-mixed"):
        folder = f"hydra.run.dir={precision}"
        ended = command("debug=tiny", "objective=csm", f"trainer.precision={precision}", folder)
        assert ended.status == 0, ended.err
        csm[precision] = json.loads((ended.folder / precision / "summary.json").read_text())["metrics"]["csm"]
    assert csm["bf16-mixed"] == pytest.approx(csm["32-true"], rel=0.02)
