"""Convolutions whose window lies above and to the left of their output (van den Oord 2016, Salimans 2017)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm


class Shifted(nn.Module):
    """A weight-normalised convolution whose window begins `up` rows above and `left` columns beside its output.

    Outside of the image are zeros. With stride 2 output (y, x) has the window of (2y, 2x), so a side of n becomes
    ceil(n / 2).

    Args:
        n_in, n_out: channels.
        window: rows and columns.
        up, left: rows above and columns to the left that the window begins at.
        stride: 1, or 2 for half the resolution.
        gain: standard deviation of the outputs after `normalise`, and the factor of the weights before it.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        window: tuple[int, int],
        up: int = 0,
        left: int = 0,
        stride: int = 1,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.window, self.up, self.left, self.stride, self.gain = window, up, left, stride, gain
        self.padding = (left, window[1] - 1 - left, up, window[0] - 1 - up)
        self.conv = weight_norm(nn.Conv2d(n_in, n_out, window, stride))
        with torch.no_grad():
            self.conv.parametrizations.weight.original0.mul_(gain)

    def forward(self, h_BCHW: Tensor) -> Tensor:
        """Return the output for a whole image."""
        out_BCHW: Tensor = self.conv(functional.pad(h_BCHW, self.padding))
        return out_BCHW

    def weights(self) -> tuple[Tensor, Tensor]:
        """Return the weight as it is used, and the bias."""
        weight, bias = self.conv.weight, self.conv.bias
        assert bias is not None
        return weight, bias

    @torch.no_grad()
    def normalise(self, out_BCHW: Tensor) -> Tensor:
        """Set scale and bias so that the outputs of a batch have mean 0 and standard deviation `gain`.

        Data-dependent initialisation (Salimans and Kingma 2016), per channel.

        Args:
            out_BCHW: the outputs as they are.

        Returns:
            the outputs as they are from now on.
        """
        return _normalise(self.conv, out_BCHW, self.gain, 0)


class Up(nn.Module):
    """A weight-normalised transposed convolution to twice the resolution: rows 2y and 2y + 1 from row y.

    Args:
        channels: in and out.
        window: 2 rows and as many columns as the convolutions of the stack: 3, around the output, or 2, up to it.
    """

    def __init__(self, channels: int, window: tuple[int, int]) -> None:
        super().__init__()
        self.left = window[1] - 2
        self.conv = weight_norm(nn.ConvTranspose2d(channels, channels, window, 2), dim=1)

    def forward(self, h_BCHW: Tensor) -> Tensor:
        """Return the output, of twice the height and width."""
        out_BCHW: Tensor = self.conv(h_BCHW)
        return out_BCHW[..., self.left : self.left + 2 * h_BCHW.shape[-1]]

    @torch.no_grad()
    def normalise(self, out_BCHW: Tensor) -> Tensor:
        """Set scale and bias so that outputs have mean 0 and standard deviation 1, see `Shifted.normalise`."""
        return _normalise(self.conv, out_BCHW, 1.0, 1)


def _normalise(conv: Any, out_BCHW: Tensor, gain: float, axis: int) -> Tensor:
    var_C, mean_C = torch.var_mean(out_BCHW, (0, 2, 3), correction=0)
    factor_C = gain * (var_C + 1e-6).rsqrt()
    shape = [-1 if i == axis else 1 for i in range(4)]
    conv.parametrizations.weight.original0.mul_(factor_C.view(shape))
    conv.bias.sub_(mean_C).mul_(factor_C)
    return (out_BCHW - mean_C[:, None, None]) * factor_C[:, None, None]


def concat_elu(h_BCHW: Tensor) -> Tensor:
    """Return elu(h) and elu(-h), twice the channels (Shang et al. 2016)."""
    return functional.elu(torch.cat([h_BCHW, -h_BCHW], dim=1))
