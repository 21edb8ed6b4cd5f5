"""The errors that a user can act on, and how their sentences spell names."""

import errno
import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SHOWN = 300
"""Letters of a path that a sentence names."""
NO_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|unable to allocate", re.IGNORECASE)
"""What messages of torch and NumPy hold where memory is lacking."""
MENDED_BY = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "allow it, or use another place"),
    errno.EROFS: "only reading is possible there, so use another place",
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room"),
    errno.ENOENT: "it is not there, or was removed meanwhile: put it back, or give another one",
    errno.ENOTDIR: "a file is where a folder should be: use another place",
    **dict.fromkeys((errno.EISDIR, errno.EEXIST), "something else has its name: move that away"),
    errno.ENAMETOOLONG: "use a shorter name",
    errno.ELOOP: "links go round in a circle: remove them",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "too many files are open: allow more of them (ulimit -n)"),
}
"""What to do where the machine refuses a file, by the number of its error."""


WHAT_IT_MUST_HAVE = "docs/extending.md says what a class of your own must have"
"""The end of sentences about classes that are not Scorewise's."""


class UserError(Exception):
    """Something the user gave or asked for cannot work; the message says what, why and what to do instead."""

    exit_code = 1


class Held(UserError):
    """Another process writes the run folder; the message says which."""


class Stopped(UserError):
    """Training was asked to stop and has saved; the message says how to continue.

    Args:
        message: one sentence.
        signal_number: the signal that asked for it; the process ends with 128 + that number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


@contextmanager
def machine_told() -> Iterator[None]:
    """Turn what the machine refuses, a file or memory, into a sentence; faults of the code stay as they are.

    Raises:
        UserError: see `refused_by_machine`.
    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        if (told := refused_by_machine(error)) is None:
            raise
        raise told from error


def refused_by_machine(error: BaseException) -> UserError | None:
    """Return what to tell about an error of the machine: a file that it refuses, or memory; None for any other one."""
    if lacks_memory(error):
        return UserError(
            f"there is not enough memory ({first_line(error)}): use a smaller data.batch_size, fewer examples at once, "
            "or a machine that has more."
        )
    if not isinstance(error, OSError) or error.errno is None:
        return None
    if error.filename is None:
        return _without_a_name(error)
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    if Path(path).is_relative_to(Path(__file__).parent):
        return None  # a file of this package: no user can mend that
    mend = MENDED_BY.get(error.errno, "mend that, or use another place")
    shown = printable(path if len(path) <= SHOWN else f"{path[:SHOWN]}...")
    return UserError(f"{shown} cannot be used ({error.strerror}): {mend}.")


def _without_a_name(error: OSError) -> UserError | None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"a file cannot be written ({error.strerror}): make room.")
    try:
        Path.cwd()
    except OSError:
        return UserError("the folder that this command was started in is gone: change to another one (cd).")
    return None


@contextmanager
def own_code_told(doing: str, own: Iterable[type]) -> Iterator[None]:
    """Turn what fails with a user's own classes into a sentence; without any, errors stay as they are.

    Args:
        doing: what is tried, the beginning of the sentence.
        own: classes that are not Scorewise's and take part in it.

    Raises:
        UserError: what failed, the line of the user's file where that is known, and the page about such classes.
    """
    files = {getattr(sys.modules.get(cls.__module__), "__file__", None) for cls in own}
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not files or lacks_memory(error):
            raise
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
        where = f" in {Path(lines[-1].filename).name}, line {lines[-1].lineno}" if lines else ""
        reason = printable(" ".join(str(error).split()).rstrip("."))
        raise UserError(f"{doing} fails ({type(error).__name__}{where}: {reason}): {WHAT_IT_MUST_HAVE}.") from error


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error says that there is no memory left, of Python, torch or NumPy, on any device."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(NO_MEMORY.search(str(error))))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message without its full stop, and where it has none what kind it is of."""
    return printable((str(error).splitlines() or [""])[0].strip().rstrip(".")) or type(error).__name__


def printable(text: str) -> str:
    """Return a text on one line without anything that a terminal or a page would obey: the rest is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def names_of(names: Iterable[str], most: int = 5) -> str:
    """Return the first names as they can stand in a sentence, and how many more there are."""
    shown = [printable(name) for name in names]
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return f"{', '.join(shown[:most])}{more}"


def typed(setting: str, value: str | Sequence[str]) -> str:
    """Return a setting as it is typed in a shell, quoted for it and for Hydra where either needs that.

    Args:
        setting: its name.
        value: text, or the names of columns.
    """
    listed = value if isinstance(value, str) else f"[{','.join(map(spelled, value))}]"
    return shlex.quote(f"{setting}={spelled(value) if isinstance(value, str) else listed}")


def spelled(value: str) -> str:
    """Return a text as Hydra's grammar reads it, quoted where it must be."""
    value = printable(value)
    if re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII) and value.lower() not in ("true", "false", "null", "nan", "inf"):
        return value
    value = value.replace("${", "\\${")  # which would be an interpolation
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)  # Hydra reads a backslash as one but before a quotation mark
    return f'"{escaped}{chr(92) * (len(escaped) - len(escaped.rstrip(chr(92))))}"'


def either(names: Iterable[str]) -> str:
    """Return names as a list with "or" before its last."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
