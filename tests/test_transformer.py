"""The causal transformer: exact causality in any order, its stream, derivatives through it, and whole runs."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import Outcome
from test_backbones import assert_causal
from test_pixelcnnpp import jacobian
from torch import Tensor

import scorewise
from scorewise.backbones import Transformer
from scorewise.capabilities import CausalFeatures, ContextStream, Features, StreamsFeatures
from scorewise.gradients import score_of_log_density
from scorewise.heads import ConditionalScore, Mixture
from scorewise.noise import Draws
from scorewise.objectives import CSM, SM, SSM

pytestmark = pytest.mark.usefixtures("double")


def small(shape: tuple[int, ...], width: int = 3, **settings: Any) -> Transformer:
    return Transformer(shape, width, **{"size": 8, "heads": 2, "blocks": 2, **settings})


@pytest.mark.parametrize("shape", [(1, 5, 3), (3, 3, 2), (2, 1, 3)])
def test_exact_causality_in_row_column_channel_order(shape: tuple[int, ...]) -> None:
    found = jacobian(small(shape))
    assert found.triu().eq(0).all(), "a context sees its own entry or a later one"
    assert (found[torch.ones_like(found).tril(-1).bool()] > 0).all(), "a context does not see every earlier entry"


@pytest.mark.parametrize("ordering", ["raster", "reverse", "random", "pixels", [2, 0, 5, 1, 4, 3]])
def test_any_order_and_any_vector(ordering: Any) -> None:
    assert_causal(small((6,), ordering=ordering), 6)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{}, {"ordering": "random"}, {"heads": 1, "blocks": 1}])
@pytest.mark.parametrize("shape", [(1, 5, 3), (3, 3, 2), (5,), (1, 1, 1)])
def test_the_stream_is_the_full_pass_with_every_position_run_once(
    shape: tuple[int, ...], settings: dict[str, Any]
) -> None:
    backbone = small(shape, **settings)
    dims = len(backbone.ordering)
    x = torch.randn(4, dims)
    full, stream = backbone.causal_features(x).detach(), backbone.feature_stream()
    assert isinstance(stream, ContextStream)
    with torch.no_grad():
        for _ in range(2):
            c = stream.start(4)
            for d in backbone.ordering.sequence:
                torch.testing.assert_close(c[:, 0], full[:, d], rtol=0, atol=1e-12)
                c = stream.push(x[:, [d]])
            assert c.shape == (4, 0, 3)
            assert stream.passes == dims


def test_the_attention_is_the_formula() -> None:
    backbone = small((4,), blocks=1)
    block: Any = backbone.blocks[0]
    h = torch.randn(1, 4, 8)
    query, key, value = (part[0] for part in block.attention.parts(h))
    found = block.attention.attend(query[None], key[None], value[None], causal=True)[0]
    rows = []
    for p in range(4):
        weight = torch.softmax((query[:, p, None] * key[:, : p + 1]).sum(-1) / 2, dim=-1)  # 2 = sqrt(8 / 2 heads)
        rows.append((weight[..., None] * value[:, : p + 1]).sum(1).flatten())
    torch.testing.assert_close(found, block.attention.output(torch.stack(rows)))


def test_positions_and_channels_are_told_apart() -> None:
    """With constant values only the learned vectors differ; a channel's is shared by all pixels."""
    backbone = small((3, 2, 2))
    where = backbone.where(torch.arange(12))
    torch.testing.assert_close(where[0] - where[4], where[3] - where[7])
    assert (where[0] - where[1]).abs().max() > 1e-6
    c = backbone.causal_features(torch.ones(1, 12))
    assert torch.cdist(c[0], c[0]).add(torch.eye(12)).gt(1e-9).all()


def test_second_derivatives_pass_through_it() -> None:
    """Joint scores and exact traces differentiate the features twice, which the fused kernels cannot."""
    model, x = Mixture(small((1, 2, 2), width=6), components=2, noise=0.3), torch.randn(3, 4)
    draws = Draws.of(0, 0, torch.arange(3))
    SSM(field="joint")(model, x, draws).total.backward()
    assert model.backbone.begin.grad is not None
    joint = score_of_log_density(model.log_prob, x)
    assert torch.isfinite(joint).all()
    csm = CSM()(model, x, draws).per_example
    for trace in ("passes", "stacked", "forward"):
        torch.testing.assert_close(SM(trace=trace, field="conditional")(model, x, draws).per_example, csm)
    assert torch.autograd.gradcheck(backbone_features(model.backbone), x.requires_grad_())
    assert torch.autograd.gradgradcheck(backbone_features(model.backbone), x)


def backbone_features(backbone: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: backbone.causal_features(x)


def test_csm_on_it_is_the_trace_of_a_triangular_field() -> None:
    model = ConditionalScore(small((3, 2, 2), width=6), context=6, hidden=(8, 8), noise=0.3)
    x, order = torch.randn(1, 12), torch.tensor(model.ordering.sequence)
    loss = CSM()(model, x, Draws.of(0, 0, torch.arange(1))).per_example
    field = torch.autograd.functional.jacobian(
        lambda q: model.conditional_score(q[None], model.context(q[None]))[0], x[0]
    )
    assert isinstance(field, Tensor)
    assert field[order][:, order].triu(1).eq(0).all()
    s = model.conditional_score(x, model.context(x))
    torch.testing.assert_close(loss[0], (0.5 * s.square().sum() + field.trace()).detach())


def test_dropout_follows_from_the_batch_and_is_off_in_evaluation() -> None:
    backbone, x = small((1, 3, 3), dropout=0.5), torch.randn(4, 9)
    assert torch.equal(backbone.causal_features(x), backbone.causal_features(x))
    dropped = backbone.causal_features(x)
    assert not torch.allclose(dropped, backbone.eval().causal_features(x))


def test_settings_are_checked() -> None:
    for settings in ({"heads": 3}, {"blocks": 0}, {"dropout": 1.0}, {"size": 0}):
        with pytest.raises(ValueError, match=r"a size that its heads divide|must be a"):
            small((4,), **settings)
    assert issubclass(Transformer, CausalFeatures)
    assert issubclass(Transformer, StreamsFeatures)
    assert not issubclass(Transformer, Features)


def test_a_gradient_reaches_every_parameter() -> None:
    backbone = small((3, 3, 2))
    backbone.causal_features(torch.randn(2, 18)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in backbone.parameters())


def test_a_run_tests_loads_and_samples(command: Callable[..., Outcome]) -> None:
    words = ("data=toy2d", "data.held_out=64", "data.batch_size=32", "backbone=transformer", "backbone.size=16")
    limits = ("trainer.max_steps=4", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1")
    ended = command(*words, *limits, "callbacks.samples=2", "callbacks.progress=false")
    assert ended.status == 0, ended.err
    metrics = json.loads((ended.run / "summary.json").read_text())["metrics"]
    assert all(torch.isfinite(torch.tensor(value)) for value in metrics.values())
    model = scorewise.load(ended.run)
    assert model.ordering.sequence == (0, 1)
    assert torch.isfinite(model.sample(3, torch.Generator().manual_seed(0))).all()
