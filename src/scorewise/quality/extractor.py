"""What turns images into the features that FID and KID compare."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn


def eight_bits(x_BD: Tensor, shape: Sequence[int]) -> Tensor:
    """Return images in [-1, 1] as bytes (B, C, H, W): clamped, then rounded to the nearest of 256 levels."""
    return ((x_BD.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).reshape(-1, *shape)


class FeatureExtractor(nn.Module, ABC):
    """A finished network whose features tell images apart; torchmetrics takes it as `feature=`.

    Attributes:
        name: what a report calls it.
        num_features: per image (F).
        accuracy: share of the held-out images that it classifies correctly, where it was trained to.
    """

    name: str
    num_features: int
    accuracy: float | None = None

    @abstractmethod
    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the features (B, F) of images as bytes."""

    @abstractmethod
    def refusal(self, shape: Sequence[int]) -> str | None:
        """Return why images of a shape have no features here, as one sentence, or None where they have."""

    @property
    def hash(self) -> str:
        """Eight hexadecimal digits of the weights: numbers of different hashes cannot be compared."""
        content = hashlib.sha256()
        for name, value in sorted(self.state_dict().items()):
            content.update(f"{name} {list(value.shape)}".encode())
            content.update(value.detach().cpu().float().contiguous().numpy().tobytes())
        return content.hexdigest()[:8]

    def features(self, images_BCHW: Tensor, batch: int = 250) -> Tensor:
        """Return the features (B, F) of any number of images as bytes, in float64 on the CPU."""
        device = next(self.parameters()).device
        with torch.no_grad():
            parts = [self(part.to(device)).double().cpu() for part in images_BCHW.split(batch)]
        return torch.cat(parts)
