"""A fully connected network over the whole example and its noise level."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from scorewise.backbones.layers import ActivationName, activation_named
from scorewise.backbones.noise_level import NoiseLevel
from scorewise.ranges import HiddenSizes, within_ranges

EMBEDDING = 64


class NoisyMLP(nn.Module):
    """A multilayer perceptron that is told the noise level in every hidden layer: NoisyFeatures.

    Args:
        shape: shape of one example; D is its product.
        width: features per dimension.
        hidden: sizes of the hidden layers.
        activation: name of the activation after every hidden layer.

    Example:
        >>> import torch
        >>> from scorewise.backbones import NoisyMLP
        >>> NoisyMLP((2,), width=1).noisy_features(torch.zeros(5, 2), torch.zeros(5)).shape
        torch.Size([5, 2, 1])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        hidden: HiddenSizes = (128, 128, 128),
        activation: ActivationName = "silu",
    ) -> None:
        super().__init__()
        self.shape, self.width = tuple(shape), width
        self.dims = math.prod(self.shape)
        self.level = NoiseLevel(EMBEDDING)
        self.hidden = nn.ModuleList(nn.Linear(*sizes) for sizes in itertools.pairwise([self.dims, *hidden]))
        self.shift = nn.ModuleList(nn.Linear(EMBEDDING, size) for size in hidden)
        self.activation = activation_named(activation)
        self.output = nn.Linear(hidden[-1], self.dims * width)

    def noisy_features(self, u_BD: Tensor, log_sigma_B: Tensor) -> Tensor:
        """Return features per dimension, each of the whole example and its level, shape (B, D, width)."""
        e_BF, h_BF = self.level(log_sigma_B), u_BD
        for layer, shift in zip(self.hidden, self.shift, strict=True):
            h_BF = self.activation(layer(h_BF) + shift(e_BF))
        h_BDF: Tensor = self.output(h_BF).unflatten(-1, (self.dims, self.width))
        return h_BDF
