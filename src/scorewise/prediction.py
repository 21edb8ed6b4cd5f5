"""Predicting with a finished run: a folder of images restored."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from scorewise.data.datamodule import Batch
from scorewise.errors import UserError
from scorewise.evaluation import finished
from scorewise.tasks.denoising import Denoising

EIGHT_BIT = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Modes of images whose values Pillow turns into grey or RGB without loss of range."""


class Unusable(Exception):
    """A file is no image that a model can take; the message says why."""


def read_image(path: Path, shape: Sequence[int]) -> Tensor:
    """This is an image in [-1, 1], shape (D,); grey or RGB as the model is.

    Raises:
        Unusable: no image, damaged, of more than 8 bits, or of another size.
    """
    channels, height, width = shape
    try:
        with Image.open(path) as image:
            if image.size != (width, height):  # known from the header, before anything is unpacked
                raise Unusable(f"it is {image.width} x {image.height} pixels and the model takes {width} x {height}")
            if image.mode not in EIGHT_BIT:
                raise Unusable(f"its pixels are of mode {image.mode}, not of 8 bits")
            pixels = np.array(image.convert("L" if channels == 1 else "RGB"), dtype=np.float64)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Unusable(f"it cannot be read as an image ({type(error).__name__})") from error
    planes = pixels.reshape(height, width, channels).transpose(2, 0, 1)
    return torch.from_numpy(planes / 127.5 - 1).flatten().to(torch.get_default_dtype())


def write_image(x_D: Tensor, shape: Sequence[int], path: Path) -> None:
    """This writes an image in [-1, 1] as an 8-bit PNG."""
    levels = ((x_D.detach().cpu().double().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    planes = levels.reshape(*shape).permute(1, 2, 0).numpy()
    Image.fromarray(planes[..., 0] if shape[0] == 1 else planes).save(path, format="PNG")


def run(config: dict[str, Any]) -> tuple[Path, int, list[str]]:
    """This is where restored images were written, how many, and which files were left out and why.

    An image keeps its name, with .png behind it where it is none. Nothing else is written, and nothing elsewhere.

    Args:
        config: run and input (folders), output (a folder; None: predictions/ in the run folder), task, trainer, paths.

    Raises:
        UserError: no image can be used, output is the input folder, or see `finished`.
    """
    source = Path(str(config["input"])).absolute()
    if not source.is_dir():
        raise UserError(f"input={config['input']} is not a folder: give a folder of images.")
    done = finished(config)
    task = done.task
    if not isinstance(task, Denoising):
        raise UserError("predict writes restored images so far: use task=denoising.")
    target = Path(config["output"] or done.folder / "predictions" / task.name).absolute()
    if target.resolve() == source.resolve():
        raise UserError(f"output={config['output']} is the folder of the images themselves: give another one.")
    shape = done.parts.source.shape
    images: dict[str, Tensor] = {}
    left_out: list[str] = []
    for path in sorted(path for path in source.iterdir() if path.is_file()):
        name = path.name if path.suffix.lower() == ".png" else f"{path.name}.png"
        try:
            if name in images:
                raise Unusable(f"another image is to be written as {name}")
            images[name] = read_image(path, shape)
        except Unusable as error:
            left_out.append(f"{path.name}: {error}")
    if not images:
        why = f": {left_out[0]}" if left_out else ""
        raise UserError(f"input={config['input']} holds no image that this model can take{why}.")
    x_ND, index_N = torch.stack(list(images.values())), torch.arange(len(images))
    size = int(done.stored["data"]["batch_size"])
    parts = zip(x_ND.split(size), index_N.split(size), strict=True)
    batches = [Batch(x_BD, index_B, torch.full_like(index_B, -1)) for x_BD, index_B in parts]
    loader = DataLoader(cast(Any, batches), batch_size=None)
    restored_ND = torch.cat([torch.as_tensor(part) for part in done.trainer.predict(task, loader) or []])
    if done.trainer.is_global_zero:
        target.mkdir(parents=True, exist_ok=True)
        for name, x_D in zip(images, restored_ND, strict=True):
            write_image(x_D, shape, target / name)
    return target, len(images), left_out
