"""Configs that are composed quickly are those that Hydra composes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import quick_compositions
from hydra import compose, initialize_config_dir
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict
from quick_compositions import HOW

from scorewise import catalog


@pytest.fixture
def plain_hydra(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take back what `quick_compositions` does."""

    def take_back() -> None:
        monkeypatch.setattr(Hydra, "get_mode", HOW["mode"])
        monkeypatch.setattr(OmegaConf, "load", staticmethod(HOW["load"]))
        monkeypatch.setattr(config_loader_impl, "create_defaults_list", HOW["options"])
        monkeypatch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", HOW["merge"])
        monkeypatch.setattr(DictConfig, "__deepcopy__", HOW["copy"])
        monkeypatch.setattr(CachingConfigRepository, "__init__", HOW["caching"])
        monkeypatch.setattr("hydra._internal.defaults_list._create_interpolation_map", HOW["map"])
        for place in ("grammar_parser", "base", "_utils"):
            monkeypatch.setattr(f"omegaconf.{place}.parse", HOW["parse"])

    return take_back


def composed(command: str, words: tuple[str, ...]) -> tuple[Any, str | None]:
    """Return a config and hydra.mode, or the error."""
    with initialize_config_dir(str(catalog.folder()), version_base="1.3"):
        try:
            found = compose(command, list(words), return_hydra_config=True)
        except Exception as error:
            return type(error), str(error)
    return OmegaConf.to_container(found, resolve=False), str(found.hydra.mode)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ()),
        ("train", ("debug=tiny", "backbone=unet", "objective=dsm_multiscale", "hydra.run.dir=here")),
        ("train", ("experiment=table", "+trainer.accumulate_grad_batches=2", "~data.columns")),
        ("train", ("sweep=objectives", "seed=0,1")),
        ("train", ("objective=nothing",)),
        ("train", ("data.nothing=1",)),
        ("tune", ("study.trials=3", "hydra.mode=MULTIRUN")),
        ("reproduce", ("figure=fig2", "budget=tiny")),
        ("eval", ("run=here", "task=ood")),
    ],
)
def test_a_config_is_that_of_hydra(command: str, words: tuple[str, ...], plain_hydra: Callable[[], None]) -> None:
    quick, again = composed(command, words), composed(command, words)
    plain_hydra()
    assert quick == again == composed(command, words)


def test_a_copy_is_that_of_omegaconf() -> None:
    with initialize_config_dir(str(catalog.folder()), version_base="1.3"):
        config = compose("train", ["debug=tiny"], return_hydra_config=True)
    for one in (config, config.hydra, config.hydra.run):
        quick, plain = quick_compositions.copied(one, {}), HOW["copy"](one, {})
        assert quick == plain == one
        assert quick is not one
        assert quick._get_parent() is plain._get_parent() is one._get_parent()
        assert quick.__dict__["_metadata"] == plain.__dict__["_metadata"]
        assert OmegaConf.is_struct(quick) == OmegaConf.is_struct(plain)
        assert OmegaConf.to_yaml(quick) == OmegaConf.to_yaml(plain)
    with open_dict(quick):
        quick.dir = "elsewhere"
    assert config.hydra.run.dir != "elsewhere"


@pytest.mark.parametrize(
    ("words", "folder", "set_there"),
    [
        ((), False, False),
        (("debug=tiny", "hydra.run.dir=here"), False, False),
        (("debug=nothing",), False, False),
        (("sweep=objectives",), False, True),
        (("++hydra.mode=MULTIRUN",), False, True),
        (("experiment=mine",), True, True),
    ],
)
def test_a_mode_is_that_of_hydra(words: tuple[str, ...], folder: bool, set_there: bool, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\nhydra:\n  mode: MULTIRUN\n")
    places = create_config_search_path(str(catalog.folder()))
    if folder:  # as --config-dir has it
        places.prepend("command-line", f"file://{tmp_path}", SearchPathQuery(provider="schema"))
    try:
        found = Hydra.create_main_hydra2("train", places)
        wanted = HOW["mode"](found, "train", [*words])
        assert quick_compositions.mode(found, "train", [*words]) == wanted
        assert (wanted is not None) == set_there
    finally:
        GlobalHydra.instance().clear()
