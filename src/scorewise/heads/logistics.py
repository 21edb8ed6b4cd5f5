"""What heads made of logistics read from their features."""

import torch
from torch import Tensor
from torch.nn import functional

LOG_SCALE = (-7.0, 5.0)


def spread_locations(components: int) -> Tensor:
    """Return where locations start, shape (K,): equal components never part, so they lie over the bulk of the data."""
    return torch.linspace(-1.5, 1.5, components) if components > 1 else torch.zeros(1)


def logistic_parts(c_BDF: Tensor, spread_K: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log-weights, locations and log-scales in standard units, each (B, D, K), from 3 K features."""
    logits_BDK, location_BDK, log_scale_BDK = c_BDF.chunk(3, dim=-1)
    log_weight_BDK = functional.log_softmax(logits_BDK, dim=-1)
    return log_weight_BDK, location_BDK + spread_K, (log_scale_BDK - 1.0).clamp(*LOG_SCALE)
