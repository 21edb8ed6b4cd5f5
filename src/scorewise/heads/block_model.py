"""What models of blocks of dimensions share: the blocks, a context for each, and draws that begin with known ones."""

from abc import ABC
from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from scorewise.backbones.blocks import Blocks
from scorewise.backbones.layers import ActivationName, activation_named
from scorewise.capabilities import BlockFeatures, CausalFeatures, ContextStream, StreamsFeatures
from scorewise.heads.block_streams import FirstOfBlock, PassPerBlock
from scorewise.heads.drawing import CompletesExamples
from scorewise.heads.examples import Examples, mask_of, of_examples, refuse_not_finite
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
        mean, std, noise: of the data, see `Model`.

    Raises:
        ValueError: blocks that do not cut the order, or other ones than the backbone's own.
    """

    needs = (BlockFeatures, CausalFeatures)

    def __init__(
        self,
        backbone: nn.Module,
        *,
        block: int | Sequence[int] | None = None,
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
        self.ordering = ordering if block is None else ordering.in_blocks(block)
        self.blocks = Blocks(self.ordering)

    @property
    def features(self) -> Any:
        """What gives features of blocks: the backbone, or what takes them from its causal features."""
        return self.backbone if isinstance(self.backbone, BlockFeatures) else FirstOfBlock(self.backbone, self.ordering)

    def split(self, x_BD: Tensor) -> Tensor:
        """Return examples by blocks, shape (..., K, b), padded with the mean where a block is smaller."""
        return self.blocks.split(x_BD, self.mean)

    def join(self, x_BKb: Tensor) -> Tensor:
        """Return blocks as examples, shape (..., D)."""
        return self.blocks.join(x_BKb)

    @of_examples
    def block_context(self, x_BD: Tensor) -> Tensor:
        """Return the context of every block from those before it, shape (B, K, F), in the precision of x."""
        grad = torch.is_grad_enabled()  # which leaving inference mode turns on
        with torch.inference_mode(False), torch.set_grad_enabled(grad):
            c_BKF: Tensor = self.features.block_features(self.standardise(x_BD)).to(x_BD.dtype)
        return c_BKF

    def context_stream(self) -> ContextStream:
        """Return the contexts one block at a time, for sampling."""
        features = self.features
        stream = features.feature_stream() if isinstance(features, StreamsFeatures) else None
        return StandardisedStream(self.standardise, stream or PassPerBlock(features, self.ordering))

    def complete(self, x_BD: Any, known_D: Any, generator: Generator | None = None) -> Tensor:
        """Return examples with the known blocks kept and the others drawn from the model given them, shape of x.

        Args:
            x_BD: examples, as arrays or tensors, flat or in the shape of the data; entries of unknown dimensions are
                not read.
            known_D: boolean, which entries of an example are known, likewise: those of the first blocks of the order.
            generator: of the draws.

        Raises:
            ValueError: known entries that are not the first blocks, or a sampler that does not draw block by block.
            Misfit: there are no such examples, or no such mask.
        """
        examples = Examples.of(self, x_BD, finite=False)
        known_D = mask_of(self, known_D)
        x_BD = torch.where(known_D, examples.rows_BD, self.mean)
        refuse_not_finite(x_BD)
        known = [bool(known_D[list(block)].all()) for block in self.ordering.blocks]
        count = known.index(False) if False in known else len(known)
        if int(known_D.sum()) != sum(len(block) for block in self.ordering.blocks[:count]):
            raise ValueError(
                f"the {int(known_D.sum())} known dimensions are not whole blocks at the beginning of the model's order "
                f"(the first {count} blocks are known): train with an order that begins with the known ones"
            )
        if not isinstance(self.sampler, CompletesExamples):
            raise ValueError(
                f"{type(self.sampler).__name__} draws whole examples only: set model.sampler to BlockFlow, say"
            )
        with torch.no_grad(), warned():
            return examples.answer(self.sampler.complete(self, x_BD, count, generator))


class BlockNetwork(nn.Module):
    """The network that the heads of blocks share: from the query of a block, its context and more to b numbers.

    A sum of linear maps of the three, then residual layers h + W silu(norm(h)); the last map starts at zero.

    Args:
        size: b.
        width: F, of a context.
        hidden: of all layers.
        layers: residual ones.
        activation: of theirs.
        more: how many further numbers it reads per block.
    """

    def __init__(
        self, size: int, width: int, hidden: int, layers: int, activation: ActivationName, more: int = 0
    ) -> None:
        super().__init__()
        self.of_query, self.of_context = nn.Linear(size, hidden, bias=False), nn.Linear(width, hidden)
        self.of_more = nn.Linear(more, hidden, bias=False) if more else None
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers))
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.activation = activation_named(activation)
        self.last_norm, self.last = nn.LayerNorm(hidden), nn.Linear(hidden, size)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, u_BKb: Tensor, c_BKF: Tensor, more_BKE: Tensor | None = None) -> Tensor:
        """Return b numbers per block, shape of u; leading axes broadcast."""
        h = self.of_context(c_BKF) + self.of_query(u_BKb)
        if self.of_more is not None:
            h = h + self.of_more(more_BKE)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            h = h + layer(self.activation(norm(h)))
        out_BKb: Tensor = self.last(self.activation(self.last_norm(h)))
        return out_BKb
