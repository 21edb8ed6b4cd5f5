"""Small packed image sets that torchvision cannot read."""

import os
import tempfile
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorewise.data.decoding import pixels_of
from scorewise.data.eight_bit import EightBitImages
from scorewise.data.images import Cifar10
from scorewise.data.roots import cache_root, data_root, make_cache
from scorewise.data.source import Split, split_at_random
from scorewise.errors import UserError
from scorewise.ranges import is_whole


def refuse_damaged(path: Path, md5: str) -> None:
    """Refuse a file that is not the one expected.

    Raises:
        UserError: which file.
    """
    from torchvision.datasets.utils import check_integrity

    if not check_integrity(str(path), md5):
        raise UserError(f"{path} is damaged (its md5 is not {md5}): replace the file or remove it.")


class Cifar10Subset(EightBitImages):
    """The first 4,000 training (400 of them for validation) and the first 1,000 test images of CIFAR-10.

    Read from two sheets of images, or from the whole of CIFAR-10 where those are not there.

    Args:
        root: folder that holds cifar10_subset/, or CIFAR-10; None: $SCOREWISE_DATA or data/.
        cache: folder to unpack CIFAR-10 into; None: $SCOREWISE_CACHE or the user's cache folder.

    Example:
        >>> from scorewise.data import Cifar10Subset
        >>> Cifar10Subset().shape  # nothing is read before it is needed
        (3, 32, 32)
    """

    name, shape = "cifar10_subset", (3, 32, 32)
    mean, std = -0.0547, 0.5043
    counts: Mapping[str, int] = {"train": 4_000, "test": 1_000}
    sheets: Mapping[str, tuple[str, str]] = {
        "train": ("cifar10_subset/train_images.png", "9bc5a9e9537dcbe188a35f67408f3cb4"),
        "test": ("cifar10_subset/test_images.png", "27cc6edeb265ac612c173cb93c3de86b"),
    }
    """Path below the root and md5 of each: one column of images."""
    lists: Mapping[str, tuple[str, str]] = {
        "train": ("cifar10_subset/train_labels.npy", "cef8079c10f996b80af8f17c69952488"),
        "test": ("cifar10_subset/test_labels.npy", "ff8b4b9d69a037553e27ba5b0a66d168"),
    }
    """Path below the root and md5 of each: one class per image, read only where the classes are asked for."""

    def __init__(self, root: str | None = None, cache: str | None = None) -> None:
        super().__init__()
        self.root, self.whole = data_root(root), Cifar10(root, cache)

    def prepare(self) -> None:
        """Fetch CIFAR-10 where the sheets are not there.

        Raises:
            UserError: neither is there or to be downloaded.
        """
        if self._packed():
            return
        try:
            self.whole.prepare()
        except UserError as error:
            sheets = " and ".join(path for path, _ in self.sheets.values())
            raise UserError(f"data=cifar10_subset needs {sheets} below {self.root}, or CIFAR-10: {error}") from error

    def read(self) -> dict[Split, Tensor]:
        """Return the pixels of every split; validation is taken from the training images.

        Raises:
            UserError: a file is damaged or missing.
        """
        self.prepare()
        return self._split(*(self._sheet(name) if self._packed() else self._first(name) for name in self.counts))

    def labels(self, split: Split) -> Tensor:
        """Return the class of every image of a split, shape (N,).

        Raises:
            UserError: a file is damaged or missing.
        """
        self.prepare()
        classes = self._list if self._packed() else self._first_classes
        return self._split(*(classes(name) for name in self.counts))[split]

    @staticmethod
    def _split(fitting: Tensor, test: Tensor) -> dict[Split, Tensor]:
        train, val = split_at_random(len(fitting), (3_600, 400))
        return {"train": fitting[train], "val": fitting[val], "test": test}

    def _list(self, name: str) -> Tensor:
        path, md5 = self.root / self.lists[name][0], self.lists[name][1]
        if not path.is_file():
            raise UserError(
                f"the classes of data=cifar10_subset are not there: put {self.lists[name][0]} below {self.root}."
            )
        refuse_damaged(path, md5)
        return torch.from_numpy(np.load(path)).long()

    def _packed(self) -> bool:
        return all((self.root / path).is_file() for path, _ in self.sheets.values())

    def _sheet(self, name: str) -> Tensor:
        from PIL import Image

        path, md5 = self.root / self.sheets[name][0], self.sheets[name][1]
        refuse_damaged(path, md5)
        with Image.open(path) as sheet:
            column = pixels_of(sheet).reshape(3, -1, 32, 32)
        return column.transpose(0, 1).reshape(-1, self.dims)

    def _first(self, name: str) -> Tensor:
        return self.whole.pixels(train=name == "train")[: self.counts[name]]

    def _first_classes(self, name: str) -> Tensor:
        return self.whole.classes(train=name == "train")[: self.counts[name]]


