"""A small convolutional network over an image and its noise level (Ronneberger et al. 2015, Ho et al. 2020)."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorewise.backbones.noise_level import NoiseLevel
from scorewise.ranges import Count, HiddenSizes, within_ranges

EMBEDDING = 64
GROUPS = 8


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a normalisation over up to eight groups of two or more channels, so that one pixel is enough."""
    return nn.GroupNorm(math.gcd(GROUPS, channels // 2, channels), channels)


class NoisyBlock(nn.Module):
    """Two convolutions around a scale and a shift from the noise level, added to the input.

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_in, self.norm_out = group_norm(channels), group_norm(channels)
        self.conv_in = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        self.level = nn.Linear(EMBEDDING, 2 * channels)

    def forward(self, h_BCHW: Tensor, e_BF: Tensor) -> Tensor:
        """Return the block's output, shape of its input."""
        scale_BC11, shift_BC11 = self.level(e_BF)[:, :, None, None].chunk(2, dim=1)
        r_BCHW = self.conv_in(functional.silu(self.norm_in(h_BCHW)))
        r_BCHW = torch.addcmul(shift_BC11, self.norm_out(r_BCHW), 1 + scale_BC11)
        sum_BCHW: Tensor = h_BCHW + self.conv_out(functional.silu(r_BCHW))
        return sum_BCHW


class UNet(nn.Module):
    """A U-Net that is told the noise level in every block: NoisyFeatures.

    Each resolution halves the one before; what a resolution had on the way down is added on the way up. Images
    are padded by repeating their edge where a side does not halve evenly, and cropped at the end.

    Args:
        shape: (C, H, W) of one image; D = C H W.
        width: features per dimension.
        channels: at every resolution, finest first.
        blocks: at every resolution, on the way down and again on the way up.
        patch: side of the squares of pixels that are the points of the finest resolution; 2 is several times cheaper.

    Raises:
        ValueError: the examples are not images, or there is no resolution, block or pixel.

    Example:
        >>> import torch
        >>> from scorewise.backbones import UNet
        >>> UNet((1, 8, 8), width=1, channels=(8, 16)).noisy_features(torch.zeros(5, 64), torch.zeros(5)).shape
        torch.Size([5, 64, 1])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        channels: HiddenSizes = (48, 64),
        blocks: Count = 1,
        patch: Count = 2,
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"a U-Net takes images of shape (C, H, W), not examples of shape {tuple(shape)}")
        self.shape, self.width, self.blocks, self.patch = tuple(shape), width, blocks, patch
        self.multiple = patch * 2 ** (len(channels) - 1)
        self.level = NoiseLevel(EMBEDDING)
        self.first = nn.Conv2d(self.shape[0] * patch**2, channels[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(c, to, 3, 2, padding=1) for c, to in itertools.pairwise(channels))
        self.up = nn.ModuleList(nn.ConvTranspose2d(to, c, 2, 2) for c, to in itertools.pairwise(channels))
        self.encoder = nn.ModuleList(NoisyBlock(c) for c in channels for _ in range(blocks))
        self.decoder = nn.ModuleList(NoisyBlock(c) for c in channels for _ in range(blocks))
        self.norm = group_norm(channels[0])
        self.last = nn.Conv2d(channels[0], self.shape[0] * width * patch**2, 3, padding=1)
        with torch.no_grad():
            self.last.weight.mul_(0.1)

    def noisy_features(self, u_BD: Tensor, log_sigma_B: Tensor) -> Tensor:
        """Return features per dimension, each of the whole image and its level, shape (B, D, width)."""
        height, width = self.shape[1:]
        pad = (0, -width % self.multiple, 0, -height % self.multiple)
        u_BCHW = functional.pad(u_BD.unflatten(-1, self.shape), pad, mode="replicate")
        h_BCHW = self.first(functional.pixel_unshuffle(u_BCHW, self.patch))
        h_BCHW = self._resolve(h_BCHW, self.level(log_sigma_B), 0)
        h_BCHW = functional.pixel_shuffle(self.last(functional.silu(self.norm(h_BCHW))), self.patch)
        h_BCHW = h_BCHW[..., :height, :width]
        h_BDF: Tensor = h_BCHW.unflatten(1, (self.shape[0], self.width)).movedim(2, -1).flatten(1, 3)
        return h_BDF

    def _resolve(self, h_BCHW: Tensor, e_BF: Tensor, depth: int) -> Tensor:
        """Return one resolution and all coarser ones."""
        here = slice(depth * self.blocks, (depth + 1) * self.blocks)
        for block in self.encoder[here]:
            h_BCHW = block(h_BCHW, e_BF)
        if depth < len(self.down):
            h_BCHW = h_BCHW + self.up[depth](self._resolve(self.down[depth](h_BCHW), e_BF, depth + 1))
        for block in self.decoder[here]:
            h_BCHW = block(h_BCHW, e_BF)
        return h_BCHW
