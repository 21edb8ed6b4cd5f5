"""A causal transformer whose tokens are patches of an example."""

from collections.abc import Sequence
from contextlib import nullcontext
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


class PatchTransformer(nn.Module):
    """A causal transformer with one position per patch: BlockFeatures, and a stream of them.

    A position is given the entries of the patch before it in the order and a learned vector that says which patch it
    is to give the features of. The projections of patches are shared, so but for those vectors the number of parameters
    does not depend on how many patches there are. Everything is smooth.

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

    def where(self, positions: Tensor) -> Tensor:
        """Return the vectors that say which patches these are, shape (K, size)."""
        return self.of_patch[positions]

    def block_features(self, u_BD: Tensor) -> Tensor:
        """Return features of every patch from those before it in the order, shape (B, K, width)."""
        before_BKF = self.of_value(self.patches.split(u_BD)[:, :-1])
        begin_B1F = self.begin.expand(len(u_BD), 1, -1)
        h_BKF = torch.cat([begin_B1F, before_BKF], dim=1) + self.where(self.sequence)
        generator = mask_generator(u_BD) if self.training and self.dropout else None
        with sdpa_kernel(SDPBackend.MATH) if differentiated(u_BD) else nullcontext():
            for block in self.blocks:
                h_BKF = block(h_BKF, self.dropout, generator)
        c_BKF: Tensor = self.output(self.norm(h_BKF))
        return c_BKF

    def feature_stream(self) -> TransformerStream:
        """Return the same features one patch at a time, for the cost of one forward pass in all."""
        return TransformerStream(self)
