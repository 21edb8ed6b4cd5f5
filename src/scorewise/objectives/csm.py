"""Composite score matching (Meng et al. 2020)."""

from typing import cast

import torch
from torch import Tensor

from scorewise.capabilities import BlockScoreModel, ConditionalScoreModel, FusedCSMModel, MaskedContexts
from scorewise.capabilities.roles import BlockScores, ConditionalScores, InBlocks, Scaled
from scorewise.gradients import elementwise_derivative, exact_trace
from scorewise.noise import Draws
from scorewise.objectives.any_order import known_part
from scorewise.objectives.conditional import BlockwiseObjective
from scorewise.objectives.objective import Loss, refuse_empty, score_gain


class CSM(BlockwiseObjective[ConditionalScores]):
    """Composite score matching, J_CSM of Autoregressive Score Matching, eq. 5: sum_d s_d^2 / 2 + d s_d / d x_d.

    Its value is the composite Fisher divergence (eq. 3) up to a constant of the data. It has no minimum on
    data with repeated values and no noise. On blocks it is sum_k |s_k|^2 / 2 + tr ds_k/dx_k, with the exact trace by b
    tangents through the head alone: composite score matching at b = 1 and score matching (Hyvarinen 2005) at b = D.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalScore
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import CSM
        >>> model = ConditionalScore(MADE((2,), 12, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = CSM()(model, x, Draws.fresh(32))
        >>> loss.total.backward()
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (ConditionalScoreModel, BlockScoreModel)
    heads = ("conditional_score", "block_score")
    derivatives = 1

    def per_dimension(self, model: ConditionalScores, x_BD: Tensor, c_BDF: Tensor, draws: Draws) -> Tensor:
        """Return s_d^2 / 2 + d s_d / d x_d of every dimension, shape (B, D)."""
        fused = self.fused(model)
        if fused is not None and not torch.is_grad_enabled():
            return fused.weighted_csm(x_BD, c_BDF, torch.ones_like(x_BD))[1]
        s_BD, ds_BD = elementwise_derivative(lambda q_BD: model.conditional_score(q_BD, c_BDF), x_BD)
        return 0.5 * s_BD.square() + ds_BD  # eq. 5

    def of_blocks(self, model: BlockScores, x_BD: Tensor, c_BKF: Tensor, draws: Draws) -> Tensor:
        """Return the sum over blocks of |s_k|^2 / 2 + tr ds_k/dx_k, shape (B,)."""
        s_BKb, trace_BK = exact_trace(lambda q_BKb: model.block_score(q_BKb, c_BKF), model.split(x_BD), "forward")
        return (0.5 * s_BKb.square().sum(-1) + trace_BK).sum(-1)

    def __call__(
        self, model: ConditionalScores | InBlocks, x_BD: Tensor, draws: Draws, weight_B: Tensor | None = None
    ) -> Loss:
        """Return the loss of a batch, in one fused pass where the model has one; x is data there."""
        refuse_empty(x_BD)
        fused = self.fused(model)
        if x_BD.requires_grad or fused is None:
            return super().__call__(model, x_BD, draws, weight_B)
        weight_B = torch.full_like(x_BD[:, 0], 1 / len(x_BD)) if weight_B is None else weight_B
        model = cast("ConditionalScores", model)  # only these have a fused pass
        if not isinstance(model, MaskedContexts) or not model.any_order:
            return Loss(*fused.weighted_csm(x_BD, model.context(x_BD), weight_B))
        known = known_part(draws, x_BD)
        c_BDF, weight_BD = model.masked_context(x_BD, known.known_BD), weight_B.unsqueeze(-1) * known.weight_BD
        total, loss_BD = fused.weighted_csm(model.filled(x_BD), c_BDF, weight_BD)
        return Loss(total, (known.weight_BD * loss_BD).sum(-1))

    def fused(self, model: object) -> FusedCSMModel | None:
        """Return the model if it has this loss in one pass."""
        return model if isinstance(model, FusedCSMModel) else None

    def gain(self, model: Scaled) -> float:
        """Return sigma^2 of the smoothed law, or the variance of the data where that has no noise."""
        return score_gain(model)
