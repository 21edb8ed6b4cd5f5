"""Checkpoints of Lightning, before they are trusted."""

import pickle
from pathlib import Path

import torch

from scorewise.errors import UserError
from scorewise.run.lightning_internals import logged_step_of


def refuse_unreadable(checkpoint: Path) -> None:
    """Refuse a checkpoint that is damaged or that would execute something when loaded.

    Raises:
        UserError: which file.
    """
    try:
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
            "remove it to start the run again."
        ) from error


def steps_made(checkpoint: Path) -> int:
    """Return the number of the next step after a checkpoint, as it is logged."""
    return logged_step_of(torch.load(checkpoint, weights_only=True, mmap=True))
