"""What a config chooses: options of its groups, and the classes that they name."""

from typing import Any

from hydra.errors import CompactHydraException

from scorewise.catalog import Config, is_own, option_name, options, targets
from scorewise.data.source import Source
from scorewise.errors import WHAT_IT_MUST_HAVE, UserError, either, own_code_told, printable
from scorewise.objectives.objective import Objective
from scorewise.ranges import are_whole, is_number
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
            f"{group}._target_={target} is not a subclass of scorewise's {kind.__name__}: derive it from that "
            f"({WHAT_IT_MUST_HAVE}), or use {group}={either(targets(group))}."
        )
    return found


def own_classes(config: Config) -> list[type]:
    """Return a user's own classes that a command may build from a stored config: those that are typed, and no others.

    Raises:
        UserError: one cannot be imported.
    """
    return [import_class(str(name)) for name in config.get("classes") or ()]


def own_of(config: Config, *groups: str) -> list[type]:
    """Return the classes that are a user's own of those that groups of a config name."""
    return [class_of(config, group) for group in groups if group in config and is_own(config[group]["_target_"])]


def built(config: Config, group: str, without: tuple[str, ...] = ()) -> Any:
    """Return the object that a group of the config describes.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    settings = {key: value for key, value in config[group].items() if key != "_target_" and key not in without}
    cls = import_class(config[group]["_target_"])
    call = ", ".join(f"{key}={printable(str(value))[:60]}" for key, value in settings.items())
    try:
        with own_code_told(f"{cls.__name__}({call})", own_of(config, group)):
            return cls(**settings)
    except (TypeError, ValueError) as error:
        raise UserError(f"{group}={option_name(group, config[group]['_target_'])} cannot be built: {error}.") from error


def build_source(config: Config) -> Source:
    """Return the data set of a config; it reads nothing yet."""
    source: Source = built(config, "data", BATCHING)
    own = own_of(config, "data")
    with own_code_told(f"saying shape, mean and std of {type(source).__name__}", own):
        if own and not (are_whole(source.shape, 1) and is_number(source.mean) and is_number(source.std)):
            raise TypeError(
                f"whole numbers and two numbers are needed, not {source.shape}, {source.mean}, {source.std}"
            )
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


def has_none(group: str, option: str) -> str:
    """Return that a choice lacks what is needed; of a user's own class also where it is written what that must have."""
    return f"{group}={option} has none{'' if option in options(group) else f' ({WHAT_IT_MUST_HAVE})'}"


def that_have(group: str, needs: tuple[type, ...]) -> list[str]:
    """Return the options of a group whose classes have at least one of the capabilities."""
    real = {name: target for name, target in targets(group).items() if target != "auto"}
    return [name for name, target in real.items() if has_any(import_class(target), needs)]
