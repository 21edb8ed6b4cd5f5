"""Settings in which runs differ, and which runs differ in nothing but the seed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from scorewise.comparison.record import Record, leaves
from scorewise.comparison.typed_again import follows, option_or_class
from scorewise.config.identity import ADDED, AS_EVER, PLUMBING

LEFT_OUT = ("identity", "model", "name", "tags", "train", "test", "rerun", "resume", "logger", "seed", "paths")
"""Sections that do not say what is computed, and the seed, which has its own column."""
Settings = dict[str, Any]


def settings_of(record: Record) -> Settings:
    """Return what a run computes, by dotted names: `backbone` is its option, `backbone.hidden` a setting of it."""
    found: Settings = {}
    for section, part in record.config.items():
        if section in LEFT_OUT:
            continue
        if not isinstance(part, Mapping):
            found[section] = part
            continue
        for key, value in leaves({key: value for key, value in part.items() if key not in PLUMBING.get(section, ())}):
            if key == "_target_":
                found[section] = option_or_class(section, str(value))
            elif not follows(section, key, value, record.config):
                found[f"{section}.{key}"] = value
    return {**found, "results": record.results}


def _counted(found: Settings) -> Settings:
    """Return settings without those that came later and are at the value that computes what there was before."""
    later = {".".join(name): value for name, value in ADDED.items()}
    later |= {f"likelihood.{name}": value for name, value in AS_EVER.items()}
    return {name: value for name, value in found.items() if name not in later or later[name] != value}


def as_key(found: Mapping[str, object]) -> str:
    """Return a text that equal settings share."""
    return json.dumps(sorted((name, repr(value)) for name, value in found.items()))


def same_but_seed(record: Record) -> str:
    """Return a text that runs share which differ in the seed only."""
    return as_key(_counted(settings_of(record)))


def differing(records: Sequence[Record]) -> list[str]:
    """Return the names of the settings in which runs differ, in the order of a config.

    A setting that only one of two options has does not differ: that the option differs says it.
    """
    counted = [_counted(settings_of(record)) for record in records]
    names = dict.fromkeys(name for found in counted for name in found)
    sections = dict.fromkeys(section for record in records for section in record.config)
    order = {section: place for place, section in enumerate(sections)}
    differ = [name for name in names if _differs(name, counted)]
    return sorted(differ, key=lambda name: order.get(name.partition(".")[0], len(order)))


def _differs(name: str, counted: Sequence[Settings]) -> bool:
    section = name.partition(".")[0]
    having = [found for found in counted if name in found]
    options = {as_key({section: found.get(section)}) for found in having}
    lacking = any(as_key({section: found.get(section)}) in options for found in counted if name not in found)
    if name == section:
        lacking = len(having) < len(counted)
    return lacking or len({as_key({name: found[name]}) for found in having}) > 1


def shown(value: object) -> str:
    """Return a setting as it is typed."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case list():
            return f"[{', '.join(shown(one) for one in value)}]"
    return str(value)
