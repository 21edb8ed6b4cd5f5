"""Images of a few samples, as a file of numbers can keep them."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scorewise.quality import eight_bits

Images = NDArray[np.uint8]


def packed(images: Tensor) -> dict[str, Any]:
    """Return images of 8 bits as their shape and compressed bytes in base64.

    Args:
        images: (B, C, H, W), uint8.
    """
    values = images.cpu().numpy().astype(np.uint8)
    return {"shape": list(values.shape), "zlib": base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()}


def unpacked(found: Mapping[str, Any]) -> Images:
    """Return the images that were packed."""
    values = np.frombuffer(zlib.decompress(base64.b64decode(found["zlib"])), dtype=np.uint8)
    return values.reshape(found["shape"])


def packed_rows(rows: Mapping[str, Tensor], shape: Sequence[int]) -> dict[str, Any]:
    """Return rows of examples (B, D) in [-1, 1] as packed images of 8 bits, by name."""
    return {name: packed(eight_bits(x_BD.detach(), shape)) for name, x_BD in rows.items()}


def unpacked_rows(found: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the rows that were packed, examples (B, D) in [-1, 1], on the nearest of 256 levels."""
    return {name: torch.from_numpy(unpacked(each) / 127.5 - 1).float().flatten(1) for name, each in found.items()}
