"""The last step of sampling from a smoothed law: a denoised copy."""

import torch
from torch import Tensor

from scorewise.capabilities.roles import Smoothed
from scorewise.objectives.objective import score_field


def tweedie(model: Smoothed, x_BD: Tensor) -> Tensor:
    """Return x + sigma^2 s(x) (Robbins 1956), the posterior mean of the clean value; x itself without noise.

    With a joint score it is E[clean x | x]. With conditional scores entry d is E[clean x_d | x_<=d], which
    sees only what comes before; contexts stay noisy, as in training.

    Raises:
        ValueError: the model has no score.
    """
    with torch.no_grad():
        s_BD = score_field(model)(x_BD)
        return x_BD + model.noise**2 * s_BD
