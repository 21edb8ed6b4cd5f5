"""What Hydra does more often than it must while it composes a config, done once.

It composes every config of a command twice, first to ask for `hydra.mode` alone, and reads and parses every file each
time; that was more than a quarter of the time of the quick tests. Every job copies its config five times, node by
node, which was a tenth of the time of a short run. `tests/test_quick_compositions.py` compares configs.
"""

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import omegaconf
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.hydra import Hydra
from omegaconf import DictConfig, OmegaConf, grammar_parser

from scorewise import catalog

HOW: dict[str, Callable[..., Any]] = {
    "mode": Hydra.get_mode,
    "load": OmegaConf.load,
    "map": defaults_list._create_interpolation_map,
    "parse": grammar_parser.parse,
    "options": defaults_list.create_defaults_list,
    "merge": ConfigLoaderImpl._compose_config_from_defaults_list,
    "copy": DictConfig.__deepcopy__,
    "caching": CachingConfigRepository.__init__,
}
"""How Hydra does it."""


def mode(hydra: Hydra, config_name: str, overrides: list[str]) -> Any:
    """Return hydra.mode, for which Hydra composes a whole config, where a word or a folder can set it."""
    setting = ("sweep", "hydra.mode", "hydra.searchpath", "hydra/")
    words = any(word.lstrip("+~").startswith(setting) for word in overrides)
    folders = any(path.provider == "command-line" for path in hydra.config_loader.get_search_path().get_path())
    return HOW["mode"](hydra, config_name, overrides) if words or folders else None


@cache
def _loaded(path: str, changed: int, size: int) -> bytes:
    return pickle.dumps(HOW["load"](path))


def load(file: Any) -> Any:
    """Return what a yaml file holds, read once for as long as it stays the same."""
    path = Path(file if isinstance(file, str | Path) else file.name)
    state = path.stat()
    return pickle.loads(_loaded(str(path), state.st_mtime_ns, state.st_size))


def copied(config: DictConfig, memo: dict[int, Any]) -> Any:
    """Return a copy of a config, with the same parent; inside another copy that is made, as OmegaConf makes it."""
    if memo:
        return HOW["copy"](config, memo)
    parent = config.__dict__["_parent"]
    config.__dict__["_parent"] = None
    try:
        same = pickle.loads(pickle.dumps(config))
    finally:
        config.__dict__["_parent"] = parent
    same.__dict__["_parent"] = parent
    return same


def caching(caching: CachingConfigRepository, delegate: Any) -> None:
    """Begin to keep what is read; of a repository that gets a new list of sources where they change."""
    caching.delegate, caching.cache = copy.copy(delegate), {}


def interpolation_map(overrides: Any, listed: list[Any], self_added: bool) -> Any:
    """Return what options with an interpolation in their names are looked up in, where there are some."""
    return HOW["map"](overrides, listed, self_added) if any(one.is_interpolation() for one in listed) else None


class Merged:
    """What the choices of a command are merged to, before other settings that were typed; of our own files alone."""

    def __init__(self) -> None:
        self.lists: dict[Any, Any] = {}
        self.configs: dict[int, bytes] = {}

    def options(self, repo: Any, config_name: str, overrides_list: list[Any], **settings: bool) -> Any:
        """Return the options that stand for the choices, and the other settings."""
        places = [source.path for source in repo.get_sources()]
        if places != ["hydra.conf", str(catalog.folder()), ""]:
            return HOW["options"](repo, config_name, overrides_list, **settings)
        typed = defaults_list.Overrides(repo, overrides_list).config_overrides
        choices = [one.input_line for one in overrides_list if not any(one is other for other in typed)]
        key = (config_name, *choices, *settings.items())
        if key not in self.lists:
            self.lists[key] = HOW["options"](repo, config_name, overrides_list, **settings)
            self.configs[id(self.lists[key].defaults)] = b""
        return replace(self.lists[key], config_overrides=typed)

    def merge(self, loader: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> Any:
        """Return the config of such options."""
        if id(defaults) not in self.configs:
            return HOW["merge"](loader, defaults, repo)
        if not self.configs[id(defaults)]:
            self.configs[id(defaults)] = pickle.dumps(HOW["merge"](loader, defaults, repo))
        return pickle.loads(self.configs[id(defaults)])


@contextmanager
def quick_compositions() -> Iterator[None]:
    """Compose configs in a third of the time."""
    parse: Callable[..., Any] = cache(HOW["parse"])
    merged = Merged()

    def merge(loader: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> Any:
        return merged.merge(loader, defaults, repo)

    with (
        mock.patch.object(Hydra, "get_mode", mode),
        mock.patch.object(OmegaConf, "load", staticmethod(load)),
        mock.patch.object(defaults_list, "_create_interpolation_map", interpolation_map),
        mock.patch.object(config_loader_impl, "create_defaults_list", merged.options),
        mock.patch.object(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge),
        mock.patch.object(DictConfig, "__deepcopy__", copied),
        mock.patch.object(CachingConfigRepository, "__init__", caching),
        mock.patch.object(grammar_parser, "parse", parse),
        mock.patch.object(omegaconf.base, "parse", parse),
        mock.patch.object(omegaconf._utils, "parse", parse),
    ):
        yield
