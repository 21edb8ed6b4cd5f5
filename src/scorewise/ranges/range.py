"""Conditions on the value of a parameter."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import (
    Annotated,
    Any,
    ClassVar,
)

from scorewise.ranges.plain import are_whole, is_list, is_number, is_whole

LARGEST: Mapping[type, float] = MappingProxyType({int: 2**63 - 1, float: 1e6})
"""The largest numbers: whole ones that a tensor holds, others beside which float32 still sees data of scale 1."""


class Range(ABC):
    """A condition on the value of a parameter."""

    because: str
    open_ended: ClassVar[bool] = False
    """Whether it leaves the other end to `LARGEST`."""

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

    open_ended: ClassVar[bool] = True
    least: float
    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value is as large, and finite."""
        return bool(self.least <= value < math.inf)

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        return f"{kind} of at least {self.least:g}"


@dataclass(frozen=True)
class CountOr(Range):
    """Positive numbers, or -1.

    Args:
        unlimited: what -1 stands for.
        because: why, for the end of a sentence.
    """

    open_ended: ClassVar[bool] = True
    unlimited: str
    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value is one of them."""
        return bool(value == -1 or value >= 1)

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        return f"{kind} of at least 1, or -1 for {self.unlimited}"


@dataclass(frozen=True)
class Positive(Range):
    """Finite numbers above 0.

    Args:
        because: why, for the end of a sentence.
    """

    open_ended: ClassVar[bool] = True
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
        return value in self.names or (is_whole(value) and str(value) in self.names)

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


@dataclass(frozen=True)
class Words(Range):
    """WordList, as a command line gives them, where one that looks like a number is a number.

    Args:
        what: they are, for a sentence.
        numbers: whether numbers stand for themselves.
    """

    what: str
    numbers: bool = True
    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value is a text that is not blank, or a number that stands for one."""
        if isinstance(value, str):
            return bool(value.strip())
        return self.numbers and is_number(value) and not math.isnan(value)

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        return self.what


@dataclass(frozen=True)
class DeviceNumbers(Range):
    """Which devices, as Lightning takes them: auto, or their numbers."""

    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value names some device."""
        if isinstance(value, str):
            return value == "auto" or bool(re.fullmatch(r"-1|\d+(,\d+)*", value, re.ASCII))
        return is_list(value) and are_whole(value, 0) and len(value) > 0

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        return "auto, or a list of their numbers"


@dataclass(frozen=True)
class Duration(Range):
    """Times, as Lightning takes them: days:hours:minutes:seconds, or a mapping of such words to numbers."""

    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value is one, and not none at all."""
        if isinstance(value, Mapping):
            amounts = list(value.values())
            known = set(value) <= {"weeks", "days", "hours", "minutes", "seconds"}
            return known and all(is_number(one) and 0 <= one < math.inf for one in amounts) and sum(amounts) > 0
        return isinstance(value, str) and bool(re.fullmatch(r"\d+:\d\d:\d\d:\d\d", value, re.ASCII))

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        return "a time, '\"00:12:00:00\"' (days, hours, minutes, seconds) say"


@dataclass(frozen=True)
class WordList(Range):
    """Lists of texts.

    Args:
        what: they are, for a sentence.
    """

    what: str
    because: str = ""

    def admits(self, value: Any) -> bool:
        """Return whether the value is such a list, perhaps of none."""
        return is_list(value) and all(map(Words(self.what).admits, value))

    def words(self, kind: str) -> str:
        """Return what a value must be."""
        return self.what


Count = Annotated[int, AtLeast(1)]
Whole = Annotated[int, AtLeast(0)]
PositiveNumber = Annotated[float, Positive()]
HiddenSizes = Annotated[Sequence[int], Sizes()]
Place = Annotated[str, Words("a path, a number in quotation marks", numbers=False)]
Position = Annotated[float, Between(-LARGEST[float], LARGEST[float])]
"""Of an entry, in the scale of the data."""
