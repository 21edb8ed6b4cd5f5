"""Contexts of a causal model, one block of dimensions at a time."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from scorewise.capabilities import ContextStream
from scorewise.capabilities.roles import Causal


class StandardisedStream:
    """A backbone's feature stream, fed with values in the scale of the data.

    Args:
        standardise: turns such values into standard units.
        features: the stream of the backbone.
    """

    def __init__(self, standardise: Callable[[Tensor], Tensor], features: ContextStream) -> None:
        self.standardise, self.features = standardise, features

    def start(self, n: int) -> Tensor:
        """Return the context of the first block for n examples, shape (n, block, F)."""
        return self.features.start(n)

    def push(self, x_block: Tensor) -> Tensor:
        """Return the context of the next block, shape (n, block, F), given the values (n, block) of the current one."""
        return self.features.push(self.standardise(x_block))


class FullPassStream:
    """Contexts by one full pass of the trunk per dimension: the fallback for any causal backbone.

    Args:
        model: gives the contexts of whole examples.
    """

    def __init__(self, model: Causal) -> None:
        self.model, self.sequence = model, model.ordering.sequence
        self.position = 0
        self.x_BD = torch.empty(0)

    def start(self, n: int) -> Tensor:
        """Return the context of the first dimension for n examples, shape (n, 1, F)."""
        self.position = 0
        self.x_BD = self.model.mean.expand(n, self.model.dims).clone()
        return self._next()

    def push(self, x_block: Tensor) -> Tensor:
        """Return the context of the next dimension, given the values (n, 1) of the current one."""
        self.x_BD[:, self.sequence[self.position]] = x_block[:, 0]
        self.position += 1
        return self._next()

    def _next(self) -> Tensor:
        dims = self.sequence[self.position : self.position + 1]  # none after the last
        return self.model.context(self.x_BD)[:, list(dims)]


class CausalOfAnyOrder(Causal, Protocol):
    """A causal model that has contexts of any known part of an example."""

    def masked_context(self, x_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor:
        """Return the context of some dimensions from what is known."""


class MaskedStream:
    """Contexts of a model of any order along its first one, by one pass per dimension.

    Args:
        model: gives the contexts.
    """

    def __init__(self, model: CausalOfAnyOrder) -> None:
        self.model, self.sequence = model, model.ordering.sequence
        self.position = 0
        self.x_BD = torch.empty(0)

    def start(self, n: int) -> Tensor:
        """Return the context of the first dimension for n examples, shape (n, 1, F)."""
        self.position = 0
        self.x_BD = self.model.mean.expand(n, self.model.dims).clone()
        return self._next()

    def push(self, x_block: Tensor) -> Tensor:
        """Return the context of the next dimension, given the values (n, 1) of the current one."""
        self.x_BD[:, self.sequence[self.position]] = x_block[:, 0]
        self.position += 1
        return self._next()

    def _next(self) -> Tensor:
        known_BD = torch.zeros_like(self.x_BD, dtype=torch.bool)
        known_BD[:, list(self.sequence[: self.position])] = True
        return self.model.masked_context(self.x_BD, known_BD, list(self.sequence[self.position : self.position + 1]))
