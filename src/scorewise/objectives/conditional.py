"""Objectives of one-dimensional conditionals: a sum over dimensions, each given its context."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from typing_extensions import TypeVar

from scorewise.capabilities import BlockScoreModel, MaskedContexts, NoisyBlockScoreModel
from scorewise.capabilities.roles import Contextual, InBlocks
from scorewise.noise import Draws
from scorewise.objectives.any_order import Known, known_part, of_any_order
from scorewise.objectives.objective import Loss, Objective

M = TypeVar("M", bound=Contextual, default=Any)
"""The models that an objective fits."""
PerDimension = Callable[[M, Tensor, Tensor, Draws], Tensor]
"""From a model, examples (B, D), contexts (B, D, F) and draws to a loss of every dimension, shape (B, D)."""
PASSES = 8
"""Known parts by which a held-out example is judged, at most."""


class ConditionalObjective(Objective[M], ABC):
    """An objective that is a sum over dimensions of a loss of each given its context.

    A model of any order is trained on contexts of a random known part of every example, one pass per step, see
    `known_part`: the expectation is the mean over all orders. Held-out examples are judged by min(D, 8) such parts, the
    first entries of one random order per example, of sizes spread evenly over 0 .. D - 1; they stay the same.
    """

    any_order = True

    @abstractmethod
    def per_dimension(self, model: M, x_BD: Tensor, c_BDF: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every dimension given its context, shape (B, D)."""

    def held_out_per_dimension(self, model: M, x_BD: Tensor, c_BDF: Tensor, draws: Draws) -> Tensor:
        """Return what ranks models on held-out examples, of every dimension, shape (B, D): the loss, if that does."""
        return self.per_dimension(model, x_BD, c_BDF, draws)

    def seen(self, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the examples as contexts see them."""
        return x_BD

    def per_example(self, model: M, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example, shape (B,)."""
        if of_any_order(model):
            return self._given(known_part(draws, x_BD), self.per_dimension, model, x_BD, draws)
        return self.per_dimension(model, x_BD, model.context(self.seen(x_BD, draws)), draws).sum(-1)

    def held_out(self, model: M, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return what ranks models on held-out examples, shape (B,)."""
        of = self.held_out_per_dimension
        if not of_any_order(model):
            return of(model, x_BD, model.context(self.seen(x_BD, draws)), draws).sum(-1)
        parts = min(PASSES, x_BD.shape[1])
        known = (known_part(draws, x_BD, part, parts) for part in range(parts))
        return torch.stack([self._given(one, of, model, x_BD, draws) for one in known]).mean(0)

    def _given(self, known: Known, of: PerDimension[M], model: M, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the weighted sum of a loss over the entries that are not known, shape (B,)."""
        assert isinstance(model, MaskedContexts)
        c_BDF = model.masked_context(self.seen(x_BD, draws), known.known_BD)
        return (known.weight_BD * of(model, model.filled(x_BD), c_BDF, draws)).sum(-1)


class BlockwiseObjective(ConditionalObjective[M], ABC):
    """An objective of one-dimensional conditionals that fits the scores of blocks too, each given its context.

    With blocks of one dimension it is the same number.
    """

    @abstractmethod
    def of_blocks(self, model: Any, x_BD: Tensor, c_BKF: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example, the sum over its blocks given their contexts, shape (B,)."""

    def per_example(self, model: M | InBlocks, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example, shape (B,)."""
        if isinstance(model, BlockScoreModel | NoisyBlockScoreModel):
            return self.of_blocks(model, x_BD, model.block_context(self.seen(x_BD, draws)), draws)
        return super().per_example(cast("M", model), x_BD, draws)

    def held_out(self, model: M | InBlocks, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return what ranks models on held-out examples, shape (B,)."""
        if isinstance(model, BlockScoreModel | NoisyBlockScoreModel):
            return self.per_example(cast("InBlocks", model), x_BD, draws)
        return super().held_out(cast("M", model), x_BD, draws)

    def __call__(self, model: M | InBlocks, x_BD: Tensor, draws: Draws, weight_B: Tensor | None = None) -> Loss:
        """Return the loss of a batch; weights default to 1/B."""
        return super().__call__(cast("M", model), x_BD, draws, weight_B)
