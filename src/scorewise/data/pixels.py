"""A file of decoded pixels in the cache."""

import hashlib
import os
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorewise.errors import UserError


def fingerprint(parts: Iterable[Tensor]) -> str:
    """Return 16 hexadecimal digits that follow from the bytes of tensors and how many there are."""
    found = hashlib.sha256()
    for part in parts:
        found.update(f"{tuple(part.shape)}".encode())
        found.update(part.contiguous().numpy().data)
    return found.hexdigest()[:16]


class PixelFile:
    """Decoded images and what belongs to them, in one file that is read piece by piece as it is needed.

    Args:
        path: the file; its folder exists when it is written.
        fingerprint: of what was decoded and how; contents of another fingerprint are not read.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint

    def read(self) -> dict[str, Any] | None:
        """Return the contents, tensors mapped from the file; None if it is missing, damaged or of something else."""
        try:
            found = torch.load(self.path, mmap=True, weights_only=True)
            return found["contents"] if found["fingerprint"] == self.fingerprint else None
        except (OSError, RuntimeError, LookupError, TypeError, ValueError, EOFError, pickle.UnpicklingError):
            return None

    def write(self, contents: dict[str, Any]) -> None:
        """Write the contents (tensors, strings and numbers), whole or not at all.

        Raises:
            UserError: the disk is full, say.
        """
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.partial")
        try:
            torch.save({"fingerprint": self.fingerprint, "contents": contents}, partial)
            os.replace(partial, self.path)
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"{self.path} cannot be written ({reason}): make room, or set SCOREWISE_CACHE to another folder."
            ) from error
        finally:
            partial.unlink(missing_ok=True)
