"""Examples by the blocks of an order: tensors (B, K, b), and back."""

import torch
from torch import Tensor, nn

from scorewise.ordering import Ordering


class Blocks(nn.Module):
    """The blocks of an order as one tensor; blocks smaller than the largest are padded.

    Args:
        ordering: with blocks.

    Example:
        >>> import torch
        >>> from scorewise.backbones.blocks import Blocks
        >>> from scorewise.ordering import Ordering
        >>> blocks = Blocks(Ordering.named("reverse", 3).in_blocks(2))
        >>> blocks.split(torch.tensor([[1.0, 2.0, 3.0]]))
        tensor([[[3., 2.],
                 [1., 0.]]])
    """

    index_Kb: Tensor
    mask_Kb: Tensor
    place_D: Tensor

    def __init__(self, ordering: Ordering) -> None:
        super().__init__()
        blocks = ordering.blocks
        self.count, self.size = len(blocks), max(map(len, blocks))
        index_Kb = torch.tensor([[*block, *[-1] * (self.size - len(block))] for block in blocks])
        self.padded = bool((index_Kb < 0).any())
        place_D = torch.empty(len(ordering), dtype=torch.long)
        place_D[index_Kb[index_Kb >= 0]] = (index_Kb.flatten() >= 0).nonzero()[:, 0]
        self.register_buffer("index_Kb", index_Kb.clamp(min=0), persistent=False)
        self.register_buffer("mask_Kb", index_Kb >= 0, persistent=False)
        self.register_buffer("place_D", place_D, persistent=False)

    def split(self, x_BD: Tensor, padding: Tensor | float = 0.0) -> Tensor:
        """Return examples by blocks, shape (..., K, b)."""
        x_BKb = x_BD[..., self.index_Kb]
        if not self.padded:
            return x_BKb
        return torch.where(self.mask_Kb, x_BKb, torch.as_tensor(padding).to(x_BKb))

    def join(self, x_BKb: Tensor) -> Tensor:
        """Return blocks as examples, shape (..., D)."""
        return x_BKb.flatten(-2)[..., self.place_D]

    def only_real(self, x_BKb: Tensor) -> Tensor:
        """Return all blocks with zeros for their padding; a single one of several, as streams take them, as it is."""
        return x_BKb * self.mask_Kb if self.padded and x_BKb.shape[-2] == self.count else x_BKb
