"""What was chosen of a group of options."""

from collections.abc import Sequence
from typing import NamedTuple


class Choice(NamedTuple):
    """What was chosen of a group.

    Args:
        option: its name.
        changed: settings that are not the option's, as they are typed.
        by_default: whether it is the option that is taken where none is typed.
    """

    option: str
    changed: Sequence[str] = ()
    by_default: bool = False
