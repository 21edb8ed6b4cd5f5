"""Numbers, sizes and switches of a config, each refused in one sentence where it is none."""

import math
from inspect import Parameter, signature
from types import NoneType, UnionType
from typing import Any, Union, Unpack, get_args, get_origin, get_type_hints

from scorewise.catalog import Config
from scorewise.config.choices import class_of
from scorewise.errors import UserError

WHOLE_NUMBERS = {
    "seed": 0,
    "data.batch_size": 1,
    "data.epochs": 1,
    "data.dims": 1,
    "data.held_out": 2,
    "data.examples_per_epoch": 1,
    "backbone.ordering_seed": 0,
    "objective.steps": 1,
    "objective.buffer": 1,
    "objective.samples": 1,
    "objective.held_out_samples": 1,
    "objective.projections": 1,
    "objective.chunk": 1,
    "objective.references": 2,
    "objective.levels": 1,
    "sampler.steps": 1,
    "sampler.settle": 0,
    "sampler.proposals": 1,
    "likelihood.panels": 1,
    "likelihood.order": 2,
    "likelihood.values": 1,
    "optim.warmup_steps": 0,
    "head.components": 1,
    "head.terms": 1,
    "backbone.filters": 1,
    "backbone.resnets": 1,
    "backbone.levels": 1,
    "backbone.steps": 1,
    "backbone.features": 1,
    "backbone.size": 1,
    "backbone.heads": 1,
    "head.levels": 2,
    "head.context": 1,
    "callbacks.save_every_n_steps": 1,
    "callbacks.sample_every_n_epochs": 0,
    "callbacks.samples": 1,
    "callbacks.patience": 1,
    "latent.z": 1,
    "latent.particles": 2,
    "latent.conditional_hidden": 1,
    "extractor.channels": 1,
    "extractor.num_features": 1,
    "task.steps": 1,
    "task.test_size": 1,
    "task.temperatures": 2,
    "task.chains": 1,
    "task.leapfrog": 1,
    "task.rows": 1,
    "task.importance": 1,
    "task.simulated": 0,
    "task.checked": 0,
    "task.val_size": 0,
    "task.val_temperatures": 2,
    "task.val_chains": 1,
    "task.encodings": 2,
    "task.draws": 1,
    "task.images": 1,
    "task.likelihood_images": 1,
    "task.resamples": 1,
    "task.shown": 1,
    "task.samples": 4,
    "task.batch": 1,
    "task.subsets": 1,
    "task.subset_size": 2,
    "trainer.max_epochs": 1,
    "trainer.max_steps": -1,
    "trainer.check_val_every_n_epoch": 1,
}
"""Whole numbers and the least they may be, where they are given; that the others are whole, their classes say."""
PERHAPS_NONE = ("latent.score_hidden",)
"""Lists of sizes that may be empty."""
SIZES = ("backbone.hidden", "backbone.channels", "head.hidden", "latent.hidden", "latent.channels", *PERHAPS_NONE)
SWITCHES = ("train", "test", "rerun", "trainer.compile", "callbacks.progress")
"""Settings of no class of ours that are true or false."""
FROM_DATA = ("low", "high", "levels")
"""Numbers of classes that `build` takes from the data where they are null."""
BUILT = ("data", "backbone", "head", "objective", "sampler", "likelihood", "latent", "task", "optim")
"""Groups whose options are classes that we build."""


def _setting(config: Config, path: str) -> Any:
    section, _, key = path.partition(".")
    return config.get(section, {}).get(key) if key else config.get(section)


def _kinds(cls: Any) -> dict[str, tuple[type, ...]]:
    """Return the parameters of a class that are numbers or switches by their annotations, and what each may be."""
    takes_rest = any(one.kind is Parameter.VAR_KEYWORD for one in signature(cls).parameters.values())
    hints: dict[str, Any] = {}
    try:
        for one in reversed(cls.__mro__) if takes_rest else (cls,):
            hints |= get_type_hints(one.__init__)
    except NameError:  # a class of the user's own, which imports what it names for type checkers only
        return {}
    for rest in [hint for hint in hints.values() if get_origin(hint) is Unpack]:
        hints |= get_type_hints(*get_args(rest))
    kinds = {
        name: get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,) for name, hint in hints.items()
    }
    return {
        name: kind
        for name, kind in kinds.items()
        if name != "return" and all(one in (int, float, bool, NoneType) for one in kind)
    }


def _is_of(value: Any, kinds: tuple[type, ...]) -> bool:
    whole_is_fine = type(value) is int and float in kinds
    return whole_is_fine or (type(value) in kinds and value == value)  # no NaN


def refuse_kinds(config: Config) -> None:
    """Refuse settings that are not of the kind that their class is annotated with.

    Raises:
        UserError: the setting, its value, and what it must be.
    """
    for group in BUILT:
        part = config.get(group, {})
        if part.get("_target_", "none") == "none":
            continue
        for name, kinds in _kinds(class_of(config, group)).items():
            if name not in part or _is_of(part[name], kinds) or (part[name] is None and name in FROM_DATA):
                continue
            what = "a number" if float in kinds else "a whole number" if int in kinds else "true or false"
            or_null = " or null" if NoneType in kinds else ""
            raise UserError(f"{group}.{name}={part[name]} must be {what}{or_null}.")


def refuse_numbers(config: Config) -> None:
    """Refuse numbers out of range, and settings that are not of their kind.

    Raises:
        UserError: the setting, its value, and what it must be.
    """
    for path, least in WHOLE_NUMBERS.items():
        value = _setting(config, path)
        given = value is not None or path == "seed"
        if given and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise UserError(f"{path}={value} must be a whole number of at least {least}.")
    for path in ("sampler.step", "objective.step", "objective.sigma", "objective.sigma_max"):
        value = _setting(config, path)
        if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
            raise UserError(f"{path}={value} must be a positive number.")
    for path in SIZES:
        sizes, may_be_empty = _setting(config, path), path in PERHAPS_NONE
        section, _, key = path.partition(".")
        given = sizes is not None or (may_be_empty and key in config.get(section, {}))
        fine = isinstance(sizes, list) and all(type(n) is int and n > 0 for n in sizes)
        if given and not (fine and (sizes or may_be_empty)):
            raise UserError(f"{path}={sizes} must be a list of positive whole numbers, one per hidden layer.")
    smoothing = config["data"]["smoothing"]
    if not isinstance(smoothing, int | float) or not 0 <= smoothing < math.inf:
        raise UserError(f"data.smoothing={smoothing} must be a number of at least 0: it is a standard deviation.")
    for path in SWITCHES:
        if not isinstance(value := _setting(config, path), bool | None):
            raise UserError(f"{path}={value} must be true or false.")
    refuse_kinds(config)
