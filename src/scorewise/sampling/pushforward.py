"""Draws of a normalising flow."""

from torch import Generator, Tensor

from scorewise.capabilities import FlowDensity
from scorewise.capabilities.roles import Pushed
from scorewise.noise import normal_like


class Pushforward:
    """Exact draws from a flow: what its map makes of normal numbers.

    Example:
        >>> from scorewise.backbones import Glow
        >>> from scorewise.heads import NormalisingFlow
        >>> from scorewise.sampling import Pushforward
        >>> model = NormalisingFlow(Glow((1, 4, 4), levels=1, steps=1, filters=8, init="default"), noise=0.3)
        >>> model.sampler = Pushforward()
        >>> model.sample(4).shape
        torch.Size([4, 1, 4, 4])
    """

    needs = (FlowDensity,)

    def draw(self, model: Pushed, n: int, generator: Generator | None) -> Tensor:
        """Return n examples, shape (n, D)."""
        x_BD: Tensor = model.example_of(normal_like(model.mean.expand(n, model.dims), generator))
        return x_BD
