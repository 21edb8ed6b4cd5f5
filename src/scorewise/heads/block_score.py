"""Scores of blocks: one network, shared by all blocks, from [context, query] to a score in b dimensions."""

from collections.abc import Sequence
from typing import Annotated, Any

from torch import Tensor, nn

from scorewise.backbones.layers import ActivationName
from scorewise.heads.block_model import BlockModel, BlockNetwork
from scorewise.heads.forms import FORMS, ScoreForm
from scorewise.ranges import Count, OneOf, Whole, within_ranges


class BlockScore(BlockModel):
    """An autoregressive model of scores of blocks of dimensions: BlockScoreModel.

    With blocks of one dimension it models what `ConditionalScore` does, with one block the joint score.

    Args:
        backbone, block, context, mean, std, noise: see `BlockModel`.
        hidden, layers: of the shared network, see `BlockNetwork`.
        activation: smooth for objectives that differentiate the score in its query.
        form: raw, denoiser, edm or auto (see `forms`).

    Raises:
        ValueError: unknown activation or form, or see `BlockModel`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import BlockScore
        >>> model = BlockScore(MADE((6,), 12, (16,), "silu"), block=3, hidden=8, noise=0.3)
        >>> x = torch.randn(5, 6)
        >>> model.block_score(model.split(x), model.block_context(x)).shape
        torch.Size([5, 2, 3])
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
        form: Annotated[str, OneOf(FORMS)] = "auto",
        context: Count | None = None,
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, block=block, context=context, mean=mean, std=std, noise=noise)
        self.form = ScoreForm(form, std, noise)
        self.net = BlockNetwork(self.blocks.size, self.backbone.width, hidden, layers, activation)

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return the size of a context vector."""
        return int(settings.get("context", 64))

    def block_score(self, q_BKb: Tensor, c_BKF: Tensor) -> Tensor:
        """Return s_k(q_k, c_k), shape of q; leading axes of q broadcast."""
        u_BKb = self.blocks.only_real(self.standardise(q_BKb))
        return self.blocks.only_real(self.form(self.net(u_BKb, c_BKF), u_BKb)) / self.scale
