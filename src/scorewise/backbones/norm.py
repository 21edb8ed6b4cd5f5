"""Layer normalisation that can be differentiated as often as a loss needs."""

import torch
from torch import Tensor, nn

from scorewise.gradients import inside_transform


class LayerNorm(nn.LayerNorm):
    """`torch.nn.LayerNorm`, by its formula where function transforms differentiate it.

    The derivative that PyTorch's own gives to forward mode, and its second one, take mean and deviation for constants
    when they are differentiated once more, without any error (pytorch/pytorch issues 196700 and 175754): traces by
    tangents would have their right value and a wrong gradient.
    """

    def forward(self, h: Tensor) -> Tensor:
        """Return the features less their mean, by their deviation, scaled and shifted, shape of h."""
        if not inside_transform():
            return super().forward(h)
        centred = h - h.mean(-1, keepdim=True)
        return centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + self.eps) * self.weight + self.bias
