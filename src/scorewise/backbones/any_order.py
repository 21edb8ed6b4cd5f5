"""What networks share that read any subset of the dimensions: their orders, and features along each."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from scorewise.ordering import Ordering
from scorewise.ranges import are_whole

MOST_ORDERS = 1000
MaskedPass = Callable[[Tensor, Tensor, Sequence[int] | None], Tensor]
"""From values (B, D), which of them are known, and the dimensions asked for, to their features (B, d, F)."""


def features_along(masked: MaskedPass, u_BD: Tensor, ordering: Ordering) -> Tensor:
    """Return features of every dimension from those before it in an order, shape (B, D, F): D passes.

    Entries that are NaN are missing: they are never known.
    """
    present_BD, place_D = ~u_BD.isnan(), ordering.positions().to(u_BD.device)
    columns_BF = [masked(u_BD, (place_D < place_D[dim]) & present_BD, [dim])[:, 0] for dim in range(len(ordering))]
    return torch.stack(columns_BF, dim=1)


class AnyOrder(nn.Module, ABC):
    """A network of values and of which are known: MaskedFeatures, and CausalFeatures along the first of its orders.

    Args:
        shape: shape of one example; D is its product.
        width: features per dimension (F).
        ordering: of the first order: a name (see `Ordering.named`), or the dimensions in their order.
        ordering_seed: seed of the random orders.
        orders: R, orders whose densities a likelihood averages; all but the first are random.
        levels: of every dimension, the number of categories, whose codes are 0 to levels - 1 and are read as they are;
            0: a number. None: numbers only.

    Attributes:
        orderings: the R orders; they hold no weights, so a trained model takes others.

    Raises:
        ValueError: no such order, too many, or levels that are no whole number of at least 0 per dimension.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        ordering: str | Sequence[int] = "raster",
        ordering_seed: int = 0,
        orders: int = 1,
        levels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if orders > MOST_ORDERS:
            raise ValueError(f"backbone.orders={orders} is too many: use at most {MOST_ORDERS}")
        self.shape, self.width = tuple(shape), width
        self.dims = math.prod(self.shape)
        self.levels = [0] * self.dims if levels is None else levels
        if not are_whole(self.levels, 0) or len(self.levels) != self.dims:
            raise ValueError(
                f"backbone.levels={levels} must be one whole number of at least 0 for each of {self.dims} dimensions"
            )
        more = (Ordering.named("random", self.dims, ordering_seed + number) for number in range(1, orders))
        self.orderings = (Ordering.chosen(ordering, self.shape, ordering_seed), *more)

    @property
    def ordering(self) -> Ordering:
        """The first of the orders."""
        return self.orderings[0]

    @abstractmethod
    def masked_features(self, u_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor:
        """Return features of every dimension from what is known, shape (B, D, width), in one pass.

        Args:
            u_BD: values; those that are not known are not read and may be NaN.
            known_BD: boolean, which are.
            dims: of which dimensions to return the features; None: of all.
        """

    def keep(self, name: str, whole: list[int]) -> None:
        """Keep whole numbers as a tensor that moves with the weights, but is none of them."""
        self.register_buffer(name, torch.tensor(whole, dtype=torch.int64), persistent=False)

    def causal_features(self, u_BD: Tensor) -> Tensor:
        """Return features of every dimension from those before it in the first order, (B, D, width), in D passes."""
        return features_along(self.masked_features, u_BD, self.ordering)
