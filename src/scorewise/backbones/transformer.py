"""A causal transformer over the dimensions of an example (Vaswani et al. 2017, Chen et al. 2020)."""

import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Annotated, Any, Protocol, cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from scorewise.backbones.dropout import drop, mask_generator
from scorewise.backbones.norm import LayerNorm
from scorewise.gradients import inside_transform
from scorewise.ordering import Ordering
from scorewise.ranges import Between, Count, Whole, within_ranges


class Attention(nn.Module):
    """Causal self-attention with several heads.

    Args:
        size: of a vector.
        heads: they divide it.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(size, 3 * size)
        self.output = nn.Linear(size, size)

    def parts(self, h_BPF: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values, shape (B, heads, P, F / heads)."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.project(h_BPF).chunk(3, dim=-1)
        )
        return query, key, value

    def attend(self, query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor:
        """Return the layer's output, shape (B, P, F)."""
        h = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
        out_BPF: Tensor = self.output(h.transpose(1, 2).flatten(2))
        return out_BPF


def refuse_undivided(size: int, heads: int) -> None:
    """Refuse a size that the heads do not divide.

    Raises:
        ValueError: both numbers.
    """
    if size % heads:
        raise ValueError(f"a transformer needs a size that its heads divide, not size={size} and heads={heads}")


class Block(nn.Module):
    """Attention and a perceptron, each on normalised input and added to it (pre-norm).

    Args:
        size: of a vector.
        heads: of the attention.
        gain: factor of both branches at the start.
        causal: whether a position sees none of the later ones.
    """

    def __init__(self, size: int, heads: int, gain: float, causal: bool = True) -> None:
        super().__init__()
        self.causal = causal
        self.norm_in, self.norm_out = LayerNorm(size), LayerNorm(size)
        self.attention = Attention(size, heads)
        first, last = nn.Linear(size, 4 * size), nn.Linear(4 * size, size)
        self.perceptron = nn.Sequential(first, nn.GELU(), last)
        with torch.no_grad():
            self.attention.output.weight.mul_(gain)
            last.weight.mul_(gain)

    def forward(self, h_BPF: Tensor, share: float, generator: Generator | None) -> Tensor:
        """Return the block's output for all positions, shape of its input."""
        parts = self.attention.parts(self.norm_in(h_BPF))
        h_BPF = h_BPF + drop(self.attention.attend(*parts, causal=self.causal), share, generator)
        return h_BPF + drop(self.perceptron(self.norm_out(h_BPF)), share, generator)

    def step(self, h_B1F: Tensor, cache: "Cache", position: int) -> Tensor:
        """Return the block's output for one more position, whose key and value it remembers."""
        query, key, value = self.attention.parts(self.norm_in(h_B1F))
        keys, values = cache.put(self, key, value, position)
        h_B1F = h_B1F + self.attention.attend(query, keys, values, causal=False)
        out_B1F: Tensor = h_B1F + self.perceptron(self.norm_out(h_B1F))
        return out_B1F


class Cache:
    """The keys and values of all blocks at all positions so far.

    Args:
        positions: how many there will be.
    """

    def __init__(self, positions: int) -> None:
        self.positions = positions
        self.kept: dict[Block, tuple[Tensor, Tensor]] = {}

    def put(self, block: Block, key: Tensor, value: Tensor, position: int) -> tuple[Tensor, Tensor]:
        """Return the keys and values of a block up to a position, with those of that position put in."""
        if block not in self.kept:
            shape = (*key.shape[:2], self.positions, key.shape[-1])
            self.kept[block] = (key.new_empty(shape), value.new_empty(shape))
        keys, values = self.kept[block]
        keys[:, :, position], values[:, :, position] = key[:, :, 0], value[:, :, 0]
        return keys[:, :, : position + 1], values[:, :, : position + 1]


class Positions(Protocol):
    """A transformer as `TransformerStream` runs it, one position after the other."""

    width: int
    sequence: Tensor
    blocks: Any
    norm: Any
    output: Any

    def entry(self, known_BPb: Tensor, position: int) -> Tensor:
        """Return what enters the blocks at one position, given the values of those before it, shape (B, 1, size)."""


