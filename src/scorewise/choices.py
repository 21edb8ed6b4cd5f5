"""What a config chooses: options of its groups, and the classes that they name."""

from functools import cache
from typing import Any

import yaml
from hydra.errors import CompactHydraException

from scorewise.capabilities import PLAIN_NAMES
from scorewise.conf_dir import conf_dir
from scorewise.data.source import Source
from scorewise.errors import UserError
from scorewise.objectives.objective import Objective
from scorewise.store import import_class

Config = dict[str, Any]
BATCHING = ("smoothing", "batch_size", "epochs")
"""Settings of the data group that are not the data set's own."""
NONE = {"_target_": "none"}
"""What a group of a settled config holds that the run has no use for."""


class IncompatibleChoice(UserError, CompactHydraException):
    """Two choices do not fit each other."""


@cache
def targets(group: str) -> dict[str, str]:
    """This is option name -> target of a config group."""
    files = sorted((conf_dir() / group).glob("*.yaml"))
    return {file.stem: yaml.safe_load(file.read_text())["_target_"] for file in files}


def option_name(group: str, target: str) -> str:
    """This is the option that a user types for a target; the target itself for a class of their own."""
    return next((name for name, known in targets(group).items() if known == target), target)


def chosen(config: Config) -> dict[str, str]:
    """This is the options that were chosen, by group, with head and sampler as resolved."""
    groups = ("data", "backbone", "head", "objective", "sampler", "likelihood", "latent", "task")
    return {group: option_name(group, config[group]["_target_"]) for group in groups if group in config}


def part_of(group: str, name: str) -> Config:
    """This is the settings of an option as its file has them."""
    settings: Config = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text())
    return settings


def class_of(config: Config, group: str, kind: type | None = None) -> type:
    """This is the class that a group of the config names.

    Raises:
        IncompatibleChoice: it is not one of the kind that the group holds.
    """
    target = config[group].get("_target_")
    found = import_class(str(target))
    if kind is not None and not issubclass(found, kind):
        raise IncompatibleChoice(
            f"{group}._target_={target} is not a subclass of scorewise's {kind.__name__}: "
            f"use {group}={either(targets(group))}."
        )
    return found


def built(config: Config, group: str, without: tuple[str, ...] = ()) -> Any:
    """This is the object that a group of the config describes.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    settings = {key: value for key, value in config[group].items() if key != "_target_" and key not in without}
    try:
        return import_class(config[group]["_target_"])(**settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"{group}={option_name(group, config[group]['_target_'])} cannot be built: {error}.") from error


def build_source(config: Config) -> Source:
    """This is the data set of a config; it reads nothing yet."""
    source: Source = built(config, "data", BATCHING)
    return source


def needs_of(cls: Any) -> tuple[type, ...]:
    """This is the capabilities of which a class needs one, none where it needs nothing."""
    return tuple(getattr(cls, "needs", ()))


def of_objective(config: Config, method: str) -> Any:
    """This is what the objective class says about itself under its settings."""
    settings = {key: value for key, value in config["objective"].items() if key != "_target_"}
    return getattr(class_of(config, "objective", Objective), method)(**settings)


def has_any(cls: type, needs: tuple[type, ...]) -> bool:
    """This says whether a class has at least one of the capabilities, or none is needed."""
    return any(issubclass(cls, need) for need in needs) if needs else True


def named(needs: tuple[type, ...]) -> str:
    """This is capabilities in plain words."""
    return " or ".join(PLAIN_NAMES[need] for need in needs)


def either(names: Any) -> str:
    """This is names as a list with "or" before its last."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def that_have(group: str, needs: tuple[type, ...]) -> list[str]:
    """This is the options of a group whose classes have at least one of the capabilities."""
    real = {name: target for name, target in targets(group).items() if target != "auto"}
    return [name for name, target in real.items() if has_any(import_class(target), needs)]
