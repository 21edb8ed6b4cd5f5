"""Contexts of a causal model, one block of dimensions at a time."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from scorewise.capabilities import ContextStream
from scorewise.capabilities.roles import Causal


class CausalOfAnyOrder(Causal, Protocol):
    """A causal model that has contexts of any known part of an example."""

    def masked_context(self, x_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor:
        """Return the context of some dimensions from what is known."""


M = TypeVar("M", bound=Causal)


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


class PassPerDimension(ABC, Generic[M]):
    """Contexts of a model along its first order, by one pass of the trunk per dimension.

    Args:
        model: gives the contexts.
    """

    def __init__(self, model: M) -> None:
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
        return self.contexts(list(self.sequence[self.position : self.position + 1]))  # none after the last

    @abstractmethod
    def contexts(self, dims: list[int]) -> Tensor:
        """Return the contexts of some dimensions from what is drawn, shape (n, len(dims), F)."""


class FullPassStream(PassPerDimension[Causal]):
    """Those of any causal backbone, by a pass over whole examples."""

    def contexts(self, dims: list[int]) -> Tensor:
        """Return the contexts of some dimensions from what is drawn, shape (n, len(dims), F)."""
        return self.model.context(self.x_BD)[:, dims]


class MaskedStream(PassPerDimension[CausalOfAnyOrder]):
    """Those of a model of any order, by a pass over what is drawn."""

    def contexts(self, dims: list[int]) -> Tensor:
        """Return the contexts of some dimensions from what is drawn, shape (n, len(dims), F)."""
        known_BD = torch.zeros_like(self.x_BD, dtype=torch.bool)
        known_BD[:, list(self.sequence[: self.position])] = True
        return self.model.masked_context(self.x_BD, known_BD, dims)
