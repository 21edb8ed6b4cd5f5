"""What a run is: the part of its config that decides what it computes, in eight digits."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scorewise.catalog import NONE, Config, original, settings_of
from scorewise.errors import UserError, printable
from scorewise.ranges import mapping_in
from scorewise.stored import leaves

if TYPE_CHECKING:
    from omegaconf import DictConfig

RESULTS = 1
"""Raised when the same settings give other numbers than before, and by nothing else: a release alone orphans no run."""
FIRST_RESULTS = "0.1.0"
"""What identities held, in the place of RESULTS, while it was 1."""
CHANGES_RESULTS = ("data", "backbone", "head", "objective", "task", "optim", "seed", "trainer", "callbacks")
"""Sections of a config that decide what a run computes."""
PLUMBING = {
    "data": ("root", "cache"),
    "task": ("cache",),
    "trainer": ("accelerator", "devices", "num_nodes", "strategy", "profiler", "compile"),
    "callbacks": ("save_every_n_steps", "sample_every_n_epochs", "samples", "progress"),
}
"""Settings in them that do not."""
OF_THIS_MACHINE = ("data", "task")
"""Sections whose plumbing is paths, which a stored config does not hold."""
ADDED: dict[tuple[str, str], float | str | None] = {
    ("backbone", "init"): "default",
    ("data", "kinds"): None,
    ("data", "condition"): None,
    ("objective", "draws"): 1,
    ("objective", "log_mean"): None,
    ("objective", "log_std"): 1.3,
    ("objective", "weight"): "sigma2",
    ("latent", "standardise"): False,
    ("task", "cells"): 200,
    ("latent", "width"): None,
    ("objective", "drawn"): "ladder",
    ("task", "flow_examples"): 0,
    ("task", "flow_steps"): 32,
    ("task", "flow_probes"): 8,
    ("task", "rough"): False,
    ("task", "samples"): None,
    ("task", "features"): None,
    ("sampler", "order"): 1,
    ("backbone", "neighbours"): 0,
    ("head", "init"): "default",
    ("data", "equal_rows"): "auto",
}
"""Settings that came later, at the value that computes what there was before: old runs stay the same runs."""
AS_EVER = {"order": 8, "in_training": 0.35, "largest_tail": 1e-4, "values": 2_000_000, "steps": 32}
"""Settings of a likelihood, at the values that runs had before these were counted."""
NOT_OF_A_TEST = (
    *("_target_", "monitor", "shown", "cells", "statistic", "extractor", "score_lr", "encodings", "rows"),
    *("val_size", "val_temperatures", "val_chains", *PLUMBING["task"]),
)
"""Settings of a task that change no number of a later test of a run, or are in its name: an extractor by its hash."""
FROM_ENVIRONMENT = "from the environment"


@contextmanager
def _without_environment() -> Iterator[None]:
    from omegaconf import OmegaConf
    from omegaconf.resolvers import oc

    OmegaConf.register_new_resolver("oc.env", lambda *_: FROM_ENVIRONMENT, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


def plain(cfg: "DictConfig") -> Config:
    """Return a config as plain resolved values, for computing with."""
    from omegaconf import OmegaConf  # which reading a stored config does not need

    resolved = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def storable(cfg: "DictConfig") -> Config:
    """Return a config as plain resolved values without any value from the environment and without paths.

    Raises:
        UserError: a text that would be an interpolation when it is read again.
    """
    with _without_environment():
        config = plain(cfg)
    config.pop("paths", None)
    for path, value in leaves(config):
        if "${" in str(value):
            raise UserError(
                f"{path}={printable(str(value))} has ${{ in it, which no stored config may hold: rename what it names, "
                "or write another text."
            )
    for section in OF_THIS_MACHINE:
        config[section] = without_plumbing(section, config[section])
    return config


def without_plumbing(section: str, settings: Config) -> Config:
    """Return the settings of a section that say what is computed, and not where or how."""
    return {key: value for key, value in settings.items() if key not in PLUMBING.get(section, ())}


def of_a_test(content: object) -> Config:
    """Return what decides the numbers of a later test of a run, by its file: settings, and how many examples."""
    found: Mapping[str, Any] = mapping_in(content)
    tested = re.search(r"\d+", str(mapping_in(found.get("data")).get("tested", "")))
    settings = {key: value for key, value in mapping_in(found.get("task")).items() if key not in NOT_OF_A_TEST}
    return settings | {"tested": tested.group() if tested else "all"}


def what_counts(config: Config) -> Config:
    """Return the part of a config that decides what a run computes."""
    likelihood = {
        key: value
        for key, value in config.get("likelihood", {}).items()
        if value is not None and AS_EVER.get(key) != value and (key != "_target_" or value != _usual_likelihood(config))
    }
    counted = {section: _counted(section, config[section]) for section in CHANGES_RESULTS}
    draws = config["task"].get("samples") is not None and config.get("sampler") != NONE  # its numbers are of samples
    later = {
        "likelihood": likelihood,
        "latent": _counted("latent", config.get("latent")),
        "sampler": _counted("sampler", config.get("sampler")) if draws else None,
    }
    return {**counted, **{section: part for section, part in later.items() if part}}


def _counted(section: str, part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return {
        key: original(value) if key == "_target_" else value
        for key, value in part.items()
        if key not in PLUMBING.get(section, ()) and ((section, key) not in ADDED or ADDED[section, key] != value)
    }


def _usual_likelihood(config: Config) -> str:
    """Return what likelihood=auto comes to for a head, which identities do not hold."""
    target = config["likelihood"]["_target_"]
    if target == NONE["_target_"]:
        return str(target)
    from scorewise.config.settle import likelihood_for  # needs torch, which reading a run's files does not
    from scorewise.store import import_class

    return str(settings_of("likelihood", likelihood_for(import_class(config["head"]["_target_"])))["_target_"])


def generation() -> int | str:
    """Return what RESULTS is in an identity."""
    return FIRST_RESULTS if RESULTS == 1 else RESULTS


def identity(config: Config) -> str:
    """Return eight hexadecimal digits of what a run computes."""
    text = json.dumps([what_counts(config), generation()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def differences(one: Config, other: Config, path: str = "") -> list[str]:
    """Return the dotted names of the settings in which two configs differ."""
    found: list[str] = []
    for key in sorted({*one, *other}):
        here = f"{path}.{key}" if path else key
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differences(a, b, here)
        elif a != b:
            found.append(here)
    return found
