"""Image data sets, in [-1, 1]: the digits of scikit-learn, and those of torchvision."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorewise.data.source import FixedSource, Split, split_at_random
from scorewise.data.torchvision_images import TorchvisionImages


class Digits(FixedSource):
    """The 1,797 real 8x8 digits that ship inside scikit-learn, grey levels 0 to 16; no download.

    Example:
        >>> import torch
        >>> from scorewise.data import Digits
        >>> digits = Digits()
        >>> digits.examples("train", torch.arange(5), 0, 0).shape
        torch.Size([5, 64])
        >>> digits.count("train"), digits.labels("test")[:3].tolist()
        (1297, [0, 5, 6])
    """

    name, shape = "digits", (1, 8, 8)
    mean, std = -0.3895, 0.7521
    units_per_step, unit, repeats = 8.0, "grey levels 0 to 16", True
    offset, levels = 8.0, 17

    def extent(self, seed: int) -> tuple[float, float]:
        """Return the ends of the scale, -1 and 1."""
        return -1.0, 1.0

    def read(self) -> dict[Split, Tensor]:
        """Return 1,297 training, 200 validation and 300 test images."""
        return self._split(self._rows()[:, :-1].to(torch.uint8))

    def labels(self, split: Split) -> Tensor:
        """Return the digit of every image of a split, shape (N,)."""
        return self._split(self._rows()[:, -1])[split]

    @staticmethod
    def _rows() -> Tensor:
        """Return the pixels and the digit of every image, shape (1797, 65), from scikit-learn's file.

        `load_digits` reads the same after a second of imports.
        """
        package = importlib.util.find_spec("sklearn")
        assert package is not None
        assert package.origin is not None
        file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        return torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.int64))

    @staticmethod
    def _split(of_all: Tensor) -> dict[Split, Tensor]:
        train, val, test = split_at_random(len(of_all), (1297, 200, 300))
        return {"train": of_all[train], "val": of_all[val], "test": of_all[test]}


def _idx_files(folder: str, md5s: tuple[str, ...]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    unpacked = tuple(f"{folder}/raw/{name}" for name in names)
    return tuple((f"{path}.gz", md5) for path, md5 in zip(unpacked, md5s, strict=True)), unpacked


class Mnist(TorchvisionImages):
    """MNIST: 28x28 grey, 55,000 training, 5,000 validation and 10,000 test images.

    Example:
        >>> from scorewise.data import Mnist
        >>> Mnist().shape  # nothing is read before it is needed
        (1, 28, 28)
    """

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
    """Fashion-MNIST: 28x28 grey, 55,000 training, 5,000 validation and 10,000 test images.

    Example:
        >>> from scorewise.data import FashionMnist
        >>> FashionMnist().shape  # nothing is read before it is needed
        (1, 28, 28)
    """

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
    """CIFAR-10: 32x32 RGB, 45,000 training, 5,000 validation and 10,000 test images.

    Example:
        >>> from scorewise.data import Cifar10
        >>> Cifar10().shape  # nothing is read before it is needed
        (3, 32, 32)
    """

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
    """SVHN, house numbers: 32x32 RGB, 68,257 training, 5,000 validation and 26,032 test images.

    Example:
        >>> from scorewise.data import Svhn
        >>> Svhn().shape  # nothing is read before it is needed
        (3, 32, 32)
    """

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
