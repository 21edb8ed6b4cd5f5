"""Energies of blocks: one network, shared by all blocks, from [context, query] to one number."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scorewise.backbones.layers import ActivationName
from scorewise.gradients import Derivatives, gradient_scope
from scorewise.heads.block_model import BlockModel, BlockNetwork
from scorewise.ranges import Count, Whole, within_ranges


class BlockEnergy(BlockModel):
    """An autoregressive model of energies of blocks of dimensions: BlockEnergyModel, BlockScoreModel.

    In standard units E_k(u_k, c_k) = net(u_k, c_k) + |u_k|^2 / 2, so that exp(-E) has a finite integral where the
    network grows less than that. The score of a block, - grad E, is a gradient, which one that a network gives directly
    need not be (see `capabilities.BlockScoreModel`): every block has a proper density up to a constant of its context.

    Args:
        backbone, block, context, mean, std, noise: see `BlockModel`.
        hidden, layers: of the shared network, see `BlockNetwork`.
        activation: smooth, since the score is a derivative.

    Raises:
        ValueError: unknown activation, or see `BlockModel`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import BlockEnergy
        >>> model = BlockEnergy(MADE((6,), 12, (16,), "silu"), block=3, hidden=8, noise=0.3)
        >>> x = torch.randn(5, 6)
        >>> model.block_energy(model.split(x), model.block_context(x)).shape
        torch.Size([5, 2])
    """

    @within_ranges
    def __init__(
        self,
        backbone: nn.Module,
        *,
        block: int | Sequence[int] | None = None,
        hidden: Count = 64,
        layers: Whole = 2,
        activation: ActivationName = "silu",
        context: Count | None = None,
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, block=block, context=context, mean=mean, std=std, noise=noise)
        self.net = BlockNetwork(self.blocks.size, self.backbone.width, hidden, layers, activation, out=1)

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return the size of a context vector."""
        return int(settings.get("context", 64))

    @classmethod
    def derivatives_of(cls, field: str) -> Derivatives:
        """Return one in the head: scores of blocks are slopes of the energy."""
        return Derivatives(1, 0)

    def block_energy(self, q_BKb: Tensor, c_BKF: Tensor) -> Tensor:
        """Return E_k(q_k, c_k) = - log q(q_k | c_k) + constant, shape of q without its last axis."""
        u_BKb = self.blocks.only_real(self.standardise(q_BKb))
        energy_BK: Tensor = self.net(u_BKb, c_BKF).squeeze(-1) + 0.5 * u_BKb.square().sum(-1)
        return energy_BK

    def block_score(self, q_BKb: Tensor, c_BKF: Tensor) -> Tensor:
        """Return s_k = - dE_k/dq_k, shape of q; leading axes of q broadcast."""
        keep = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        with gradient_scope(q_BKb):
            c_BKF, q_BKb = (t.clone() if t.is_inference() else t for t in (c_BKF, q_BKb))
            # The context is held fixed even where it comes from the same leaf as the query.
            slope_BKb: Tensor = torch.func.grad(lambda q: self.block_energy(q, c_BKF).sum())(q_BKb)
        return -slope_BKb if keep else -slope_BKb.detach()
