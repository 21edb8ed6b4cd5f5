"""Values whose graph is built again when it is needed, instead of being kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Function = Callable[..., tuple[Tensor, ...]]


def recomputed(f: Function, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return f(*inputs), which can be differentiated twice and keeps no more than the inputs.

    `torch.utils.checkpoint` does that too, but imports torch's compiler for it: seconds of a first likelihood.

    Args:
        f: the same values at every call.
        inputs: what it is given.
        weights: leaves that the values depend on without being given them.
    """
    device = inputs[0].device.type
    precision = (device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device))
    found: tuple[Tensor, ...] = _Values.apply(_Again(f, len(inputs), precision), *inputs, *weights)
    return found


@dataclass
class _Again:
    """Values and their gradients, from nothing.

    Args:
        f: the values.
        count: how many of the tensors are given to it; it knows the others.
        precision: of the first time, arguments of `torch.autocast`.
    """

    f: Function
    count: int
    precision: tuple[str, torch.dtype, bool]

    def gradients(
        self, tensors: Sequence[Tensor], needed: Sequence[bool], of: Sequence[Tensor], *, graph: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return d sum(of * f) / dt for the needed tensors t, and all tensors as leaves.

        The leaves have no history, so that what a tensor shares with another is counted once.
        """
        inputs = zip(tensors[: self.count], needed, strict=False)
        leaves = [one.detach().requires_grad_(wanted) for one, wanted in inputs] + list(tensors[self.count :])
        asked = [leaf for leaf, wanted in zip(leaves, needed, strict=True) if wanted]
        device, dtype, enabled = self.precision
        with torch.enable_grad(), torch.autocast(device, dtype, enabled):
            values = self.f(*leaves[: self.count])
        return _gradients(values, of, asked, graph), leaves


def _gradients(values: Sequence[Tensor], of: Sequence[Tensor], asked: Sequence[Tensor], graph: bool) -> list[Tensor]:
    """Return the gradients of values times weights, zeros where nothing depends."""
    pairs = [(value, weight) for value, weight in zip(values, of, strict=True) if value.requires_grad]
    if not pairs or not asked:
        return [torch.zeros_like(one) for one in asked]
    outputs, weights = zip(*pairs, strict=True)
    found = torch.autograd.grad(outputs, list(asked), weights, create_graph=graph, allow_unused=True)
    return [torch.zeros_like(one) if own is None else own for one, own in zip(asked, found, strict=True)]


def _in_place(found: Sequence[Tensor], needed: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """Return what was found at the places where it is needed, None elsewhere."""
    rest = iter(found)
    return tuple(next(rest) if wanted else None for wanted in needed)


class _Values(torch.autograd.Function):
    """The values of a function."""

    @staticmethod
    def forward(ctx: Any, again: _Again, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.again = again
        ctx.save_for_backward(*tensors)
        return tuple(again.f(*tensors[: again.count]))

    @staticmethod
    def backward(ctx: Any, *of: Tensor) -> tuple[Tensor | None, ...]:
        needed = ctx.needs_input_grad[1:]
        return None, *_in_place(_Gradients.apply(ctx.again, needed, len(of), *of, *ctx.saved_tensors), needed)


class _Gradients(torch.autograd.Function):
    """The gradients of the values, which can be differentiated in turn."""

    @staticmethod
    def forward(ctx: Any, again: _Again, needed: Sequence[bool], outputs: int, *all_: Tensor) -> tuple[Tensor, ...]:
        ctx.again, ctx.needed, ctx.outputs = again, needed, outputs
        ctx.save_for_backward(*all_)
        return tuple(again.gradients(all_[outputs:], needed, all_[:outputs], graph=False)[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *of: Tensor) -> tuple[Tensor | None, ...]:
        outputs, tensors = ctx.outputs, ctx.saved_tensors[ctx.outputs :]
        weights = [one.detach().requires_grad_() for one in ctx.saved_tensors[:outputs]]
        first, leaves = ctx.again.gradients(tensors, ctx.needed, weights, graph=True)
        asked = [leaf for leaf, wanted in zip((*weights, *leaves), ctx.needs_input_grad[3:], strict=True) if wanted]
        return None, None, None, *_in_place(_gradients(first, of, asked, False), ctx.needs_input_grad[3:])
