"""A causal transformer whose tokens are patches of an example."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import product
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from scorewise.backbones.blocks import Blocks
from scorewise.backbones.dropout import mask_generator
from scorewise.backbones.norm import LayerNorm
from scorewise.backbones.transformer import Block, TransformerStream, differentiated, refuse_undivided
from scorewise.ordering import Ordering
from scorewise.ranges import Between, Count, HiddenSizes, Whole, within_ranges


def neighbours_before(grid: Sequence[int], sequence: Sequence[int], reach: int) -> Tensor:
    """Return the positions of the patches around each patch that come before it, shape (K, N); -1: there is none.

    One column per place around a patch, those left out that no patch has.

    Args:
        grid: how many patches there are along each side.
        sequence: the patches' numbers, row by row, in their order.
        reach: patches to every side.

    Example:
        >>> from scorewise.backbones.patch_transformer import neighbours_before
        >>> neighbours_before((2, 2), (0, 1, 2, 3), reach=1).tolist()  # above left, above, above right, left
        [[-1, -1, -1, -1], [-1, -1, -1, 0], [-1, 0, 1, -1], [0, 1, -1, 2]]
    """
    positions = {number: position for position, number in enumerate(sequence)}
    position_of = {place: positions[number] for number, place in enumerate(product(*map(range, grid)))}
    offsets = [offset for offset in product(range(-reach, reach + 1), repeat=len(grid)) if any(offset)]
    columns = []
    for offset in offsets:
        by_position = [-1] * len(sequence)
        for place, position in position_of.items():
            near = position_of.get(tuple(i + step for i, step in zip(place, offset, strict=True)), -1)
            by_position[position] = near if near < position else -1
        columns.append(by_position)
    columns = [column for column in columns if max(column) >= 0]
    return torch.tensor(columns, dtype=torch.long).reshape(len(columns), len(sequence)).T


class PatchTransformer(nn.Module):
    """A causal transformer with one position per patch: BlockFeatures, and a stream of them.

    A position is given the entries of the patch before it in the order and a learned vector that says which patch it
    is to give the features of; with neighbours also the patches around that one, as far as they come before it. Which
    is above which must be learned from the vectors otherwise. The projections of patches are shared, so but for those
    vectors the number of parameters does not depend on how many patches there are. Everything is smooth.

    Args:
        shape: shape of one example: images (H, W) or (C, H, W), or vectors (D,).
        width: features per patch (F).
        patch: sides of a patch, two for images and one for vectors; see `Ordering.patches`.
        size: of the vectors inside.
        heads: of the attention; they divide the size.
        blocks: of attention and perceptron.
        dropout: share of the output of every branch that is dropped in training.
        ordering: name of the order of the patches (see `Ordering.named`), or their numbers in their order.
        ordering_seed: seed of the random order.
        neighbours: how many patches to every side, and diagonally, a position is given.

    Raises:
        ValueError: a setting is out of range, or there are no such patches.

    Example:
        >>> import torch
        >>> from scorewise.backbones import PatchTransformer
        >>> backbone = PatchTransformer((1, 8, 8), width=12, patch=(4, 4), size=16, heads=2, blocks=1)
        >>> backbone.block_features(torch.zeros(5, 64)).shape
        torch.Size([5, 4, 12])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        patch: HiddenSizes = (4, 4),
        size: Count = 128,
        heads: Count = 4,
        blocks: Count = 4,
        dropout: Annotated[float, Between(0, 1, without=("high",))] = 0.0,
        ordering: str | Sequence[int] = "raster",
        ordering_seed: Whole = 0,
        neighbours: Whole = 0,
    ) -> None:
        super().__init__()
        refuse_undivided(size, heads)
        self.shape, self.width, self.dropout = tuple(shape), width, dropout
        self.ordering = Ordering.patches(self.shape, patch, ordering, ordering_seed)
        self.patches = Blocks(self.ordering)
        numbers = Ordering.patches(self.shape, patch).blocks
        sequence = [numbers.index(block) for block in self.ordering.blocks]
        self.register_buffer("sequence", torch.tensor(sequence), persistent=False)
        self.sequence: Tensor
        self.begin = nn.Parameter(0.02 * torch.randn(size))
        self.of_value = nn.Linear(self.patches.size, size)
        self.of_patch = nn.Parameter(0.02 * torch.randn(len(numbers), size))
        self.blocks = nn.ModuleList(Block(size, heads, (2 * blocks) ** -0.5) for _ in range(blocks))
        self.norm = LayerNorm(size)
        self.output = nn.Linear(size, width)
        grid = [math.ceil(side / size) for side, size in zip(self.shape[-len(patch) :], patch, strict=True)]
        near_KN = neighbours_before(grid, sequence, neighbours)
        self.register_buffer("near_KN", near_KN, persistent=False)
        self.near_KN: Tensor
        self.of_near = nn.Linear(near_KN.shape[1] * self.patches.size, size, bias=False) if near_KN.numel() else None

    def where(self, positions: Tensor) -> Tensor:
        """Return the vectors that say which patches these are, shape (K, size)."""
        return self.of_patch[positions]

    def around(self, known_BPb: Tensor, positions: slice) -> Tensor | float:
        """Return what the patches around some positions say, (B, P, size), given all that come before the last one."""
        near_PN = self.near_KN[positions]
        if self.of_near is None or not known_BPb.shape[1]:
            return 0.0
        there_PN1 = (near_PN >= 0)[..., None]
        near_BPNb = torch.where(there_PN1, known_BPb[:, near_PN.clamp(min=0)], 0)
        h_BPF: Tensor = self.of_near(near_BPNb.flatten(-2))
        return h_BPF

    def entry(self, known_BPb: Tensor, position: int) -> Tensor:
        """Return what enters the blocks at one position, given the patches before it, shape (B, 1, size)."""
        before_B1F = self.of_value(known_BPb[:, -1:]) if position else self.begin.expand(len(known_BPb), 1, -1)
        h_B1F: Tensor = before_B1F + self.where(self.sequence[position, None])
        return h_B1F + self.around(known_BPb, slice(position, position + 1))

    def block_features(self, u_BD: Tensor) -> Tensor:
        """Return features of every patch from those before it in the order, shape (B, K, width)."""
        u_BKb = self.patches.split(u_BD)
        begin_B1F = self.begin.expand(len(u_BD), 1, -1)
        h_BKF = torch.cat([begin_B1F, self.of_value(u_BKb[:, :-1])], dim=1) + self.where(self.sequence)
        h_BKF = h_BKF + self.around(u_BKb, slice(None))
        generator = mask_generator(u_BD) if self.training and self.dropout else None
        with sdpa_kernel(SDPBackend.MATH) if differentiated(u_BD) else nullcontext():
            for block in self.blocks:
                h_BKF = block(h_BKF, self.dropout, generator)
        c_BKF: Tensor = self.output(self.norm(h_BKF))
        return c_BKF

    def feature_stream(self) -> TransformerStream:
        """Return the same features one patch at a time, for the cost of one forward pass in all."""
        return TransformerStream(self)
