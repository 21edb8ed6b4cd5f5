"""A small convolutional network over the whole image."""

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from scorewise.backbones.layers import ActivationName, activation_named
from scorewise.ranges import Count, HiddenSizes, within_ranges


class ConvNet(nn.Module):
    """Convolutions that halve the image, then one linear layer: Features.

    No normalisation, which would couple the examples of a batch and hide the size of an energy's input.

    Args:
        shape: (C, H, W) of one image.
        channels: per resolution, finest first.
        features: width of the features.
        activation: after every layer; smooth for objectives that differentiate it.

    Raises:
        ValueError: the examples are not images, or halve to nothing.

    Example:
        >>> import torch
        >>> from scorewise.backbones import ConvNet
        >>> ConvNet((1, 8, 8), channels=(8, 16), features=32).features(torch.zeros(5, 64)).shape
        torch.Size([5, 32])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        channels: HiddenSizes = (32, 64, 64),
        features: Count = 128,
        activation: ActivationName = "silu",
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"a ConvNet takes images of shape (C, H, W), not examples of shape {tuple(shape)}")
        self.shape, self.width = tuple(shape), features
        layers: list[nn.Module] = []
        height, width = self.shape[1:]
        for n_in, n_out in itertools.pairwise((self.shape[0], *channels)):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), activation_named(activation)]
            height, width = height // 2, width // 2
        if not height or not width:
            raise ValueError(
                f"a ConvNet with {len(channels)} resolutions halves images of {self.shape[1]} x {self.shape[2]} pixels "
                "to nothing: use fewer channels, [32,64] say"
            )
        layers += [nn.Flatten(), nn.Linear(channels[-1] * height * width, features), activation_named(activation)]
        self.net = nn.Sequential(*layers)

    def features(self, u_BD: Tensor) -> Tensor:
        """Return the last layer, shape (B, width)."""
        h_BF: Tensor = self.net(u_BD.unflatten(-1, self.shape))
        return h_BF
