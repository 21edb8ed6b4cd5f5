"""Folders of data sets and of what is made from them."""

import os
from pathlib import Path

from scorewise.errors import UserError


def data_root(root: str | None) -> Path:
    """Return the folder where data is looked for: the given one, else $SCOREWISE_DATA, else data/."""
    return Path(root or os.environ.get("SCOREWISE_DATA") or "data").expanduser().absolute()


def cache_root(cache: str | None) -> Path:
    """Return the folder for what is unpacked or downloaded: given, else $SCOREWISE_CACHE, else the user's cache."""
    from platformdirs import user_cache_dir

    return Path(cache or os.environ.get("SCOREWISE_CACHE") or user_cache_dir("scorewise")).expanduser().absolute()


def make_cache(cache: Path) -> Path:
    """Return the cache folder, made where it is not there.

    Raises:
        UserError: it cannot be made.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{cache} cannot be made ({error.strerror}): set SCOREWISE_CACHE to a folder that can be written."
        ) from error
    return cache


def place_of(path: Path, root: str | None) -> Path:
    """Return where a table is: as given, else below the data folder."""
    below = data_root(root) / path
    return below if not path.exists() and below.exists() else path
