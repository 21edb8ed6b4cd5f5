"""Where a later test of a run is written, so that one of other settings is not lost."""

import hashlib
import json
import re
import warnings
from pathlib import Path

from scorewise.catalog import Config
from scorewise.config.identity import of_a_test
from scorewise.stored import Unreadable, read_json

LONGEST = 60
"""Characters of a name that say how two tests differ; beyond that, and of what no file name may hold, eight digits."""


def name_beside(folder: Path, name: str, content: Config) -> str:
    """Return the name for the files of a later test: its own, and behind it what differs from the test that has that.

    Args:
        folder: of the run.
        name: of the test.
        content: its settings (task), and what it says of its data.
    """
    try:
        before, now = of_a_test(read_json(folder / f"{name}.json")), of_a_test(json.loads(json.dumps(content)))
    except (OSError, Unreadable):
        return name  # there is none, or it cannot be read
    differing = {key: value for key, value in now.items() if key in before and before[key] != value}
    if not differing:
        return name
    kept = ", ".join(f"{key}={before[key]}" for key in differing)
    found = f"{name}-{_said(differing)}"
    warnings.warn(
        f"{name}.json is of other settings ({kept}) and stays: these numbers are in {found}.json.", stacklevel=2
    )
    return found


def _said(settings: Config) -> str:
    text = "-".join(f"{key}={value}" for key, value in settings.items())
    if len(text) <= LONGEST and re.fullmatch(r"[\w.=+-]+", text, re.ASCII):
        return text
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:8]
