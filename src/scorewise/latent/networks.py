"""The networks of VAEs: trunks from an image to features, and decoders from latents to an image."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from scorewise.backbones.layers import activation_named, perceptron

KERNEL, STRIDE = 5, 2


class Trunk(nn.Module, ABC):
    """Features of an image: (B, F), or (M, B, F) with M sets of noise.

    Attributes:
        width: F.
    """

    width: int

    @abstractmethod
    def forward(self, o_BD: Tensor, e_MBD: Tensor | None = None) -> Tensor:
        """Return the features; what needs only the image is computed once."""


@final
class DenseTrunk(Trunk):
    """A multilayer perceptron of an image, and of noise where it takes some.

    Args:
        shape: of an image.
        hidden: sizes of the layers; none: the image itself is its features.
        activation: name of the activation after every layer.
        noise: numbers of noise that enter the first layer beside the image; 0 for none.
    """

    def __init__(self, shape: Sequence[int], hidden: Sequence[int], activation: str, noise: int = 0) -> None:
        super().__init__()
        dims = math.prod(shape)
        self.width = hidden[-1] if hidden else dims
        self.first = nn.Linear(dims, hidden[0]) if hidden else None
        self.of_noise = nn.Linear(noise, hidden[0], bias=False) if noise else None
        self.activation = activation_named(activation)
        self.rest = perceptron(hidden, activation)

    def forward(self, o_BD: Tensor, e_MBD: Tensor | None = None) -> Tensor:
        """Return features (B, F), or (M, B, F) with noise (M, B, D); the image passes the first layer once."""
        if self.first is None:
            return o_BD
        h = self.first(o_BD)
        if self.of_noise is not None and e_MBD is not None:
            h = h + self.of_noise(e_MBD)
        features: Tensor = self.rest(self.activation(h))
        return features


@final
class ConvTrunk(Trunk):
    """Convolutions 5 x 5 of stride 2 and dense layers, with noise as one more channel where it takes some.

    Args:
        shape: of an image; its sides must divide by 2 for every convolution.
        channels: of the convolutions.
        hidden: sizes of the dense layers after them.
        activation: name of the activation, which the last convolution goes without.
        noise: numbers of noise; a dense layer makes them a channel of the image's size. 0 for none.

    Raises:
        ValueError: sides that do not divide.
    """

    def __init__(
        self, shape: Sequence[int], channels: Sequence[int], hidden: Sequence[int], activation: str, noise: int = 0
    ) -> None:
        super().__init__()
        self.shape, self.width = tuple(shape), hidden[-1]
        small = smallest(shape, channels)
        self.activation = activation_named(activation)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(n_in, n_out, KERNEL, STRIDE, KERNEL // 2)
            for n_in, n_out in zip((shape[0], *channels[:-1]), channels, strict=True)
        )
        self.of_noise = nn.Linear(noise, shape[1] * shape[2]) if noise else None
        self.of_channel = nn.Conv2d(1, channels[0], KERNEL, STRIDE, KERNEL // 2, bias=False) if noise else None
        self.dense = perceptron([channels[-1] * math.prod(small), *hidden], activation)

    def forward(self, o_BD: Tensor, e_MBD: Tensor | None = None) -> Tensor:
        """Return features (B, F), or (M, B, F) with noise (M, B, D); the image passes the first layer once."""
        h = self.convolutions[0](o_BD.unflatten(-1, self.shape))
        lead = o_BD.shape[:1]
        if self.of_noise is not None and self.of_channel is not None and e_MBD is not None:
            lead = e_MBD.shape[:2]
            channel = self.activation(self.of_noise(e_MBD)).reshape(-1, 1, *self.shape[1:])
            h = (h + self.of_channel(channel).unflatten(0, lead)).flatten(0, 1)
        for convolution in self.convolutions[1:]:
            h = convolution(self.activation(h))
        features: Tensor = self.dense(h.flatten(1))
        return features.unflatten(0, lead) if len(lead) == 2 else features


def smallest(shape: Sequence[int], channels: Sequence[int]) -> tuple[int, int]:
    """Return the sides of an image after convolutions of stride 2.

    Raises:
        ValueError: they do not divide, or no image.
    """
    factor = STRIDE ** len(channels)
    if len(shape) != 3 or shape[1] % factor or shape[2] % factor:
        raise ValueError(
            f"{len(channels)} convolutions of stride {STRIDE} need images whose sides divide by {factor}, and this "
            f"data has shape {list(shape)}: use latent=dense, or fewer latent.channels"
        )
    return shape[1] // factor, shape[2] // factor


@final
class DenseDecoder(nn.Module):
    """A multilayer perceptron from latents to the outputs that a likelihood reads, shape (..., D of x)."""

    def __init__(self, z: int, hidden: Sequence[int], dims: int, activation: str, bounded: bool) -> None:
        super().__init__()
        self.hidden = perceptron([z, *hidden], activation)
        self.last = nn.Linear(hidden[-1], dims)
        self.bounded = bounded

    def forward(self, z: Tensor) -> Tensor:
        """Return the outputs, in [-1, 1] where they are bounded."""
        out: Tensor = self.last(self.hidden(z))
        return torch.tanh(out) if self.bounded else out


@final
class ConvDecoder(nn.Module):
    """A dense layer and transposed convolutions 5 x 5 of stride 2, the mirror of `ConvTrunk`."""

    def __init__(self, z: int, channels: Sequence[int], shape: Sequence[int], activation: str, bounded: bool) -> None:
        super().__init__()
        self.small = (channels[-1], *smallest(shape, channels))
        self.first = nn.Linear(z, math.prod(self.small))
        self.activation, self.bounded = activation_named(activation), bounded
        sizes = (*reversed(channels), shape[0])
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(n_in, n_out, KERNEL, STRIDE, KERNEL // 2, output_padding=1)
            for n_in, n_out in itertools.pairwise(sizes)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the outputs, in [-1, 1] where they are bounded."""
        h = self.first(z).reshape(-1, *self.small)
        for i, convolution in enumerate(self.convolutions):
            h = convolution(self.activation(h) if i else h)
        out = h.flatten(1).unflatten(0, z.shape[:-1])
        return torch.tanh(out) if self.bounded else out
