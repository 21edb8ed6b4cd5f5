"""Scores of blocks at every noise level: from [context, noisy query, level] to a score in b dimensions."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scorewise.backbones.layers import ActivationName
from scorewise.backbones.noise_level import NoiseLevel
from scorewise.heads.block_model import BlockModel, BlockNetwork
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.ranges import Count, Whole, within_ranges


class NoisyBlockScore(WithLikelihood, BlockModel):
    """Scores of blocks at every noise level: NoisyBlockScoreModel, BlockScoreModel, and a likelihood by their flows.

    In EDM form (Karras et al. 2022, eq. 7, as a score): with y = q - mean and r = sigma^2 + std^2,
    s = std / (sigma sqrt r) net(y / sqrt r, c, log sigma) - y / r, which starts as a Gaussian. The context sees the
    smallest level only. Trained by denoising it is a diffusion model per token (Li et al. 2024).

    Args:
        backbone, block, context, mean, std, noise: see `BlockModel`.
        levels: of noise, from the largest down to the smallest, which is the noise.
        hidden, layers: of the shared network, see `BlockNetwork`.
        activation: smooth for objectives that differentiate the score in its query.

    Raises:
        ValueError: no levels, or see `BlockModel`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import PatchTransformer
        >>> from scorewise.heads import NoisyBlockScore
        >>> backbone = PatchTransformer((1, 4, 4), 12, patch=(2, 2), size=16, blocks=1)
        >>> model = NoisyBlockScore(backbone, levels=(1.0, 0.5, 0.3), hidden=8, noise=0.3)
        >>> x = torch.randn(5, 16)
        >>> model.noisy_block_score(model.split(x), model.block_context(x), torch.full((5, 4), 0.5)).shape
        torch.Size([5, 4, 4])
    """

    EMBEDDED = 32

    @within_ranges
    def __init__(
        self,
        backbone: nn.Module,
        *,
        levels: Sequence[float],
        block: int | Sequence[int] | None = None,
        hidden: Count = 256,
        layers: Whole = 3,
        activation: ActivationName = "silu",
        context: Count | None = None,
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, block=block, context=context, mean=mean, std=std, noise=noise)
        if not levels or min(levels) <= 0:
            raise ValueError(f"levels={list(levels)} must be positive noise levels, at least one")
        self.levels, self.std = tuple(levels), std
        self.middle = 0.5 * (math.log(levels[0]) + math.log(levels[-1]))
        self.half_range = max(0.5 * (math.log(levels[0]) - math.log(levels[-1])), 1.0)
        self.of_level = NoiseLevel(self.EMBEDDED)
        self.net = BlockNetwork(self.blocks.size, self.backbone.width, hidden, layers, activation, self.EMBEDDED)

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return the size of a context vector."""
        return int(settings.get("context", 128))

    def noisy_block_score(self, q_BKb: Tensor, c_BKF: Tensor, sigma_BK: Tensor) -> Tensor:
        """Return s_k(q_k, c_k, sigma_k), shape of q; leading axes of q and sigma broadcast."""
        y_BKb, sigma_BK = self.blocks.only_real(q_BKb - self.mean), torch.as_tensor(sigma_BK).to(q_BKb)
        level_BKE = self.of_level((sigma_BK.log() - self.middle) / self.half_range)
        sigma_BK1 = sigma_BK.unsqueeze(-1)
        r_BK1 = sigma_BK1.square() + self.std**2
        net_BKb = self.net(y_BKb / r_BK1.sqrt(), c_BKF, level_BKE)
        return self.blocks.only_real(self.std / (sigma_BK1 * r_BK1.sqrt()) * net_BKb - y_BKb / r_BK1)

    def block_score(self, q_BKb: Tensor, c_BKF: Tensor) -> Tensor:
        """Return the scores of blocks of the law with the smallest noise, shape of q."""
        return self.noisy_block_score(q_BKb, c_BKF, torch.full_like(q_BKb[..., 0], self.levels[-1]))
