"""Maximum likelihood of models of blocks, by the probability flow of every block."""

from typing import Protocol

from torch import Tensor

from scorewise.capabilities import NoisyBlockScoreModel, UncheckedDensity
from scorewise.capabilities.roles import NoisyBlockScores
from scorewise.noise import Draws
from scorewise.objectives.multiscale import Multiscale


class DenseBlocks(NoisyBlockScores, UncheckedDensity, Protocol):
    """A model of scores of blocks at every noise level, with the density of their flows."""


class BlockMLE(Multiscale[DenseBlocks]):
    """The negative log-density in nats that the flows of blocks give (`likelihood=block_flow_ode`), differentiated.

    Gradients go through the Heun steps, with the memory that `likelihood.BlockFlowODE` says: for small blocks, or a few
    steps after a training by `csm_annealed`. As exact as the steps; a proper density, whether or not the scores of
    blocks are gradients.

    Args:
        sigma_max, sigma_min, levels, smoothing: see `Multiscale`; the law is that at the smallest level.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyBlockScore
        >>> from scorewise.likelihood import BlockFlowODE
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import BlockMLE
        >>> model = NoisyBlockScore(MADE((4,), 16, (16,), "silu"), block=2, levels=(5.0, 0.3), hidden=8, noise=0.3)
        >>> model.likelihood = BlockFlowODE(steps=8)
        >>> x = torch.randn(32, 4)
        >>> loss = BlockMLE(5.0, 0.3, 2, 0.3)(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (NoisyBlockScoreModel,)
    heads = ("noisy_block_score",)
    derivatives = 1
    ranks_by_likelihood = True

    def per_example(self, model: DenseBlocks, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return - log q(x) of every example at the smallest level, shape (B,)."""
        x_BD = x_BD + self.noise * draws.fork("query").normal(x_BD.shape[1], dtype=x_BD.dtype)
        return -model.unchecked_log_prob(x_BD)
