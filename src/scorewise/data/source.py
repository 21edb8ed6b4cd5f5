"""What a data set is: examples by split and index, in the scale that models see."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

from scorewise.data.laws import GaussianMixtureLaw
from scorewise.noise import Draws
from scorewise.ranges import AtLeast, Count, within_ranges

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@runtime_checkable
class Labelled(Protocol):
    """A data set whose examples belong to classes."""

    def labels(self, split: Split) -> Tensor:
        """Return the class of every example of a split, whole numbers from 0, shape (N,)."""


HeldOut = Annotated[int, AtLeast(2)]
"""How many examples a split holds that are drawn for it: a standard error needs two."""


class Source(ABC):
    """A data set.

    Attributes:
        name: what the data set is called where files are named after it.
        one: what an example is called in a sentence.
        shape: of one example.
        mean, std: of all entries of the clean data, in the scale that models see.
        units_per_step: how many of the data's own units one unit of that scale is.
        unit: what the data's own unit is called.
        of_columns: whether the numbers of an example are columns of a table, each with its own unit.
        repeats: whether values repeat exactly (raw pixels), so that score matching needs noise.
        levels: how many values an entry can have, evenly spaced from -1 to 1; None where it is not so.
        law: the distribution itself, where it is known.
    """

    name: str = "data"
    one: str = "example"
    shape: tuple[int, ...]
    mean: float
    std: float
    units_per_step: float = 1.0
    unit: str = "the data's own units"
    of_columns: bool = False
    repeats: bool = False
    levels: int | None = None
    law: GaussianMixtureLaw | None = None

    @property
    def dims(self) -> int:
        """D, the numbers in one example."""
        return math.prod(self.shape)

    @property
    def log_volume(self) -> float:
        """Log |d own units / d model scale| of one example, nats: what a density's unit costs."""
        return self.dims * math.log(self.units_per_step)

    def prepare(self) -> None:
        """Make the data available on this machine (download, unpack); once per machine."""

    @abstractmethod
    def count(self, split: Split) -> int:
        """Return the number of examples in a split."""

    @abstractmethod
    def examples(self, split: Split, index_B: Tensor, epoch: int, seed: int) -> Tensor:
        """Return clean examples (B, D) in the scale that models see."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What the D numbers of an example are called, where they are a row of a table."""
        return tuple(f"x_{d}" for d in range(1, self.dims + 1))

    @property
    def codes(self) -> Mapping[int, Sequence[str]]:
        """The names of the categories 0 to K - 1 of columns that hold them as codes, by the place of the column."""
        return {}

    def scaled(self, raw_BD: Tensor) -> Tensor:
        """Return examples in the data's own units, in the scale that models see."""
        return raw_BD / self.units_per_step

    def original(self, x_BD: Tensor) -> Tensor:
        """Return examples in the scale that models see, in the data's own units."""
        return x_BD * self.units_per_step

    def names(self, split: Split) -> list[str]:
        """Return what every example of a split is called: its file where it has one, else its place in the split."""
        return [str(i) for i in range(self.count(split))]

    def batch_size(self, most: int) -> int:
        """Return how many training examples make a step, at most so many."""
        return most

    def remarks(self) -> dict[str, Any]:
        """Return what a summary says about the data beside its metrics: files left out, say."""
        return {}

    def doubts(self, smoothing: float) -> list[str]:
        """Return sentences about training examples that noise of this standard deviation would do badly with."""
        return []

    def contents(self) -> str | None:
        """Return a fingerprint of examples that can change under the same settings; None where they cannot."""
        return None

    def extent(self, seed: int) -> tuple[float, float]:
        """Return the least and the largest entry of up to 20,000 clean training examples of the first epoch."""
        self.prepare()
        x_BD = self.examples("train", torch.arange(min(self.count("train"), 20_000)), 0, seed)
        return float(x_BD.min()), float(x_BD.max())


class FixedSource(Source):
    """A data set held in memory: raw values (N, D) per split, and the scale to see them in.

    Attributes:
        offset: the raw value that becomes zero.
    """

    offset: float = 0.0

    def __init__(self) -> None:
        self._raw: dict[Split, Tensor] = {}

    @abstractmethod
    def read(self) -> dict[Split, Tensor]:
        """Return the raw values of every split, in the data's own units."""

    def raw(self, split: Split) -> Tensor:
        """Return the raw values of a split, read once."""
        if not self._raw:
            self._raw = self.read()
        return self._raw[split]

    def count(self, split: Split) -> int:
        """Return the number of examples in a split."""
        return len(self.raw(split))

    def examples(self, split: Split, index_B: Tensor, epoch: int, seed: int) -> Tensor:
        """Return clean examples (B, D) in the scale that models see; the same in every epoch."""
        return self.scaled(self.raw(split)[index_B].to(torch.get_default_dtype()))

    def scaled(self, raw_BD: Tensor) -> Tensor:
        """Return examples in the data's own units, in the scale that models see."""
        return (raw_BD - self.offset) / self.units_per_step

    def original(self, x_BD: Tensor) -> Tensor:
        """Return examples in the scale that models see, in the data's own units."""
        return x_BD * self.units_per_step + self.offset


class SampledSource(Source):
    """A data set that is drawn from a known recipe.

    Args:
        examples_per_epoch: training examples per epoch.
        held_out: examples in each of val and test.
        fresh: new training examples in every epoch; else those of the first one again.
    """

    @within_ranges
    def __init__(self, examples_per_epoch: Count, held_out: HeldOut, fresh: bool = True) -> None:
        self.examples_per_epoch, self.held_out, self.fresh = examples_per_epoch, held_out, fresh

    @abstractmethod
    def sample(self, draws: Draws) -> Tensor:
        """Return one example per draw, shape (B, D)."""

    def count(self, split: Split) -> int:
        """Return the number of examples in a split."""
        return self.examples_per_epoch if split == "train" else self.held_out

    def examples(self, split: Split, index_B: Tensor, epoch: int, seed: int) -> Tensor:
        """Return examples (B, D); those of val and test depend on nothing but their index."""
        held_out = {"val": -1, "test": -2}
        epoch = epoch if self.fresh else 0
        draws = Draws.of(seed, epoch, index_B) if split == "train" else Draws.of(held_out[split], -1, index_B)
        return self.sample(draws.fork("data")).to(torch.get_default_dtype())


def split_at_random(n: int, sizes: Sequence[int]) -> list[Tensor]:
    """Return disjoint index sets of the given sizes, the same on every machine."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(2020))
    return list(order[: sum(sizes)].split(list(sizes)))
