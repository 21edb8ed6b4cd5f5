"""Examples as a user hands them to a model: arrays or lists, flat or in the shape of the data, one or many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from scorewise.errors import UserError

P = ParamSpec("P")


class TakesExamples(Protocol):
    """A model as its examples see it."""

    shape: tuple[int, ...]
    dims: int

    @property
    def like(self) -> Tensor:
        """Any number of the model: its type and device are those that the model computes in."""


M = TypeVar("M", bound=TakesExamples)


class Misfit(UserError, ValueError):
    """Examples that a model cannot take; the message says which shape it expects."""


@dataclass(frozen=True)
class Examples:
    """Examples that were handed to a model.

    Args:
        rows_BD: the examples as the model takes them, flat, in its type and on its device.
        given: the shape that they were handed in.
        leading: the axes of that shape before those of one example; none for one example by itself.
        plain: whether they were an array or numbers, which nobody differentiates.
    """

    rows_BD: Tensor
    given: tuple[int, ...]
    leading: tuple[int, ...]
    plain: bool

    @classmethod
    def of(cls, model: TakesExamples, x: object, finite: bool = True) -> Examples:
        """Return the examples in x: a tensor, an array or nested lists of numbers.

        Its last axes are those of the data's shape, or D numbers, or, for shapes with axes of length one, the shape
        without them, in this order; any axes before them count the examples.

        Args:
            model: that is to take them.
            x: the examples.
            finite: refuse entries that are not finite.

        Raises:
            Misfit: another shape, no numbers, bytes, or an entry that is not finite.
        """
        plain = not isinstance(x, Tensor)
        value = _tensor(model, x)
        axes = next((axes for axes in _shapes(model) if tuple(value.shape[-len(axes) :]) == axes), None)
        if axes is None:
            raise Misfit(f"x has shape {list(value.shape)}, and this model takes {_expected(model)}.")
        leading = tuple(value.shape[: value.ndim - len(axes)])
        rows_BD = value.reshape(math.prod(leading), model.dims).to(model.like)
        if finite:
            refuse_not_finite(rows_BD)
        return cls(rows_BD, tuple(value.shape), leading, plain)

    def answer(self, found: Tensor) -> Tensor:
        """Return what a model says of the rows, (B, ...), with the axes that the examples came with.

        One number per entry is in the shape of the examples, anything else begins with their leading axes.
        """
        if found.shape == self.rows_BD.shape:
            return found.reshape(self.given)
        return found.reshape((*self.leading, *found.shape[1:]))


def refuse_not_finite(rows_BD: Tensor) -> None:
    """Refuse rows with an entry that is not finite, in the type of the model.

    Raises:
        Misfit: the first such row.
    """
    if not bool(rows_BD.isfinite().all()):
        row = int((~rows_BD.isfinite()).any(-1).int().argmax())
        raise Misfit(
            f"x is not finite in row {row} (a value is missing, infinite, or too large for {rows_BD.dtype}): leave "
            "such rows out."
        )


def of_examples(method: Callable[Concatenate[M, Tensor, P], Tensor]) -> Callable[Concatenate[M, Any, P], Tensor]:
    """Let a method of a model, from examples (B, D) to numbers per example, take examples as users have them.

    Rows as the model itself computes with go straight through, not finite ones too, so that training and sampling pay
    for two comparisons only. What was no tensor is answered without gradients.
    """

    @wraps(method)
    def taking(self: M, x_BD: Any, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        if isinstance(x_BD, Tensor) and x_BD.ndim == 2 and x_BD.shape[1] == self.dims and _computable(self, x_BD):
            return method(self, x_BD, *args, **kwargs)
        examples = Examples.of(self, x_BD)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not examples.plain):
            return examples.answer(method(self, examples.rows_BD, *args, **kwargs))

    return cast("Callable[Concatenate[M, Any, P], Tensor]", taking)


def of_rows(method: Callable[Concatenate[M, Tensor, P], Tensor]) -> Callable[Concatenate[M, Any, P], Tensor]:
    """Let a method of a model take examples as `of_examples` does, and with missing entries (NaN) where it can.

    That is where the model is of any order.
    """
    of_whole = of_examples(method)

    @wraps(method)
    def taking(self: M, x_BD: Any, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        if not getattr(self, "any_order", False):  # of any known part of an example: a causal model says so
            return of_whole(self, x_BD, *args, **kwargs)
        examples = incomplete_examples(self, x_BD)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not examples.plain):
            return examples.answer(method(self, examples.rows_BD, *args, **kwargs))

    return cast("Callable[Concatenate[M, Any, P], Tensor]", taking)


def incomplete_examples(model: TakesExamples, x: object) -> Examples:
    """Return examples whose missing entries are NaN.

    Raises:
        Misfit: see `Examples.of`, or an infinite entry.
    """
    examples = Examples.of(model, x, finite=False)
    refuse_not_finite(torch.where(examples.rows_BD.isnan(), 0, examples.rows_BD))
    return examples


def of_queries(
    method: Callable[Concatenate[M, Tensor, Tensor, P], Tensor],
) -> Callable[Concatenate[M, Any, Any, P], Tensor]:
    """Let a method of a model, from queries and contexts to numbers per query, take queries as users have them.

    Queries with one entry per context, or that can be repeated for each, under any leading axes, go straight through,
    unless they are the examples of the contexts in the shape of the data: (B, 1, D) beside (B, D, F) is no repetition.
    """

    @wraps(method)
    def taking(self: M, q_BD: Any, c_BDF: Any, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        tensors = isinstance(q_BD, Tensor) and isinstance(c_BDF, Tensor)
        if tensors and _broadcast(q_BD.shape, c_BDF.shape[:-1]) and not _in_shape(self, q_BD, c_BDF):
            straight = q_BD.dtype == c_BDF.dtype or _computable(self, q_BD)
            return method(self, q_BD if straight else q_BD.to(self.like), c_BDF, *args, **kwargs)
        examples, c_BDF = Examples.of(self, q_BD), torch.as_tensor(c_BDF).to(self.like)
        if c_BDF.ndim < 2 or c_BDF.shape[-2] != self.dims:
            raise Misfit(
                f"the contexts have shape {list(c_BDF.shape)}, and this model takes one for each of {self.dims} "
                "entries, as context(x) gives them: (..., D, F)."
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not examples.plain):
            q_BD, c_BDF = examples.rows_BD, c_BDF.reshape(-1, *c_BDF.shape[-2:])
            return examples.answer(method(self, q_BD, c_BDF, *args, **kwargs))

    return cast("Callable[Concatenate[M, Any, Any, P], Tensor]", taking)


def mask_of(model: TakesExamples, known: object) -> Tensor:
    """Return which entries of an example are known, boolean, shape (D,).

    Args:
        model: whose examples they are.
        known: true and false, flat or in the shape of the data.

    Raises:
        Misfit: something else.
    """
    value = _array(model, known)
    if value.dtype != torch.bool or tuple(value.shape) not in _shapes(model):
        raise Misfit(
            f"known has shape {list(value.shape)} and holds {value.dtype}: say of every entry of an example whether it "
            f"is known, true or false, in shape {' or '.join(str(list(axes)) for axes in _shapes(model))}."
        )
    return value.flatten()


def masks_of(model: TakesExamples, known: object, examples: Examples) -> Tensor:
    """Return which entries of every one of some examples are known, boolean, shape (B, D).

    Args:
        model: whose examples they are.
        known: true and false, of one example (see `mask_of`) or in the shape that the examples were handed in.
        examples: the examples.

    Raises:
        Misfit: something else.
    """
    value = _array(model, known)
    if value.dtype == torch.bool and tuple(value.shape) == examples.given:
        return value.reshape(examples.rows_BD.shape)
    return mask_of(model, value).expand_as(examples.rows_BD)


def in_type_of(model: TakesExamples, x: Tensor) -> Tensor:
    """Return a tensor in the type that a model computes in, which has a gradient of it."""
    return x if _computable(model, x) else (x.clone() if _of_inference(x) else x).to(model.like)


def _broadcast(one: Sequence[int], other: Sequence[int]) -> bool:
    """Return whether two shapes can be repeated to one."""
    return all(n == m or 1 in (n, m) for n, m in zip(reversed(one), reversed(other), strict=False))


def _in_shape(model: TakesExamples, q_BD: Tensor, c_BDF: Tensor) -> bool:
    """Return whether queries are the examples of their contexts, in the shape of the data and not flat."""
    return len(model.shape) > 1 and tuple(q_BD.shape) == (*c_BDF.shape[:-2], *model.shape)


def _computable(model: TakesExamples, x: Tensor) -> bool:
    """Return whether a tensor is of the type of the model, or autocast sees to it, and a gradient can be kept of it."""
    if _of_inference(x):
        return False
    return x.dtype == model.like.dtype or (x.is_floating_point() and torch.is_autocast_enabled(x.device.type))


def _of_inference(x: Tensor) -> bool:
    """Return whether a tensor was made in inference mode, which is over: it can be in no graph."""
    return x.is_inference() and not torch.is_inference_mode_enabled()


def _shapes(model: TakesExamples) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of one example, each once: as the data have it, flat, and without axes of length one."""
    bare = tuple(size for size in model.shape if size != 1)
    return tuple(dict.fromkeys((tuple(model.shape), (model.dims,), *([bare] if bare else []))))


