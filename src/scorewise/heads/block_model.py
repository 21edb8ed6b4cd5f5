"""What models of blocks of dimensions share: the blocks, a context for each, and draws that begin with known ones."""

from abc import ABC
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from scorewise.backbones.blocks import Blocks
from scorewise.backbones.layers import ActivationName, activation_named
from scorewise.backbones.norm import LayerNorm
from scorewise.capabilities import BlockFeatures, CausalFeatures, ContextStream, StreamsFeatures
from scorewise.heads.block_streams import FirstOfBlock, PassPerBlock, Read
from scorewise.heads.drawing import FillsBlocks
from scorewise.heads.draws_asked import generator_of
from scorewise.heads.examples import Examples, in_type_of, mask_of, of_examples, refuse_not_finite
from scorewise.heads.model import Model
from scorewise.heads.streams import StandardisedStream
from scorewise.likelihood.likelihood import warned
from scorewise.ordering import Ordering


class BlockModel(Model, ABC):
    """A model of blocks of dimensions, each given those before it: context per block, query of b entries on top.

    Args:
        backbone: features of blocks, or causal features, of which the first dimension of a block has the block's.
        block: how many dimensions along the backbone's order make a block, or the sizes of all blocks; None: the
            backbone's own blocks.
        context: numbers per context vector; None: the backbone's width, which it must be.
        mean, std, noise: of the data, see `Model`.

    Raises:
        ValueError: blocks that do not cut the order, or other ones than the backbone's own; another context.
    """

    needs = (BlockFeatures, CausalFeatures)
    net: "BlockNetwork"

    def __init__(
        self,
        backbone: nn.Module,
        *,
        block: int | Sequence[int] | None = None,
        context: int | None = None,
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        given: Ordering | None = getattr(self.backbone, "ordering", None)
        ordering = Ordering.named("raster", self.shape) if given is None else given
        of_blocks = isinstance(self.backbone, BlockFeatures)
        if of_blocks and block is not None:
            raise ValueError(f"head.block={block}, but the backbone has blocks of its own: use head.block=null")
        if context is not None and context != self.backbone.width:
            raise ValueError(f"context={context}, but the backbone gives {self.backbone.width} features per block")
        self.ordering = ordering if block is None else ordering.in_blocks(block)
        self.blocks = Blocks(self.ordering)

    @property
    def features(self) -> Any:
        """What gives features of blocks: the backbone, or what takes them from its causal features."""
        if isinstance(self.backbone, BlockFeatures):
            return self.backbone
        return FirstOfBlock(self.backbone, self.ordering, self.mean)

    def split(self, x_BD: Tensor) -> Tensor:
        """Return examples by blocks in the type of the model, shape (..., K, b), smaller ones padded with the mean."""
        return self.blocks.split(in_type_of(self, x_BD), self.mean)

    def join(self, x_BKb: Tensor) -> Tensor:
        """Return blocks as examples, shape (..., D)."""
        return self.blocks.join(x_BKb)

    @of_examples
    def block_context(self, x_BD: Tensor) -> Tensor:
        """Return the context of every block from those before it, shape (B, K, F), in the precision of x."""
        grad = torch.is_grad_enabled()  # which leaving inference mode turns on
        with torch.inference_mode(False), torch.set_grad_enabled(grad):
            c_BKF: Tensor = self.net.of_context(self.features.block_features(self.standardise(x_BD)))
        return c_BKF.to(x_BD.dtype)

    def context_stream(self) -> ContextStream:
        """Return the contexts one block at a time, for sampling."""
        features = self.features
        stream = features.feature_stream() if isinstance(features, StreamsFeatures) else None
        stream = stream or PassPerBlock(features, self.ordering, self.mean)
        return StandardisedStream(self.standardise, Read(stream, self.net.of_context))

    def complete(self, x_BD: Any, known_D: Any, generator: Generator | None = None) -> Tensor:
        """Return examples with what is known kept and the rest drawn from the model given it, shape of x.

        Where the known are the first blocks of the order, as exact as the sampler. Where a block is known in part, or
        something is known after what is not, as `scorewise.sampling.blockwise` and `block_filling` say: right as the
        number of the sampler's particles grows, but for the rest of a block.

        Args:
            x_BD: examples, as arrays or tensors, flat or in the shape of the data; entries of unknown dimensions are
                not read.
            known_D: boolean, which entries of an example are known, likewise.
            generator: of the draws.

        Raises:
            ValueError: a sampler that does not draw block by block, or cannot heed what is known.
            Misfit: there are no such examples, no such mask, or no such generator.
        """
        examples, generator = Examples.of(self, x_BD, finite=False), generator_of(generator)
        known_D = mask_of(self, known_D)
        x_BD = torch.where(known_D, examples.rows_BD, self.mean)
        refuse_not_finite(x_BD)
        if not isinstance(self.sampler, FillsBlocks):
            raise ValueError(
                f"{type(self.sampler).__name__} draws whole examples only: set model.sampler to BlockFlow, say"
            )
        with torch.no_grad(), warned():
            return examples.answer(self.sampler.fill_in(self, x_BD, known_D, generator))


class BlockNetwork(nn.Module):
    """The network that the heads of blocks share: from the query of a block, its context and more to some numbers.

    A sum of linear maps of the three, then residual layers h + W silu(norm(h)); the last map starts at zero. That of
    the context, `of_context`, is applied once per context, however often the network is asked about it.

    Args:
        size: b.
        width: of the features that a context is made of.
        hidden: of all layers, and F, of a context.
        layers: residual ones.
        activation: of theirs.
        more: how many further numbers it reads per block.
        out: how many numbers it gives; None: b.
    """

    def __init__(
        self,
        size: int,
        width: int,
        hidden: int,
        layers: int,
        activation: ActivationName,
        more: int = 0,
        out: int | None = None,
    ) -> None:
        super().__init__()
        self.of_query, self.of_context = nn.Linear(size, hidden, bias=False), nn.Linear(width, hidden)
        self.of_more = nn.Linear(more, hidden, bias=False) if more else None
        self.norms = nn.ModuleList(LayerNorm(hidden) for _ in range(layers))
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.activation = activation_named(activation)
        self.last_norm, self.last = LayerNorm(hidden), nn.Linear(hidden, out or size)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, u_BKb: Tensor, c_BKF: Tensor, more_BKE: Tensor | None = None) -> Tensor:
        """Return the numbers of every block, shape of u for b of them; leading axes broadcast."""
        h = c_BKF + self.of_query(u_BKb)
        if self.of_more is not None:
            h = h + self.of_more(more_BKE)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            h = h + layer(self.activation(norm(h)))
        out_BKb: Tensor = self.last(self.activation(self.last_norm(h)))
        return out_BKb
