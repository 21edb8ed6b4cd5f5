"""Causality, exactly, and what keeps it."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.backbones.layers import activation_named
from scorewise.capabilities import CausalFeatures, ContextStream, Features, StreamsFeatures
from scorewise.heads import ConditionalScore
from scorewise.heads.streams import FullPassStream
from scorewise.ordering import Ordering
from scorewise.run.callbacks import Averaging
from scorewise.sampling import Langevin1d
from scorewise.store import assemble, import_class, load

pytestmark = pytest.mark.usefixtures("double")


def jacobian(made: MADE, dims: int) -> Tensor:
    """Return max_F |d c_d / d x_j|, shape (D, D), over a few points."""
    total = torch.zeros(dims, dims)
    for point in torch.randn(4, dims):
        rows = torch.autograd.functional.jacobian(lambda x: made.causal_features(x[None])[0], point)
        assert isinstance(rows, Tensor)
        total = torch.maximum(total, rows.abs().amax(1))
    return total


def assert_causal(made: MADE, dims: int) -> None:
    order = torch.tensor(made.ordering.sequence)
    found = jacobian(made, dims)[order][:, order]
    assert found.triu().eq(0).all(), "row d sees x_j with j >= d"
    assert (found[-1, :-1] > 0).all(), "the last context does not see every earlier dimension"


@pytest.mark.parametrize("ordering", ["raster", "reverse", "random"])
@pytest.mark.parametrize("hidden", [(64, 64), (7, 5), (9,), (33, 20, 40)])
def test_made_is_causal_and_sees_everything_before(ordering: str, hidden: tuple[int, ...]) -> None:
    assert_causal(MADE((12,), 3, hidden, "tanh", ordering, 1), 12)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_made_in_few_dimensions(dims: int) -> None:
    made = MADE((dims,), 4, (8, 8), "tanh")
    assert made.causal_features(torch.randn(5, dims)).shape == (5, dims, 4)
    assert jacobian(made, dims).triu().eq(0).all()
    if dims > 1:
        assert_causal(made, dims)


def test_a_layer_narrower_than_the_data_blinds_nothing() -> None:
    assert_causal(MADE((40,), 2, (8, 8), "tanh"), 40)


def train_a_little(made: MADE) -> None:
    optimizer = torch.optim.Adam(made.parameters(), lr=0.1, fused=True, weight_decay=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        made.causal_features(torch.randn(8, 12)).square().sum().backward()
        optimizer.step()


def test_training_copying_averaging_and_loading_keep_causality(tmp_path: Path) -> None:
    recipe = {
        "shape": [12],
        "mean": 0.0,
        "std": 1.0,
        "noise": 0.3,
        "backbone": {
            "_target_": "scorewise.backbones.made.MADE",
            "hidden": [20, 20],
            "activation": "tanh",
            "ordering": "random",
            "ordering_seed": 3,
        },
        "head": {"_target_": "scorewise.heads.conditional_score.ConditionalScore", "context": 4},
        "sampler": {"_target_": "scorewise.sampling.ancestral.Langevin1d"},
    }
    model = assemble(recipe, import_class)
    train_a_little(model.backbone)
    assert_causal(model.backbone, 12)

    twin = copy.deepcopy(model.backbone)
    train_a_little(twin)
    assert_causal(twin, 12)

    averaging = Averaging(0.9)
    averaged = torch.optim.swa_utils.AveragedModel(model.backbone, use_buffers=False, **averaging._kwargs)
    train_a_little(model.backbone)
    averaged.update_parameters(model.backbone)
    train_a_little(model.backbone)
    averaged.update_parameters(model.backbone)
    module = averaged.module
    assert isinstance(module, MADE)
    assert_causal(module, 12)

    again = load(model.save(tmp_path))
    assert_causal(again.backbone, 12)
    assert again.backbone.ordering == model.backbone.ordering


def test_loading_unmasked_weights_masks_them() -> None:
    made = MADE((6,), 2, (10,), "tanh")
    made.load_state_dict({name: torch.ones_like(value) for name, value in made.state_dict().items()})
    assert_causal(made, 6)


@pytest.mark.parametrize("ordering", ["raster", "random"])
def test_the_stream_gives_the_same_features_as_a_full_pass(ordering: str) -> None:
    made = MADE((9,), 3, (11, 6), "relu", ordering, 2)
    x = torch.randn(5, 9)
    full = made.causal_features(x)
    model = ConditionalScore(made)
    for stream in (made.feature_stream(), FullPassStream(model), model.context_stream()):
        assert isinstance(stream, ContextStream)
        c = stream.start(5)
        for d in made.ordering.sequence:
            torch.testing.assert_close(c[:, 0], full[:, d], rtol=0, atol=1e-12)
            c = stream.push(x[:, [d]])
        assert c.shape[1] == 0


def test_names_of_orders_and_activations_are_checked() -> None:
    with pytest.raises(ValueError, match="none of raster"):
        Ordering.named("zigzag", 4)
    with pytest.raises(ValueError, match="none of silu"):
        activation_named("sine")


def test_capabilities_are_methods() -> None:
    from scorewise.backbones import MLP

    assert issubclass(MADE, CausalFeatures)
    assert not issubclass(MADE, Features)
    assert issubclass(MADE, StreamsFeatures)
    assert issubclass(MLP, Features)
    assert not issubclass(MLP, CausalFeatures)
    assert Langevin1d.needs
