"""Draws of a normalising flow."""

from torch import Generator, Tensor

from scorewise.capabilities import FlowDensity
from scorewise.capabilities.roles import Pushed
from scorewise.noise import normal_like


class Pushforward:
    """Exact draws from a flow: what its map makes of normal numbers."""

    needs = (FlowDensity,)

    def draw(self, model: Pushed, n: int, generator: Generator | None) -> Tensor:
        """Return n examples, shape (n, D)."""
        x_BD: Tensor = model.example_of(normal_like(model.mean.expand(n, model.dims), generator))
        return x_BD
