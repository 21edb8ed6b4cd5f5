"""Run folders below folders, at any depth."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scorewise.errors import UserError

FILES = ("config.yaml", "summary.json", "metrics.csv")
"""What a run folder holds: one of them makes a folder one, though perhaps a damaged one."""
INSIDE = ("checkpoints", "tensorboard", "wandb", "predictions")
"""Folders of a run folder, which hold no runs."""


class RunFolders(NamedTuple):
    """Run folders below some folders.

    Args:
        runs: run folders, each once, in order.
        unreadable: folders that could not be opened, with the reason.
    """

    runs: list[Path]
    unreadable: dict[Path, str]


def is_run(folder: Path) -> bool:
    """Return whether a folder is that of a run, whole or damaged."""
    return any((folder / name).is_file() for name in FILES)


def in_a_run(folder: Path) -> bool:
    """Return whether a folder is that of a run, or lies below one."""
    above = [one for one in folder.absolute().parents if (one / FILES[0]).is_file()]  # a project may have a config.yaml
    return is_run(folder) or any((one / name).is_file() for one in above for name in FILES[1:])


def find_runs(folders: Sequence[Path]) -> RunFolders:
    """Return the run folders among folders and below them; a link to a folder is followed once.

    Raises:
        UserError: a folder is missing, or there is no run.
    """
    found = RunFolders([], {})
    seen: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder: give run folders, or folders that hold some.")
        _descend(folder, found, seen)
    if not found.runs and not found.unreadable:
        raise UserError(
            f"{', '.join(map(str, folders))} holds no run (a folder with a config.yaml): "
            "give run folders, or folders that hold some, such as runs/."
        )
    return found


def _descend(folder: Path, found: RunFolders, seen: set[Path]) -> None:
    try:
        place = folder.resolve()
        if place in seen:
            return
        seen.add(place)
        with os.scandir(folder) as entries:
            inside = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        run = is_run(folder)
    except OSError as error:
        found.unreadable[folder] = error.strerror or str(error)
        return
    if run:
        found.runs.append(folder)
        if (folder / "config.yaml").is_file():
            return
        inside = [name for name in inside if name not in INSIDE]  # a stray file must not hide the runs below it
    for name in inside:
        _descend(folder / name, found, seen)
