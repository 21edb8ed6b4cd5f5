"""Derivatives against independent ones, and the traps."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scorewise.backbones import MADE, MLP
from scorewise.gradients import elementwise_derivative, exact_trace, score_of_log_density
from scorewise.heads import ConditionalScore, Energy, Score

pytestmark = pytest.mark.usefixtures("double")


def conditional_model(activation: str = "silu") -> ConditionalScore:
    return ConditionalScore(MADE((6,), 5, (30, 30)), activation=activation, std=0.7, noise=0.3)


def field(model: ConditionalScore, x: Tensor) -> Tensor:
    return model.conditional_score(x, model.context(x))


def full_jacobian(model: ConditionalScore, x: Tensor) -> Tensor:
    rows = torch.autograd.functional.jacobian(lambda y: field(model, y[None])[0], x)
    assert isinstance(rows, Tensor)
    return rows


def test_the_derivative_of_the_head_is_the_diagonal_of_the_full_jacobian() -> None:
    model, x = conditional_model(), torch.randn(7, 6)
    c = model.context(x)
    s, ds = elementwise_derivative(lambda q: model.conditional_score(q, c), x)
    torch.testing.assert_close(s, field(model, x))
    for i in range(7):
        full = full_jacobian(model, x[i])
        torch.testing.assert_close(ds[i], full.diagonal(), rtol=0, atol=1e-12)
        assert full.triu(1).eq(0).all()


def test_the_derivative_through_the_context_is_wrong() -> None:
    model, x = conditional_model(), torch.randn(7, 6)
    leaf = x.clone().requires_grad_()
    (through_context,) = torch.autograd.grad(field(model, leaf).sum(), leaf)
    c = model.context(x)
    _, ds = elementwise_derivative(lambda q: model.conditional_score(q, c), x)
    assert (through_context - ds).abs().max() > 1e-3


def test_a_conditional_score_is_elementwise_in_its_query() -> None:
    model, x = conditional_model(), torch.randn(6)
    c = model.context(x[None])
    rows = torch.autograd.functional.jacobian(lambda q: model.conditional_score(q[None], c)[0], x)
    assert isinstance(rows, Tensor)
    assert (rows - torch.diag(rows.diagonal())).eq(0).all()
    nodes = torch.randn(4, 1, 6)
    torch.testing.assert_close(model.conditional_score(nodes, c)[2], model.conditional_score(nodes[2], c))


def test_gradients_work_in_every_scope() -> None:
    model, x = conditional_model(), torch.randn(3, 6)
    c = model.context(x)
    expected = elementwise_derivative(lambda q: model.conditional_score(q, c), x)[1]
    energy = Energy(MLP((6,), (8, 8)))
    score = energy.score(x)
    with torch.no_grad():
        got = elementwise_derivative(lambda q: model.conditional_score(q, c), x)[1]
        assert not got.requires_grad
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(energy.score(x), score)
    with torch.inference_mode():
        y = x.clone()
        c = model.context(y)
        torch.testing.assert_close(elementwise_derivative(lambda q: model.conditional_score(q, c), y)[1], expected)
        torch.testing.assert_close(energy.score(y), score)
        assert exact_trace(energy.score, y)[1].shape == (3,)


def test_the_score_of_an_energy_and_its_trace_are_the_hessian() -> None:
    energy, x = Energy(MLP((4,), (9, 9)), std=2.0), torch.randn(5, 4)
    s, trace = exact_trace(energy.score, x)
    for i in range(5):
        hessian = torch.autograd.functional.hessian(lambda y: energy.energy(y[None])[0], x[i])
        gradient = torch.autograd.functional.jacobian(lambda y: energy.energy(y[None])[0], x[i])
        torch.testing.assert_close(s[i], -gradient)
        torch.testing.assert_close(trace[i], -hessian.trace())


def test_the_trace_of_a_field_is_that_of_its_jacobian() -> None:
    model, x = Score(MLP((4,), (9, 9))), torch.randn(3, 4)
    _, trace = exact_trace(model.score, x)
    for i in range(3):
        rows = torch.autograd.functional.jacobian(lambda y: model.score(y[None])[0], x[i])
        assert isinstance(rows, Tensor)
        torch.testing.assert_close(trace[i], rows.trace())


def test_a_constant_field_has_trace_zero() -> None:
    _, trace = exact_trace(lambda x: torch.zeros_like(x), torch.randn(3, 4))
    assert trace.eq(0).all()


def test_score_of_a_log_density() -> None:
    x = torch.randn(5, 3)
    torch.testing.assert_close(score_of_log_density(lambda y: -0.5 * y.square().sum(-1), x), -x)


def relative_fisher_error(activation: type[nn.Module]) -> float:
    """Fit the score of a two-mode mixture by score matching with one small network."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(1, 32), activation(), nn.Linear(32, 32), activation(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3, fused=True)
    x = torch.cat([torch.randn(500, 1) * 0.6 + 1, torch.randn(500, 1) * 0.6 - 1])
    for _ in range(300):
        s, ds = elementwise_derivative(net, x)
        optimizer.zero_grad()
        (0.5 * s.square() + ds).mean().backward()
        optimizer.step()
    weight = torch.softmax(torch.cat([-((x - 1) ** 2), -((x + 1) ** 2)], 1) / (2 * 0.36), 1)
    true = -(weight * torch.cat([x - 1, x + 1], 1)).sum(1, keepdim=True) / 0.36
    return float((net(x).detach() - true).square().mean() / true.square().mean())


