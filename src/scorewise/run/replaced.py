"""Files of results that take the place of others."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scorewise.errors import printable


@contextmanager
def told_if_replaced(path: Path) -> Iterator[None]:
    """Warn where a file was there before and what is written inside of this is something else."""
    before = _content(path)
    yield
    if before is not None and before != _content(path):
        warnings.warn(
            f"{printable(str(path))} was there with other content, which is gone: output=<another folder> keeps both.",
            stacklevel=3,
        )


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # there is none, or a folder
        return None
