"""The order in which runs stand: by the settings that tell them apart, as a reader looks for them."""

from collections.abc import Sequence

from scorewise.comparison.labels import telling
from scorewise.comparison.record import Record, number
from scorewise.comparison.settings import differing, settings_of, shown

Key = tuple[object, ...]
NOTHING, NUMBER, TEXT, LIST = range(4)
"""Kinds of values, in their order."""


def in_order(records: Sequence[Record]) -> list[Record]:
    """Return runs ordered by the first setting that tells them apart, then by the next, then by their seeds.

    Runs that agree in all of that stay as they were given; those whose config could not be read are the last.
    """
    known = [record for record in records if record.comparable]
    settings = [settings_of(record) for record in known]
    names = telling(settings, differing(known))

    def key(place: int) -> Key:
        return (*(_key(settings[place].get(name)) for name in names), number(known[place].seed) or 0)

    ordered = [known[place] for place in sorted(range(len(known)), key=key)]
    return [*ordered, *(record for record in records if not record.comparable)]


def _key(value: object) -> Key:
    """Return what a value is ordered by: nothing before numbers, by size, before texts before lists."""
    if value is None:
        return (NOTHING,)
    if isinstance(value, list):
        return (LIST, *map(_key, value))
    size = None if isinstance(value, bool | str) else number(value)
    return (TEXT, shown(value)) if size is None else (NUMBER, size)
