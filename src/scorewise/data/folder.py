"""Images from a folder of the user's."""

import hashlib
import os
import stat
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from scorewise.data.decoding import Undecodable, decode
from scorewise.data.eight_bit import EightBitImages
from scorewise.data.pixels import PixelFile, fingerprint
from scorewise.data.roots import cache_root, make_cache
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.data.source import SPLITS, Split
from scorewise.errors import UserError, printable
from scorewise.ranges import is_share, is_whole

READERS = 4
"""Threads that decode; each may hold one large image."""
TAKES_LONG = 5_000
"""From how many files on it is said that decoding takes a while."""
SETTINGS = "pixels 2"
"""What decoding means, for the fingerprint of decoded pixels: count it up when that changes."""


class ImageFile(NamedTuple):
    """A file of the folder that may be an image.

    Args:
        name: its path below the folder.
        path: where it is.
        size: bytes.
        changed: when, nanoseconds.
    """

    name: str
    path: str
    size: int
    changed: int


class Decoded(NamedTuple):
    """One decoded image.

    Args:
        digest: SHA-256 of the file, hexadecimal.
        name: its path below the folder.
        pixels_D: bytes.
    """

    digest: str
    name: str
    pixels_D: Tensor


def split_of(digest: str, val: float, test: float) -> Split:
    """Return the split of a file by its contents alone, so that adding or renaming files moves none.

    Args:
        digest: hexadecimal.
        val: share of files for validation.
        test: share of files for testing.
    """
    place = int(digest[:13], 16) / 16**13
    return "test" if place < test else "val" if place < test + val else "train"


