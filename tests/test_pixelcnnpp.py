"""PixelCNN++: exact causality, its stream, its parts against what they should be, and whole runs."""

import copy
import json
from typing import Any

import pytest
import torch
from conftest import Outcome
from test_resume import Killed, at_step, kill, same_results
from torch import Tensor

import scorewise
from scorewise.backbones import MADE, PixelCNNPP
from scorewise.backbones.dropout import drop, mask_generator
from scorewise.backbones.passes import Memory, Part, Whole
from scorewise.backbones.shifted import Shifted, Up, concat_elu
from scorewise.capabilities import CausalFeatures, ContextStream, Features, InitialisedByData, StreamsFeatures
from scorewise.heads import ConditionalScore, Gaussian, Mixture
from scorewise.noise import Draws
from scorewise.objectives import CSM
from scorewise.sampling import InverseCDF, Parallel

pytestmark = pytest.mark.usefixtures("double")

SHAPES = [(1, 5, 7), (1, 4, 4), (3, 3, 5), (3, 4, 2), (2, 1, 3), (1, 7, 1)]
LEVELS = [1, 2, 3]


def small(shape: tuple[int, ...], levels: int = 2, width: int = 3, **settings: Any) -> PixelCNNPP:
    return PixelCNNPP(shape, width, filters=4, resnets=2 if levels == 1 else 1, levels=levels, **settings)


def jacobian(backbone: Any) -> Tensor:
    """Return max_F |d c_d / d x_j| with rows and columns in (row, column, channel) order."""
    channels, height, width = backbone.shape
    subpixel = torch.arange(channels * height * width).reshape(backbone.shape).permute(1, 2, 0).flatten()
    x = torch.randn(len(subpixel))
    rows = torch.autograd.functional.jacobian(lambda x: backbone.causal_features(x[None])[0], x)
    assert isinstance(rows, Tensor)
    return rows.abs().amax(1)[subpixel][:, subpixel]


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_exact_causality_in_row_column_channel_order(shape: tuple[int, ...], levels: int) -> None:
    found = jacobian(small(shape, levels))
    assert found.triu().eq(0).all(), "a context sees its own entry or a later one"
    earlier = torch.ones_like(found).tril(-1).bool()
    assert (found[earlier] > 0).all(), "a context does not see every earlier entry"


def test_causality_survives_initialisation_training_and_dropout() -> None:
    backbone = small((3, 4, 3), dropout=0.3, init="data")
    backbone.initialise(torch.randn(16, 36))
    optimizer = torch.optim.Adam(backbone.parameters(), lr=0.05, fused=True)
    for _ in range(3):
        optimizer.zero_grad()
        backbone.causal_features(torch.randn(8, 36)).square().sum().backward()
        optimizer.step()
    twin = copy.deepcopy(backbone).eval()
    found = jacobian(twin)
    assert found.triu().eq(0).all()
    assert (found[torch.ones_like(found).tril(-1).bool()] > 0).all()


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_stream_is_the_full_pass_in_one_pass_per_pixel(shape: tuple[int, ...], levels: int) -> None:
    backbone = small(shape, levels)
    x = torch.randn(3, len(backbone.ordering))
    full = backbone.causal_features(x).detach()
    stream = backbone.feature_stream()
    assert isinstance(stream, ContextStream)
    with torch.no_grad():
        for _ in range(2):  # a stream can be started again
            c = stream.start(3)
            for d in backbone.ordering.sequence:
                torch.testing.assert_close(c[:, 0], full[:, d], rtol=0, atol=1e-12)
                c = stream.push(x[:, [d]])
            assert c.shape == (3, 0, 3)
            assert stream.passes == shape[1] * shape[2]


