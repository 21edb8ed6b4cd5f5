"""Features of blocks from backbones that have them per dimension, and one block at a time."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from scorewise.capabilities import BlockFeatures, ContextStream, StreamsFeatures
from scorewise.ordering import Ordering


class FirstOfBlock:
    """Features of blocks from a backbone that has causal features: those of the first dimension of every block.

    That dimension sees all blocks before its own and nothing of it.

    Args:
        backbone: with causal features along the order.
        ordering: with blocks.
        like: a number of the type and on the device of the features.
    """

    def __init__(self, backbone: Any, ordering: Ordering, like: Tensor) -> None:
        self.backbone, self.ordering, self.like = backbone, ordering, like
        self.first = [block[0] for block in ordering.blocks]

    def block_features(self, u_BD: Tensor) -> Tensor:
        """Return features of every block from those before it, shape (B, K, F)."""
        c_BKF: Tensor = self.backbone.causal_features(u_BD)[:, self.first]
        return c_BKF

    def feature_stream(self) -> ContextStream:
        """Return the same one block at a time."""
        if isinstance(self.backbone, StreamsFeatures):
            return ByDimension(self.backbone.feature_stream(), [len(block) for block in self.ordering.blocks])
        return PassPerBlock(self, self.ordering, self.like)


class ByDimension:
    """The features of blocks from a stream of those of dimensions: a ContextStream.

    Args:
        stream: one dimension at a time.
        sizes: of the blocks.
    """

    def __init__(self, stream: ContextStream, sizes: Sequence[int]) -> None:
        self.stream, self.sizes, self.block = stream, sizes, 0

    def start(self, n: int) -> Tensor:
        """Return the features of the first block for n examples, shape (n, 1, F)."""
        self.block = 0
        return self.stream.start(n)

    def push(self, x_block: Tensor) -> Tensor:
        """Return the features of the next block, given the values (n, b) of the current one."""
        size = self.sizes[self.block]
        self.block += 1
        for place in range(size):
            c_B1F = self.stream.push(x_block[:, place, None])
        return c_B1F


class PassPerBlock:
    """The features of blocks by one pass over whole examples per block: a ContextStream.

    Args:
        backbone: with features of blocks.
        ordering: with blocks.
        like: a number of the type and on the device of the features.
    """

    def __init__(self, backbone: BlockFeatures, ordering: Ordering, like: Tensor) -> None:
        self.backbone, self.ordering, self.block = backbone, ordering, 0
        self.u_BD = like.new_empty(0)

    def start(self, n: int) -> Tensor:
        """Return the features of the first block for n examples, shape (n, 1, F)."""
        self.block, self.u_BD = 0, self.u_BD.new_zeros(n, len(self.ordering))
        return self.backbone.block_features(self.u_BD)[:, :1]

    def push(self, x_block: Tensor) -> Tensor:
        """Return the features of the next block, given the values (n, b) of the current one."""
        dims = list(self.ordering.blocks[self.block])
        self.u_BD[:, dims] = x_block[:, : len(dims)]
        self.block += 1
        return self.backbone.block_features(self.u_BD)[:, self.block : self.block + 1]


class Read:
    """A stream of features, each turned into a context by a map of its last axis: a ContextStream.

    Args:
        features: the stream.
        read: the map.
    """

    def __init__(self, features: ContextStream, read: Callable[[Tensor], Tensor]) -> None:
        self.features, self.read = features, read

    def start(self, n: int) -> Tensor:
        """Return the context of the first block for n examples, shape (n, 1, F)."""
        return self.read(self.features.start(n))

    def push(self, x_block: Tensor) -> Tensor:
        """Return the context of the next block, given the values (n, b) of the current one."""
        return self.read(self.features.push(x_block))
