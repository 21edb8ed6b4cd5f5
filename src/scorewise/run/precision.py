"""The precision of new tensors while a run is on."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def restoring_precision(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function after which new tensors of this process have the type that they had before.

    A run in double precision sets it, since Lightning and torch ask the process for it.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        before = torch.get_default_dtype()
        try:
            return function(*args, **kwargs)
        finally:
            torch.set_default_dtype(before)

    return call
