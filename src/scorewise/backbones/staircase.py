"""A linear layer with a staircase of masked weights, by blocks that skip what the mask leaves out."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Step(NamedTuple):
    """One block of rows of a staircase.

    Args:
        rows: which, ordered by reach; a slice where that is the layer's own order.
        safe: how many leading columns all of the rows read.
        reach: how many leading columns any of them reads.
        strip: (rows, reach - safe), the mask in between.
    """

    rows: slice | Tensor
    safe: int
    reach: int
    strip: Tensor

    def take(self, matrix: Tensor) -> Tensor:
        """Return these rows of a matrix, shape (rows, columns)."""
        return matrix[self.rows] if isinstance(self.rows, slice) else matrix.index_select(0, self.rows)


class Staircase:
    """A mask whose rows read leading columns only, once rows and columns are put in order.

    Args:
        mask: (out, in), true where a connection exists.
        steps: how many blocks of rows it is cut into.

    Raises:
        ValueError: rows and columns have no such order.
    """

    def __init__(self, mask: Tensor, steps: int = 16) -> None:
        self.mask = mask
        reach = mask.sum(1)
        rows, columns = torch.argsort(reach, stable=True), torch.argsort(mask.sum(0), descending=True, stable=True)
        in_rows = bool((rows.diff() == 1).all())
        self.columns = None if bool((columns.diff() == 1).all()) else columns
        self.places = None if in_rows else torch.argsort(rows)
        self.steps: list[Step] = []
        size = -(-len(rows) // steps)
        for start in range(0, len(rows), size):
            outputs = slice(start, min(start + size, len(rows)))
            place = outputs if in_rows else rows[outputs]
            lengths = reach[rows[outputs]]
            safe, most = int(lengths[0]), int(lengths[-1])
            read = self.block(mask, Step(place, safe, most, mask[:0, :0]))
            strip = torch.arange(safe, most) < lengths.unsqueeze(1)
            # A row reads `lengths` columns in all, so when the leading ones are right no other is left.
            if not (read[:, :safe].all() and torch.equal(read[:, safe:], strip)):
                raise ValueError("the mask is no staircase: its rows cannot all read leading columns only")
            self.steps.append(Step(place, safe, most, strip))

    def block(self, weight: Tensor, step: Step) -> Tensor:
        """Return the weights that some rows read, shape (rows, reach)."""
        if self.columns is None:
            return step.take(weight[:, : step.reach])
        return step.take(weight).index_select(1, self.columns[: step.reach])

    def put_product(self, out: Tensor, step: Step, left: Tensor, right: Tensor) -> None:
        """Write the rows of a step in `out`, zero so far: the product of two matrices (rows, reach), masked."""
        if self.columns is None and self.places is None:
            block = out[step.rows, : step.reach]
            torch.mm(left, right, out=block)
            block[:, step.safe :].mul_(step.strip)
            return
        whole = right.new_zeros(len(left), out.shape[1])
        block = whole[:, : step.reach]
        torch.mm(left, right, out=block)
        block[:, step.safe :].mul_(step.strip)
        out[step.rows] = whole if self.columns is None else whole[:, torch.argsort(self.columns)]

    def __call__(self, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the layer's output, for weights that are zero wherever the mask is."""
        out: Tensor = _StaircaseProduct.apply(self, h.flatten(0, -2), weight, bias).unflatten(0, h.shape[:-1])
        return out


def _zeros(like: Tensor) -> Tensor:
    """Return zeros; numpy's are pages that the system hands out zeroed, so the masked half costs nothing."""
    if like.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(np.zeros(like.shape, np.float32 if like.dtype == torch.float32 else np.float64))
    return torch.zeros_like(like)


class _StaircaseProduct(torch.autograd.Function):
    """The product h weight^T + bias by blocks; the gradient of the weight comes out masked."""

    @staticmethod
    def forward(ctx: Any, stairs: Staircase, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the product by blocks."""
        ctx.stairs = stairs
        ctx.save_for_backward(h, weight)
        ordered = h if stairs.columns is None else h[:, stairs.columns]
        parts = [
            torch.addmm(bias[step.rows], ordered[:, : step.reach], stairs.block(weight, step).T)
            for step in stairs.steps
        ]
        out = torch.cat(parts, 1)
        return out if stairs.places is None else out[:, stairs.places]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, Tensor | None, Tensor]:
        """Return the gradients by blocks, or in one piece where they will be differentiated again."""
        h, weight = ctx.saved_tensors
        stairs, to_bias = ctx.stairs, gradient.sum(0)
        if torch.is_grad_enabled():
            return None, gradient @ (weight * stairs.mask), (gradient.T @ h) * stairs.mask, to_bias
        wants_h, wants_weight = ctx.needs_input_grad[1:3]
        to_h = torch.zeros_like(h) if wants_h else None
        to_weight = _zeros(weight) if wants_weight else None
        ordered = h if stairs.columns is None else h[:, stairs.columns]
        for step in stairs.steps:
            part = gradient[:, step.rows]
            if to_h is not None:
                to_h[:, : step.reach].addmm_(part, stairs.block(weight, step))
            if to_weight is not None:
                stairs.put_product(to_weight, step, part.T, ordered[:, : step.reach])
        if to_h is not None and stairs.columns is not None:
            to_h = torch.empty_like(to_h).index_copy_(1, stairs.columns, to_h)
        return None, to_h, to_weight, to_bias