def test_every_part_of_a_layer_runs_as_often_as_there_are_places_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stream computes in all is one full pass: pixels at each resolution, rows of the stack above."""
    calls: list[tuple[int, int]] = []
    run = Part._run

    def counted(self: Part, layer: Shifted, window: Tensor) -> Tensor:
        out = run(self, layer, window)
        calls.append((id(layer), out.shape[-1] * out.shape[-2]))
        return out

    monkeypatch.setattr(Part, "_run", counted)
    backbone = small((1, 5, 6), levels=3)
    stream, c = backbone.feature_stream(), None
    with torch.no_grad():
        c = stream.start(1)
        while c.shape[1]:
            c = stream.push(torch.zeros(1, 1))
    places: dict[int, int] = {}
    for layer, count in calls:
        places[layer] = places.get(layer, 0) + count
    assert sorted(set(places.values())) == [2 * 2, 3 * 3, 5 * 6]


def test_a_shifted_convolution_is_the_sum_over_its_window() -> None:
    for window, up, left in (((2, 3), 1, 1), ((2, 2), 1, 1), ((2, 3), 2, 1), ((1, 3), 1, 1), ((2, 1), 1, 1)):
        for stride in (1, 2):
            layer, h = Shifted(2, 3, window, up, left, stride), torch.randn(2, 2, 5, 7)
            out = layer(h)
            weight, bias = layer.weights()
            assert out.shape == (2, 3, -(-5 // stride), -(-7 // stride))
            for y, x in ((0, 0), (1, 2), (out.shape[2] - 1, out.shape[3] - 1)):
                expected = bias.clone().expand(2, 3).clone()
                for i in range(window[0]):
                    for j in range(window[1]):
                        row, column = stride * y - up + i, stride * x - left + j
                        if 0 <= row < 5 and 0 <= column < 7:
                            expected += h[:, :, row, column] @ weight[:, :, i, j].T
                torch.testing.assert_close(out[:, :, y, x], expected)


@pytest.mark.parametrize("window", [(2, 3), (2, 2)])
def test_up_gives_rows_two_y_and_the_next_from_row_y(window: tuple[int, int]) -> None:
    layer, h = Up(2, window), torch.randn(1, 2, 3, 4)
    assert layer(h).shape == (1, 2, 6, 8)
    moved = h.clone()
    moved[:, :, 1, 2] += 1
    rows = (layer(moved) - layer(h)).abs().sum((0, 1)) > 0
    columns = {(2, 3): range(3, 6), (2, 2): range(4, 6)}[window]
    assert {tuple(place) for place in rows.nonzero().tolist()} == {(y, x) for y in (2, 3) for x in columns}


def test_concat_elu() -> None:
    out = concat_elu(torch.tensor([[1.0, -2.0]]))
    torch.testing.assert_close(out, torch.tensor([[1.0, torch.tensor(-2.0).expm1(), torch.tensor(-1.0).expm1(), 2.0]]))


def test_initialisation_gives_outputs_of_mean_zero_and_the_gains_deviation() -> None:
    backbone, u = small((3, 6, 6), levels=2, init="data"), 3 + 5 * torch.randn(64, 108)
    assert isinstance(backbone, InitialisedByData)
    backbone.initialise(u)
    seen: dict[str, tuple[float, float]] = {}

    def look(name: str, layer: Any) -> None:
        def hook(_: Any, __: Any, out: Tensor) -> None:
            gain = layer.gain if isinstance(layer, Shifted) else 1.0
            std = (out.std((0, 2, 3), correction=0) / gain - 1).abs().max()
            seen[name] = (float(out.mean((0, 2, 3)).abs().max()), float(std))

        layer.register_forward_hook(hook)

    for name, layer in backbone.named_modules():
        if isinstance(layer, Shifted):
            look(name, layer)
    with torch.no_grad():
        backbone.causal_features(u)
    assert len(seen) > 20
    assert all(mean < 1e-9 and std < 1e-2 for mean, std in seen.values()), seen


def test_a_whole_pass_and_parts_agree_on_one_layer() -> None:
    layer, image = Shifted(2, 3, (2, 2), 1, 1), torch.randn(1, 2, 3, 4)
    full, memory = Whole(image).conv(layer, image), Memory(torch.empty(0))
    for y in range(3):
        for x in range(4):
            found = Part(memory, 4, y, x).conv(layer, image[:, :, y, None, x, None])
            torch.testing.assert_close(found[..., 0, 0], full[:, :, y, x])


def test_the_masks_of_dropout_follow_from_the_batch() -> None:
    backbone, u = small((1, 4, 4), dropout=0.5), torch.randn(4, 16)
    torch.manual_seed(1)
    first = backbone.causal_features(u)
    torch.manual_seed(2)
    assert torch.equal(first, backbone.causal_features(u))
    assert not torch.equal(first[1:], backbone.causal_features(u[1:]))
    assert torch.equal(mask_generator(u).get_state(), mask_generator(u.clone()).get_state())
    assert not torch.equal(mask_generator(u).get_state(), mask_generator(u.flip(0)).get_state())
    backbone.eval()
    assert torch.equal(backbone.causal_features(u[1:]), backbone.causal_features(u)[1:])
    h = drop(torch.ones(100_000), 0.3, mask_generator(u))
    assert abs(float((h == 0).double().mean()) - 0.3) < 0.01
    assert float(h.max()) == pytest.approx(1 / 0.7)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="takes images"):
        PixelCNNPP((12,), 3)
    with pytest.raises(ValueError, match="levels=0"):
        PixelCNNPP((1, 4, 4), 3, levels=0)
    with pytest.raises(ValueError, match="must be a number of at least 0 and below 1"):
        PixelCNNPP((1, 4, 4), 3, dropout=1.0)
    with pytest.raises(ValueError, match="none of default, data"):
        PixelCNNPP((1, 4, 4), 3, init="knots")


def test_capabilities() -> None:
    assert issubclass(PixelCNNPP, CausalFeatures)
    assert issubclass(PixelCNNPP, StreamsFeatures)
    assert issubclass(PixelCNNPP, InitialisedByData)
    assert not issubclass(PixelCNNPP, Features)
    assert not issubclass(MADE, InitialisedByData)


@pytest.mark.parametrize("shape", [(1, 3, 4), (3, 2, 3)])
def test_conditional_scores_on_it_are_triangular_and_csm_is_their_trace(shape: tuple[int, ...]) -> None:
    """Acceptance tests 1 and 2 of SCIENCE.md: s_d sees nothing after d, and the diagonal trick is the diagonal."""
    model = ConditionalScore(small(shape, width=6), context=6, hidden=(8, 8), noise=0.3)
    x = torch.randn(2, model.dims)
    order = torch.tensor(model.ordering.sequence)
    loss = CSM()(model, x, Draws.of(0, 0, torch.arange(2))).per_example
    for i in range(2):
        field = torch.autograd.functional.jacobian(
            lambda q: model.conditional_score(q[None], model.context(q[None]))[0], x[i]
        )
        assert isinstance(field, Tensor)
        assert field[order][:, order].triu(1).eq(0).all()
        s = model.conditional_score(x, model.context(x))[i]
        torch.testing.assert_close(loss[i], (0.5 * s.square().sum() + field.trace()).detach())


def test_sequential_and_parallel_draws_agree() -> None:
    model = Gaussian(small((3, 2, 3), width=2), noise=0.3).eval()
    model.sampler = InverseCDF()
    one = model.sample(4, torch.Generator().manual_seed(0))
    model.sampler = Parallel(tolerance=1e-9)
    torch.testing.assert_close(model.sample(4, torch.Generator().manual_seed(0)), one, atol=1e-6, rtol=0)


def test_a_gradient_reaches_every_parameter() -> None:
    backbone = small((3, 6, 5), levels=3)
    backbone.causal_features(torch.randn(2, 90)).square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in backbone.parameters())


def test_a_golden_value() -> None:
    """Fixed weights, so that no layer changes without notice."""
    model = Mixture(small((3, 3, 3), width=6), components=2, noise=0.3)
    weights = {name: 0.5 * torch.arange(1.0, w.numel() + 1).sin().view_as(w) for name, w in model.named_parameters()}
    model.load_state_dict({**model.state_dict(), **weights})
    x = torch.linspace(-1, 1, 54).reshape(2, 27)
    assert float(model.log_prob(x).sum().detach()) == pytest.approx(GOLDEN, rel=1e-6)


GOLDEN = -211.17214667108
WORDS = (
    "data=digits",
    "backbone=pixelcnnpp",
    "backbone.filters=4",
    "backbone.dropout=0.2",
    "data.batch_size=16",
    "trainer.max_steps=4",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "callbacks.samples=2",
    "callbacks.progress=false",
    "callbacks.save_every_n_steps=2",
)


def test_a_run_with_dropout_resumes_to_the_bit_and_loads(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*WORDS, "objective=mle", "head=discretised_mixture", "data.smoothing=0")
    whole: Outcome = command(*words, "hydra.run.dir=whole")
    assert whole.status == 0, whole.err
    with monkeypatch.context() as patch:
        at_step(patch, 4, kill)
        with pytest.raises(Killed):
            command(*words, "hydra.run.dir=parts")
    assert command(*words, "hydra.run.dir=parts").status == 0
    same_results(whole.folder / "whole", whole.folder / "parts")
    summary = json.loads((whole.folder / "whole" / "summary.json").read_text())
    metrics = summary["metrics"]
    assert "-log2 of the probability" in summary["conventions"]["bits_per_dim"]
    bits = (metrics["nll"] + 64 * torch.tensor(8.0).log().item()) / (64 * torch.tensor(2.0).log().item())
    assert metrics["bits_per_dim"] == pytest.approx(bits, rel=1e-5)
    model = scorewise.load(whole.folder / "whole")
    x = model.sample(2, torch.Generator().manual_seed(0))
    assert torch.equal(8 * x, (8 * x).round())
    again = scorewise.load(model.save(whole.folder / "saved"))
    assert torch.equal(again.log_prob(x), model.log_prob(x))
