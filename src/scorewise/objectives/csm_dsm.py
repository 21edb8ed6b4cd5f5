"""The derivative-free twin of composite score matching on smoothed data."""

from torch import Tensor

from scorewise.capabilities import BlockScoreModel, ConditionalScoreModel
from scorewise.capabilities.roles import BlockScores, ConditionalScores, Scaled
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.conditional import BlockwiseObjective


class CSMDSM(BlockwiseObjective[ConditionalScores]):
    """Denoising of every conditional: sum_d (s_d(x) + z_d / sigma)^2 / 2 at the smoothed data x = clean + sigma z.

    On the law with data.smoothing it differs from CSM (eq. 5 of the AR-CSM paper) by a constant of the data, D / 2
    sigma^2 in expectation, so both have the same minimum; it needs no derivative of the score. Unlike `dsm` it adds
    no noise of its own.

    Args:
        smoothing: sigma, of the data.

    Raises:
        ValueError: the data are not smoothed.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalScore
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import CSMDSM
        >>> model = ConditionalScore(MADE((2,), 12, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = CSMDSM(smoothing=0.3)(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (ConditionalScoreModel, BlockScoreModel)
    heads = ("conditional_score", "block_score")

    def __init__(self, smoothing: float) -> None:
        if not smoothing > 0:
            raise ValueError(
                "objective=csm_dsm regresses on the noise of smoothed data, and data.smoothing is 0: "
                "use objective=csm, or smooth the data"
            )
        self.smoothing = smoothing

    def per_dimension(self, model: ConditionalScores, x_BD: Tensor, c_BDF: Tensor, draws: Draws) -> Tensor:
        """Return (s_d + z_d / sigma)^2 / 2 of every dimension, shape (B, D)."""
        z_BD = smoothing_noise(draws, x_BD)
        return 0.5 * (model.conditional_score(x_BD, c_BDF) + z_BD / self.smoothing).square()

    def of_blocks(self, model: BlockScores, x_BD: Tensor, c_BKF: Tensor, draws: Draws) -> Tensor:
        """Return the sum over blocks of |s_k + z_k / sigma|^2 / 2, shape (B,)."""
        s_BD = model.join(model.block_score(model.split(x_BD), c_BKF))
        return 0.5 * (s_BD + smoothing_noise(draws, x_BD) / self.smoothing).square().sum(-1)

    def gain(self, model: Scaled) -> float:
        """Return sigma^2, which makes the target of order one."""
        return self.smoothing**2
