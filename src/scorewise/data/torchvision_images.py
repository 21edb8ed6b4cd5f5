"""Image data sets that torchvision reads."""

import math
import os
import pickle
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorewise.data.eight_bit import EightBitImages
from scorewise.data.roots import cache_root, data_root, make_cache
from scorewise.data.source import Split, split_at_random
from scorewise.errors import UserError

DAMAGE = (ValueError, AssertionError, KeyError, IndexError, EOFError, pickle.UnpicklingError)
"""What torchvision raises on a file that it cannot parse."""


def idx_is_whole(path: Path) -> bool:
    """Return whether a file is in the idx format of MNIST and as long as its header says."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or len(content) < 4 + 4 * content[3]:
        return False
    sizes = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(content[3])]
    return len(content) == 4 + 4 * content[3] + math.prod(sizes)


class TorchvisionImages(EightBitImages):
    """A data set that torchvision reads, downloads and checks.

    Files are looked for in `root`, which is only read; what is missing is downloaded, and everything is unpacked
    in `cache`.

    Args:
        root: folder with the files as torchvision lays them out; None: $SCOREWISE_DATA or data/.
        cache: folder to unpack into; None: $SCOREWISE_CACHE or the user's cache folder.
    """

    name: str
    held_out: int
    packed: tuple[tuple[str, str], ...]
    """Path below the root and md5 of every packed file."""
    unpacked: tuple[str, ...]
    """Paths below the root of what torchvision reads."""

    def __init__(self, root: str | None = None, cache: str | None = None) -> None:
        super().__init__()
        self.root, self.cache = data_root(root), cache_root(cache)

    @abstractmethod
    def torchvision_class(self) -> Any:
        """Return the class in torchvision.datasets."""

    def opened(self, folder: Path, train: bool) -> Any:
        """Return torchvision's data set of the training or the test images, from files that are there."""
        return self.torchvision_class()(str(folder), train=train, download=False)

    def fetch(self, folder: Path) -> None:
        """Let torchvision check, download and unpack what a folder lacks."""
        self.torchvision_class()(str(folder), download=True)

    @property
    def _ready(self) -> Path:
        return self.cache / self.name

    def prepare(self) -> None:
        """Put the unpacked files into the cache, from the root where it has them, else by download.

        Raises:
            UserError: a file is damaged, or it is neither there nor to be downloaded.
        """
        if self._whole(self._ready):
            return
        with tempfile.TemporaryDirectory(dir=make_cache(self.cache)) as staging_name:
            staging = Path(staging_name)
            self._copy_from_root(staging)
            self._complete(staging)
            if self._whole(self._ready):  # another process was faster, and may be reading already
                return
            shutil.rmtree(self._ready, ignore_errors=True)  # an earlier one left only part
            try:
                os.replace(staging, self._ready)
            except OSError:
                if not self._ready.is_dir():
                    raise
            staging.mkdir(exist_ok=True)  # for the context manager to remove

    def _whole(self, folder: Path) -> bool:
        return all((folder / path).is_file() for path in self.unpacked)

    def _copy_from_root(self, staging: Path) -> None:
        from torchvision.datasets.utils import check_integrity

        for path, md5 in self.packed:
            packed = self.root / path
            if not packed.is_file():
                continue
            if not check_integrity(str(packed), md5):
                raise UserError(f"{packed} is damaged (its md5 is not {md5}): replace the file or remove it.")
            (staging / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(packed, staging / path)
        if self._whole(self.root):
            for path in (path for path in self.unpacked if not (staging / path).is_file()):
                (staging / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.root / path, staging / path)

    def _complete(self, staging: Path) -> None:
        try:
            self.fetch(staging)
        except DAMAGE as error:
            raise self._damaged(self.root, error) from error
        except (OSError, RuntimeError) as error:
            if self._whole(staging):  # nothing was missing, so a file is at fault
                raise self._damaged(self.root, error) from error
            expected = ", ".join(path for path, _ in self.packed)
            raise UserError(
                f"data={self.name} is not in {self.root} and could not be downloaded ({type(error).__name__}): "
                f"put {expected} below that folder (or set SCOREWISE_DATA), or use data=digits, which needs no file."
            ) from error

    def read(self) -> dict[Split, Tensor]:
        """Return the pixels of every split; validation is taken from the training set.

        Raises:
            UserError: a file is damaged or missing.
        """
        return self._split(self.pixels)

    def labels(self, split: Split) -> Tensor:
        """Return the class of every image of a split, shape (N,).

        Raises:
            UserError: a file is damaged or missing.
        """
        return self._split(self.classes)[split]

    def _split(self, of_images: Callable[[bool], Tensor]) -> dict[Split, Tensor]:
        self.prepare()
        try:
            fitting, test = (of_images(train) for train in (True, False))
        except (*DAMAGE, OSError, RuntimeError) as error:
            raise self._damaged(self._ready, error) from error
        train, val = split_at_random(len(fitting), (len(fitting) - self.held_out, self.held_out))
        return {"train": fitting[train], "val": fitting[val], "test": test}

    def _damaged(self, folder: Path, error: Exception) -> UserError:
        files = " or ".join(str(folder / path) for path in self.unpacked if not idx_is_whole(folder / path))
        return UserError(f"data={self.name} cannot be read ({type(error).__name__}): {files} is damaged, remove it.")

    def pixels(self, train: bool) -> Tensor:
        """Return the bytes (N, D) of the training or the test images, in the order of their files."""
        images = torch.as_tensor(self.opened(self._ready, train).data)
        if images.ndim == 4 and images.shape[1:] != self.shape:  # height, width, channel
            images = images.permute(0, 3, 1, 2)
        return images.reshape(len(images), -1)

    def classes(self, train: bool) -> Tensor:
        """Return the class (N,) of the training or the test images, in the order of their files."""
        return torch.as_tensor(self.opened(self._ready, train).targets).long()
