"""The order in which an autoregressive model takes the dimensions of an example."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ordering:
    """This is a permutation of D dimensions: `sequence[p]` is the dimension at position p.

    Tensors keep the data's own indices everywhere; only who may see whom follows the order.
    """

    sequence: tuple[int, ...]

    @classmethod
    def named(cls, name: str, dims: int, seed: int = 0) -> "Ordering":
        """This is an order by name: raster, reverse or random (with a seed).

        Raises:
            ValueError: no such order.
        """
        if name == "raster":
            return cls(tuple(range(dims)))
        if name == "reverse":
            return cls(tuple(range(dims - 1, -1, -1)))
        if name == "random":
            return cls(tuple(torch.randperm(dims, generator=torch.Generator().manual_seed(seed)).tolist()))
        raise ValueError(f"ordering={name} is none of raster, reverse, random")

    def __len__(self) -> int:
        return len(self.sequence)

    def positions(self) -> Tensor:
        """This is the position of every dimension, shape (D,), integers from 0."""
        return torch.argsort(torch.tensor(self.sequence))
