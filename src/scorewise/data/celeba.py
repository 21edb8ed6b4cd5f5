"""CelebA: faces of celebrities, cropped and made small once."""

import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorewise.data.eight_bit import EightBitImages
from scorewise.data.pixels import PixelFile
from scorewise.data.roots import cache_root, data_root, make_cache
from scorewise.data.source import Split
from scorewise.errors import UserError

CROP = 140
"""Pixels of the square in the middle that is kept, of 178x218."""
SIZES = (32, 64)
PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
READERS = 4
"""Threads that decode."""


class CelebA(EightBitImages):
    """CelebA's aligned faces, the 140 pixels in the middle: 162,770, 19,867 and 19,962 of its authors' splits.

    Files are looked for in `root`, which is only read; what is missing is downloaded by torchvision, which needs gdown.
    mean and std are about those of the whole pictures.

    Args:
        root: folder that holds celeba/ as torchvision lays it out; None: $SCOREWISE_DATA or data/.
        cache: folder for downloads and decoded pixels; None: $SCOREWISE_CACHE or the user's cache folder.
        size: 32 or 64 pixels of a side.

    Raises:
        UserError: another size.

    Example:
        >>> from scorewise.data import CelebA
        >>> CelebA(size=64).shape  # nothing is read before it is needed
        (3, 64, 64)
    """

    mean, std = -0.12, 0.51
    splits: tuple[tuple[Split, str], ...] = (("train", "train"), ("val", "valid"), ("test", "test"))
    """Ours and torchvision's."""

    def __init__(self, root: str | None = None, cache: str | None = None, size: int = 32) -> None:
        super().__init__()
        if size not in SIZES:
            raise UserError(f"data.size={size} is none of CelebA's: use 32 (as the autoregressive models) or 64.")
        self.root, self.cache, self.shape = data_root(root), cache_root(cache), (3, size, size)

    def prepare(self) -> None:
        """Decode every image into one file of the cache, unless it is there; the originals are fetched before.

        Raises:
            UserError: a file is damaged, or it is neither there nor to be downloaded.
        """
        self._contents()

    def read(self) -> dict[Split, Tensor]:
        """Return the pixels of every split, as CelebA's authors divided it.

        Raises:
            UserError: see `prepare`.
        """
        pixels: dict[Split, Tensor] = self._contents()
        return pixels

    def _contents(self) -> dict[Any, Any]:
        size = self.shape[1]
        file = PixelFile(self.cache / f"celeba-{size}.pt", f"centre {CROP} to {size}")
        contents = file.read()
        if contents is None:
            make_cache(self.cache)
            contents = self._decoded(self._folder())
            file.write(contents)
        return contents

    def _folder(self) -> Path:
        """Return the folder with the originals: the root, else one in the cache, completed by torchvision."""
        from torchvision.datasets import CelebA as Torchvisions

        if (self.root / "celeba" / "img_align_celeba").is_dir():
            return self.root
        folder = self.cache / "celeba"
        make_cache(folder / "celeba")
        names = [name for *_, name in Torchvisions.file_list]
        for name in names:
            if (self.root / "celeba" / name).is_file() and not (folder / "celeba" / name).is_file():
                shutil.copy(self.root / "celeba" / name, folder / "celeba" / name)
        try:
            Torchvisions(str(folder), download=True)
        except UserError:  # asked to stop
            raise
        except Exception as error:  # gdown has errors of its own, and Google answers with a page where it refuses
            reason = "gdown is not installed" if "gdown" in str(error) else " ".join(str(error).split()) or repr(error)
            raise UserError(
                f"data=celeba is not complete in {self.root / 'celeba'} and could not be downloaded ({reason[:200]}): "
                + ("pip install gdown and try again, or by hand: " if "not installed" in reason else "by hand: ")
                + f"from {PAGE} take {', '.join(names)} (folders Img, Anno and Eval of its Google Drive), put them "
                f"into {self.root / 'celeba'} (or set SCOREWISE_DATA to another folder that holds celeba/), and give "
                "the same command again, which checks and unpacks them."
            ) from error
        return folder

    def _decoded(self, folder: Path) -> dict[Any, Any]:
        from torchvision import transforms
        from torchvision.datasets import CelebA as Torchvisions

        made_small = transforms.Compose(
            [transforms.CenterCrop(CROP), transforms.Resize(self.shape[1]), transforms.PILToTensor()]
        )
        warnings.warn(f"the images of CelebA are decoded into {self.cache}: this takes minutes, once.", stacklevel=2)
        pixels: dict[Split, Tensor] = {}
        try:
            for split, theirs in self.splits:
                images = Torchvisions(str(folder), theirs, target_type=[], transform=made_small)
                pixels[split] = torch.empty((len(images), self.dims), dtype=torch.uint8)
                with ThreadPoolExecutor(READERS) as readers:
                    try:
                        for i, (image, _) in enumerate(readers.map(images.__getitem__, range(len(images)))):
                            pixels[split][i] = image.reshape(-1)
                    finally:
                        readers.shutdown(cancel_futures=True)  # Ctrl-C waits for no other file
        except (OSError, RuntimeError, ValueError, SyntaxError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"data=celeba in {folder / 'celeba'} is damaged ({reason}): replace the file, or remove the folder."
            ) from error
        return pixels
