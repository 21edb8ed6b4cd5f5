"""What runs are called beside each other: the settings that tell them apart."""

from collections import Counter
from collections.abc import Sequence

from scorewise.comparison.settings import Settings, shown
from scorewise.errors import printable

LONGEST = 40
"""Characters of a value in a label."""
FOLLOWING = ("head", "sampler", "likelihood", "trainer", "callbacks", "results")
"""Sections that mostly follow from others, and are named where nothing else tells runs apart."""


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return dotted names without their sections, where no other of them is called the same then."""
    last = {name: name.rpartition(".")[2] for name in names}
    count = Counter(last.values())
    return {name: short if count[short] == 1 else name for name, short in last.items()}


def telling(settings: Sequence[Settings], differing: Sequence[str]) -> list[str]:
    """Return the first of the differing settings that together tell runs apart, as far as any do.

    Args:
        settings: of runs.
        differing: names of those in which they differ.
    """
    found: list[str] = []
    labels: list[str] = [""] * len(settings)
    for name in sorted(differing, key=_rank):
        values = [shown(one[name]) if name in one else "" for one in settings]
        more = [f"{label}\n{value}" for label, value in zip(labels, values, strict=True)]
        if len({*more}) > len({*labels}):
            found.append(name)
            labels = more
        if len({*labels}) == len(settings):
            break
    return found


def _rank(name: str) -> int:
    section = name.partition(".")[0]
    if section == "objective":
        return 0 if name == section else 1
    return 3 if section in FOLLOWING else 2


def label_of(settings: Settings, names: Sequence[str], short: dict[str, str]) -> str:
    """Return the settings of these names as they are typed, empty where a run has none of them."""
    words = [f"{short[name]}={_cut(shown(settings[name]))}" for name in names if name in settings]
    return printable(" ".join(words))


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST else f"{value[: LONGEST - 3]}..."