class Transformer(nn.Module):
    """A causal transformer with one position per dimension: CausalFeatures, and a stream of them.

    A position is given the value of the dimension before it in the order, and learned vectors that say which pixel and
    which channel it is to give the features of. Everything is smooth.

    Args:
        shape: shape of one example; D is its product. Of images (C, H, W) or of anything else without channels.
        width: features per dimension (F).
        size: of the vectors inside.
        heads: of the attention; they divide the size.
        blocks: of attention and perceptron.
        dropout: share of the output of every branch that is dropped in training.
        ordering: name of an order (see `Ordering.named`), or the dimensions in their order.
        ordering_seed: seed of the random order.

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> import torch
        >>> from scorewise.backbones import Transformer
        >>> Transformer((1, 8, 8), width=12, size=16, heads=2, blocks=1).causal_features(torch.zeros(5, 64)).shape
        torch.Size([5, 64, 12])
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
        ordering: str | Sequence[int] = "pixels",
        ordering_seed: Whole = 0,
    ) -> None:
        super().__init__()
        refuse_undivided(size, heads)
        self.shape, self.width, self.dropout = tuple(shape), width, dropout
        dims = math.prod(self.shape)
        self.ordering = Ordering.chosen(ordering, self.shape, ordering_seed)
        channels = self.shape[0] if len(self.shape) == 3 else 1
        self.register_buffer("sequence", torch.tensor(self.ordering.sequence), persistent=False)
        self.register_buffer("places", self.ordering.positions(), persistent=False)
        self.sequence: Tensor
        self.places: Tensor
        self.begin = nn.Parameter(0.02 * torch.randn(size))
        self.of_value = nn.Sequential(nn.Linear(1, size), nn.GELU(), nn.Linear(size, size))
        self.of_pixel = nn.Parameter(0.02 * torch.randn(dims // channels, size))
        self.of_channel = nn.Parameter(0.02 * torch.randn(channels, size))
        self.blocks = nn.ModuleList(Block(size, heads, (2 * blocks) ** -0.5) for _ in range(blocks))
        self.norm = LayerNorm(size)
        self.output = nn.Linear(size, width)

    def where(self, dims: Tensor) -> Tensor:
        """Return the vectors that say which dimensions these are, shape (P, size)."""
        pixels = len(self.of_pixel)
        where_PF: Tensor = self.of_pixel[dims % pixels] + self.of_channel[dims // pixels]
        return where_PF

    def entry(self, known_BPb: Tensor, position: int) -> Tensor:
        """Return what enters the blocks at one position, given the values of those before it, shape (B, 1, size)."""
        before_B1F = self.of_value(known_BPb[:, -1:]) if position else self.begin.expand(len(known_BPb), 1, -1)
        h_B1F: Tensor = before_B1F + self.where(self.sequence[position, None])
        return h_B1F

    def causal_features(self, u_BD: Tensor) -> Tensor:
        """Return features of every dimension from those before it in the order, shape (B, D, width)."""
        before_BPF = self.of_value(u_BD[:, self.sequence[:-1], None])
        begin_B1F = self.begin.expand(len(u_BD), 1, -1)
        h_BPF = torch.cat([begin_B1F, before_BPF], dim=1) + self.where(self.sequence)
        generator = mask_generator(u_BD) if self.training and self.dropout else None
        # The fused kernels have no second derivative, which a gradient through the features may come to need.
        with sdpa_kernel(SDPBackend.MATH) if differentiated(u_BD) else nullcontext():
            for block in self.blocks:
                h_BPF = block(h_BPF, self.dropout, generator)
        c_BPF: Tensor = self.output(self.norm(h_BPF))
        return c_BPF[:, self.places]

    def feature_stream(self) -> "TransformerStream":
        """Return the same features one dimension at a time, for the cost of one forward pass in all."""
        return TransformerStream(self)


def differentiated(u_BD: Tensor) -> bool:
    """Return whether derivatives in the input may be asked for."""
    return u_BD.requires_grad or inside_transform()


class TransformerStream:
    """The causal features of a transformer while an example is being drawn: a ContextStream.

    Keys and values of earlier positions are kept, so each push runs the blocks over one position.

    Args:
        backbone: with one position per dimension, or per block of them.

    Attributes:
        passes: how many positions the blocks have run over.
    """

    def __init__(self, backbone: Positions) -> None:
        self.backbone, self.passes, self.position = backbone, 0, 0
        self.cache = Cache(0)
        self.known_BPb = torch.empty(0, 0, 0)

    def start(self, n: int) -> Tensor:
        """Return the features of the first position for n examples, shape (n, 1, width)."""
        self.passes = self.position = 0
        self.cache = Cache(len(self.backbone.sequence))
        return self._features(torch.empty(n, 0, 0))

    def push(self, x_block: Tensor) -> Tensor:
        """Return the features of the next position, given the values (n, 1), or (n, b), of the current one."""
        positions = len(self.backbone.sequence)
        if self.position == 0:
            self.known_BPb = x_block.new_empty(len(x_block), positions, x_block.shape[-1])
        self.known_BPb[:, self.position] = x_block
        self.position += 1
        if self.position == positions:
            return x_block.new_empty(len(x_block), 0, self.backbone.width)
        return self._features(self.known_BPb[:, : self.position])

    def _features(self, known_BPb: Tensor) -> Tensor:
        backbone = self.backbone
        h_B1F = backbone.entry(known_BPb, self.position)
        for block in cast(Iterable[Block], backbone.blocks):
            h_B1F = block.step(h_B1F, self.cache, self.position)
        self.passes += 1
        c_B1F: Tensor = backbone.output(backbone.norm(h_B1F))
        return c_B1F
