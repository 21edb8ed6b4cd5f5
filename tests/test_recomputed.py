"""Values without a kept graph have the derivatives of those with one."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scorewise.likelihood.recomputed import recomputed

pytestmark = pytest.mark.usefixtures("double")


class Shared(nn.Module):
    """Values of x and of a context that depends on x and on the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def context(self, x_BD: Tensor) -> Tensor:
        return torch.sin(self.linear(x_BD))

    def values(self, x_BD: Tensor, c_BD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        joint_BD = torch.tanh(self.linear(x_BD) * c_BD)
        return joint_BD.sum(-1), (joint_BD * c_BD).square().sum(-1), c_BD.detach().sum(-1)

    def found(self, x_BD: Tensor, again: bool) -> Tensor:
        c_BD = self.context(x_BD)
        if again:
            a_B, b_B, _ = recomputed(self.values, (x_BD, c_BD), list(self.parameters()))
        else:
            a_B, b_B, _ = self.values(x_BD, c_BD)
        return a_B + 2 * b_B


@pytest.mark.parametrize("of_x", [True, False])
def test_first_and_second_derivatives_are_those_of_a_kept_graph(of_x: bool) -> None:
    model, found = Shared(), []
    for again in (True, False):
        x_BD = torch.arange(6.0).reshape(2, 3).mul(0.3).requires_grad_(of_x)
        value_B = model.found(x_BD, again)
        asked = [*model.parameters(), x_BD] if of_x else list(model.parameters())
        first = torch.autograd.grad(value_B.sum(), asked, create_graph=True)
        second = torch.autograd.grad(torch.stack([one.square().sum() for one in first]).sum(), asked)
        found.append((value_B, *first, *second))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_no_graph_is_kept_and_precision_is_that_of_the_first_time() -> None:
    seen: list[Any] = []

    def values(x_B: Tensor) -> tuple[Tensor]:
        seen.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        return (x_B.square(),)

    x_B = torch.ones(2, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        (value_B,) = recomputed(values, [x_B], [])
    value_B.sum().backward()
    assert seen == [(False, True), (True, True)]
    assert x_B.grad is not None
    assert x_B.grad.tolist() == [2.0, 2.0]
