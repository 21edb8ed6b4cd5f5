"""First and second derivatives of the activations, by hand."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Tangent = Callable[[Tensor], tuple[Tensor, Tensor]]
Curvature = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def _silu(a: Tensor) -> tuple[Tensor, Tensor]:
    S = torch.sigmoid(a)
    h = a * S
    return h, torch.addcmul(S, h, 1 - S)


def _silu_twice(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    S = torch.sigmoid(a)
    h = a * S
    rest = 1 - S
    slope = torch.addcmul(S, h, rest)
    return h, slope, torch.sub(2 * slope, h) * rest


def _softplus(a: Tensor) -> tuple[Tensor, Tensor]:
    return functional.softplus(a), torch.sigmoid(a)


def _softplus_twice(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    S = torch.sigmoid(a)
    return functional.softplus(a), S, torch.addcmul(S, S, S, value=-1)


def _tanh(a: Tensor) -> tuple[Tensor, Tensor]:
    h = torch.tanh(a)
    return h, 1 - h * h


def _tanh_twice(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    h, slope = _tanh(a)
    return h, slope, -2 * h * slope


def _elu(a: Tensor) -> tuple[Tensor, Tensor]:
    return functional.elu(a), a.clamp(max=0).exp()


def _elu_twice(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    h, slope = _elu(a)
    return h, slope, slope * (a < 0)


def _relu(a: Tensor) -> tuple[Tensor, Tensor]:
    return functional.relu(a), (a > 0).to(a.dtype)


def _leaky_relu(a: Tensor) -> tuple[Tensor, Tensor]:
    return functional.leaky_relu(a), torch.where(a > 0, 1.0, 0.01).to(a.dtype)


TANGENTS: dict[str, Tangent] = {
    "silu": _silu,
    "softplus": _softplus,
    "tanh": _tanh,
    "elu": _elu,
    "relu": _relu,
    "leaky_relu": _leaky_relu,
}
"""From a to (phi, phi'), shapes of a."""

CURVATURES: dict[str, Curvature] = {
    "silu": _silu_twice,
    "softplus": _softplus_twice,
    "tanh": _tanh_twice,
    "elu": _elu_twice,
}
"""From a to (phi, phi', phi''), shapes of a; only for the smooth ones."""


def curvature_of(name: str) -> Curvature:
    """Return the map from a to (phi, phi', phi'') of an activation by name; of one with corners phi'' is 0."""
    if name in CURVATURES:
        return CURVATURES[name]
    tangent = TANGENTS[name]

    def curvature(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, slope = tangent(a)
        return h, slope, torch.zeros_like(a)

    return curvature