class OmniglotSmall(EightBitImages):
    """Omniglot's two small background sets joined: 242 characters, 20 drawings of each, white on black.

    Drawings are made smaller to grey levels. The first 16 persons of every alphabet are for training (3,872 images),
    two for validation (484) and two for testing (484). Greek and Latin, which both sets hold, are taken once.

    Args:
        root: folder that holds omniglot/; None: $SCOREWISE_DATA or data/.
        cache: folder to download into; None: $SCOREWISE_CACHE or the user's cache folder.
        size: pixels of a side, at most 105.

    Raises:
        UserError: a setting is out of range.

    Example:
        >>> from scorewise.data import OmniglotSmall
        >>> OmniglotSmall(size=14).shape  # nothing is read before it is needed
        (1, 14, 14)
    """

    mean, std = -0.8386, 0.4368
    archives = (
        ("images_background_small1.zip", "e704a628b5459e08445c13499850abc4"),
        ("images_background_small2.zip", "b75a71a51d3b13f821f212756fe481fd"),
    )

    def __init__(self, root: str | None = None, cache: str | None = None, size: int = 28) -> None:
        super().__init__()
        if not is_whole(size, 1) or size > 105:
            raise UserError(f"data.size={size} must be a whole number of pixels, 1 to 105.")
        self.root, self.cache, self.shape = data_root(root), cache_root(cache), (1, size, size)

    def prepare(self) -> None:
        """Download what is not there.

        Raises:
            UserError: a file is damaged, or it is neither there nor to be downloaded.
        """
        for name, md5 in self.archives:
            if self._place(name).is_file():
                continue
            from torchvision.datasets import Omniglot
            from torchvision.datasets.utils import download_url

            folder = make_cache(self.cache / "omniglot")
            try:
                with tempfile.TemporaryDirectory(dir=folder) as staging:
                    download_url(f"{Omniglot.download_url_prefix}/{name}", staging, name, md5)
                    os.replace(Path(staging) / name, folder / name)
            except (OSError, RuntimeError) as error:
                raise UserError(
                    f"data=omniglot_small is not in {self.root} and could not be downloaded ({type(error).__name__}): "
                    f"put {' and '.join(f'omniglot/{archive}' for archive, _ in self.archives)} of "
                    "github.com/brendenlake/omniglot below that folder (or set SCOREWISE_DATA)."
                ) from error

    def read(self) -> dict[Split, Tensor]:
        """Return the pixels of every split.

        Raises:
            UserError: a file is damaged or missing.
        """
        self.prepare()
        drawings: dict[str, bytes] = {}
        for name, md5 in self.archives:
            refuse_damaged(self._place(name), md5)
            with zipfile.ZipFile(self._place(name)) as archive:
                images = sorted(path for path in archive.namelist() if path.endswith(".png"))
                drawings |= {path.partition("/")[2]: archive.read(path) for path in images}
        splits: dict[Split, list[Tensor]] = {"train": [], "val": [], "test": []}
        for path, content in drawings.items():
            person = int(path.removesuffix(".png").rpartition("_")[2])
            splits["train" if person <= 16 else "val" if person <= 18 else "test"].append(self._drawing(content))
        return {split: torch.stack(images) for split, images in splits.items()}

    def _place(self, name: str) -> Path:
        below = self.root / "omniglot" / name
        return below if below.is_file() else self.cache / "omniglot" / name

    def _drawing(self, content: bytes) -> Tensor:
        from PIL import Image, ImageOps

        with Image.open(BytesIO(content)) as paper:
            ink = ImageOps.invert(paper.convert("L"))
            return pixels_of(ink.resize((self.shape[1], self.shape[2]), Image.Resampling.BILINEAR))