def test_a_head_with_kinks_learns_nothing_and_a_smooth_one_does() -> None:
    assert relative_fisher_error(nn.SiLU) < 0.1
    assert relative_fisher_error(nn.ReLU) > 0.5


@pytest.mark.parametrize("name", ["csm", "csm_annealed", "sm", "ssm", "dsm"])
@pytest.mark.parametrize("grad", [True, False])
def test_derivatives_are_in_full_precision_inside_autocast(
    name: str, grad: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same features in bfloat16 the loss is that of float32, and features are all that may be in bfloat16."""
    from test_compose import settled

    from scorewise.config.build import build
    from scorewise.noise import Draws

    torch.set_default_dtype(torch.float32)
    more = ["head=conditional_energy"] if name == "dsm" else []
    parts: Any = build(settled("data=gaussian", "data.smoothing=0.3", f"objective={name}", *more), 0)
    x_BD, draws = torch.randn(32, 10), Draws.of(0, 0, torch.arange(32))
    with torch.set_grad_enabled(grad):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            c_BDF = parts.model.context(x_BD)
            rough_BDF = parts.model.backbone.causal_features(x_BD)
            assert rough_BDF.dtype == torch.bfloat16
            assert c_BDF.dtype == torch.float32
            assert torch.equal(c_BDF, c_BDF.bfloat16().float())
            if name in ("csm", "csm_annealed", "dsm"):
                monkeypatch.setattr(parts.model, "context", lambda _: c_BDF)
            mixed_B = parts.objective.per_example(parts.model, x_BD, draws)
        full_B = parts.objective.per_example(parts.model, x_BD, draws)
    torch.testing.assert_close(mixed_B, full_B, rtol=1e-6, atol=1e-6)


def test_a_derivative_of_anything_is_in_full_precision_inside_autocast() -> None:
    layer, x = nn.Linear(3, 3, dtype=torch.float32), torch.randn(5, 3, dtype=torch.float32)
    full = layer(x).square(), 2 * layer(x) @ layer.weight
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = elementwise_derivative(lambda q: layer(q).square(), x)
        score = score_of_log_density(lambda q: layer(q).square().sum(-1), x)
    torch.testing.assert_close((*mixed, score), (*full, full[1]), rtol=1e-6, atol=1e-6)
