"""Images of a few samples, as a file of numbers can keep them."""

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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
