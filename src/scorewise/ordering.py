"""The order in which an autoregressive model takes the dimensions of an example, one by one or in blocks."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

ORDERS = ("raster", "pixels", "reverse", "random", "spiral", "data_driven")
"""Orders that have a name; an explicit sequence does as well."""


@dataclass(frozen=True)
class Ordering:
    """A permutation of D dimensions: `sequence[p]` is the dimension at position p.

    Tensors keep the data's own indices everywhere; only who may see whom follows the order. Dimensions of one block
    come together: none of them sees another one of its block.

    Args:
        sequence: the dimensions in their order.
        sizes: of the blocks of the sequence, one after the other; none: every dimension is a block of its own.

    Raises:
        ValueError: sizes that do not cut the sequence.

    Example:
        >>> from scorewise.ordering import Ordering
        >>> Ordering.named("pixels", (3, 1, 2)).in_blocks(3).blocks
        ((0, 2, 4), (1, 3, 5))
        >>> Ordering.patches((4, 4), (2, 2)).blocks[0]
        (0, 1, 4, 5)
    """

    sequence: tuple[int, ...]
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.sizes and (min(self.sizes) < 1 or sum(self.sizes) != len(self.sequence)):
            raise ValueError(
                f"blocks of {list(self.sizes)} dimensions do not make up an order of {len(self.sequence)}: give sizes "
                "of at least 1 that sum to it"
            )
        if self.sizes and max(self.sizes) == 1:
            object.__setattr__(self, "sizes", ())  # the order that it is without blocks

    @classmethod
    def named(cls, name: str, shape: int | Sequence[int], seed: int = 0) -> "Ordering":
        """Return an order by name: raster, pixels, reverse, random (with a seed) or spiral.

        Args:
            name: one of `ORDERS`. Images lie channel by channel, and so does raster; pixels is (row, column, channel),
                raster where there are no channels; spiral runs from the middle of an image outwards, all channels of a
                pixel together.
            shape: of one example; a number stands for a vector of so many entries.
            seed: of the random order.

        Raises:
            ValueError: no such order, or one that cannot be had from the shape alone.
        """
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        dims = math.prod(shape)
        if name == "raster":
            return cls(tuple(range(dims)))
        if name == "pixels":
            pixels = math.prod(shape[-2:])
            return cls(tuple(channel + pixel for pixel in range(pixels) for channel in range(0, dims, pixels)))
        if name == "reverse":
            return cls(tuple(range(dims - 1, -1, -1)))
        if name == "random":
            return cls(tuple(torch.randperm(dims, generator=torch.Generator().manual_seed(seed)).tolist()))
        if name == "spiral":
            return cls(_spiral(shape))
        if name == "data_driven":
            raise ValueError(
                "ordering=data_driven is found from data, and there is none here: give the sequence of "
                "Ordering.data_driven(examples), as the train command does by itself"
            )
        raise ValueError(f"ordering={name} is none of {', '.join(ORDERS)}, and no sequence of dimensions")

    @classmethod
    def chosen(cls, order: str | Sequence[int], shape: Sequence[int], seed: int = 0) -> "Ordering":
        """Return the order that a user gave: by name, see `named`, or as a sequence, see `explicit`.

        Raises:
            ValueError: no such order.
        """
        return cls.named(order, shape, seed) if isinstance(order, str) else cls.explicit(order, math.prod(shape))

    @classmethod
    def explicit(cls, sequence: Sequence[int], dims: int) -> "Ordering":
        """Return a given sequence of the D dimensions.

        Raises:
            ValueError: it does not hold each of 0 .. D-1 once.
        """
        if not isinstance(sequence, Sequence):
            raise ValueError(f"ordering={sequence} is none of {', '.join(ORDERS)}, and no sequence of dimensions")
        whole = all(type(dim) is int for dim in sequence)  # True and False are no dimensions
        if not whole or sorted(sequence) != list(range(dims)):
            raise ValueError(f"ordering is a sequence that does not hold each of 0 to {dims - 1} exactly once")
        return cls(tuple(sequence))

    @classmethod
    def data_driven(cls, x_ND: Tensor, ridge: float = 1e-3) -> "Ordering":
        """Return the greedy order by information: every dimension is the best known from those before it.

        The first is that of the largest variance; then always the one with the most mutual information
        1/2 log(var / var given those placed) with all placed ones, under the Gaussian of the same covariance. Ties,
        such as constant dimensions, go by index. O(D^3) in all, in float64.

        Args:
            x_ND: examples; a few times D of them, or the information is overestimated.
            ridge: variance added to every dimension, as a share of the mean variance.

        Raises:
            ValueError: fewer than two examples, or numbers that are not finite.
        """
        if x_ND.ndim != 2 or len(x_ND) < 2 or not x_ND.isfinite().all():
            raise ValueError("ordering=data_driven needs at least two examples (N, D) of finite numbers")
        x_ND = x_ND.detach().double().cpu()
        x_ND = x_ND - x_ND.mean(0)
        covariance_DD = x_ND.mT @ x_ND / len(x_ND)
        mean_variance = float(covariance_DD.diagonal().mean())
        covariance_DD.diagonal().add_(ridge * mean_variance if mean_variance > 0 else 1.0)
        return cls(_greedy(covariance_DD))

    @classmethod
    def patches(
        cls, shape: Sequence[int], patch: Sequence[int], order: str | Sequence[int] = "raster", seed: int = 0
    ) -> "Ordering":
        """Return the patches of an example as blocks, all channels of a patch together; smaller ones at far edges.

        Args:
            shape: of one example: (D,), (H, W) or (C, H, W).
            patch: sizes of a patch along the last axes, two for images, one for a vector.
            order: of the patches, by name (see `named`) or as a sequence of their numbers.
            seed: of the random order.

        Raises:
            ValueError: no such patches, or no such order of them.
        """
        shape, patch = tuple(shape), tuple(patch)
        if len(patch) != min(len(shape), 2) or len(shape) > 3 or any(not 1 <= p <= n for p, n in _sides(patch, shape)):
            raise ValueError(
                f"patches of {list(patch)} do not cut examples of shape {list(shape)}: give one size for a vector and "
                "two for images, each at least 1 and at most the side that it cuts"
            )
        grid = tuple(math.ceil(side / size) for size, side in _sides(patch, shape))
        pixels = torch.arange(math.prod(shape)).reshape(-1, *shape[-len(patch) :])
        parts = [pixels]
        for axis, size in enumerate(patch, 1):
            parts = [piece for part in parts for piece in part.split(size, axis)]
        chosen = cls.chosen(order, grid, seed).sequence
        return cls.grouped([parts[number].flatten().tolist() for number in chosen], math.prod(shape))

    @classmethod
    def grouped(cls, groups: Sequence[Sequence[int]], dims: int) -> "Ordering":
        """Return groups of dimensions as blocks, such as the columns of a table that belong together.

        Raises:
            ValueError: they do not hold each of 0 .. D-1 once.
        """
        sequence = cls.explicit([dim for group in groups for dim in group], dims).sequence
        return cls(sequence, tuple(len(group) for group in groups))

    def in_blocks(self, sizes: int | Sequence[int]) -> "Ordering":
        """Return the same order cut into blocks: all of one size (the last may be smaller), or of the given sizes.

        Raises:
            ValueError: sizes that do not cut the order.
        """
        if isinstance(sizes, int):
            whole, rest = divmod(len(self), max(sizes, 1))
            sizes = [sizes] * whole + [rest] * (rest != 0)
        return replace(self, sizes=tuple(sizes))

    @property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """The dimensions of every block, in their order."""
        ends = list(itertools.accumulate(self.sizes or (1,) * len(self), initial=0))
        return tuple(self.sequence[start:end] for start, end in itertools.pairwise(ends))

    def __len__(self) -> int:
        return len(self.sequence)

    def positions(self) -> Tensor:
        """Return the position of every dimension, shape (D,), integers from 0."""
        return torch.argsort(torch.tensor(self.sequence))


def _sides(patch: tuple[int, ...], shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(patch, shape[-len(patch) :], strict=True))


def _spiral(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the clockwise way inwards from the top left corner, backwards."""
    if len(shape) not in (2, 3):
        raise ValueError(
            f"ordering=spiral needs images (height, width) or (channels, height, width), and examples here have shape "
            f"{list(shape)}: use raster, reverse, random or data_driven"
        )
    pixels = torch.arange(shape[-2] * shape[-1]).reshape(shape[-2:])
    inwards: list[int] = []
    while pixels.numel():
        inwards += pixels[0].tolist()
        pixels = pixels[1:].T.flip(0)  # the next side becomes the top row
    channels = range(math.prod(shape[:-2]))
    return tuple(channel * len(inwards) + pixel for pixel in reversed(inwards) for channel in channels)


def _greedy(covariance_DD: Tensor) -> tuple[int, ...]:
    """Return the pivots of a Cholesky factorisation that takes next what is best known relative to its variance."""
    dims = len(covariance_DD)
    variance_D = covariance_DD.diagonal().clone()
    left_D = variance_D.clone()
    factor_DD = torch.zeros_like(covariance_DD)  # row d: column d of the factor, so that reads are contiguous
    sequence: list[int] = []
    placed_D = torch.zeros(dims, dtype=torch.bool)
    gain_D = variance_D / variance_D.max()
    for position in range(dims):
        # Rounded, so that sums taken in another order on another machine do not decide between equals.
        best = int(gain_D.round(decimals=9).masked_fill(placed_D, -math.inf).argmax())
        known_PD = factor_DD[:position]
        column_D = (covariance_DD[best] - known_PD[:, best] @ known_PD) / left_D[best].sqrt()
        factor_DD[position] = column_D
        left_D = (left_D - column_D.square()).clamp(min=1e-12 * float(variance_D.min()))
        placed_D[best] = True
        sequence.append(best)
        gain_D = (variance_D / left_D).log()
    return tuple(sequence)
