"""All automatic differentiation with respect to inputs.

Every function opens its own gradient scope, so that it also works inside `torch.no_grad` and
`torch.inference_mode` (where `enable_grad` alone is not enough).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def gradient_scope() -> Iterator[None]:
    """This is a scope in which inputs can be differentiated, whatever scope the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def leaf(x: Tensor) -> Tensor:
    """This is a copy of `x` that gradients stop at and can be taken with respect to."""
    return (x.clone() if x.is_inference() else x).detach().requires_grad_()


def elementwise_derivative(
    f: Callable[[Tensor], Tensor], q: Tensor, *, keep_graph: bool | None = None
) -> tuple[Tensor, Tensor]:
    """This is f(q) and df/dq for an f that acts elementwise on q, from one backward pass.

    The query is a separate leaf, so a context that was computed from the same numbers is held fixed: the
    result is the diagonal of the Jacobian of s_d(x_<d, x_d), not its column sums. Gradients with respect to
    parameters flow through both outputs.

    Args:
        f: elementwise function; any shape, any units.
        q: where to evaluate it.
        keep_graph: keep the graph of the results; None keeps it when the caller has gradients enabled.
    """
    keep = torch.is_grad_enabled() and not torch.is_inference_mode_enabled() if keep_graph is None else keep_graph
    with gradient_scope():
        q_leaf = leaf(q)
        value = f(q_leaf)
        (slope,) = torch.autograd.grad(value.sum(), q_leaf, create_graph=keep)
    return (value, slope) if keep else (value.detach(), slope)


def score_of_log_density(log_density: Callable[[Tensor], Tensor], x_BD: Tensor) -> Tensor:
    """This is grad_x of a per-example log-density (or minus an energy), shape of x."""
    keep = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    with gradient_scope():
        # An x that already belongs to a graph stays in it: the trace of the score differentiates through here.
        x_leaf = x_BD if keep and x_BD.requires_grad else leaf(x_BD)
        (score,) = torch.autograd.grad(log_density(x_leaf).sum(), x_leaf, create_graph=keep)
    return score


def exact_trace(field: Callable[[Tensor], Tensor], x_BD: Tensor) -> tuple[Tensor, Tensor]:
    """This is a vector field and the trace of its Jacobian, by D backward passes (Hyvarinen 2005).

    Returns:
        field (B, D) and trace (B,).
    """
    keep = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    with gradient_scope():
        x_leaf = leaf(x_BD)
        s_BD = field(x_leaf)
        trace_B = torch.zeros_like(s_BD[:, 0])
        for d in range(s_BD.shape[1]):
            if not s_BD.requires_grad:
                break
            (row_BD,) = torch.autograd.grad(
                s_BD[:, d].sum(), x_leaf, create_graph=keep, retain_graph=True, allow_unused=True
            )
            if row_BD is not None:
                trace_B = trace_B + row_BD[:, d]
    return (s_BD, trace_B) if keep else (s_BD.detach(), trace_B.detach())