class ImageFolder(EightBitImages):
    """All images of a folder and the folders below it, made square; see `decoding.decode` for what is done.

    Links are followed, each folder once. A file that is no image to learn from is left out: `remarks` names it, and a
    warning counts it. Equal files are in the same split. Models see every image with mean 0 and standard deviation
    0.5, whatever the folder holds.

    Args:
        path: the folder, which is only read.
        size: pixels of a side.
        channels: 1 for grey, 3 for RGB.
        val: share of the images for validation.
        test: share of the images for testing; 1 makes all of them test images.
        cache: folder for the decoded pixels; None: $SCOREWISE_CACHE or the user's cache folder.

    Raises:
        UserError: a setting is out of range.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from scorewise.data import ImageFolder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for level in range(20):
        ...         Image.new("L", (40, 30), 10 * level).save(Path(folder) / f"{level}.png")
        ...     photos = ImageFolder(folder, size=8, channels=1, val=0, test=1, cache=folder)
        ...     photos.shape, photos.count("test")
        ((1, 8, 8), 20)
    """

    mean, std = 0.0, 0.5
    setting: ClassVar[str] = "data.path"
    """What the folder is called where it is refused."""

    def __init__(
        self,
        path: str | None = None,
        size: int = 32,
        channels: int = 3,
        val: float = 0.1,
        test: float = 0.1,
        cache: str | None = None,
    ) -> None:
        super().__init__()
        if path is None or not str(path):
            raise UserError("data=images needs a folder: data.path=<folder of images>.")
        if "://" in str(path):
            raise UserError(
                f"{printable(str(path))} is an address, and images are read from folders: download it first."
            )
        if not is_whole(size, 1):
            raise UserError(f"data.size={size} must be a whole number of pixels, at least 1.")
        if channels not in (1, 3):
            raise UserError(f"data.channels={channels} must be 1 (grey) or 3 (RGB).")
        for name, share in (("val", val), ("test", test)):
            if not is_share(share):
                raise UserError(f"data.{name}={share} must be a share of the images, 0 to 1.")
        if val + test > 1:
            raise UserError(f"data.val={val} and data.test={test} must be at most 1 together.")
        self.path, self.cache = Path(str(path)).expanduser().absolute(), cache_root(cache)
        self.shape, self.val, self.test = (channels, size, size), val, test
        self._names: dict[Split, list[str]] = {}
        self._skipped: list[Skipped] = []

    def prepare(self) -> None:
        """Decode every image into one file of the cache, unless it is there.

        Raises:
            UserError: no folder, or no image in it.
        """
        self._contents()

    def read(self) -> dict[Split, Tensor]:
        """Return the pixels of every split, in an order that follows from the contents of the files.

        Raises:
            UserError: no folder, or no image in it.
        """
        contents = self._contents()
        self._names = contents["names"]
        self._skipped = [Skipped(*one) for one in contents["left_out"]]
        if self._skipped:
            total = len(self._skipped) + sum(len(names) for names in self._names.values())
            warnings.warn(
                f"{len(self._skipped)} of {total} files below {printable(str(self.path))} are not used: "
                f"{reasons_of(self._skipped)}.",
                stacklevel=2,
            )
        pixels: dict[Split, Tensor] = contents["pixels"]
        return pixels

    def names(self, split: Split) -> list[str]:
        """Return the path of every image of a split, below the folder."""
        self.raw(split)
        return self._names[split]

    def batch_size(self, most: int) -> int:
        """Return how many images make a step: fewer where the folder has not so many to train on."""
        images, batch = self.count("train"), most
        while batch > images > 0:
            batch //= 2
        if batch < most:
            warnings.warn(
                f"a folder of {images} training images takes steps of {batch} instead of data.batch_size={most}.",
                stacklevel=2,
            )
        return batch

    def contents(self) -> str:
        """Return a fingerprint of the pixels of every split."""
        return fingerprint(map(self.raw, SPLITS))

    def remarks(self) -> dict[str, Any]:
        """Return how many images each split has, and every file that is not used, with its reason."""
        counts = {split: self.count(split) for split in SPLITS}
        return {"images": counts, "left_out": {printable(one.name): one.reason for one in self._skipped}}

    def _contents(self) -> dict[str, Any]:
        found, skipped = self._files()
        settings = (SETTINGS, self.shape, self.val, self.test, str(self.path))
        listing = repr(
            (settings, [(one.name, one.size, one.changed) for one in found], [tuple(one) for one in skipped])
        )
        name = hashlib.sha256(repr(settings).encode()).hexdigest()[:16]
        fingerprint = hashlib.sha256(listing.encode(errors="surrogatepass")).hexdigest()
        file = PixelFile(make_cache(self.cache) / f"images-{name}.pt", fingerprint)
        contents = file.read()
        if contents is None:
            contents = self._decoded(found, skipped)
            file.write(contents)
        return contents

    def _decoded(self, found: list[ImageFile], skipped: list[Skipped]) -> dict[str, Any]:
        if len(found) > TAKES_LONG:
            warnings.warn(f"{len(found)} files are decoded into {self.cache}: this takes a while, once.", stacklevel=2)
        images: dict[Split, list[Decoded]] = {split: [] for split in SPLITS}
        with ThreadPoolExecutor(READERS) as readers, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about what is then left out
            try:
                for one in readers.map(self._read_file, found):
                    if isinstance(one, Skipped):
                        skipped.append(one)
                    else:
                        images[split_of(one.digest, self.val, self.test)].append(one)
            finally:
                readers.shutdown(cancel_futures=True)  # Ctrl-C waits for no other file
        if not any(images.values()):
            raise UserError(
                f"{self.setting}={printable(str(self.path))} has no image that can be used: {reasons_of(skipped)}."
            )
        for split in SPLITS:
            images[split].sort(key=lambda one: (one.digest, one.name))
        return {
            "pixels": {split: self._stacked(images[split]) for split in SPLITS},
            "names": {split: [one.name for one in images[split]] for split in SPLITS},
            "left_out": [list(one) for one in sorted(skipped)],
        }

    def _stacked(self, images: list[Decoded]) -> Tensor:
        return (
            torch.stack([one.pixels_D for one in images]) if images else torch.empty((0, self.dims), dtype=torch.uint8)
        )

    def _read_file(self, one: ImageFile) -> Decoded | Skipped:
        channels, size, _ = self.shape
        try:
            with open(one.path, "rb") as file:
                pixels_D = decode(file, size, channels)
                file.seek(0)
                return Decoded(hashlib.file_digest(file, "sha256").hexdigest(), one.name, pixels_D)
        except Undecodable as error:
            return Skipped(one.name, str(error))
        except OSError as error:
            return Skipped(one.name, f"not readable ({error.strerror})")

    def _files(self) -> tuple[list[ImageFile], list[Skipped]]:
        """Return the files below the folder, and what is no file, both by name.

        Raises:
            UserError: no folder, or nothing in it.
        """
        if not self.path.is_dir():
            kind = "a file" if self.path.exists() else "not there"
            raise UserError(f"{self.setting}={printable(str(self.path))} is {kind}: give a folder of images.")
        found: list[ImageFile] = []
        skipped: list[Skipped] = []
        unreadable: list[OSError] = []
        entered = {_identity(self.path)}
        for folder, folders, files in os.walk(self.path, onerror=unreadable.append, followlinks=True):
            for name in sorted(folders):
                path = os.path.join(folder, name)
                if _identity(path) in entered:
                    folders.remove(name)
                    skipped.append(Skipped(self._below(path), "a folder that is read already"))
                else:
                    entered.add(_identity(path))
            folders.sort()
            for name in files:
                self._sort_in(os.path.join(folder, name), found, skipped)
        skipped += [Skipped(self._below(error.filename), f"not readable ({error.strerror})") for error in unreadable]
        if not found and not skipped:
            raise UserError(f"{self.setting}={printable(str(self.path))} is empty: give a folder of images.")
        return sorted(found), sorted(skipped)

    def _sort_in(self, path: str, found: list[ImageFile], skipped: list[Skipped]) -> None:
        """Add a path to the files that may be images, or to what is none."""
        name = self._below(path)
        try:
            about = os.stat(path)
        except OSError:
            skipped.append(Skipped(name, "a link to nothing"))
            return
        if stat.S_ISREG(about.st_mode):
            found.append(ImageFile(name, path, about.st_size, about.st_mtime_ns))
        else:
            skipped.append(Skipped(name, "no regular file"))

    def _below(self, path: str) -> str:
        return os.path.relpath(path, self.path)


def _identity(path: str | Path) -> tuple[int, int]:
    about = os.stat(path)
    return about.st_dev, about.st_ino
