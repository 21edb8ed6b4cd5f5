"""From features of a pixel to features of its channels, each of which sees the channels before it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorewise.backbones.layers import MaskedLinear


class SamePixel(nn.Module):
    """The last layer: features of every channel from those of its pixel and from the earlier channels of it.

    A head reads [features of the pixel, earlier channels of the same pixel with zeros elsewhere, which channel it is],
    passed through one hidden layer; with one channel the layer is linear.

    Args:
        channels: of the image.
        filters: features per pixel.
        width: features per channel of a pixel.
    """

    def __init__(self, channels: int, filters: int, width: int) -> None:
        super().__init__()
        self.channels, self.width = channels, width
        self.of_pixel = nn.Linear(filters, channels * width)
        if channels > 1:
            channel = torch.arange(channels)
            self.hidden = nn.Linear(filters, channels * filters)
            self.earlier = MaskedLinear(channel.repeat_interleave(filters)[:, None] > channel)
            self.last = nn.ModuleList(nn.Linear(2 * filters, width, bias=False) for _ in range(channels))

    def forward(self, h_BPF: Tensor, u_BPC: Tensor) -> Tensor:
        """Return features per channel, shape (B, P, C, width), from features and values of the pixels."""
        c_BPCF: Tensor = self.of_pixel(functional.elu(h_BPF)).unflatten(-1, (self.channels, self.width))
        if self.channels == 1:
            return c_BPCF
        z_BPCF = (self.hidden(h_BPF) + self.earlier(u_BPC)).unflatten(-1, (self.channels, -1))
        z_BPCF = functional.elu(torch.cat([z_BPCF, -z_BPCF], dim=-1))
        return c_BPCF + torch.stack([last(z) for last, z in zip(self.last, z_BPCF.unbind(-2), strict=True)], dim=-2)
