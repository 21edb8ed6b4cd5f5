"""The command that computes a stored run again."""

import re
import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from scorewise import catalog
from scorewise.catalog import Config
from scorewise.config.identity import FROM_ENVIRONMENT, PLUMBING
from scorewise.config.trainer import TAKEN
from scorewise.ranges import has_shape
from scorewise.tracking.choice import Choice

GROUPS = (
    *("task", "objective", "backbone", "head", "data", "latent", "sampler", "likelihood"),
    *("optim", "trainer", "callbacks"),
)
"""In the order in which a person would type them."""
UNTYPED = ("identity", "model", "rerun", "resume", "train", "paths")


class NotTyped(Exception):
    """A run that cannot be typed again; the message says why, in a few words."""


def option_or_class(group: str, target: str) -> str:
    """Return the option that a target belongs to, and for a class of the user's its own name."""
    return catalog.option_name(group, target).rpartition(".")[2]


def follows(group: str, key: str, value: object, config: Config) -> bool:
    """Return whether a setting is another one by default, and has that one's value, as trainer.max_epochs has."""
    return any(_same(_resolved(one, config), value) for one in _referring(group, key))


@cache
def _referring(group: str, key: str) -> tuple[str, ...]:
    """Return what the options of a group have for a setting where that names another setting."""
    typed = (str(option[key]) for option in catalog.options(group).values() if key in option)
    return tuple(dict.fromkeys(one for one in typed if "${" in one))


def retyped(config: Config) -> str:
    """Return the shortest `python src/train.py ...` that computes a stored config again.

    Raises:
        NotTyped: it holds what this version has no option for.
    """
    defaults, main = catalog.default_options("train"), catalog.settings_beside_groups("train")
    vae = "latent" in config
    skipped = {"sampler", "likelihood"} if vae else set()
    words: list[str] = []
    for group in GROUPS:
        given = group not in skipped and has_shape(config, {group: {}})
        if given and not (vae and config[group] == catalog.NONE):
            words += _group(group, config[group], defaults.get(group, ""), config)
    for key, value in main.items():
        if key not in (*UNTYPED, *GROUPS) and key in config and config[key] != value:
            words.append(f"{key}={_word(config[key])}")
    return " ".join(["python src/train.py", *map(shlex.quote, words)])


def chosen(config: Config) -> dict[str, Choice]:
    """Return the options of a settled config, with the settings that are not theirs, by group."""
    defaults, main = catalog.default_options("train"), catalog.settings_beside_groups("train")
    found = {}
    for group in (*GROUPS, "logger"):
        part: Config = config.get(group) or {}
        if not part or part == catalog.NONE:
            continue
        default = defaults.get(group, "")
        try:
            first, *rest = _group(group, part, "", config)
            found[group] = Choice(first.partition("=")[2], rest, first == f"{group}={default}")
        except NotTyped:
            changed = [f"{key}={value}" for key, value in part.items() if key != "_target_"]
            found[group] = Choice(option_or_class(group, str(part.get("_target_", ""))), changed)
    beside = [
        _as_typed(key, config[key]) for key in main if key not in (*UNTYPED, *GROUPS) and config.get(key) != main[key]
    ]
    return found | ({"also": Choice("", beside)} if beside else {})


def _as_typed(key: str, value: object) -> str:
    try:
        return f"{key}={_word(value)}"
    except NotTyped:
        return f"{key}={value}"


def _group(group: str, part: Config, default: str, config: Config) -> list[str]:
    target = part.get("_target_")
    fitting = {name: option for name, option in catalog.options(group).items() if option.get("_target_") == target}
    if not fitting:
        raise NotTyped(f"{group}={target} is none of this version's options")
    typed = {name: _changed(group, part, option, config) for name, option in fitting.items()}
    name = min(typed, key=lambda name: (len(typed[name]), name != default, name))
    return [*([f"{group}={name}"] if name != default else []), *typed[name]]


def _changed(group: str, part: Config, option: Config, config: Config) -> list[str]:
    words = []
    for key, value in part.items():
        if key == "_target_" or key in PLUMBING.get(group, ()):
            continue
        if key not in option and group == "trainer" and key in TAKEN:
            words.append(f"+trainer.{key}={_word(value)}")
            continue
        if key not in option:
            raise NotTyped(f"this version has no {group}.{key}")
        if not _same(_resolved(option[key], config), value):
            words.append(f"{group}.{key}={_word(value)}")
    return words


def _same(one: object, other: object) -> bool:
    both_nan = one != one and other != other
    return both_nan or (type(one) is type(other) and one == other) or _number(one) == _number(other) is not None


def _number(value: Any) -> float | None:
    """Return a number, also one that YAML 1.1 takes for a text, such as 1e-4."""
    if type(value) is bool or value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _resolved(value: Any, config: Config) -> Any:
    """Return an option's value, with the settings of this run for what it refers to."""
    match = re.fullmatch(r"\$\{(?:oc\.select:)?([\w.]+)(?:,([^}]*))?\}", str(value))
    if match is None:
        return value
    node: Any = config
    for key in match[1].split("."):
        if not has_shape(node, {key: object}):
            return yaml.safe_load(match[2]) if match[2] else value
        node = node[key]
    return node


def _word(value: object) -> str:
    """Return a value as Hydra reads it on a command line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case list():
            return f"[{','.join(_word(one) for one in value)}]"
        case Mapping():
            return "{" + ",".join(f"{_word(str(key))}:{_word(one)}" for key, one in value.items()) + "}"
    text = str(value)
    if FROM_ENVIRONMENT in text or "${" in text or not text.isprintable():
        raise NotTyped("a setting comes from the environment or cannot be typed")
    if re.fullmatch(r"[A-Za-z_/.][\w/.-]*", text) and text.lower() not in ("null", "true", "false", "inf", "nan"):
        return text
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"
