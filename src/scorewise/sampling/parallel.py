"""Parallel sampling: all dimensions at once, repeated until they agree."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Generator, Tensor

from scorewise.capabilities import QuantileModel
from scorewise.capabilities.roles import CausalQuantile
from scorewise.noise import uniform_like
from scorewise.ranges import Between, Count, within_ranges


class Parallel:
    """The fixed point of x <- F^-1(u | c(x)) with fixed uniforms u: what `inverse_cdf` draws from the same u.

    Every round draws all dimensions of a block from contexts of the round before. The first position of the block that
    is not yet settled has a settled prefix, so every round settles one position at least and far more in practice;
    what is settled is frozen. With a block of one image row this is Gauss-Seidel over rows.

    Args:
        block: dimensions per block, in the model's order; None: all.
        tolerance: a position is settled when no sample moved by more than this many noise levels (scales of the data
            where there is no noise).

    Raises:
        ValueError: a block below 1 or a negative tolerance.

    Example:
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalScore
        >>> from scorewise.likelihood import Quadrature
        >>> from scorewise.sampling import Parallel
        >>> model = ConditionalScore(MADE((2,), 12, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> model.likelihood = Quadrature(-8, 8)
        >>> model.sampler = Parallel()
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (QuantileModel,)

    @within_ranges
    def __init__(
        self, block: Count | None = None, tolerance: Annotated[float, Between(0, 1, "it is in noise levels")] = 1e-4
    ) -> None:
        self.block, self.tolerance = block, tolerance
        self.rounds = 0
        """How many rounds the last draw took."""
        self.watch: Callable[[float], None] | None = None
        """Called with the share of the positions that is settled, for a progress bar."""

    def watch_with(self, tell: Callable[[float], None] | None) -> None:
        """Tell somebody the share of the positions that is settled; None: nobody."""
        self.watch = tell

    def draw(self, model: CausalQuantile, n: int, generator: Generator | None) -> Tensor:
        """Return n examples, shape (n, D)."""
        return self.complete(model, model.mean.expand(n, model.dims).clone(), 0, generator)

    def complete(self, model: CausalQuantile, x_BD: Tensor, known: int, generator: Generator | None) -> Tensor:
        """Return the examples with all but the first `known` positions of the order drawn, shape (n, D)."""
        if known == model.dims:
            return x_BD.clone()
        # Position by position, as one dimension after the other would draw them.
        u_BD = torch.stack([uniform_like(x_BD[:, :1], generator) for _ in range(model.dims - known)], -1)[:, 0]
        u_BD = torch.nn.functional.pad(u_BD, (known, 0))
        return self.settle(model, x_BD.clone(), u_BD, known)

    def settle(self, model: CausalQuantile, x_BD: Tensor, u_BD: Tensor, start: int) -> Tensor:
        """Return the examples with the positions from `start` on drawn from the uniforms u, ordered by position."""
        sequence = torch.tensor(model.ordering.sequence, device=x_BD.device)
        block = self.block or model.dims
        near = self.tolerance * float(model.noise if model.noise > 0 else model.scale)
        self.rounds = 0
        for first in range(start, model.dims, block):
            end, done = min(first + block, model.dims), first
            while done < end:
                open_dims = sequence[done:end]
                c_BDF = model.context(x_BD)[:, open_dims]
                new_BD = model.conditional_quantile(u_BD[:, done:end], c_BDF)
                moved_D = (new_BD - x_BD[:, open_dims]).abs().amax(0) > near
                x_BD[:, open_dims] = new_BD
                self.rounds += 1
                # The first position that moved was drawn from a settled prefix: it is settled now, like all before it.
                done = min(done + int(moved_D.int().argmax()) + 1, end) if bool(moved_D.any()) else end
                if self.watch is not None:
                    self.watch(done / model.dims)
        return x_BD
