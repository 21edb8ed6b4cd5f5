"""Image data sets, in [-1, 1]."""

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

from scorewise.data.source import FixedSource, Split, split_at_random
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


def data_root(root: str | None) -> Path:
    """Return the folder where data is looked for: the given one, else $SCOREWISE_DATA, else data/."""
    return Path(root or os.environ.get("SCOREWISE_DATA") or "data").expanduser().absolute()


def cache_root(cache: str | None) -> Path:
    """Return the folder for what is unpacked or downloaded: given, else $SCOREWISE_CACHE, else the user's cache."""
    from platformdirs import user_cache_dir

    return Path(cache or os.environ.get("SCOREWISE_CACHE") or user_cache_dir("scorewise")).expanduser().absolute()


def make_cache(cache: Path) -> Path:
    """Return the cache folder, made where it is not there.

    Raises:
        UserError: it cannot be made.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{cache} cannot be made ({error.strerror}): set SCOREWISE_CACHE to a folder that can be written."
        ) from error
    return cache


class EightBitImages(FixedSource):
    """Images of 256 levels, held as bytes (N, D) in the order channel, row, column."""

    units_per_step, unit, repeats = 127.5, "8-bit pixel values", True
    offset, levels = 127.5, 256

    def extent(self, seed: int) -> tuple[float, float]:
        """Return the ends of the scale, -1 and 1."""
        return -1.0, 1.0


class Digits(FixedSource):
    """The 1,797 real 8x8 digits that ship inside scikit-learn, grey levels 0 to 16; no download."""

    name, shape = "digits", (1, 8, 8)
    mean, std = -0.3895, 0.7521
    units_per_step, unit, repeats = 8.0, "grey levels 0 to 16", True
    offset, levels = 8.0, 17

    def extent(self, seed: int) -> tuple[float, float]:
        """Return the ends of the scale, -1 and 1."""
        return -1.0, 1.0

    def read(self) -> dict[Split, Tensor]:
        """Return 1,297 training, 200 validation and 300 test images."""
        from sklearn.datasets import load_digits

        return self._split(torch.from_numpy(load_digits().data).to(torch.uint8))

    def labels(self, split: Split) -> Tensor:
        """Return the digit of every image of a split, shape (N,)."""
        from sklearn.datasets import load_digits

        return self._split(torch.from_numpy(load_digits().target).long())[split]

    @staticmethod
    def _split(of_all: Tensor) -> dict[Split, Tensor]:
        train, val, test = split_at_random(len(of_all), (1297, 200, 300))
        return {"train": of_all[train], "val": of_all[val], "test": of_all[test]}


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


def _idx_files(folder: str, md5s: tuple[str, ...]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    unpacked = tuple(f"{folder}/raw/{name}" for name in names)
    return tuple((f"{path}.gz", md5) for path, md5 in zip(unpacked, md5s, strict=True)), unpacked


class Mnist(TorchvisionImages):
    """MNIST: 28x28 grey, 55,000 training, 5,000 validation and 10,000 test images."""

    name, shape, held_out = "mnist", (1, 28, 28), 5_000
    mean, std = -0.7386, 0.6162
    packed, unpacked = _idx_files(
        "MNIST",
        (
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
    )

    def torchvision_class(self) -> Any:
        """Return torchvision.datasets.MNIST."""
        from torchvision.datasets import MNIST

        return MNIST


class FashionMnist(TorchvisionImages):
    """Fashion-MNIST: 28x28 grey, 55,000 training, 5,000 validation and 10,000 test images."""

    name, shape, held_out = "fashion_mnist", (1, 28, 28), 5_000
    mean, std = -0.4279, 0.7060
    packed, unpacked = _idx_files(
        "FashionMNIST",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    )

    def torchvision_class(self) -> Any:
        """Return torchvision.datasets.FashionMNIST."""
        from torchvision.datasets import FashionMNIST

        return FashionMNIST


class Cifar10(TorchvisionImages):
    """CIFAR-10: 32x32 RGB, 45,000 training, 5,000 validation and 10,000 test images."""

    name, shape, held_out = "cifar10", (3, 32, 32), 5_000
    mean, std = -0.0532, 0.5017
    packed = (("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),)
    unpacked = tuple(
        f"cifar-10-batches-py/{part}"
        for part in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
    )

    def torchvision_class(self) -> Any:
        """Return torchvision.datasets.CIFAR10."""
        from torchvision.datasets import CIFAR10

        return CIFAR10


class Svhn(TorchvisionImages):
    """SVHN, house numbers: 32x32 RGB, 68,257 training, 5,000 validation and 26,032 test images."""

    name, shape, held_out = "svhn", (3, 32, 32), 5_000
    mean, std = -0.0971, 0.3985
    packed = (
        ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
        ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
    )
    unpacked = tuple(path for path, _ in packed)

    def torchvision_class(self) -> Any:
        """Return torchvision.datasets.SVHN."""
        from torchvision.datasets import SVHN

        return SVHN

    def opened(self, folder: Path, train: bool) -> Any:
        """Return torchvision's data set of the training or the test images; `extra` is not used."""
        return self.torchvision_class()(str(folder), split="train" if train else "test", download=False)

    def classes(self, train: bool) -> Tensor:
        """Return the class (N,) of the training or the test images, in the order of their files."""
        return torch.as_tensor(self.opened(self._ready, train).labels).long()

    def fetch(self, folder: Path) -> None:
        """Let torchvision check and download what a folder lacks."""
        for split in ("train", "test"):
            self.torchvision_class()(str(folder), split=split, download=True)
