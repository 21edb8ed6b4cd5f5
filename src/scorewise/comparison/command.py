"""The command compare, from its arguments to its files."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scorewise.comparison.compared import Compared, compare_records
from scorewise.comparison.finding import RunFolders, find_runs, in_a_run, is_run
from scorewise.comparison.order import in_order
from scorewise.comparison.record import Record, read_record
from scorewise.comparison.spreadsheet import runs_csv, seeds_csv
from scorewise.errors import UserError, printable
from scorewise.files import put_text

USAGE = """usage: python src/compare.py FOLDER [FOLDER ...] [out=FOLDER]

Compares runs: a table here, and comparison.html, comparison.csv and comparison_seeds.csv in out.
FOLDER is a run folder, or a folder that holds run folders at any depth.
out= is by default the folder that all of them share, or comparison/ where that is not below this one."""


class Asked(NamedTuple):
    """What the arguments ask for.

    Args:
        folders: to look in.
        out: for the files.
    """

    folders: list[Path]
    out: Path


class Made(NamedTuple):
    """What the command has made.

    Args:
        compared: runs side by side.
        files: what was written, by what it is.
    """

    compared: Compared
    files: dict[str, Path]


def asked(arguments: Sequence[str]) -> Asked:
    """Parse the arguments; a folder may have = in its name.

    Raises:
        UserError: none, an unknown setting, or an out= that cannot be.
    """
    folders: list[Path] = []
    out: Path | None = None
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if equals and name == "out":
            if not value:
                raise UserError("out= names no folder: give one, such as out=comparison.")
            out = Path(value)
        elif argument.startswith("-") or (re.fullmatch(r"\w[\w.]*", name) and equals and not Path(argument).exists()):
            raise UserError(f"{argument} is neither a folder nor a setting of compare: the only setting is out=.")
        else:
            folders.append(Path(argument))
    if not folders:
        raise UserError("no folder was given: python src/compare.py runs/ compares all runs below runs/.")
    out = out or _default_out(folders)
    if out.exists() and not out.is_dir():
        raise UserError(f"out={out} is a file: give a folder.")
    if in_a_run(out):
        raise UserError(f"out={out} is the folder of a run or below it, which is only read: give another one.")
    return Asked(folders, out)


def _shared(folders: Sequence[Path]) -> Path:
    """Return the folder that all of the folders are in or below, and no run."""
    above = Path(os.path.commonpath([folder.absolute() for folder in folders]))
    return above.parent if is_run(above) else above


def _default_out(folders: Sequence[Path]) -> Path:
    shared, here = _shared(folders), Path.cwd()
    return shared if shared != here and shared.is_relative_to(here) and not is_run(shared) else Path("comparison")


def compare_folders(arguments: Sequence[str]) -> Made:
    """Compare the runs of folders, in the order of what tells them apart, and write the files.

    Raises:
        UserError: see `asked`; there is no run, or a file cannot be written.
    """
    folders, out = asked(arguments)
    command = " ".join(["python src/compare.py", *map(shlex.quote, arguments)])
    return _made(in_order(_records(find_runs(folders))), out, printable(command))


def compare_runs(runs: Sequence[Path], out: Path, command: str) -> Made:
    """Compare runs, in the order in which they are given, and write the files.

    Args:
        runs: their folders.
        out: for the files.
        command: that makes them again.

    Raises:
        UserError: a file cannot be written.
    """
    return _made(_records(RunFolders(list(runs), {})), out, command)


def _records(found: RunFolders) -> list[Record]:
    above = Path(os.path.commonpath([path.absolute().parent for path in found.runs])) if found.runs else Path.cwd()
    records = [read_record(path, printable(os.path.relpath(path.absolute(), above))) for path in found.runs]
    return records + [
        Record(path, printable(str(path)), problems=(f"cannot be opened ({reason})",))
        for path, reason in found.unreadable.items()
    ]


def _made(records: Sequence[Record], out: Path, command: str) -> Made:
    compared = compare_records(records)
    from scorewise.comparison.page import page  # matplotlib takes a second, which a wrong argument need not wait for

    contents = {
        "page": ("comparison.html", page(compared, out, command)),
        "runs": ("comparison.csv", runs_csv(compared)),
        "seeds": ("comparison_seeds.csv", seeds_csv(compared)),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"out={out} cannot be written ({error.strerror}): give another folder by out=.") from error
    for name, text in contents.values():
        put_text(out / name, text)
    return Made(compared, {what: out / name for what, (name, _) in contents.items()})
