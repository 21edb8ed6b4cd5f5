"""Names in sentences and commands, as they can be shown and typed."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any


def printable(text: str) -> str:
    """This is a text on one line without anything that a terminal or a page would obey: the rest is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def names_of(columns: Sequence[str] | Mapping[str, Any], most: int = 5) -> str:
    """This is the first names of columns in a sentence, and how many more there are."""
    names = [printable(name) for name in columns]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def typed(setting: str, value: str | Sequence[str]) -> str:
    """This is a setting as it is typed in a shell, quoted for it and for Hydra where either needs that.

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
