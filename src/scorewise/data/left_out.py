"""What of a user's data is not used, and why."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from scorewise.errors import printable

NAMED = 3
"""How many of those that are left out for one reason are named in a sentence."""


class LeftOut(NamedTuple):
    """A file, or a row of a table, that is not used.

    Args:
        name: the file's path below the folder, or the row's number.
        reason: a few words.
    """

    name: str
    reason: str


def sentence_of(left_out: Sequence[LeftOut]) -> str:
    """Return what was left out and why, with the first names: 'damaged: 1 (a.png); no readable image: 1 (b.txt)'."""
    parts = []
    for reason, count in Counter(one.reason for one in left_out).most_common():
        names = [printable(one.name) for one in left_out if one.reason == reason]
        parts.append(f"{reason}: {count} ({', '.join(names[:NAMED])}{', ...' if count > NAMED else ''})")
    return "; ".join(parts)
