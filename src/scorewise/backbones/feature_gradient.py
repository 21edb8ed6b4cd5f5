"""The gradient of a weighted sum of a perceptron's features, and what training needs of it."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scorewise.backbones.tangents import TANGENTS, curvature_of
from scorewise.gradients import inside_transform

Layers = Sequence[tuple[Tensor, Tensor]]
"""Weight (out, in) and bias (out,) of every layer, which the activation follows."""


def feature_gradient(activation: str, layers: Layers, u_BD: Tensor, weight_F: Tensor) -> Tensor:
    """Return the gradient in u of a weighted sum of the last layer's activations, shape (B, D).

    Slopes are noted on the way up, and one sweep down multiplies weights with them: t_l = (t_(l+1) W_(l+1)) phi'(a_l).
    Gradients flow through the result. Where the example wants none, those of weights come from a second sweep by hand.

    Args:
        activation: name of the activation.
        layers: of the perceptron.
        u_BD: examples.
        weight_F: weights of the features.
    """
    if torch.is_grad_enabled() and not u_BD.requires_grad and not inside_transform():
        flat = [tensor for layer in layers for tensor in layer]
        gradient_BD: Tensor = _FeatureGradient.apply(activation, u_BD, weight_F, *flat)
        return gradient_BD
    return _by_graph(activation, layers, u_BD, weight_F)


def _by_graph(activation: str, layers: Layers, u_BD: Tensor, weight_F: Tensor) -> Tensor:
    tangent, slopes, h_BH = TANGENTS[activation], [], u_BD
    for weight, bias in layers:
        h_BH, slope_BH = tangent(torch.addmm(bias, h_BH, weight.t()))
        slopes.append(slope_BH)
    to_BH = weight_F * slopes.pop()
    for weight, _ in reversed(layers[1:]):
        to_BH = (to_BH @ weight) * slopes.pop()
    return to_BH @ layers[0][0]


class _FeatureGradient(torch.autograd.Function):
    """The gradient of features in the example, with its own derivatives in the weights."""

    @staticmethod
    def forward(ctx: Any, activation: str, u_BD: Tensor, weight_F: Tensor, *flat: Tensor) -> Tensor:
        """Return the gradient in the example."""
        layers, curvature = _layers(flat), curvature_of(activation)
        inputs, slopes, bends, h_BH = [], [], [], u_BD
        for weight, bias in layers:
            inputs.append(h_BH)
            h_BH, slope_BH, bend_BH = curvature(torch.addmm(bias, h_BH, weight.t()))
            slopes.append(slope_BH)
            bends.append(bend_BH)
        above, swept, down = [], [], weight_F
        for (weight, _), slope_BH in zip(reversed(layers), reversed(slopes), strict=True):
            above.append(down)
            swept.append(down * slope_BH)
            down = swept[-1] @ weight
        ctx.activation, ctx.count = activation, len(layers)
        ctx.save_for_backward(u_BD, weight_F, *flat, *inputs, *slopes, *bends, *above[::-1], *swept[::-1])
        return down

    @staticmethod
    def backward(ctx: Any, to_BD: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the weights: up along the sweep, then down along the layers."""
        n = ctx.count
        u_BD, weight_F, *rest = ctx.saved_tensors
        flat, noted = rest[: 2 * n], rest[2 * n :]
        layers = _layers(flat)
        if torch.is_grad_enabled():  # these will be differentiated again
            found_BD = _by_graph(ctx.activation, layers, u_BD, weight_F)
            wanted = torch.autograd.grad(found_BD, [weight_F, *flat], to_BD, create_graph=True, materialize_grads=True)
            return None, None, *wanted
        inputs, slopes, bends, above, swept = (noted[start : start + n] for start in range(0, 5 * n, n))
        gradients, to_a, along = [], [], to_BD
        for (weight, _), slope, bend, down, t_BH in zip(layers, slopes, bends, above, swept, strict=True):
            gradients.append(t_BH.t() @ along)
            up_BH = along @ weight.t()
            to_a.append((up_BH * down).mul_(bend))
            along = up_BH.mul_(slope)
        found, to_h_BH = [], None
        for k in reversed(range(n)):
            to_a_BH = to_a[k] if to_h_BH is None else to_a[k].addcmul_(to_h_BH, slopes[k])
            found += [to_a_BH.sum(0), gradients[k].addmm_(to_a_BH.t(), inputs[k])]
            to_h_BH = to_a_BH @ layers[k][0] if k else None
        return None, None, along.sum(0), *found[::-1]


def _layers(flat: Sequence[Tensor]) -> Layers:
    return list(zip(flat[::2], flat[1::2], strict=True))
