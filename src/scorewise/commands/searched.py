"""Folders that hydra.searchpath names, beside our own options. Importing this imports neither torch nor Lightning."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from scorewise import catalog
from scorewise.errors import UserError

GONE = re.compile(r"provider=.*, path=(.*) is not available\.")
"""What Hydra warns of, and goes on without."""


@contextmanager
def folders_told() -> Iterator[None]:
    """Refuse a folder of hydra.searchpath that is not there, which Hydra would pass over.

    Raises:
        UserError: it is no folder.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", GONE.pattern, UserWarning)
        try:
            yield
        except UserWarning as warning:
            found = GONE.fullmatch(str(warning))
            if found is None:
                raise
            raise UserError(
                f"hydra.searchpath names {found[1]}, which is no folder here: it takes the whole path of the folder "
                "that holds backbone/, data/ and so on, as in hydra.searchpath=[file:///home/me/my/conf]."
            ) from None


def refuse_hidden() -> None:
    """Refuse folders without options, and an option that has the name of one of ours, which Hydra would take instead.

    Raises:
        UserError: a folder has none; such an option was chosen, and its file says something else than ours.
    """
    settings = HydraConfig.get()
    chosen = {group: name for group, name in settings.runtime.choices.items() if isinstance(name, str)}
    for place in [Path(source.path) for source in settings.runtime.config_sources if source.schema == "file"]:
        if not any((place / group).is_dir() for group in catalog.groups()):
            raise UserError(
                f"hydra.searchpath names {place}, which has no folder of a group: it takes the folder that holds "
                "backbone/, data/ and so on."
            )
        for group, name in chosen.items():
            theirs, ours = place / group / f"{name}.yaml", catalog.file_of(group, name)
            if theirs.is_file() and ours.is_file() and theirs.read_bytes() != ours.read_bytes():
                raise UserError(
                    f"{group}={name} would take Scorewise's own {name}, not {theirs}: give that file another name."
                )
