"""Conditional scores of fixed contexts, at one noise level after the other."""

from typing import final

import torch
from torch import Tensor

from scorewise.capabilities import FoldedScores
from scorewise.capabilities.roles import CausalLadder
from scorewise.gradients import elementwise_derivative


@final
class ScoresAtLevels:
    """Conditional scores of contexts that stay the same while queries and levels change, without gradients.

    The part of the contexts in the head is computed once where the model has `FoldedScores`.

    Args:
        model: with conditional scores at every noise level.
        c_BDF: contexts, any axes before the last.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> from scorewise.likelihood import ScoresAtLevels
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> ScoresAtLevels(model, model.context(x).detach())(x, 0.5).shape
        torch.Size([5, 2])
    """

    def __init__(self, model: CausalLadder, c_BDF: Tensor) -> None:
        self.model, self.c_BDF = model, c_BDF
        self.folding: FoldedScores | None = model if isinstance(model, FoldedScores) else None
        if self.folding is not None:
            with torch.no_grad():
                self.folded_BDH = self.folding.folded(c_BDF)

    def __call__(self, q_BD: Tensor, level: float) -> Tensor:
        """Return s_d(c_d, q_d) at a level, shape of q, which has that of the contexts under any leading axes."""
        with torch.no_grad():
            if self.folding is not None:
                return self.folding.folded_score(q_BD, self.folded_BDH, level)
            s_BD: Tensor = self.model.noisy_conditional_score(q_BD, self.c_BDF, torch.full_like(q_BD, level))
            return s_BD

    def at_nodes(self, q_GR: Tensor, level: float) -> Tensor:
        """Return the scores of contexts (R, F) at quadrature nodes (G, R), or at (G, 1) for all of them, shape (G, R).

        Nodes are rounded to the precision of the contexts.
        """
        return self(q_GR.to(self.c_BDF.dtype).expand(-1, len(self.c_BDF)), level)

    def with_slope(self, q_BD: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Return s_d and ds_d/dq_d, both of the shape of q, in full precision inside autocast."""
        if self.folding is not None:
            with torch.no_grad(), torch.autocast(q_BD.device.type, enabled=False):
                return self.folding.folded_slope(q_BD, self.folded_BDH, level)

        def score(q_BD: Tensor) -> Tensor:
            s_BD: Tensor = self.model.noisy_conditional_score(q_BD, self.c_BDF, torch.full_like(q_BD, level))
            return s_BD

        return elementwise_derivative(score, q_BD, keep_graph=False)
