"""Masked layers by blocks against the plain masked product."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from scorewise.backbones import MADE
from scorewise.backbones.layers import MaskedLinear
from scorewise.backbones.staircase import Staircase
from scorewise.gradients import exact_trace

pytestmark = pytest.mark.usefixtures("double")
DIMS, WIDTH = 12, 3
ORDERINGS = ("raster", "reverse", "random")


def by_blocks(made: MADE, steps: int = 5) -> MADE:
    """Return the same network, with every layer by blocks."""
    made = copy.deepcopy(made)
    for layer in (*made.layers, made.output):
        large = MaskedLinear(layer.mask, large=1)
        large.staircase = Staircase(layer.mask, steps)
        large.load_state_dict(layer.state_dict())
        layer.staircase = large.staircase
        layer.weight = nn.Parameter(layer.weight.detach().clone())  # without the hook of small layers
    return made


def pair(ordering: str, steps: int = 5) -> tuple[MADE, MADE]:
    plain = MADE((DIMS,), WIDTH, (20, 17), "tanh", ordering=ordering, ordering_seed=3)
    return plain, by_blocks(plain, steps)


def gradients(made: MADE, f: Callable[[MADE], Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(f(made), list(made.parameters())))


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("steps", [1, 5, 100])
def test_features_and_every_gradient_are_those_of_the_plain_product(ordering: str, steps: int) -> None:
    plain, blocks = pair(ordering, steps)
    u = torch.randn(4, DIMS, requires_grad=True)
    true, found = plain.causal_features(u), blocks.causal_features(u)
    torch.testing.assert_close(found, true, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(true)
    one = torch.autograd.grad((true * weight).sum(), [u, *plain.parameters()])
    two = torch.autograd.grad((found * weight).sum(), [u, *blocks.parameters()])
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-12, atol=1e-12)
    for layer, gradient in zip((*blocks.layers, blocks.output), two[1::2], strict=True):
        assert torch.equal(gradient != 0, layer.mask & (gradient != 0))


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_it_can_be_differentiated_twice_and_transformed(ordering: str) -> None:
    plain, blocks = pair(ordering)
    x = torch.randn(4, DIMS)

    def field(made: MADE) -> Callable[[Tensor], Tensor]:
        return lambda x_BD: made.causal_features(x_BD).square().sum(-1)

    def traces(made: MADE) -> Tensor:
        methods = ("passes", "stacked", "forward")
        return torch.stack([exact_trace(field(made), x, method)[1].sum() for method in methods]).dot(torch.rand(3))

    def slope(made: MADE) -> Tensor:
        scalar = field(made)
        total: Tensor = torch.func.grad(lambda x_BD: scalar(x_BD).sin().sum())(x).square().sum()
        return total

    for number in (traces, slope):
        torch.manual_seed(1)
        one = gradients(plain, number)
        torch.manual_seed(1)
        two = gradients(blocks, number)
        for a, b in zip(one, two, strict=True):
            torch.testing.assert_close(b, a, rtol=1e-10, atol=1e-10)


def test_leading_axes_and_frozen_weights() -> None:
    plain, blocks = pair("raster")
    u = torch.randn(2, 3, DIMS, requires_grad=True)
    blocks.requires_grad_(False)
    torch.testing.assert_close(blocks.causal_features(u), plain.causal_features(u))
    (found,) = torch.autograd.grad(blocks.causal_features(u).sum(), u)
    (true,) = torch.autograd.grad(plain.causal_features(u).sum(), u)
    torch.testing.assert_close(found, true)


def test_large_layers_go_by_blocks_and_stay_masked() -> None:
    layer = MaskedLinear(torch.ones(700, 800, dtype=torch.bool).tril(), large=2**19)
    assert layer.staircase is not None
    assert list(layer.state_dict()) == ["weight", "bias"]
    layer = copy.deepcopy(layer)
    optimizer = torch.optim.Adam(layer.parameters(), fused=True)
    layer(torch.randn(5, 800)).square().sum().backward()
    optimizer.step()
    assert not layer.weight[~layer.mask].any()
    assert layer.weight.grad is not None
    assert torch.equal(layer.weight.grad != 0, layer.mask)
    layer.load_state_dict({"weight": torch.ones(700, 800), "bias": torch.zeros(700)})
    assert torch.equal(layer.weight.bool(), layer.mask)


def test_small_layers_stay_as_they_were() -> None:
    assert all(layer.staircase is None for layer in pair("raster")[0].layers)


def test_mixed_precision() -> None:
    layer = MaskedLinear(torch.ones(30, 40, dtype=torch.bool).tril(), large=1).float()
    h = torch.randn(5, 40, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found, true = layer(h), functional.linear(h, layer.weight, layer.bias)
    assert found.dtype == true.dtype == torch.bfloat16
    torch.testing.assert_close(found, true)
    (one,), (two,) = (torch.autograd.grad(out.float().square().sum(), layer.weight) for out in (found, true))
    assert one.dtype == torch.float32
    torch.testing.assert_close(one, two * layer.mask)


def test_a_mask_that_is_no_staircase_is_refused() -> None:
    with pytest.raises(ValueError, match="no staircase"):
        Staircase(torch.eye(4, dtype=torch.bool))
