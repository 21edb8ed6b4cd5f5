"""Checkpoints of Lightning: written in one move, and read before they are trusted."""

import io
import os
import pickle
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor, nn

from scorewise.errors import UserError
from scorewise.files import put_bytes
from scorewise.ranges import has_shape
from scorewise.run.lightning_internals import logged_step_of


class CheckpointFiles(TorchCheckpointIO):
    """Checkpoints as files that are replaced in one move; the older one stays until the new one has been read back."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint into a folder that exists.

        Raises:
            UserError: the disk is full, or the folder is gone; the older checkpoint is kept.
        """
        packed, place = io.BytesIO(), Path(path)
        torch.save(checkpoint, packed)
        with suppress(OSError):  # there is none, one is kept already, or the file system has no second names
            os.link(place, older(place))
        put_bytes(place, packed.getbuffer())
        if is_whole(place):
            older(place).unlink(missing_ok=True)


def older(checkpoint: Path) -> Path:
    """Return where the checkpoint before this one is kept while this one is written."""
    return checkpoint.with_name(f"{checkpoint.stem}.previous{checkpoint.suffix}")


def is_whole(checkpoint: Path) -> bool:
    """Return whether a checkpoint can be read and every part of it has the checksum that was written with it.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        with zipfile.ZipFile(checkpoint) as parts:
            return parts.testzip() is None
    except OSError as error:
        if error.filename is not None:  # what cannot be opened is not damaged
            raise
        return False
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, LookupError):
        return False


def readable(checkpoint: Path) -> Path:
    """Return a checkpoint, or the older one, with a warning, where it is damaged.

    Raises:
        UserError: see `refuse_unreadable`; there is no older one.
        OSError: it cannot be opened.
    """
    before = older(checkpoint)
    try:
        refuse_unreadable(checkpoint)
        return checkpoint
    except UserError:
        if not before.is_file():
            raise
    refuse_unreadable(before)
    warnings.warn(f"{checkpoint} is damaged, so the run continues from the one before it, {before.name}.", stacklevel=2)
    return before


def refuse_unreadable(checkpoint: Path) -> None:
    """Refuse a checkpoint that is damaged or that would execute something when loaded.

    Raises:
        UserError: which file.
        OSError: it cannot be opened.
    """
    try:
        if not is_whole(checkpoint):
            raise ValueError("a checksum")
        if not {"state_dict", "loops", "optimizer_states"} <= set(torch.load(checkpoint, weights_only=True, mmap=True)):
            raise KeyError("state_dict")
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise UserError(
            f"{checkpoint} is damaged or holds more than plain numbers, so it was not loaded: "
            f"remove {checkpoint.parent} to start the run again."
        ) from error


def refuse_of_another_run(checkpoint: Path, identity: str, task: nn.Module) -> None:
    """Refuse a checkpoint that another run has written.

    Args:
        checkpoint: readable.
        identity: of the run that it is used for.
        task: that its weights are to be put into.

    Raises:
        UserError: which file.
    """
    stored = torch.load(checkpoint, weights_only=True, mmap=True)
    said = [one["identity"] for one in stored.get("callbacks", {}).values() if has_shape(one, {"identity": str})]
    theirs, ours = (
        {name: value.shape for name, value in weights.items()} for weights in (stored["state_dict"], task.state_dict())
    )
    if theirs != ours or said not in ([], [identity]):  # releases before 0.2 did not say whose it is
        raise UserError(
            f"{checkpoint} is of another run, so it was not loaded: put this run's own back, or remove "
            f"{checkpoint.parent} to start the run again."
        )


def weights_of(checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of a trained task, by name.

    Raises:
        UserError: one is not finite: nothing was learnt.
    """
    weights: dict[str, Tensor] = torch.load(checkpoint, weights_only=True, map_location="cpu")["state_dict"]
    for name, value in weights.items():
        if not bool(value.isfinite().all()):
            raise UserError(
                f"training ended with weights that are not finite numbers ({name}), so the run is not finished: try a "
                "smaller optim.lr, or a smaller optim.ema_decay."
            )
    return weights


def step_of(checkpoint: Path) -> int:
    """Return how many steps of optimisers a checkpoint has behind it, as a summary counts them."""
    return int(torch.load(checkpoint, weights_only=True, mmap=True)["global_step"])


def steps_made(checkpoint: Path) -> int:
    """Return the number of the next step after a checkpoint, as it is logged."""
    return logged_step_of(torch.load(checkpoint, weights_only=True, mmap=True))
