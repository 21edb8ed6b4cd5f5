"""Composite score matching of a small shared head: value, derivative and gradients in one pass over the rows."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from scorewise.backbones.tangents import CURVATURES, TANGENTS

ROWS = 2048
"""Rows of a chunk: its activations stay in a core's second-level cache."""

# N rows (one per example and dimension), F context features, H units of a hidden layer. The weights of a head are
# [of_context (H, F), bias (H,), of_query (H,), then weight (H, H) and bias (H,) per further layer, last (H,), bias ()],
# and the form of a row is [alpha, beta, alpha', beta']: s = alpha net + beta u and ds/dq = alpha' dnet/du + beta'.
RowsPass = Callable[[str, Tensor, Tensor, Tensor, Tensor, list[Tensor]], list[Tensor]]


def rows_and_gradients(
    activation: str, u_N: Tensor, c_NF: Tensor, weight_N: Tensor, form_N4: Tensor, weights: list[Tensor]
) -> list[Tensor]:
    """Return s^2 / 2 + ds/dq of every row, then the gradients of its weighted sum: context, then all weights.

    A hidden layer carries its value h and its tangent t = dh/du (AR-CSM, eq. 5, by forward differentiation); the
    backward pass below it is that of the two together, so it holds phi''.

    Args:
        activation: name of the head's activation, a smooth one.
        u_N: queries in standard units.
        c_NF: contexts.
        weight_N: weight of every row in the sum.
        form_N4: from the network to the score, see above.
        weights: of the head, see above.
    """
    curve = CURVATURES[activation]
    of_context_HF, bias_H, of_query_H, *middle = weights[:-2]
    last_H, last_bias = weights[-2:]
    alpha_N, beta_N, alpha_slope_N, beta_slope_N = form_N4.unbind(-1)

    a_NH = torch.addmm(bias_H, c_NF, of_context_HF.T).addcmul_(u_N.unsqueeze(1), of_query_H)
    h_NH, slope_NH, curvature_NH = curve(a_NH)
    t_NH = slope_NH * of_query_H
    layers = [(h_NH, t_NH, slope_NH, curvature_NH.mul_(of_query_H))]
    for weight_HH, bias in zip(middle[::2], middle[1::2], strict=True):
        a_NH, tangent_NH = torch.addmm(bias, h_NH, weight_HH.T), t_NH @ weight_HH.T
        h_NH, slope_NH, curvature_NH = curve(a_NH)
        t_NH = slope_NH * tangent_NH
        layers.append((h_NH, t_NH, slope_NH, curvature_NH.mul_(tangent_NH)))

    s_N = alpha_N * (torch.mv(h_NH, last_H) + last_bias) + beta_N * u_N
    loss_N = 0.5 * s_N.square() + alpha_slope_N * torch.mv(t_NH, last_H) + beta_slope_N

    to_net_N, to_slope_N = weight_N * s_N * alpha_N, weight_N * alpha_slope_N
    gradients = [torch.mv(h_NH.T, to_net_N) + torch.mv(t_NH.T, to_slope_N), to_net_N.sum()]
    to_h_NH, to_t_NH = torch.outer(to_net_N, last_H), torch.outer(to_slope_N, last_H)
    for depth in range(len(layers) - 1, 0, -1):
        _, _, slope_NH, curvature_NH = layers[depth]
        h_NH, t_NH, _, _ = layers[depth - 1]
        weight_HH = middle[2 * depth - 2]
        to_a_NH = to_h_NH.mul_(slope_NH).addcmul_(to_t_NH, curvature_NH)
        to_tangent_NH = to_t_NH.mul_(slope_NH)
        gradients = [torch.mm(to_a_NH.T, h_NH).addmm_(to_tangent_NH.T, t_NH), to_a_NH.sum(0), *gradients]
        to_h_NH, to_t_NH = to_a_NH @ weight_HH, to_tangent_NH @ weight_HH
    _, _, slope_NH, curvature_NH = layers[0]
    to_a_NH = to_h_NH.mul_(slope_NH).addcmul_(to_t_NH, curvature_NH)
    to_query_H = torch.mv(to_a_NH.T, u_N) + to_t_NH.mul_(slope_NH).sum(0)
    return [loss_N, to_a_NH @ of_context_HF, to_a_NH.T @ c_NF, to_a_NH.sum(0), to_query_H, *gradients]


def rows_alone(
    activation: str, u_N: Tensor, c_NF: Tensor, weight_N: Tensor, form_N4: Tensor, weights: list[Tensor]
) -> list[Tensor]:
    """Return s^2 / 2 + ds/dq of every row, as a list of one; arguments as in `rows_and_gradients`."""
    tangent = TANGENTS[activation]
    of_context_HF, bias_H, of_query_H, *middle = weights[:-2]
    alpha_N, beta_N, alpha_slope_N, beta_slope_N = form_N4.unbind(-1)
    a_NH = torch.addmm(bias_H, c_NF, of_context_HF.T).addcmul_(u_N.unsqueeze(1), of_query_H)
    h_NH, slope_NH = tangent(a_NH)
    t_NH = slope_NH.mul_(of_query_H)
    for weight_HH, bias in zip(middle[::2], middle[1::2], strict=True):
        a_NH, tangent_NH = torch.addmm(bias, h_NH, weight_HH.T), t_NH @ weight_HH.T
        h_NH, slope_NH = tangent(a_NH)
        t_NH = slope_NH.mul_(tangent_NH)
    s_N = alpha_N * (torch.mv(h_NH, weights[-2]) + weights[-1]) + beta_N * u_N
    return [0.5 * s_N.square() + alpha_slope_N * torch.mv(t_NH, weights[-2]) + beta_slope_N]


