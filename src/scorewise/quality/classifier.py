"""A small convolutional classifier, and its last hidden layer as features."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import torch
import yaml
from torch import Tensor, nn

from scorewise.errors import UserError, printable
from scorewise.files import make_folder, put_text
from scorewise.noise import OwnNumbers
from scorewise.quality.extractor import FeatureExtractor
from scorewise.ranges import Count, within_ranges
from scorewise.stored import Unreadable, read_yaml
from scorewise.weights import read_weights, write_weights

WEIGHTS, CONFIG = "weights.safetensors", "config.yaml"
SMALL = 16
"""Pixels of a side up to which the first convolution keeps the resolution."""


def _block(inside: int, outside: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False, dtype=torch.float32)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(outside, dtype=torch.float32), nn.ReLU())


@final
class ClassifierFeatures(FeatureExtractor):
    """Three convolutions and a hidden layer whose features, before its activation, are standardised.

    Each feature has about mean 0 and variance 1 over the images that it was trained on, so a FID is in units of that
    variance. In float32 whatever the default is.

    Args:
        shape: of an image, (C, H, W).
        classes: that it tells apart.
        name: what a report calls it.
        channels: of the first convolution; the others have twice and four times as many.
        num_features: of the hidden layer (F).
        accuracy: share of the held-out images that it classifies correctly, once that is known.

    Example:
        >>> import torch
        >>> from scorewise.quality import ClassifierFeatures
        >>> extractor = ClassifierFeatures.random((1, 8, 8))  # never trained, the same one for everybody
        >>> extractor(torch.zeros(5, 1, 8, 8, dtype=torch.uint8)).shape
        torch.Size([5, 64])
        >>> extractor.hash
        '47465098'
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        classes: int,
        name: str,
        channels: Count = 24,
        num_features: Count = 64,
        accuracy: float | None = None,
    ) -> None:
        super().__init__()
        self.shape, self.classes, self.name = tuple(shape), classes, name
        self.channels, self.num_features, self.accuracy = channels, num_features, accuracy
        self.trunk = nn.Sequential(
            _block(shape[0], channels, 1 if max(shape[1:]) <= SMALL else 2),
            _block(channels, 2 * channels, 2),
            _block(2 * channels, 4 * channels, 2),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.hidden = nn.Linear(16 * channels, num_features, bias=False, dtype=torch.float32)
        self.standard = nn.BatchNorm1d(num_features, affine=False, dtype=torch.float32)
        self.last = nn.Linear(num_features, classes, dtype=torch.float32)

    @classmethod
    def random(cls, shape: Sequence[int], seed: int = 0) -> "ClassifierFeatures":
        """Return a network that was never trained, the same one for everybody: for images without labels."""
        with OwnNumbers(seed):
            return cls(shape, 2, "untrained-cnn").finished()

    def finished(self) -> "ClassifierFeatures":
        """Return the network itself, ready to be used and no longer to be trained."""
        self.requires_grad_(False)
        return self.eval()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the features (B, F) of images as bytes."""
        h_BF: Tensor = self.standard(self.hidden(self.trunk(images_BCHW.to(self.last.weight.dtype) / 127.5 - 1)))
        return h_BF

    def logits(self, images_BCHW: Tensor) -> Tensor:
        """Return the unnormalised log-probabilities of the classes, shape (B, classes)."""
        y_BK: Tensor = self.last(self(images_BCHW).relu())
        return y_BK

    def refusal(self, shape: Sequence[int]) -> str | None:
        """Return why images of a shape have no features here, as one sentence, or None where they have."""
        if tuple(shape) == self.shape:
            return None
        return f"{self.name} was made for images of shape {list(self.shape)}, and these have {list(shape)}"

    def save(self, folder: Path, facts: Mapping[str, Any]) -> Path:
        """Write the weights as plain numbers, and what they are as plain YAML.

        Args:
            folder: made where it is not there.
            facts: how it was trained, plain values.
        """
        make_folder(folder)
        write_weights(folder / WEIGHTS, self.state_dict())
        settings = {
            "name": self.name,
            "shape": list(self.shape),
            "classes": self.classes,
            "channels": self.channels,
            "num_features": self.num_features,
            "accuracy": self.accuracy,
        }
        config = {"extractor": settings, "hash": self.hash, **facts}
        put_text(folder / CONFIG, yaml.safe_dump(config, sort_keys=False))
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> "ClassifierFeatures":
        """Return the network of a folder; nothing in the folder is executed.

        Raises:
            UserError: a file is missing, damaged, or not the one that it was saved with.
        """
        folder = Path(folder)
        try:
            config = read_yaml(folder / CONFIG)
            extractor = cls(**config["extractor"])
            extractor.load_state_dict(read_weights(folder / WEIGHTS))
            stored = config["hash"]
        except Unreadable as error:
            raise UserError(
                f"{folder} holds no feature extractor that can be read ({printable(str(error))}): make one with "
                "make features DATA=mnist, say."
            ) from error
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{folder} is no feature extractor, or a damaged one ({reason}): make it again.") from error
        if extractor.hash != stored:
            raise UserError(
                f"the weights in {folder} have hash {extractor.hash}, and its config.yaml says {stored}: make it again."
            )
        return extractor.finished()
