"""What a model asks of its sampler."""

from typing import Any, Protocol, runtime_checkable

from torch import Generator, Tensor


class DrawsSamples(Protocol):
    """What a model's sampler has: a rule that draws n examples (n, D) from the model, of which its `needs` say more."""

    def draw(self, model: Any, n: int, generator: Generator | None) -> Tensor:
        """Return n examples, shape (n, D)."""


@runtime_checkable
class CompletesExamples(Protocol):
    """What an ancestral sampler has: it draws the rest of examples whose first positions are known."""

    def complete(self, model: Any, x_BD: Tensor, known: int, generator: Generator | None) -> Tensor:
        """Return the examples with all but the first `known` positions drawn, shape (n, D)."""


@runtime_checkable
class FillsExamples(Protocol):
    """What an ancestral sampler has: it draws any unknown part of examples from a model of any order."""

    def fill(self, model: Any, x_BD: Tensor, known_BD: Tensor, generator: Generator | None) -> Tensor:
        """Return the examples with what is not known drawn, shape (n, D)."""


@runtime_checkable
class FillsBlocks(Protocol):
    """What a sampler of blocks has: it draws the rest of examples of which some dimensions are known."""

    def fill_in(self, model: Any, x_BD: Tensor, known_D: Tensor, generator: Generator | None) -> Tensor:
        """Return the examples with what is not known drawn, shape (n, D)."""
