"""Plain values, as YAML, JSON and a command line hold them: what kind of value one is."""

from collections.abc import Mapping, Sequence
from typing import (
    Any,
    TypeGuard,
)


def is_whole(value: object, least: float = float("-inf")) -> TypeGuard[int]:
    """Return whether a value is a whole number of at least `least`; true and false are none."""
    return type(value) is int and value >= least


def are_whole(values: object, least: float = float("-inf")) -> TypeGuard[Sequence[int]]:
    """Return whether values are a list or tuple of whole numbers of at least `least`."""
    return is_list(values) and all(is_whole(value, least) for value in values)


def is_list(value: object) -> TypeGuard[Sequence[Any]]:
    """Return whether a value is a list or tuple."""
    return isinstance(value, list | tuple)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number, NaN and infinity included; true and false are none."""
    return type(value) in (int, float)


def is_share(value: object) -> TypeGuard[float]:
    """Return whether a value is a number from 0 to 1."""
    return is_number(value) and 0 <= value <= 1


def has_shape(value: object, shape: type | Mapping[str, Any]) -> bool:
    """Return whether a value is of a type, or a mapping with entries of such shapes and perhaps others.

    Args:
        value: plain.
        shape: a type, or a mapping of keys to shapes.
    """
    if isinstance(shape, type):
        return isinstance(value, shape)
    return isinstance(value, Mapping) and all(key in value and has_shape(value[key], shape[key]) for key in shape)


def mapping_in(value: object) -> Mapping[Any, Any]:
    """Return a value that is a mapping, and an empty one in place of any other."""
    return value if isinstance(value, Mapping) else {}
