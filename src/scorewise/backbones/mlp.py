"""A fully connected network over the whole example."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scorewise.backbones.feature_gradient import feature_gradient
from scorewise.backbones.layers import ActivationName, perceptron
from scorewise.backbones.tangents import curvature_of
from scorewise.ranges import HiddenSizes, within_ranges


class MLP(nn.Module):
    """A plain multilayer perceptron: Features, GradientFeatures, LaplacianFeatures and GivenFeatures.

    A class that changes `features` has the first and the last of these, unless it brings its own gradients.

    Args:
        shape: shape of one example; D is its product.
        hidden: sizes of the hidden layers; the last is the width of the features.
        activation: name of the activation after every layer; smooth for objectives that differentiate it.
        condition: how many features of something else it sees as well, for `features_given`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MLP
        >>> MLP((2,), hidden=(64, 64)).features(torch.zeros(5, 2)).shape
        torch.Size([5, 64])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        hidden: HiddenSizes = (256, 256, 256),
        activation: ActivationName = "silu",
        condition: int = 0,
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.width, self.activation = hidden[-1], activation
        self.net = perceptron([math.prod(self.shape) + condition, *hidden], activation)

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "features" in vars(cls):  # ours are derivatives of other features
            for name in {"features_gradient", "laplacian_features"} - set(vars(cls)):
                setattr(cls, name, None)

    def features(self, u_BD: Tensor) -> Tensor:
        """Return the last hidden layer, shape (B, width)."""
        h_BF: Tensor = self.net(u_BD)
        return h_BF

    def features_gradient(self, u_BD: Tensor, weight_F: Tensor) -> Tensor:
        """Return the gradient in u of a weighted sum of the last hidden layer, shape (B, D).

        By a sweep through the layers, which gradients flow through: cheaper than `torch.autograd.grad` with a graph.
        """
        layers = [(layer.weight, layer.bias) for layer in self.net if isinstance(layer, nn.Linear)]
        return feature_gradient(self.activation, layers, u_BD, weight_F)

    def laplacian_features(self, u_BD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the last hidden layer (B, width), its gradients in u (D, B, width) and its Laplacians (B, width).

        One forward pass carries all three from layer to layer (forward Laplacian, Li et al. 2024): of phi(z) they are
        phi' grad z and phi' lap z + phi'' |grad z|^2. Gradients in the weights flow through them.
        """
        curvature = curvature_of(self.activation)
        first, *others = (layer for layer in self.net if isinstance(layer, nn.Linear))
        h_BF, slope_BF, bend_BF = curvature(first(u_BD))
        gradient_DBF = first.weight.t().unsqueeze(1)
        laplacian_BF = bend_BF * gradient_DBF.square().sum(0)
        gradient_DBF = slope_BF * gradient_DBF
        for layer in others:
            h_BF, slope_BF, bend_BF = curvature(layer(h_BF))
            gradient_DBF, laplacian_BF = gradient_DBF @ layer.weight.t(), laplacian_BF @ layer.weight.t()
            laplacian_BF = slope_BF * laplacian_BF + bend_BF * gradient_DBF.square().sum(0)
            gradient_DBF = slope_BF * gradient_DBF
        return h_BF, gradient_DBF, laplacian_BF

    def features_given(self, u_BD: Tensor, y_BF: Tensor) -> Tensor:
        """Return the last hidden layer where it sees the conditions y too, shape (B, width)."""
        return self.features(torch.cat([u_BD, y_BF], -1))
