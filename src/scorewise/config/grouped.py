"""The flat settings of a class, and the value objects that it takes some of them in.

Users type `task.temperatures=1000`, and identities of runs hash it so, whatever object the class keeps it in.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from typing import Any

from scorewise.ranges import kinds


def _value_objects(cls: Any) -> dict[str, Any]:
    """Return the keywords of a class that take a value object, with its class."""
    keywords = {name for name, one in signature(cls).parameters.items() if one.kind is Parameter.KEYWORD_ONLY}
    taken = {name: kind[0].type for name, kind in kinds(cls).items() if name in keywords and len(kind) == 1}
    return {name: kind for name, kind in taken.items() if is_dataclass(kind)}


def holders(cls: Any) -> tuple[Any, ...]:
    """Return the classes whose parameters the settings of a class are: itself and its value objects."""
    return cls, *_value_objects(cls).values()


def accepted(cls: Any) -> set[str]:
    """Return the names of the settings of a class, also of one whose annotations cannot be read."""
    names = {name for one in holders(cls) for name in kinds(one)}
    return {*signature(cls).parameters, *names} - set(_value_objects(cls))


def grouped(cls: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords for a class from its flat settings, those of every value object in that object.

    Raises:
        ValueError: a value object refuses its settings.
    """
    rest = dict(settings)
    objects: dict[str, Any] = {}
    for name, kind in _value_objects(cls).items():
        objects[name] = kind(**{one.name: rest.pop(one.name) for one in fields(kind) if one.name in rest})
    return rest | objects
