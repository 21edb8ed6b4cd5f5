"""The small pieces that backbones and heads are made of."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
}
PIECEWISE_LINEAR = ("relu", "leaky_relu")
"""Their second derivative is zero almost everywhere, so a loss that holds ds/dx gets a wrong gradient, silently."""


def activation_named(name: str) -> nn.Module:
    """This is an activation by name.

    Raises:
        ValueError: no such activation.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation={name} is none of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def perceptron(sizes: Sequence[int], activation: str) -> nn.Sequential:
    """This is linear layers of the given sizes with an activation after every layer."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation_named(activation)]
    return nn.Sequential(*layers)


class MaskedLinear(nn.Linear):
    """This is a linear layer whose masked weights are exactly zero and stay so.

    The weight itself is kept masked (at the start, after loading, and through its gradient), so the forward
    pass is one plain matrix product.

    Args:
        mask: (out, in), true where a connection exists.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(torch.bool), persistent=False)
        with torch.no_grad():
            self.weight.mul_(self.mask)
        self._mask_the_gradient()
        self.register_load_state_dict_post_hook(_mask_again)

    def _mask_the_gradient(self) -> None:
        self.weight.register_hook(lambda gradient: gradient * self.mask)

    def __setstate__(self, state: dict[str, object]) -> None:
        super().__setstate__(state)
        self._mask_the_gradient()  # hooks of a parameter do not survive copying or pickling

    def forward(self, h: Tensor) -> Tensor:
        """This is the layer's output."""
        return functional.linear(h, self.weight, self.bias)


def _mask_again(layer: nn.Module, _: object) -> None:
    assert isinstance(layer, MaskedLinear)
    with torch.no_grad():
        layer.weight.mul_(layer.mask)
