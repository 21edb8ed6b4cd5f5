"""A fully connected network over the whole example."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from scorewise.backbones.layers import perceptron


class MLP(nn.Module):
    """This is a plain multilayer perceptron: Features.

    Args:
        shape: shape of one example; D is its product.
        hidden: sizes of the hidden layers; the last is the width of the features.
        activation: name of the activation after every layer; smooth for objectives that differentiate it.
    """

    def __init__(self, shape: Sequence[int], hidden: Sequence[int] = (256, 256, 256), activation: str = "silu") -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.width = hidden[-1]
        self.net = perceptron([math.prod(self.shape), *hidden], activation)

    def features(self, u_BD: Tensor) -> Tensor:
        """This is the last hidden layer, shape (B, width)."""
        h_BF: Tensor = self.net(u_BD)
        return h_BF
