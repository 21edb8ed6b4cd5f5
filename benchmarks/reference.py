"""AR-CSM as the paper describes it, written plainly: what the fused step is measured against."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorewise.backbones.made import hidden_degrees


class ReferenceARCSM(nn.Module):
    """A MADE whose masks are multiplied in at every forward pass, and a shared head on [context, x_d].

    Args:
        dims: D.
        context: numbers per context vector.
        trunk: sizes of the MADE's hidden layers.
        head: sizes of the head's hidden layers.
    """

    def __init__(self, dims: int, context: int, trunk: Sequence[int], head: Sequence[int]) -> None:
        super().__init__()
        self.dims, self.context = dims, context
        degrees = [1 + torch.arange(dims), *(hidden_degrees(units, dims) for units in trunk)]
        masks = [out[:, None] >= into for into, out in itertools.pairwise(degrees)]
        masks.append((1 + torch.arange(dims)).repeat_interleave(context)[:, None] > degrees[-1])
        sizes = [dims, *trunk, dims * context]
        self.linear = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in itertools.pairwise(sizes))
        for index, mask in enumerate(masks):
            self.register_buffer(f"mask{index}", mask.float())
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise([context + 1, *head]):
            layers += [nn.Linear(n_in, n_out), nn.SiLU()]
        self.head = nn.Sequential(*layers, nn.Linear(head[-1], 1))

    def loss(self, x_BD: Tensor) -> Tensor:
        """Return the mean of J_CSM (eq. 5) with ds_d/dx_d by differentiating the head, in a graph of its own."""
        h = x_BD
        for index, layer in enumerate(self.linear):
            assert isinstance(layer, nn.Linear)
            h = functional.linear(h, layer.weight * self.get_buffer(f"mask{index}"), layer.bias)
            h = functional.relu(h) if index + 1 < len(self.linear) else h
        q_BD = x_BD.detach().clone().requires_grad_()
        s_BD = self.head(torch.cat([q_BD.unsqueeze(-1), h.unflatten(-1, (self.dims, self.context))], -1)).squeeze(-1)
        (slope_BD,) = torch.autograd.grad(s_BD.sum(), q_BD, create_graph=True)
        return (0.5 * s_BD.square() + slope_BD).sum(-1).mean()
