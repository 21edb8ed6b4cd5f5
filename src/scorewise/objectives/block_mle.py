"""Maximum likelihood of models of blocks, by the probability flow of every block."""

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from scorewise.capabilities import NoisyBlockScoreModel
from scorewise.capabilities.roles import NoisyBlockScores
from scorewise.gradients import trace_through
from scorewise.likelihood.block_flow_ode import log_density_of_blocks
from scorewise.noise import Draws
from scorewise.objectives.multiscale import Multiscale
from scorewise.ranges import AtLeast, Count, PositiveNumber, within_ranges


class BlockMLE(Multiscale[NoisyBlockScores]):
    """The negative log-density in nats that the flows of blocks give (`likelihood=block_flow_ode`), differentiated.

    Gradients go through the Heun steps, whose memory is that of 2 steps (b + 1) evaluations of the head: for small
    blocks, or a few steps after a training by `csm_annealed`. As exact as the steps; a proper density, whether or not
    the scores of blocks are gradients.

    Args:
        sigma_max, sigma_min, levels, smoothing: see `Multiscale`; the law is that at the smallest level.
        steps: Heun steps, even in log sigma.

    Raises:
        ValueError: no step, or see `Multiscale`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyBlockScore
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import BlockMLE
        >>> model = NoisyBlockScore(MADE((4,), 16, (16,), "silu"), block=2, levels=(5.0, 0.3), hidden=8, noise=0.3)
        >>> x = torch.randn(32, 4)
        >>> loss = BlockMLE(5.0, 0.3, 2, 0.3)(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (NoisyBlockScoreModel,)
    heads = ("noisy_block_score",)
    derivatives = 1
    ranks_by_likelihood = True

    @within_ranges
    def __init__(
        self,
        sigma_max: PositiveNumber,
        sigma_min: float | None,
        levels: Count,
        smoothing: float,
        steps: Annotated[int, AtLeast(1, "of the flow")] = 12,
    ) -> None:
        super().__init__(sigma_max, sigma_min, levels, smoothing)
        self.steps = steps

    def per_example(self, model: NoisyBlockScores, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return - log q(x) of every example at the smallest level, shape (B,)."""
        x_BD = x_BD + self.noise * draws.fork("query").normal(x_BD.shape[1], dtype=x_BD.dtype)
        with torch.autocast(x_BD.device.type, enabled=False):
            log_q_1B = log_density_of_blocks(model, x_BD, self.steps, _trace)
        return -log_q_1B[0].to(x_BD.dtype)


def _trace(field: Callable[[Tensor], Tensor], q_BKb: Tensor) -> tuple[Tensor, Tensor]:
    s_BKb, trace_BK = trace_through(field, q_BKb)
    return s_BKb, trace_BK[None]
