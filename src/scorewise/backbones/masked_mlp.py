"""A fully connected network over the known part of an example and over what is known (Uria et al. 2014)."""

import itertools
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Generator, Tensor, nn

from scorewise.backbones.any_order import AnyOrder
from scorewise.backbones.dropout import drop, mask_generator
from scorewise.backbones.layers import ActivationName, activation_named
from scorewise.backbones.norm import LayerNorm
from scorewise.ranges import Between, Count, HiddenSizes, Whole, within_ranges


class MaskedMLP(AnyOrder):
    """A residual network of values and of which are known: MaskedFeatures, and CausalFeatures by D passes.

    A number enters as [u known, known], a category as its one-hot code, which is zero where it is not known. It is made
    for tables: training costs one pass per step, a density along one order D passes.

    Args:
        shape: shape of one example; D is its product.
        width: features per dimension (F).
        hidden: sizes of the hidden layers, each on normalised input and added to it where the size stays (pre-norm).
        activation: name of the activation; any, since the derivative in a query does not pass through it.
        dropout: share of the output of every hidden layer that is dropped in training.
        levels, ordering, ordering_seed, orders: see `AnyOrder`.

    Raises:
        ValueError: see `AnyOrder`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MaskedMLP
        >>> backbone = MaskedMLP((4,), width=12, hidden=(32, 32))
        >>> backbone.masked_features(torch.zeros(5, 4), torch.tensor([True, False, False, True]).expand(5, 4)).shape
        torch.Size([5, 4, 12])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        hidden: HiddenSizes = (256, 256, 256),
        activation: ActivationName = "silu",
        dropout: Annotated[float, Between(0, 1, without=("high",))] = 0.0,
        levels: Sequence[int] | None = None,
        ordering: str | Sequence[int] = "raster",
        ordering_seed: Whole = 0,
        orders: Count = 1,
    ) -> None:
        super().__init__(shape, width, ordering, ordering_seed, orders, levels)
        self.dropout = dropout
        of_code = [(dim, code) for dim, count in enumerate(self.levels) for code in range(count)]
        self.keep("numbers", [dim for dim, count in enumerate(self.levels) if not count])
        self.keep("of_column", [dim for dim, _ in of_code])
        self.keep("of_level", [code for _, code in of_code])
        self.numbers: Tensor
        self.of_column: Tensor
        self.of_level: Tensor
        self.first = nn.Linear(2 * len(self.numbers) + len(of_code), hidden[0])
        sizes = (hidden[0], *hidden)
        self.norms = nn.ModuleList(LayerNorm(size) for size in sizes)
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(sizes))
        self.activation = activation_named(activation)
        self.output = nn.Linear(hidden[-1], self.dims * width)

    def inputs(self, u_BD: Tensor, known_BD: Tensor) -> Tensor:
        """Return what the first layer reads, shape (B, inputs); unknown entries are no part of it."""
        u_BN, known_BN = u_BD[:, self.numbers], known_BD[:, self.numbers]
        numbers_BN = torch.where(known_BN, u_BN, 0)
        is_level_BK = (u_BD[:, self.of_column].round() == self.of_level) & known_BD[:, self.of_column]
        return torch.cat([numbers_BN, known_BN.to(u_BD.dtype), is_level_BK.to(u_BD.dtype)], dim=1)

    def masked_features(self, u_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor:
        """Return features of every dimension from what is known, shape (B, D, width), see `AnyOrder`."""
        inputs_BI = self.inputs(u_BD, known_BD)
        generator = mask_generator(inputs_BI) if self.training and self.dropout else None
        h_BH = self._trunk(self.first(inputs_BI), generator)
        if dims is None:
            h_BDF: Tensor = self.output(h_BH).unflatten(-1, (self.dims, self.width))
            return h_BDF
        weight = self.output.weight.unflatten(0, (self.dims, self.width))[dims].flatten(0, 1)
        bias = self.output.bias.unflatten(0, (self.dims, self.width))[dims].flatten()
        h_BdF: Tensor = nn.functional.linear(h_BH, weight, bias).unflatten(-1, (len(dims), self.width))
        return h_BdF

    def _trunk(self, h_BH: Tensor, generator: Generator | None) -> Tensor:
        for norm, layer in zip(self.norms, self.hidden, strict=False):
            new_BH = drop(layer(self.activation(norm(h_BH))), self.dropout, generator)
            h_BH = h_BH + new_BH if new_BH.shape == h_BH.shape else new_BH
        out_BH: Tensor = self.activation(self.norms[-1](h_BH))
        return out_BH
