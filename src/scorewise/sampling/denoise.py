"""The last step of sampling from a smoothed law: a denoised copy."""

import torch
from torch import Tensor

from scorewise.capabilities import ConditionalScoreModel, ScoreModel
from scorewise.roles import Smoothed


def tweedie(model: Smoothed, x_BD: Tensor) -> Tensor:
    """Return x + sigma^2 s(x) (Robbins 1956), the posterior mean of the clean value; x itself without noise.

    With a joint score it is E[clean x | x]. With conditional scores entry d is E[clean x_d | x_<=d], which
    sees only what comes before; contexts stay noisy, as in training.

    Raises:
        ValueError: the model has no score.
    """
    with torch.no_grad():
        if isinstance(model, ConditionalScoreModel):
            s_BD = model.conditional_score(x_BD, model.context(x_BD))
        elif isinstance(model, ScoreModel):
            s_BD = model.score(x_BD)
        else:
            raise ValueError(f"{type(model).__name__} has no score to denoise with")
        return x_BD + model.noise**2 * s_BD
