"""A transformer over the dimensions of an example of which any part is known (Vaswani et al. 2017)."""

import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from scorewise.backbones.any_order import AnyOrder
from scorewise.backbones.dropout import mask_generator
from scorewise.backbones.norm import LayerNorm
from scorewise.backbones.transformer import Block, differentiated, refuse_undivided
from scorewise.ranges import Between, Count, Whole, within_ranges


class MaskedTransformer(AnyOrder):
    """A transformer with one position per dimension, all of which see each other: MaskedFeatures, CausalFeatures.

    A position is given a learned vector that says which dimension it is, and what is known there: the value, or a
    vector that stands for none. Everything is smooth in the values.

    Args:
        shape: shape of one example; D is its product.
        width: features per dimension (F).
        size: of the vectors inside.
        heads: of the attention; they divide the size.
        blocks: of attention and perceptron.
        dropout: share of the output of every branch that is dropped in training.
        levels, ordering, ordering_seed, orders: see `AnyOrder`.

    Raises:
        ValueError: heads that do not divide the size; see `AnyOrder`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MaskedTransformer
        >>> backbone = MaskedTransformer((4,), width=12, size=16, heads=2, blocks=1)
        >>> backbone.masked_features(torch.zeros(5, 4), torch.tensor([True, False, False, True]).expand(5, 4)).shape
        torch.Size([5, 4, 12])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        size: Count = 64,
        heads: Count = 4,
        blocks: Count = 3,
        dropout: Annotated[float, Between(0, 1, without=("high",))] = 0.0,
        levels: Sequence[int] | None = None,
        ordering: str | Sequence[int] = "raster",
        ordering_seed: Whole = 0,
        orders: Count = 1,
    ) -> None:
        super().__init__(shape, width, ordering, ordering_seed, orders, levels)
        refuse_undivided(size, heads)
        self.dropout = dropout
        self.keep("counts", list(self.levels))
        self.keep("first_level", [0, *itertools.accumulate(self.levels)][:-1])
        self.counts: Tensor
        self.first_level: Tensor
        self.of_number = nn.Sequential(nn.Linear(1, size), nn.GELU(), nn.Linear(size, size))
        self.of_level = nn.Parameter(0.02 * torch.randn(max(1, sum(self.levels)), size))
        self.of_nothing = nn.Parameter(0.02 * torch.randn(size))
        self.of_place = nn.Parameter(0.02 * torch.randn(self.dims, size))
        self.blocks = nn.ModuleList(Block(size, heads, (2 * blocks) ** -0.5, causal=False) for _ in range(blocks))
        self.norm = LayerNorm(size)
        self.output = nn.Linear(size, width)

    def tokens(self, u_BD: Tensor, known_BD: Tensor) -> Tensor:
        """Return what the blocks read, shape (B, D, size); unknown entries are no part of it."""
        code_BD = u_BD.round()
        known_BD = known_BD & ((self.counts == 0) | ((code_BD >= 0) & (code_BD < self.counts)))
        number_BD = torch.where(known_BD & (self.counts == 0), u_BD, 0)
        level_BD = torch.where(known_BD & (self.counts > 0), code_BD, 0).long() + self.first_level
        # The first level stands in for columns without any, whose entries are numbers.
        level_BDF = self.of_level[level_BD.clamp(max=len(self.of_level) - 1)]
        value_BDF = torch.where((self.counts == 0).unsqueeze(-1), self.of_number(number_BD.unsqueeze(-1)), level_BDF)
        return torch.where(known_BD.unsqueeze(-1), value_BDF, self.of_nothing) + self.of_place

    def masked_features(self, u_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor:
        """Return features of every dimension from what is known, shape (B, D, width), see `AnyOrder`."""
        h_BDF = self.tokens(u_BD, known_BD)
        generator = mask_generator(torch.where(known_BD, u_BD, 0)) if self.training and self.dropout else None
        # The fused kernels have no second derivative, which a gradient through the features may come to need.
        with sdpa_kernel(SDPBackend.MATH) if differentiated(u_BD) else nullcontext():
            for block in self.blocks:
                h_BDF = block(h_BDF, self.dropout, generator)
        c_BDF: Tensor = self.output(self.norm(h_BDF if dims is None else h_BDF[:, list(dims)]))
        return c_BDF
