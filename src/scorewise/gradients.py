"""All automatic differentiation with respect to inputs.

Every function opens its own gradient scope, so that it also works inside `torch.no_grad` and
`torch.inference_mode` (where `enable_grad` alone is not enough), and in full precision inside `torch.autocast`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

FIELDS = ("auto", "joint", "conditional")
"""Vector fields of a model: the joint score, the conditional scores, or what it has of these."""


class Derivatives(NamedTuple):
    """How often the parts of a model are differentiated in the example.

    Args:
        head: the network of the head.
        backbone: the network that gives it its features.
    """

    head: int
    backbone: int


def inside_transform() -> bool:
    """Return whether a transform of torch.func differentiates what is computed now; torch has no public word for it."""
    return bool(torch._C._are_functorch_transforms_active())


@contextmanager
def gradient_scope(x: Tensor) -> Iterator[None]:
    """Return a scope in which inputs like x can be differentiated, whatever scope the caller is in.

    In full precision too: a derivative in half precision loses the loss.
    """
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        yield


def leaf(x: Tensor) -> Tensor:
    """Return a copy of `x` that gradients stop at and can be taken with respect to."""
    return (x.clone() if x.is_inference() else x).detach().requires_grad_()


def elementwise_derivative(
    f: Callable[[Tensor], Tensor], q: Tensor, *, keep_graph: bool | None = None
) -> tuple[Tensor, Tensor]:
    """Return f(q) and df/dq for an f that acts elementwise on q, from one backward pass.

    The query is a separate leaf, so a context that was computed from the same numbers is held fixed: the
    result is the diagonal of the Jacobian of s_d(x_<d, x_d), not its column sums. Gradients with respect to
    parameters flow through both outputs.

    Args:
        f: elementwise function; any shape, any units.
        q: where to evaluate it.
        keep_graph: keep the graph of the results; None keeps it when the caller has gradients enabled.
    """
    keep = _wants_graph() if keep_graph is None else keep_graph
    with gradient_scope(q):
        q_leaf = leaf(q)
        value = f(q_leaf)
        (slope,) = torch.autograd.grad(value.sum(), q_leaf, create_graph=keep)
    return (value, slope) if keep else (value.detach(), slope)


def score_of_log_density(log_density: Callable[[Tensor], Tensor], x_BD: Tensor) -> Tensor:
    """Return grad_x of a per-example log-density (or minus an energy), shape of x."""
    keep = _wants_graph()
    with gradient_scope(x_BD):
        x = x_BD.clone() if x_BD.is_inference() else x_BD
        if inside_transform():  # where no tensor can be made a leaf
            score: Tensor = torch.func.grad(lambda y_BD: log_density(y_BD).sum())(x)
            return score if keep else score.detach()
        # A node of its own: what else was computed from x is held fixed. A fifth faster than torch.func.
        y_BD = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
        (score,) = torch.autograd.grad(log_density(y_BD).sum(), y_BD, create_graph=keep)
    return score


def log_density_and_score(log_density: Callable[[Tensor], Tensor], x_BD: Tensor) -> tuple[Tensor, Tensor]:
    """Return a per-example log-density (B,) and its gradient in x (B, D), from one evaluation; both detached."""
    with gradient_scope(x_BD):
        x_leaf = leaf(x_BD)
        value_B = log_density(x_leaf)
        (score_BD,) = torch.autograd.grad(value_B.sum(), x_leaf)
    return value_B.detach(), score_BD


TRACES = ("passes", "stacked", "forward")


def trace_through(field: Callable[[Tensor], Tensor], x_BD: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `exact_trace` does, by stacked tangents, with gradients that flow to where the field is taken too."""
    with gradient_scope(x_BD):
        return field(x_BD), _trace_by_tangents(field, x_BD, None)


def exact_trace(
    field: Callable[[Tensor], Tensor], x_BD: Tensor, method: str = "passes", chunk: int = 16
) -> tuple[Tensor, Tensor]:
    """Return a vector field and the trace of its Jacobian (Hyvarinen 2005).

    Args:
        field: from (B, D) to (B, D), every example by itself; any axes in place of B, such as (B, K) for blocks.
        x_BD: where.
        method: passes (D backward passes), stacked (all D tangents in one forward-mode pass: D times the
            activations in memory) or forward (the same, `chunk` tangents at a time).
        chunk: tangents per forward-mode pass.

    Returns:
        field (B, D) and trace (B,).

    Raises:
        ValueError: no such method.
    """
    if method not in TRACES:
        raise ValueError(f"trace={method} is none of {', '.join(TRACES)}")
    keep = _wants_graph()
    with gradient_scope(x_BD):
        x_leaf = leaf(x_BD)
        s_BD = field(x_leaf)
        if method == "passes":
            trace_B = _trace_by_passes(s_BD, x_leaf, keep)
        else:
            trace_B = _trace_by_tangents(field, x_leaf.detach(), None if method == "stacked" else chunk)
    return (s_BD, trace_B) if keep else (s_BD.detach(), trace_B.detach())


def _trace_by_passes(s_BD: Tensor, x_leaf: Tensor, keep: bool) -> Tensor:
    trace_B = torch.zeros_like(s_BD[..., 0])
    for d in range(s_BD.shape[-1]):
        if not s_BD.requires_grad:
            break
        (row_BD,) = torch.autograd.grad(
            s_BD[..., d].sum(), x_leaf, create_graph=keep, retain_graph=True, allow_unused=True
        )
        if row_BD is not None:
            trace_B = trace_B + row_BD[..., d]
    return trace_B


def _trace_by_tangents(field: Callable[[Tensor], Tensor], x_BD: Tensor, chunk: int | None) -> Tensor:
    def entry_B(direction_D: Tensor) -> Tensor:
        tangent_BD: Tensor = torch.func.jvp(field, (x_BD,), (direction_D.expand_as(x_BD),))[1]
        return (tangent_BD * direction_D).sum(-1)

    basis_DD = torch.eye(x_BD.shape[-1], dtype=x_BD.dtype, device=x_BD.device)
    diagonal_DB: Tensor = torch.vmap(entry_B, chunk_size=chunk)(basis_DD)
    return diagonal_DB.sum(0)


def sliced_trace(field: Callable[[Tensor], Tensor], x_BD: Tensor, v_MBD: Tensor) -> tuple[Tensor, Tensor]:
    """Return a vector field and v^T (ds/dx) v for M projections, by M backward passes (Song et al. 2019).

    Any axes in place of B.

    Returns:
        field (B, D) and the quadratic forms (M, B).
    """
    keep = _wants_graph()
    with gradient_scope(x_BD):
        x_leaf = leaf(x_BD)
        s_BD = field(x_leaf)
        forms = []
        for v_BD in v_MBD.clone() if v_MBD.is_inference() else v_MBD:
            along = (s_BD * v_BD).sum()
            if not along.requires_grad:
                forms.append(torch.zeros_like(s_BD[..., 0]))
                continue
            (row_BD,) = torch.autograd.grad(along, x_leaf, create_graph=keep, retain_graph=True)
            forms.append((row_BD * v_BD).sum(-1))  # (v^T J) v is v^T J v for any J, symmetric or not
        form_MB = torch.stack(forms)
    return (s_BD, form_MB) if keep else (s_BD.detach(), form_MB.detach())


def _wants_graph() -> bool:
    return torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
