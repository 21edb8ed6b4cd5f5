"""Layer normalisation under derivatives of derivatives."""

import pytest
import torch
from torch import Tensor, nn

from scorewise.backbones.norm import LayerNorm
from scorewise.gradients import exact_trace

pytestmark = pytest.mark.usefixtures("double")


def test_it_is_torchs_own_with_right_gradients_of_tangents() -> None:
    """The trace by forward-mode tangents has the gradient of that by backward passes, which torch's own has not."""
    norm = LayerNorm(4)
    nn.init.normal_(norm.weight)
    own = nn.LayerNorm(4)
    own.load_state_dict(norm.state_dict())
    x, mix = torch.randn(5, 4), torch.randn(4, 4)
    assert torch.equal(norm(x), own(x))

    def gradient(norm: nn.Module, method: str) -> Tensor:
        weight = mix.clone().requires_grad_()
        _, trace = exact_trace(lambda q: norm(q @ weight), x, method)
        slope: Tensor = torch.autograd.grad(trace.square().sum(), weight)[0]
        return slope

    expected = gradient(norm, "passes")
    torch.testing.assert_close(gradient(norm, "forward"), expected)
    torch.testing.assert_close(gradient(norm, "stacked"), expected)
    assert (gradient(own, "passes") - expected).abs().max() < 1e-10


def test_third_derivatives_are_right() -> None:
    """d^3/dt^3 of a normalised line, against differences of the second."""
    norm = LayerNorm(3)
    line, start = torch.tensor([1.0, -0.5, 2.0]), torch.tensor([0.3, 0.1, -0.4])
    pick = torch.tensor([1.0, 2.0, -1.0])

    def value(t: Tensor) -> Tensor:
        found: Tensor = (norm(start + t * line + t.square()) * pick).sum()
        return found

    second = torch.func.grad(torch.func.grad(value))
    t = torch.tensor(0.7)
    third = torch.func.grad(second)(t)
    apart = second(t + 1e-5) - second(t - 1e-5)
    assert float(third.detach()) == pytest.approx(float(apart.detach()) / 2e-5, rel=1e-6)
