"""Order-agnostic training: random known parts of examples, weighted to the mean over all orders (Uria et al. 2014)."""

from typing import NamedTuple

import torch
from torch import Tensor

from scorewise.capabilities import MaskedContexts
from scorewise.noise import Draws


class Known(NamedTuple):
    """A known part of every example, and what the loss of each other entry counts."""

    known_BD: Tensor
    weight_BD: Tensor


def of_any_order(model: object) -> bool:
    """Return whether a model has contexts of any known part of an example."""
    # What most models deny is asked first: the protocol asks for it anyway, several times, and every step comes here.
    return bool(getattr(model, "any_order", False)) and isinstance(model, MaskedContexts)


def known_part(draws: Draws, x_BD: Tensor, part: int = 0, parts: int = 1) -> Known:
    """Return a random known part of every example.

    Of an example with n entries that are present the size k is uniform in 0 .. n - 1 and the set uniform among those of
    that size. Every other present entry weighs n / (n - k), so that the expectation of the weighted sum is the mean
    over all n! orders of the sum over the entries, each given those before it. Missing entries (NaN) are neither known
    nor counted.

    Args:
        draws: of the examples.
        x_BD: the examples.
        part: which of `parts` equal ranges the size is drawn from; those of all parts are first entries of one order.
        parts: how many there are.
    """
    draws, present_BD = draws.fork("known"), ~x_BD.isnan()
    u_BD = draws.fork("order").uniform(x_BD.shape[1], dtype=torch.float64)
    place_BD = u_BD.masked_fill(~present_BD, 2.0).argsort(-1).argsort(-1)
    n_B = present_BD.sum(-1)
    share_B = (part + draws.fork("size").uniform(dtype=torch.float64)) / parts
    k_B = (share_B * n_B).floor().to(torch.int64).clamp(max=n_B - 1)
    known_BD = place_BD < k_B.unsqueeze(-1)
    weight_B = (n_B / (n_B - k_B).clamp(min=1)).to(x_BD.dtype)
    return Known(known_BD, weight_B.unsqueeze(-1) * (present_BD & ~known_BD))
