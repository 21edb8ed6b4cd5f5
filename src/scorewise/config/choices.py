"""What a config chooses: options of its groups, and the classes that they name."""

from typing import Any

from hydra.errors import CompactHydraException

from scorewise.capabilities import PLAIN_NAMES
from scorewise.catalog import Config, option_name, targets
from scorewise.data.source import Source
from scorewise.errors import UserError, either
from scorewise.objectives.objective import Objective
from scorewise.store import import_class

BATCHING = ("smoothing", "batch_size", "epochs")
"""Settings of the data group that are not the data set's own."""


class IncompatibleChoice(UserError, CompactHydraException):
    """Two choices do not fit each other."""


def chosen(config: Config) -> dict[str, str]:
    """Return the options that were chosen, by group, with head and sampler as resolved."""
    groups = ("data", "backbone", "head", "objective", "sampler", "likelihood", "latent", "task")
    return {group: option_name(group, config[group]["_target_"]) for group in groups if group in config}


def class_of(config: Config, group: str, kind: type | None = None) -> type:
    """Return the class that a group of the config names.

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
    """Return the object that a group of the config describes.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    settings = {key: value for key, value in config[group].items() if key != "_target_" and key not in without}
    try:
        return import_class(config[group]["_target_"])(**settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"{group}={option_name(group, config[group]['_target_'])} cannot be built: {error}.") from error


def build_source(config: Config) -> Source:
    """Return the data set of a config; it reads nothing yet."""
    source: Source = built(config, "data", BATCHING)
    return source


def needs_of(cls: Any) -> tuple[type, ...]:
    """Return the capabilities of which a class needs one, none where it needs nothing."""
    return tuple(getattr(cls, "needs", ()))


def of_objective(config: Config, method: str) -> Any:
    """Return what the objective class says about itself under its settings."""
    settings = {key: value for key, value in config["objective"].items() if key != "_target_"}
    return getattr(class_of(config, "objective", Objective), method)(**settings)


def has_any(cls: type, needs: tuple[type, ...]) -> bool:
    """Return whether a class has at least one of the capabilities, or none is needed."""
    return any(issubclass(cls, need) for need in needs) if needs else True


def named(needs: tuple[type, ...]) -> str:
    """Return capabilities in plain words."""
    return " or ".join(PLAIN_NAMES[need] for need in needs)


def that_have(group: str, needs: tuple[type, ...]) -> list[str]:
    """Return the options of a group whose classes have at least one of the capabilities."""
    real = {name: target for name, target in targets(group).items() if target != "auto"}
    return [name for name, target in real.items() if has_any(import_class(target), needs)]
