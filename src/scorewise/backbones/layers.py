"""The small pieces that backbones and heads are made of."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorewise.backbones.staircase import Staircase
from scorewise.gradients import inside_transform
from scorewise.ranges import OneOf

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
}
CONTINUOUS_DERIVATIVES = {"relu": 0, "leaky_relu": 0, "elu": 1}
"""How many derivatives of an activation are continuous; all are where it is not named. One more in a loss, and its
gradient in the weights lacks what the jumps contribute, silently."""


@dataclass(frozen=True)
class Activation(OneOf):
    """The name of an activation."""

    names: tuple[str, ...] = tuple(ACTIVATIONS)

    def smooth_enough(self, derivatives: int) -> list[str]:
        """Return the activations so many derivatives of which are continuous."""
        return [name for name in self.names if CONTINUOUS_DERIVATIVES.get(name, math.inf) >= derivatives]


ActivationName = Annotated[str, Activation()]
FirstLayer = Annotated[str, OneOf(("default", "knots"))]


def activation_named(name: str) -> nn.Module:
    """Return an activation by name.

    Raises:
        ValueError: no such activation.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation={name} is none of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def knot_slopes(like: Tensor) -> Tensor:
    """Return slopes of 1 to 6 per half width of the data, which is about 2 in standard units, either way."""
    return torch.empty_like(like).uniform_(1, 6) / 2 * torch.empty_like(like).uniform_(-1, 1).sign()


def put_knots(of_query_H: Tensor, bias_H: Tensor) -> None:
    """Draw the first layer of a number in standard units so that its kinks lie all over the data, from -2 to 2.

    Args:
        of_query_H: becomes its weights, see `knot_slopes`.
        bias_H: of the units, which is moved.
    """
    with torch.no_grad():
        of_query_H.copy_(knot_slopes(of_query_H))
        bias_H.sub_(of_query_H * torch.empty_like(of_query_H).uniform_(-2, 2))


def perceptron(sizes: Sequence[int], activation: str) -> nn.Sequential:
    """Return linear layers of the given sizes with an activation after every layer."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation_named(activation)]
    return nn.Sequential(*layers)


class MaskedLinear(nn.Linear):
    """A linear layer whose masked weights are exactly zero and stay so.

    The weight itself is kept masked (at the start, after loading, and through its gradient), so the forward pass is
    one plain matrix product, or a product by blocks that skips masked weights where the layer is large.

    Args:
        mask: (out, in), true where a connection exists; a staircase up to the order of rows and columns.
        large: number of weights from which blocks pay.

    Raises:
        ValueError: a large layer's mask is no staircase.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, large: int = 2**19) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(torch.bool), persistent=False)
        with torch.no_grad():
            self.weight.mul_(self.mask)
        steps = 8 if mask.numel() < 8 * large else 16
        self.staircase = Staircase(self.mask, steps) if mask.numel() >= large else None
        self._mask_the_gradient()
        self.register_load_state_dict_post_hook(_mask_again)

    def _mask_the_gradient(self) -> None:
        if self.staircase is None:
            self.weight.register_hook(lambda gradient: gradient * self.mask)

    def __setstate__(self, state: dict[str, object]) -> None:
        super().__setstate__(state)
        self._mask_the_gradient()  # hooks of a parameter do not survive copying or pickling

    def forward(self, h: Tensor) -> Tensor:
        """Return h weight^T + bias, shape (..., out)."""
        if self.staircase is None:
            return functional.linear(h, self.weight, self.bias)
        device = h.device.type
        # Blocks save arithmetic, of which an accelerator has enough; torch.func's transforms see through products only.
        if device != "cpu" or inside_transform():
            return functional.linear(h, self.weight * self.mask, self.bias)
        weight: Tensor = self.weight
        bias: Tensor = self.bias
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
            h, weight, bias = h.to(dtype), weight.to(dtype), bias.to(dtype)
        with torch.autocast(device, enabled=False):
            return self.staircase(h, weight, bias)


def _mask_again(layer: MaskedLinear, _: object) -> None:
    with torch.no_grad():
        layer.weight.mul_(layer.mask)
