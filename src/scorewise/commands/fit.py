"""The command train as a function: the same settings, the same folder, and the model of it."""

import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from scorewise import catalog
from scorewise.commands.commands import train
from scorewise.commands.environment import load_environment
from scorewise.commands.implied import with_options
from scorewise.comparison.loading import load
from scorewise.config.refusals import one_sentence
from scorewise.errors import UserError, machine_told, printable, spelled
from scorewise.tracking import console


def fit(
    data: str | Path = "digits", *settings: str, classes: Sequence[type] = (), quiet: bool = False, **named: object
) -> Any:
    """Train as `python src/train.py` does, or find the finished run of the same settings, and return its model.

    Args:
        data: a data set by name; or a file, which is a table, or a folder of images.
        settings: as they are typed, "backbone.hidden=[64,64]".
        classes: your own classes that the settings name.
        quiet: leave out what the command prints, and keep its progress and its warnings.
        named: further settings, with two underscores for every dot: objective="csm", trainer__max_steps=100.

    Raises:
        UserError: what `train.py` refuses, in the same sentence.
    """
    words = [*_of_data(data), *settings, *(f"{_dotted(name)}={_value(value)}" for name, value in named.items())]
    for word in words:
        if (name := word.lstrip("+~").partition("=")[0]) == "sweep" or name.startswith(("hydra.", "hydra/")):
            raise UserError(
                f"{printable(word)} is for the command line: scorewise.fit trains one run, below paths.runs. Leave it "
                "out, or use python src/train.py."
            )
    load_environment()
    # The command shows warnings its own way.
    with warnings.catch_warnings(), console.saying_nothing() if quiet else nullcontext():
        return load(_trained(words), classes)


def _trained(words: Sequence[str]) -> Path:
    hydra = HydraConfig.instance()
    before = hydra.cfg
    try:
        with machine_told():
            config = _composed(with_options("train", words))
            hydra.set_config(config)
            with open_dict(config):
                config.pop("hydra")
            return train(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(str(one_sentence(error, "train"))) from None
    finally:
        hydra.cfg = before


def _composed(words: Sequence[str]) -> DictConfig:
    with initialize_config_dir(str(catalog.folder()), version_base="1.3"):
        return compose("train", overrides=list(words), return_hydra_config=True)


def _of_data(data: str | Path) -> list[str]:
    """Return the settings that choose the data."""
    if not isinstance(data, str | Path):
        raise UserError(
            f"data is of type {type(data).__name__}: give the name of a data set, a file or a folder; arrays and data "
            "frames are for scorewise.ScoreDensity().fit(X)."
        )
    path = Path(data)
    if str(data) in catalog.options("data") or not path.exists():
        if isinstance(data, Path) or path.suffix or len(path.parts) > 1:
            raise UserError(f"{data} is neither a file nor a folder, seen from {Path.cwd()}.")
        return [f"data={data}"]
    chosen, full = "data=images" if path.is_dir() else "experiment=table", str(path.absolute())
    if printable(full) != full:  # what has ${ in it is refused as every such setting is
        raise UserError(
            f"{printable(full)} has a name that no setting can hold (a tab, a line break, a character of no encoding): "
            "rename it, or give a link to it that has another name."
        )
    return [chosen, f"data.path={spelled(full)}"]


def _dotted(name: str) -> str:
    return name.replace("__", ".")


def _value(value: object) -> str:
    """Return a plain value as Hydra's grammar reads it."""
    match value:
        case str() | Path():
            return spelled(str(value))
        case None | bool():
            return json.dumps(value)
        case Mapping():
            return f"{{{','.join(f'{spelled(str(key))}:{_value(one)}' for key, one in value.items())}}}"
        case Sequence():
            return f"[{','.join(map(_value, value))}]"
    return str(value)
