"""VAEs of fully connected and of convolutional networks."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, final

from torch import nn

from scorewise.backbones.layers import ActivationName
from scorewise.latent.autoencoder import VAE
from scorewise.latent.networks import ConvDecoder, ConvTrunk, DenseDecoder, DenseTrunk, Trunk
from scorewise.ranges import Count, HiddenSizes, Sizes, within_ranges


@final
class DenseVAE(VAE):
    """A VAE of fully connected networks, as for MNIST in the code of sliced score matching.

    Args:
        shape: of an image.
        hidden: sizes of the hidden layers of encoder and decoder.
        activation: of both.
        conditional_hidden: units per latent of the small networks of an autoregressive encoder.
        score_hidden: sizes of layers from x to the features that the score network sees; none: x itself.
        score_activation: of those layers.
        settings: see `VAE`.

    Example:
        >>> import torch
        >>> from scorewise.latent import DenseVAE
        >>> from scorewise.noise import Draws
        >>> vae = DenseVAE((1, 8, 8), z=2, hidden=(16,), method="elbo", encoder="gaussian")
        >>> x = torch.rand(5, 64) * 2 - 1
        >>> vae.terms(x, Draws.fresh(5)).total().shape
        torch.Size([5])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        *,
        hidden: HiddenSizes = (256, 256),
        activation: ActivationName = "tanh",
        conditional_hidden: Count = 64,
        score_hidden: Annotated[Sequence[int], Sizes(may_be_empty=True)] = (),
        score_activation: ActivationName = "tanh",
        **settings: Any,
    ) -> None:
        self.hidden, self.activation = tuple(hidden), activation
        self.score_hidden, self.score_activation = tuple(score_hidden), score_activation
        super().__init__(shape, conditional_hidden=conditional_hidden, **settings)

    def encoder_trunk(self, noise: int) -> Trunk:
        """Return a multilayer perceptron, tanh after every layer."""
        return DenseTrunk(self.shape, self.hidden, self.activation, noise)

    def score_trunk(self) -> Trunk:
        """Return a multilayer perceptron, or x itself."""
        return DenseTrunk(self.shape, self.score_hidden, self.score_activation)

    def make_decoder(self) -> nn.Module:
        """Return a multilayer perceptron."""
        sizes = self.hidden[::-1]
        return DenseDecoder(self.z, sizes, math.prod(self.shape), self.activation, self.observation.bounded)


@final
class ConvVAE(VAE):
    """A VAE of convolutions, as for CelebA in the code of sliced score matching.

    Args:
        shape: of an image; its sides must divide by 2 for every convolution.
        channels: of the encoder's convolutions; the decoder's are the mirror.
        hidden: units of the dense layer after them.
        activation: of encoder and decoder.
        conditional_hidden: units per latent of the small networks of an autoregressive encoder.
        score_activation: of the score network's own convolutions of x.
        settings: see `VAE`.

    Example:
        >>> import torch
        >>> from scorewise.latent import ConvVAE
        >>> from scorewise.noise import Draws
        >>> settings = {"z": 2, "method": "elbo", "encoder": "gaussian", "likelihood": "gaussian"}
        >>> vae = ConvVAE((3, 8, 8), channels=(4, 8), hidden=(16,), **settings)
        >>> x = torch.rand(5, 192) * 2 - 1
        >>> vae.terms(x, Draws.fresh(5)).total().shape
        torch.Size([5])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        *,
        channels: HiddenSizes = (64, 128, 256, 512),
        hidden: HiddenSizes = (512,),
        activation: ActivationName = "relu",
        conditional_hidden: Count = 64,
        score_activation: ActivationName = "softplus",
        **settings: Any,
    ) -> None:
        self.channels, self.hidden, self.activation = tuple(channels), tuple(hidden), activation
        self.score_activation = score_activation
        super().__init__(shape, conditional_hidden=conditional_hidden, **settings)

    def encoder_trunk(self, noise: int) -> Trunk:
        """Return convolutions and dense layers, noise as one more channel."""
        return ConvTrunk(self.shape, self.channels, self.hidden, self.activation, noise)

    def score_trunk(self) -> Trunk:
        """Return convolutions and dense layers of their own."""
        return ConvTrunk(self.shape, self.channels, self.hidden, self.score_activation)

    def make_decoder(self) -> nn.Module:
        """Return a dense layer and transposed convolutions."""
        return ConvDecoder(self.z, self.channels, self.shape, self.activation, self.observation.bounded)
