"""What Hydra does more often than it must while it composes a config, done once.

It composes every config of a command twice, first to ask for `hydra.mode` alone, and reads and parses every file each
time; that was more than a quarter of the time of the quick tests. `tests/test_quick_compositions.py` compares configs.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import omegaconf
from hydra._internal import defaults_list
from hydra._internal.hydra import Hydra
from omegaconf import OmegaConf, grammar_parser

HOW: dict[str, Callable[..., Any]] = {
    "mode": Hydra.get_mode,
    "load": OmegaConf.load,
    "map": defaults_list._create_interpolation_map,
    "parse": grammar_parser.parse,
}
"""How Hydra does it."""


def mode(hydra: Hydra, config_name: str, overrides: list[str]) -> Any:
    """Return hydra.mode, for which Hydra composes a whole config, where a word or a folder can set it."""
    setting = ("sweep", "hydra.mode", "hydra.searchpath", "hydra/")
    words = any(word.lstrip("+~").startswith(setting) for word in overrides)
    folders = any(path.provider == "command-line" for path in hydra.config_loader.get_search_path().get_path())
    return HOW["mode"](hydra, config_name, overrides) if words or folders else None


@cache
def _loaded(path: str, changed: int, size: int) -> Any:
    return HOW["load"](path)


def load(file: Any) -> Any:
    """Return what a yaml file holds, read once for as long as it stays the same."""
    path = Path(file if isinstance(file, str | Path) else file.name)
    state = path.stat()
    return copy.deepcopy(_loaded(str(path), state.st_mtime_ns, state.st_size))


def interpolation_map(overrides: Any, listed: list[Any], self_added: bool) -> Any:
    """Return what options with an interpolation in their names are looked up in, where there are some."""
    return HOW["map"](overrides, listed, self_added) if any(one.is_interpolation() for one in listed) else None


@contextmanager
def quick_compositions() -> Iterator[None]:
    """Compose configs in a third of the time."""
    parse: Callable[..., Any] = cache(HOW["parse"])
    with (
        mock.patch.object(Hydra, "get_mode", mode),
        mock.patch.object(OmegaConf, "load", staticmethod(load)),
        mock.patch.object(defaults_list, "_create_interpolation_map", interpolation_map),
        mock.patch.object(grammar_parser, "parse", parse),
        mock.patch.object(omegaconf.base, "parse", parse),
        mock.patch.object(omegaconf._utils, "parse", parse),
    ):
        yield
