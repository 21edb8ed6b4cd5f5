"""One image file as the bytes of its pixels."""

from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What is tried: no format whose reading starts another program."""
LARGEST = 80_000_000
"""Pixels of the largest image that is decoded: 240 MB; a few bytes may claim to be far more."""
ENLARGED = 4
"""How much a side is enlarged at most."""


class Undecodable(Exception):
    """A file that is no image to learn from; the message says why."""


def _opened(file: BinaryIO) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise Undecodable(f"more than {LARGEST // 10**6} million pixels") from error
    except Exception as error:  # Pillow raises nearly anything on damaged bytes
        raise Undecodable("no readable image") from error


def _eight_bits(image: Image.Image, format: str | None) -> Image.Image:
    """Return an image of a format whose pixels are bytes, a transparent level of 16 bits as white.

    Pillow itself cuts 16 bits off at 255; and where they are rounded, other levels than the transparent one become the
    same byte.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and format in ("PNG", "PPM")):
        levels = np.asarray(image).astype(np.int64)
        rounded = ((levels * 255 + 32767) // 65535).clip(0, 255).astype(np.uint8)
        if (transparent := image.info.get("transparency")) is not None:
            rounded[levels == transparent] = 255
        return Image.fromarray(rounded)
    if image.mode in ("I", "F"):
        raise Undecodable("of numbers without a known range")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def decode(file: BinaryIO, size: int, channels: int) -> Tensor:
    """Return the pixels of an image file, bytes (channels * size * size,) in the order channel, row, column.

    Turned upright as its EXIF says, what is transparent on white, 16 bits rounded to 8, the first picture of several;
    grey is the luma of ITU-R 601. The shorter side becomes `size`, and the middle of the longer one is kept.

    Args:
        file: opened for reading bytes.
        size: pixels of a side.
        channels: 1 for grey, 3 for RGB.

    Raises:
        Undecodable: why it is not used.
    """
    image = _opened(file)
    if image.width * image.height > LARGEST:
        raise Undecodable(f"more than {LARGEST // 10**6} million pixels")
    if min(image.size) * ENLARGED < size:
        raise Undecodable(f"smaller than {-(-size // ENLARGED)} pixels")
    try:
        upright = _eight_bits(ImageOps.exif_transpose(image), image.format)
        coloured = _on_white(upright)
        if coloured.mode == "LAB":  # Pillow knows no way from there to grey
            coloured = coloured.convert("RGB")
        coloured = coloured.convert("L" if channels == 1 else "RGB")
        fitted = ImageOps.fit(coloured, (size, size), Image.Resampling.BILINEAR)
    except Undecodable:
        raise
    except Exception as error:
        raise Undecodable("damaged") from error
    return pixels_of(fitted)


def pixels_of(image: Image.Image) -> Tensor:
    """Return the bytes of a grey or RGB Pillow image, flat in the order channel, row, column."""
    levels = torch.from_numpy(np.array(image, dtype=np.uint8))
    return (levels if levels.ndim == 2 else levels.permute(2, 0, 1)).reshape(-1)
