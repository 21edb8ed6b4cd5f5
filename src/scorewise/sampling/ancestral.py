"""Ancestral sampling: one dimension at a time, in the model's order."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic

import torch
from torch import Generator, Tensor
from typing_extensions import TypeVar

from scorewise.capabilities import ConditionalSampler, ConditionalScoreModel, MaskedContexts
from scorewise.capabilities.roles import Causal, CausalSampler, CausalScore
from scorewise.noise import normal_like, of_some, step_size, uniform_like
from scorewise.ranges import Count, PositiveNumber, within_ranges

M = TypeVar("M", bound=Causal, default=Any)
"""The models that a sampler draws from."""


class Told:
    """Something that draws part by part, and tells how far it is.

    Attributes:
        watch: called with the share of the dimensions that is drawn, for a progress bar.
    """

    watch: Callable[[float], None] | None = None

    def watch_with(self, tell: Callable[[float], None] | None) -> None:
        """Tell somebody the share of the dimensions that is drawn; None: nobody."""
        self.watch = tell

    def tick(self, share: float) -> None:
        """Tell whoever watches which share of the dimensions is drawn; nobody does by default."""
        if self.watch is not None:
            self.watch(share)


class Ancestral(Told, ABC, Generic[M]):
    """A sampler that draws x_d given x_<d for every d, with one context evaluation per dimension."""

    @abstractmethod
    def draw_block(self, model: M, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return a draw of the dimensions with the given contexts, shape (n, block)."""

    def draw(self, model: M, n: int, generator: Generator | None) -> Tensor:
        """Return n examples, shape (n, D), of a model of several orders each along a random one of them."""
        if isinstance(model, MaskedContexts) and len(model.orderings) > 1:
            x_BD = model.mean.expand(n, model.dims)
            return self.fill(model, x_BD, torch.zeros_like(x_BD, dtype=torch.bool), generator)
        return self.complete(model, model.mean.expand(n, model.dims).clone(), 0, generator)

    def complete(self, model: M, x_BD: Tensor, known: int, generator: Generator | None) -> Tensor:
        """Return the examples with all but the first `known` positions of the order drawn, shape (n, D)."""
        x_BD, stream, done = x_BD.clone(), model.context_stream(), 0
        c_BDF = stream.start(len(x_BD))
        while c_BDF.shape[1]:
            dims = list(model.ordering.sequence[done : done + c_BDF.shape[1]])
            if done >= known:
                x_BD[:, dims] = self.draw_block(model, c_BDF, generator)
            elif done + len(dims) > known:  # a block that is known in part
                x_BD[:, dims[known - done :]] = self.draw_block(model, c_BDF, generator)[:, known - done :]
            c_BDF, done = stream.push(x_BD[:, dims]), done + len(dims)
            self.tick(done / model.dims)
        return x_BD

    def fill(self, model: Any, x_BD: Tensor, known_BD: Tensor, generator: Generator | None) -> Tensor:
        """Return the examples with what is not known drawn given what is, shape (n, D), for a model of any order.

        The unknown entries are drawn along one of the model's orders, of several each example along a random one.

        Args:
            model: with contexts of any known part.
            x_BD: examples; entries that are not known are not read.
            known_BD: boolean, which are.
            generator: of the draws.
        """
        x_BD, known_BD, orders = x_BD.clone(), known_BD.clone(), len(model.orderings)
        order_B = (uniform_like(x_BD[:, 0], generator) * orders).long() if orders > 1 else torch.zeros_like(x_BD[:, 0])
        for number, ordering in enumerate(model.orderings):
            for position, dim in enumerate(ordering.sequence):
                rows_R = ((order_B == number) & ~known_BD[:, dim]).nonzero()[:, 0]
                if len(rows_R):
                    c_R1F = model.masked_context(x_BD[rows_R], known_BD[rows_R], [dim])
                    own = of_some(generator, rows_R, f"dimension {dim}")
                    x_BD[rows_R, dim] = self.draw_block(model, c_R1F, own)[:, 0]
                    known_BD[rows_R, dim] = True
                self.tick((number * model.dims + position + 1) / (orders * model.dims))
        return x_BD


class Exact(Ancestral[CausalSampler]):
    """Exact draws from conditionals that can be drawn from in closed form.

    Example:
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import Mixture
        >>> from scorewise.sampling import Exact
        >>> model = Mixture(MADE((2,), 30, (16,), "silu"), components=10, noise=0.3)
        >>> model.sampler = Exact()
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (ConditionalSampler,)

    def draw_block(self, model: CausalSampler, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return one exact draw per context, shape (n, block)."""
        x_BD: Tensor = model.conditional_sample(c_BDF, generator)
        return x_BD


class Langevin1d(Ancestral[CausalScore]):
    """One-dimensional Langevin dynamics per dimension (AR-CSM, section 4.2).

    Inside the loop x <- x + a s_d(c_d, x) + sqrt(2 a) z only the head runs.

    Args:
        steps: steps per dimension.
        step: a in units of sigma^2, see `step_size`; .2 widens a pure-noise dimension by 5 %.

    Example:
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalScore
        >>> from scorewise.sampling import Langevin1d
        >>> model = ConditionalScore(MADE((2,), 12, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> model.sampler = Langevin1d(steps=20)
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (ConditionalScoreModel,)

    @within_ranges
    def __init__(self, steps: Count = 200, step: PositiveNumber = 0.2) -> None:
        self.steps, self.step = steps, step

    def draw_block(self, model: CausalScore, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return the end of one chain per context (n, block), started from a Gaussian with the moments of the data."""
        a = step_size(self.step, model)
        q_BD = model.mean.expand(c_BDF.shape[:2]).clone()
        q_BD = q_BD + model.scale * normal_like(q_BD, generator)
        for _ in range(self.steps):
            q_BD = q_BD + a * model.conditional_score(q_BD, c_BDF) + (2 * a) ** 0.5 * normal_like(q_BD, generator)
        return q_BD