@cache
def compiled_pass() -> RowsPass:
    """Return `rows_and_gradients` compiled, once per process; every call must have the same shapes."""
    compiled: RowsPass = torch.compile(rows_and_gradients, dynamic=False)
    return compiled


def _eager_chunks(*rows: Tensor) -> Iterator[tuple[slice, list[Tensor]]]:
    for start in range(0, len(rows[0]), ROWS):
        part = slice(start, start + ROWS)
        yield part, [tensor[part] for tensor in rows]


def _equal_chunks(*rows: Tensor) -> Iterator[tuple[slice, list[Tensor]]]:
    """Return chunks of one size: the last is filled up with zero rows, whose weight is zero too."""
    n = len(rows[0])
    size = min(ROWS, 1 << max(n - 1, 0).bit_length())
    for start in range(0, n, size):
        part = slice(start, min(start + size, n))
        chunk = [tensor[part] for tensor in rows]
        if missing := size - (part.stop - start):
            chunk = [torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])]) for tensor in chunk]
        yield part, chunk


class _FusedCSM(torch.autograd.Function):
    """The weighted sum, whose gradients the forward pass already holds: nothing else is stored."""

    @staticmethod
    def forward(
        activation: str, compiled: bool, u_N: Tensor, weight_N: Tensor, form_N4: Tensor, c_NF: Tensor, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the total, the loss of every row, and the gradients with respect to the context and the weights."""
        step = compiled_pass() if compiled else rows_and_gradients
        chunks = _equal_chunks if compiled else _eager_chunks
        loss_N, to_c_NF = torch.empty_like(u_N), torch.empty_like(c_NF)
        to_weights = [torch.zeros_like(weight) for weight in weights]
        for part, (u, c, weight, form) in chunks(u_N, c_NF, weight_N, form_N4):
            loss, to_c, *parts = step(activation, u, c, weight, form, list(weights))
            rows = part.stop - part.start
            loss_N[part], to_c_NF[part] = loss[:rows], to_c[:rows]
            for total, gradient in zip(to_weights, parts, strict=True):
                total += gradient
        return (torch.dot(weight_N, loss_N), loss_N, to_c_NF, *to_weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep the gradients."""
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*output[1:])

    @staticmethod
    def backward(ctx: Any, to_total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients, times the one that comes in.

        Raises:
            RuntimeError: a graph of the gradients is wanted (torch's own `once_differentiable` would give constants).
        """
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the fused loss of composite score matching can be differentiated once only: for create_graph=True or "
                "a second derivative sum the objective's per_example(...), which keeps an ordinary graph"
            )
        loss_N, *gradients = ctx.saved_tensors
        to_weight_N = to_total * loss_N if ctx.needs_input_grad[3] else None
        wanted = ctx.needs_input_grad[5:]
        return (
            None,
            None,
            None,
            to_weight_N,
            None,
            *(to_total * gradient if want else None for gradient, want in zip(gradients, wanted, strict=True)),
        )


def fused_csm(
    activation: str,
    u: Tensor,
    weight: Tensor,
    form: Tensor,
    c: Tensor,
    weights: Sequence[Tensor],
    *,
    skips_zeros: bool = False,
    compiled: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the weighted sum over entries of s^2 / 2 + ds/dq, and every entry's value, detached, shape of u.

    The sum can be differentiated once, with respect to contexts, weights of the entries and weights of the head.
    Without gradients only values are computed.

    Args:
        activation: name of the head's activation.
        u: queries in standard units, any shape.
        weight: of every entry, of a shape that broadcasts to that of u.
        form: (..., 4), how the network becomes the score of an entry, see `RowsPass`; its other axes broadcast too.
        c: contexts (..., F), likewise.
        weights: of the head, see `RowsPass`.
        skips_zeros: do not compute entries of weight 0, whose value is 0 then; where weights need no gradient.
        compiled: with torch.compile, gradients only.

    Raises:
        ValueError: gradients are wanted and the activation has no second derivative.
    """
    u_N, weight_N = u.flatten(), weight.expand_as(u).flatten()
    form_N4, c_NF = (each.expand(*u.shape, -1).flatten(0, u.ndim - 1) for each in (form, c))
    if not (skips_zeros and not weight.requires_grad and bool((weight_N == 0).any())):
        total, loss_N = _of_rows(activation, u_N, weight_N, form_N4, c_NF, weights, compiled)
        return total, loss_N.view_as(u)
    counted, loss_N = weight_N.nonzero().squeeze(-1), torch.zeros_like(u_N)
    u_N, weight_N, form_N4, c_NF = u_N[counted], weight_N[counted], form_N4[counted], c_NF[counted]
    total, loss_N[counted] = _of_rows(activation, u_N, weight_N, form_N4, c_NF, weights, compiled)
    return total, loss_N.view_as(u)


def _of_rows(
    activation: str,
    u_N: Tensor,
    weight_N: Tensor,
    form_N4: Tensor,
    c_NF: Tensor,
    weights: Sequence[Tensor],
    compiled: bool,
) -> tuple[Tensor, Tensor]:
    if not torch.is_grad_enabled():
        loss_N = torch.empty_like(u_N)
        for part, (u, c, weight, form) in _eager_chunks(u_N, c_NF, weight_N, form_N4):
            (loss_N[part],) = rows_alone(activation, u, c, weight, form, list(weights))
        return torch.dot(weight_N, loss_N), loss_N
    if activation not in CURVATURES:
        raise ValueError(
            f"activation={activation} has no second derivative, so a loss that holds ds/dx would get a wrong gradient: "
            f"use {', '.join(CURVATURES)}"
        )
    total, loss_N, *_ = _FusedCSM.apply(activation, compiled, u_N, weight_N, form_N4, c_NF, *weights)
    return total, loss_N
