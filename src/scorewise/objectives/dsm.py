"""Denoising score matching (Vincent 2011)."""

from typing import Any

from torch import Tensor

from scorewise.capabilities import ConditionalScoreModel, ScoreModel
from scorewise.noise import Draws
from scorewise.objectives.objective import Objective, score_field


class DSM(Objective):
    """This is |s(x + sigma z) + z / sigma|^2 / 2, the DSM formula of the slides (its plus sign is right).

    It learns the score of the data blurred once more by sigma: on a Gaussian of variance v the slope is
    -1 / (v + sigma^2). On conditional scores it learns those of the jointly blurred density.

    Args:
        sigma: standard deviation of the perturbation, in the scale of the data.

    Raises:
        ValueError: sigma is not positive.
    """

    needs = (ScoreModel, ConditionalScoreModel)
    heads = ("score", "conditional_score")

    def __init__(self, sigma: float) -> None:
        if not sigma > 0:
            raise ValueError(f"objective.sigma={sigma} must be positive: DSM divides by it")
        self.noise = sigma

    def per_example(self, model: Any, x_BD: Tensor, draws: Draws) -> Tensor:
        """This is the loss of every example, shape (B,), in Vincent's scale."""
        z_BD = draws.fork("dsm").normal(x_BD.shape[1], dtype=x_BD.dtype)
        s_BD = score_field(model)(x_BD + self.noise * z_BD)
        return 0.5 * (s_BD + z_BD / self.noise).square().sum(-1)

    def gain(self, model: Any) -> float:
        """This is sigma^2, which makes the target of order one at every sigma."""
        return self.noise**2
