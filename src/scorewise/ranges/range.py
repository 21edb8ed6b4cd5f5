"""Conditions on the value of a parameter."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
)

from scorewise.ranges.plain import are_whole


class Range(ABC):
    """A condition on the value of a parameter."""

    because: str

    @abstractmethod
    def admits(self, value: Any) -> bool:
        """Return whether a value of the parameter's type meets it."""

    @abstractmethod
    def words(self, kind: str) -> str:
        """Return what a value must be, where its type is called `kind`."""


@dataclass(frozen=True)
class AtLeast(Range):
    """Finite numbers from `least` on.

    Args:
        least: the smallest of them.
        because: why, for the end of a sentence.
    """

    least: float
    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value is as large, and finite."""
        return bool(self.least <= value < math.inf)

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        return f"{kind} of at least {self.least:g}"


@dataclass(frozen=True)
class Positive(Range):
    """Finite numbers above 0.

    Args:
        because: why, for the end of a sentence.
    """

    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value is positive and finite."""
        return bool(0 < value < math.inf)

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        return kind.replace("a ", "a positive ", 1)


@dataclass(frozen=True)
class Between(Range):
    """Numbers of an interval.

    Args:
        low, high: the ends.
        because: why, for the end of a sentence.
        without: ends that do not belong to it: low, high, or both.
    """

    low: float
    high: float
    because: str = ""
    without: tuple[str, ...] = ()

    def admits(self, value: Any) -> bool:
        """Return whether the value lies in the interval."""
        above = self.low < value if "low" in self.without else self.low <= value
        return bool(above and (value < self.high if "high" in self.without else value <= self.high))

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        low, high = (
            "above" if "low" in self.without else "of at least",
            "below" if "high" in self.without else "at most",
        )
        return f"{kind} {low} {self.low:g}" + ("" if math.isinf(self.high) else f" and {high} {self.high:g}")


@dataclass(frozen=True)
class OneOf(Range):
    """One of a few names.

    Args:
        names: all of them.
        because: why, for the end of a sentence.
    """

    names: tuple[str, ...]
    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value is one of the names."""
        return value in self.names

    def words(self, kind: str) -> str:
        """Return the names."""
        return f"one of {', '.join(self.names)}"


@dataclass(frozen=True)
class Sizes(Range):
    """Lists of positive whole numbers.

    Args:
        may_be_empty: also of none.
    """

    may_be_empty: bool = False
    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value is such a list."""
        return are_whole(value, 1) and (self.may_be_empty or len(value) > 0)

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        return "a list of positive whole numbers, one per hidden layer"


Count = Annotated[int, AtLeast(1)]
Whole = Annotated[int, AtLeast(0)]
PositiveNumber = Annotated[float, Positive()]
HiddenSizes = Annotated[Sequence[int], Sizes()]