def _expected(model: TakesExamples) -> str:
    shapes = [f"(B, {', '.join(map(str, axes))})" for axes in _shapes(model)]
    return f"examples of shape {' or '.join(shapes)}, or one of them without B"


def _array(model: TakesExamples, x: object) -> Tensor:
    if isinstance(x, Tensor):
        return (x.clone() if _of_inference(x) else x).to(model.like.device)
    try:
        array = np.asarray(x)
        if array.dtype == object:  # tensors, arrays or numbers of one shape
            array = torch.stack([torch.as_tensor(one).detach().cpu() for one in cast("Iterable[Any]", x)]).numpy()
        if array.dtype.kind not in "biuf":
            raise TypeError(f"holds {array.dtype}")
        array = array.astype(array.dtype.newbyteorder("="), order="C")
        if array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        return torch.from_numpy(array).to(model.like.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Misfit(
            f"x is no array of numbers ({' '.join(str(error).split())[:120]}): this model takes {_expected(model)}."
        ) from error


def _tensor(model: TakesExamples, x: object) -> Tensor:
    value = _array(model, x)
    if value.dtype in (torch.uint8, torch.bool) or value.is_complex():
        kinds = {torch.uint8: "bytes", torch.bool: "true and false"}
        raise Misfit(
            f"x holds {kinds.get(value.dtype, 'complex numbers')}, whose scale is not plain: give numbers in the scale "
            "of the data that the model was trained on (images: x / 127.5 - 1)."
        )
    return value
