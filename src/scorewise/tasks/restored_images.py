"""A user's images, restored."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from scorewise.data.datamodule import Batch
from scorewise.errors import UserError
from scorewise.files import make_folder, put_bytes, refuse_outside
from scorewise.noise import Draws
from scorewise.tasks.prediction import Given, Prediction
from scorewise.tasks.restoration import Restoration
from scorewise.tasks.restoring_means import HEADS, refusal


def write_image(x_D: Tensor, shape: tuple[int, ...], path: Path) -> None:
    """Write an image in [-1, 1], shape (channels * height * width,), as an 8-bit PNG."""
    levels = ((x_D.detach().cpu().double().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    planes = levels.reshape(shape).permute(1, 2, 0).numpy()
    make_folder(path.parent)
    picture = io.BytesIO()
    Image.fromarray(planes[..., 0] if shape[0] == 1 else planes).save(picture, format="PNG")
    put_bytes(path, picture.getbuffer(), lasting=False)


def output_names(names: Sequence[str]) -> list[str]:
    """Return where restored images go, below the output folder: as their inputs, with .png behind what has none.

    Raises:
        UserError: two images would go to one file.
    """
    written = [name if name.lower().endswith(".png") else f"{name}.png" for name in names]
    if twice := sorted({name for name in written if written.count(name) > 1}):
        raise UserError(f"two images of the input would be written as {twice[0]}: rename one of them.")
    return written


class RestoredImages(Prediction):
    """Images taken as they are, corrupted; the pixels that salt and pepper hit are found.

    Args:
        restoration: how they are restored.
        seed: of draws that fill in pixels.
    """

    by_name = True

    def __init__(self, restoration: Restoration, seed: int) -> None:
        self.restoration, self.seed = restoration, seed

    @property
    def folder(self) -> str:
        """The damage and the way."""
        return self.restoration.name

    @property
    def what(self) -> str:
        """What was done to the images."""
        return "restored"

    def accept(self, given: Given) -> None:
        """Look at the names of the images, and whether hit pixels can be found.

        Raises:
            UserError: two of them would go to one file, or there is no way to restore images without a mask.
        """
        head, corruption = type(self.restoration.model), self.restoration.damage.corruption
        if not self.restoration.gaussian and refusal(head, corruption, "joint", "blind"):
            raise UserError(
                f"which pixels of these images are lost must be found, for which {head.__name__} lacks a joint score "
                f"or a density that can be differentiated: train with head={HEADS}."
            )
        output_names(given.names)

    def of(self, batch: Batch) -> Tensor:
        """Return the images restored, in [-1, 1], shape (B, D)."""
        return self.restoration.restore(batch.x_BD, Draws.of(self.seed, batch.epoch_B, batch.index_B))

    def write(self, given: Given, found: Tensor, folder: Path) -> None:
        """Write every image as a PNG under its own name."""
        for name, x_D in zip(output_names(given.names), found, strict=True):
            refuse_outside(folder, (folder / name).parent)
            write_image(x_D, self.restoration.shape, folder / name)
