"""What of a user's data is not used, and why."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from scorewise.errors import printable

NAMED = 3
"""How many of those that are skipped for one reason are named in a sentence."""


class Skipped(NamedTuple):
    """A file, or a row of a table, that is not used.

    Args:
        name: the file's path below the folder, or the row's number.
        reason: a few words.
    """

    name: str
    reason: str


def reasons_of(skipped: Sequence[Skipped]) -> str:
    """Return every reason with its count and first names: 'damaged: 1 (a.png); no readable image: 1 (b.txt)'."""
    parts = []
    for reason, count in Counter(one.reason for one in skipped).most_common():
        names = [printable(one.name) for one in skipped if one.reason == reason]
        parts.append(f"{reason}: {count} ({', '.join(names[:NAMED])}{', ...' if count > NAMED else ''})")
    return "; ".join(parts)
