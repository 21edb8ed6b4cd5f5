"""A user's images, restored."""

import io
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

import torch
from PIL import Image
from torch import Tensor

from scorewise.data.datamodule import Batch
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.errors import UserError, names_of, printable
from scorewise.files import LONGEST, make_folder, put_bytes, refuse_outside
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
    if twice := sorted(name for name, count in Counter(written).items() if count > 1):
        raise UserError(f"two images of the input would be written as {twice[0]}: rename one of them.")
    return written


def unwritable(names: Sequence[str]) -> list[Skipped]:
    """Return the images that no file can be written for, with the reason; see `output_names`."""
    written = output_names(names)
    folders = {str(parent) for name in written for parent in PurePath(name).parents}
    found = []
    for name, file in zip(names, written, strict=True):
        if len(os.fsencode(PurePath(file).name)) > LONGEST:
            found.append(Skipped(name, f"too long a name with .png behind it, more than {LONGEST} bytes"))
        elif file in folders:
            found.append(Skipped(name, "a folder of the input has the name that its file would have"))
    return found


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
            UserError: two of them would go to one file, none to any, or there is no way to restore images without a
                mask.
        """
        head, corruption = type(self.restoration.model), self.restoration.damage.corruption
        if not self.restoration.gaussian and refusal(head, corruption, "joint", "blind"):
            raise UserError(
                f"which pixels of these images are lost must be found, for which {head.__name__} lacks a joint score "
                f"or a density that can be differentiated: train with head={HEADS}."
            )
        if len(left_out := unwritable(given.names)) == len(given.names):
            raise UserError(f"no image of the input can be written: {reasons_of(left_out)}; rename one of them.")

    def of(self, batch: Batch) -> Tensor:
        """Return the images restored, in [-1, 1], shape (B, D)."""
        return self.restoration.restore(batch.x_BD, Draws.of(self.seed, batch.epoch_B, batch.index_B))

    def unusable(self, given: Given, found: Tensor) -> list[Skipped]:
        """Return the images that no file can be written for; a warning names them."""
        if left_out := unwritable(given.names):
            said = f"{len(left_out)} of {len(given.names)} images are not written: {reasons_of(left_out)}; rename them."
            warnings.warn(said, stacklevel=2)
        return left_out

    def write(self, given: Given, found: Tensor, folder: Path) -> None:
        """Write every image as a PNG under its own name, if it can be; a warning counts others that are there."""
        left_out = {one.name for one in unwritable(given.names)}
        written = {folder / name for name in output_names(given.names)}
        if others := [path for path in folder.rglob("*") if path.suffix.lower() == ".png" and path not in written]:
            named = names_of(sorted(path.name for path in others), 3)
            warnings.warn(
                f"{printable(str(folder))} has {len(others)} other images, {named}, which stay there: give "
                "output=<another folder>, or remove what is in this one.",
                stacklevel=2,
            )
        for given_name, name, x_D in zip(given.names, output_names(given.names), found, strict=True):
            if given_name in left_out:
                continue
            refuse_outside(folder, (folder / name).parent)
            write_image(x_D, self.restoration.shape, folder / name)
