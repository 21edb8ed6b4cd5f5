"""What a parameter may be, as its annotation says, for calls and for configs alike."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ParamSpec,
    TypeVar,
    Union,
    Unpack,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from scorewise.ranges.plain import is_number
from scorewise.ranges.range import LARGEST, OneOf, Range

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)
WORDS = {int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
"""Types that are checked, and how a sentence calls them."""


@dataclass(frozen=True)
class Kind:
    """One of the types that a parameter may have, with the ranges of its values.

    Args:
        type: as annotated.
        ranges: conditions on a value of it.
    """

    type: Any
    ranges: tuple[Range, ...] = ()

    @property
    def checked(self) -> bool:
        """Whether a value is checked against it at all."""
        return self.type in WORDS or bool(self.ranges)

    def fits(self, value: Any) -> bool:
        """Return whether a value is of the type; whole numbers are numbers, and NaN is none."""
        if self.type is float:
            return type(value) in (int, float) and value == value
        return type(value) is self.type or self.type not in WORDS

    def admits(self, value: Any) -> bool:
        """Return whether a value is of the type and within the ranges, and no number beyond the largest."""
        within = self.fits(value) and all(one.admits(value) for one in self.ranges)
        return within and not (is_number(value) and abs(value) > self.largest)

    @property
    def largest(self) -> float:
        """The largest number that it admits, infinite where its ranges say what that is."""
        left_open = not self.ranges or any(one.open_ended for one in self.ranges)
        return LARGEST.get(self.type, math.inf) if left_open else math.inf

    def words(self) -> str:
        """Return what a value must be."""
        kind = WORDS.get(self.type, "")
        return self.ranges[0].words(kind) if self.ranges else kind


def _kinds_of(hint: Any) -> list[Kind]:
    """Return the types of an annotation, one by one; None has no range."""
    if get_origin(hint) in (Union, UnionType):
        return [kind for one in get_args(hint) for kind in _kinds_of(one)]
    if get_origin(hint) is not Annotated:
        return [Kind(hint)]
    inner, *more = get_args(hint)
    ranges = tuple(one for one in more if isinstance(one, Range))
    return [kind if kind.type is NoneType else Kind(kind.type, (*kind.ranges, *ranges)) for kind in _kinds_of(inner)]


@functools.cache
def kinds(function: Callable[..., Any]) -> Mapping[str, tuple[Kind, ...]]:
    """Return what every annotated parameter of a function may be; a class stands for its constructor.

    A constructor that hands the rest of its parameters on (**kwargs) has those of the classes that it extends too, or
    those that `Unpack` names.
    Where annotations cannot be read, because they name what is imported for type checkers alone, nothing is known.
    """
    builders: list[Any] = [function]
    if isinstance(function, type):
        rest = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in inspect.signature(function).parameters.values())
        own = [vars(one)["__init__"] for one in function.__mro__ if "__init__" in vars(one)]
        builders = own[::-1] if rest else own[:1]
    hints: dict[str, Any] = {}
    try:
        for builder in builders:
            hints |= get_type_hints(builder, include_extras=True)
    except NameError:
        return {}
    for name in [name for name, hint in hints.items() if get_origin(hint) is Unpack]:
        hints |= get_type_hints(get_args(hints.pop(name))[0], include_extras=True)
    return {name: tuple(_kinds_of(hint)) for name, hint in hints.items() if name != "return"}


def fault(function: Callable[..., Any], name: str, value: Any) -> str | None:
    """Return what a parameter's value must be, as the end of a sentence that names it; None where it may be that.

    Args:
        function: whose parameter it is; a class stands for its constructor.
        name: of the parameter.
        value: to be judged.
    """
    may_be = kinds(function).get(name, ())
    checked = [kind for kind in may_be if kind.checked]
    fitting = [kind for kind in checked if kind.fits(value)]
    unknown = not fitting and len(checked) < len(may_be)  # of a type that is not checked
    if not checked or unknown or any(kind.admits(value) for kind in fitting):
        return None
    for kind in fitting:
        if is_number(value) and all(one.admits(value) for one in kind.ranges):
            largest = f"{kind.largest:{'d' if kind.type is int else 'g'}}"
            return f"is too small: use at least -{largest}" if value < 0 else f"is too large: use at most {largest}"
    names = [one.names for kind in checked for one in kind.ranges if isinstance(one, OneOf)]
    if names and len(checked) == 1:
        return f"is none of {', '.join(names[0])}"
    reasons = [one.because for kind in checked for one in kind.ranges if one.because]
    return f"must be {' or '.join(kind.words() for kind in checked)}{f': {reasons[0]}' if reasons else ''}"


@overload
def within_ranges(function: C) -> C: ...


@overload
def within_ranges(function: Callable[P, T]) -> Callable[P, T]: ...


def within_ranges(function: Any) -> Any:
    """Return a function, or a class with a constructor, that refuses arguments which are not what its annotations say.

    Raises:
        ValueError: by the function that is returned: the parameter, its value, and what it must be.
    """
    if isinstance(function, type):
        function.__init__ = within_ranges(function.__init__)  # type: ignore[misc]
        return function
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if sentence := fault(function, name, value):
                raise ValueError(f"{name}={value} {sentence}")
        return function(*args, **kwargs)

    return call
