"""Files that are written whole or not at all, and never through a link; in those for spreadsheets nothing computes."""

import csv
import errno
import io
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from scorewise.errors import UserError, printable

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet would compute."""
PARTIAL = ".partial"
"""What the names of files end with that are not whole yet; only a killed process leaves one."""
LONGEST = 255
"""Bytes of a name, in the usual file systems."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def put_bytes(path: Path, content: bytes | memoryview, lasting: bool = True) -> None:
    """Write a file in one move: whatever happens meanwhile, its name stands for the old content or for the new one.

    The new content goes to a file of its own beside it, which then takes the name: a link of that name is replaced, and
    what it points to stays as it is.

    Args:
        path: the file, in a folder that exists.
        content: all of it.
        lasting: wait until the disk has it, so that even a loss of power loses nothing; without it the file may be
            empty afterwards, which is fine for what is quickly made again.

    Raises:
        UserError: the disk is full, or the place cannot be written; the old content is kept.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}{PARTIAL}")
    try:
        try:
            with open(partial, "xb", opener=_new_file) as file:
                file.write(content)
                file.flush()
                if lasting:
                    os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            with suppress(OSError):
                partial.unlink()
        if lasting:
            _settle(path.parent)
    except OSError as error:
        mend = "make room" if error.errno in FULL else "mend that, or use another folder"
        raise UserError(
            f"{path} cannot be written ({error.strerror}), and what was there before is kept: {mend}."
        ) from error


def put_text(path: Path, text: str, lasting: bool = True) -> None:
    """Write a text as UTF-8, line ends as they are; see `put_bytes`."""
    put_bytes(path, text.encode(), lasting)


def refuse_outside(folder: Path, target: Path) -> None:
    """Refuse a place below a folder that a link leads out of it; it need not be there yet.

    Raises:
        UserError: where it leads.
    """
    if not (led := target.resolve()).is_relative_to(folder.resolve()):
        raise UserError(f"{target} is a link that leads out of {folder}, to {led}: remove the link, or give output=.")


def refuse_no_folder(setting: str, name: str) -> None:
    """Refuse a name that is not that of one folder: it would lead elsewhere, or cannot be written.

    Raises:
        UserError: what it may be.
    """
    if set(name) & {"/", "\\"} or not name.strip(". ") or not name.isprintable() or len(name.encode()) > LONGEST:
        shown = printable(name if len(name) <= 50 else f"{name[:50]}...")
        raise UserError(
            f"{setting}={shown} is no name of a folder: use up to {LONGEST} letters without / and \\, not only dots."
        )


def _new_file(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)


def _settle(folder: Path) -> None:
    """Wait until the disk has the names in a folder, where its file system can tell."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise
    finally:
        os.close(number)


def harmless(text: str) -> str:
    """Return text for a cell: what begins like a formula gets an apostrophe before it, numbers stay."""
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def write(path: Path, header: Sequence[str], rows: Iterable[Iterable[Any]], digits: int | None = None) -> None:
    """Write a CSV table; text is made harmless, other values are as Python's csv writes them.

    Args:
        path: the file; its folder is made where it is not there.
        header: names of the columns.
        rows: their cells.
        digits: of floats at least, see `plain`; None: all.

    Raises:
        UserError: see `put_bytes`.
    """
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_cell(value, digits) for value in row] for row in (header, *rows))
    make_folder(path.parent)
    put_text(path, text.getvalue())


def make_folder(folder: Path) -> None:
    """Make a folder where it is not there yet.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}): use another folder.") from error


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder, which need not be there yet, where nothing can be written, before anything is computed for it.

    Whether it can be is tried, beside it: a folder that is made and goes again.

    Raises:
        UserError: it, or the one that it would be made in, is closed or is none.
    """
    whole = folder.absolute()
    there = next(one for one in (whole, *whole.parents) if os.path.lexists(one))
    shown = printable(str(folder))
    if not there.is_dir():
        kind = "a link to nothing" if not there.exists() else "a file" if there.is_file() else "no folder"
        what = f"is {kind}" if there == whole else f"cannot be made, since {printable(str(there))} is {kind}"
        raise UserError(f"{shown} {what}, so nothing was computed: give a folder.")
    trial = there / f".{secrets.token_hex(8)}{PARTIAL}"
    try:
        try:
            trial.joinpath(*(part for part in whole.relative_to(there).parts if part != "..")).mkdir(parents=True)
        finally:
            shutil.rmtree(trial, ignore_errors=True)
    except OSError as error:
        mend = "make room" if error.errno in FULL else "allow it, or use another folder"
        raise UserError(f"{shown} cannot be written ({error.strerror}), so nothing was computed: {mend}.") from error


def plain(value: float, digits: int) -> str:
    """Return a number in so many digits at least, and in all before the point: 24255, not 2.425e+04.

    From 1e15 on, where floats are no longer exact to a tenth, the digits that are asked for are all.
    """
    whole = len(f"{abs(value):.0f}") if abs(value) < 1e15 else 0
    return f"{value:.{max(digits, whole)}g}"


def shortest(value: float) -> float | int:
    """Return a number that is written in no more digits than it takes: 3 and not 3.0."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _cell(value: Any, digits: int | None) -> Any:
    if isinstance(value, float) and digits is not None:
        return plain(value, digits)
    return harmless(value) if isinstance(value, str) else value
