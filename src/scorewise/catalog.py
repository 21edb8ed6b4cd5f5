"""The catalogue of what can be chosen: the options in conf/. Nothing else reads that folder."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Config = dict[str, Any]
CLASSES_IN = ("data", "backbone", "head", "objective", "latent", "likelihood", "sampler", "task", "optim")
"""Groups whose options are classes that a stored config may name, and that are built from it."""
NAMES_IN = ("trainer", "logger")
"""Groups whose classes a stored config may name too; nothing is built from those names."""
NONE = {"_target_": "none"}
"""What a group of a settled config holds that the run has no use for."""
STANDS_IN = ("auto", "none")
"""What an option has for a class when there is none."""
LOGGERS_ONCE = ("lightning.pytorch.loggers.TensorBoardLogger", "lightning.pytorch.loggers.WandbLogger")
"""What the first runs name for a logger."""
MOVED = {
    "scorewise.tensorboard.TensorBoard": "scorewise.tracking.tensorboard.TensorBoard",
    "scorewise.wandb_run.WandbRun": "scorewise.tracking.wandb_run.WandbRun",
}
"""Where classes are now that stored configs name by an earlier path."""


def folder() -> Path:
    """Return the folder of Scorewise's own configs: inside the package when installed, else beside src/."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


@cache
def groups() -> tuple[str, ...]:
    """Return the names of all groups."""
    return tuple(sorted(path.name for path in folder().iterdir() if path.is_dir()))


def _read(file: Path) -> Config:
    found = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return dict(found or {})


def _option(file: Path) -> Config:
    """Return an option with those of its own group, or of a folder below it, that it builds on."""
    settings = _read(file)
    merged: Config = {}
    for name in _listed(settings.pop("defaults", []), str):
        if name != "_self_":
            merged |= _option(file.parent / f"{name.partition('@')[0]}.yaml")
    return merged | settings


def _listed(defaults: list[Any], kind: type) -> list[Any]:
    """Return the entries of a defaults list that are names (str), or that choose options of groups (dict)."""
    return [one for one in defaults if isinstance(one, kind)]


@cache
def companions() -> dict[str, tuple[str, str]]:
    """Return the groups that some options bring into a config: the option that does, and what it takes of the group."""
    found = {}
    for file in sorted(folder().glob("*/*.yaml")):
        for chosen in _listed(_read(file).get("defaults", []), dict):
            for key, name in chosen.items():
                if key.startswith("/"):
                    found[key[1:].partition("@")[0]] = (f"{file.parent.name}={file.stem}", name)
    return found


@cache
def options(group: str) -> dict[str, Config]:
    """Return the settings of every option of a group, by its name and as typed there; none where there is no group."""
    if group not in groups():  # a stored config may name any
        return {}
    return {file.stem: _option(file) for file in sorted((folder() / group).glob("*.yaml"))}


def settings_of(group: str, name: str) -> Config:
    """Return the settings of an option, to be changed at will."""
    return copy.deepcopy(options(group)[name])


def targets(group: str) -> dict[str, str]:
    """Return option name -> target of a config group."""
    return {name: option["_target_"] for name, option in options(group).items() if "_target_" in option}


def option_name(group: str, target: str) -> str:
    """Return the option that a user types for a target; the target itself for a class of their own."""
    return next((name for name, known in targets(group).items() if known == target), target)


@cache
def _command(name: str) -> Config:
    return _read(folder() / f"{name}.yaml")


def settings_beside_groups(command: str) -> Config:
    """Return the settings of a command that no group holds, or that add to one."""
    return {key: value for key, value in _command(command).items() if key not in ("defaults", "hydra")}


def default_options(command: str) -> dict[str, str]:
    """Return the option of every group that a command takes when none is typed."""
    listed = _command(command)["defaults"]
    found = (
        default_options("train") if "train" in listed else {group: name for group, (_, name) in companions().items()}
    )
    return found | {group: name for one in _listed(listed, dict) for group, name in one.items()}


@cache
def classes() -> frozenset[str]:
    """Return every class of ours that a stored config may name, exactly so."""
    return frozenset(target for group in CLASSES_IN for target in targets(group).values()) - set(STANDS_IN)


def is_own(target: str) -> bool:
    """Return whether a class is a user's own, by the path that a config has of it."""
    return current(target) not in (*classes(), *STANDS_IN)


@cache
def names_only() -> frozenset[str]:
    """Return what a stored config may name besides; nothing is built from these names."""
    return frozenset(target for group in NAMES_IN for target in targets(group).values()) | {"none", *LOGGERS_ONCE}


def current(target: str) -> str:
    """Return the path of a class now, from the one that a stored config has."""
    return MOVED.get(target, target)


def original(target: str) -> str:
    """Return the first path that a class ever had, which the identity of a run holds."""
    return next((old for old, new in MOVED.items() if new == target), target)


def updated(config: Any) -> Any:
    """Return a stored config with the present paths of all its classes."""
    if isinstance(config, dict):
        return {
            key: current(value) if key == "_target_" and isinstance(value, str) else updated(value)
            for key, value in config.items()
        }
    return [updated(value) for value in config] if isinstance(config, list) else config


def file_of(group: str, name: str) -> Path:
    """Return where an option is written, or would be if there were one of that name."""
    return folder() / group / f"{name}.yaml"


def lines_of(place: str) -> list[str]:
    """Return the lines of a file in conf/, for what its comments say."""
    return (folder() / place).read_text(encoding="utf-8").splitlines()
