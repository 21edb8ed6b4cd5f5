"""The errors that a user can act on, and how their sentences spell names."""

import re
import shlex
from collections.abc import Iterable, Sequence


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
    spelled = _spelled(value) if isinstance(value, str) else f"[{','.join(map(_spelled, value))}]"
    return shlex.quote(f"{setting}={spelled}")


def _spelled(value: str) -> str:
    value = printable(value)
    if re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII) and value.lower() not in ("true", "false", "null", "nan", "inf"):
        return value
    escaped = re.sub(r'(\\*)"', r'\1\1\\"', value)  # Hydra reads a backslash as one but before a quotation mark
    return f'"{escaped}{chr(92) * (len(escaped) - len(escaped.rstrip(chr(92))))}"'


def either(names: Iterable[str]) -> str:
    """Return names as a list with "or" before its last."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
