"""The flat settings of a class, and the value objects that it takes some of them in.

Users type `task.temperatures=1000`, and identities of runs hash it so, whatever object the class keeps it in.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from typing import Any, Unpack, get_args, get_origin, get_type_hints


def _of_constructor(cls: Any) -> dict[str, Any]:
    """Return what the parameters of a class are annotated with, those of its parents where it hands the rest on."""
    takes_rest = any(one.kind is Parameter.VAR_KEYWORD for one in signature(cls).parameters.values())
    found: dict[str, Any] = {}
    try:
        for one in reversed(cls.__mro__) if takes_rest else (cls,):
            found |= get_type_hints(one.__init__)
    except NameError:  # a class of the user's own, which imports what it names for type checkers only
        return {}
    return {name: hint for name, hint in found.items() if name != "return"}


def _value_objects(cls: Any) -> dict[str, Any]:
    """Return the keywords of a class that take a value object, with its class."""
    keywords = {name for name, one in signature(cls).parameters.items() if one.kind is Parameter.KEYWORD_ONLY}
    return {name: hint for name, hint in _of_constructor(cls).items() if name in keywords and is_dataclass(hint)}


def annotations_of(cls: Any) -> dict[str, Any]:
    """Return the settings of a class and what they are annotated with: parameters, and fields of value objects."""
    found: dict[str, Any] = {}
    objects = _value_objects(cls)
    for name, hint in _of_constructor(cls).items():
        if name in objects:
            found |= get_type_hints(hint)
        elif get_origin(hint) is Unpack:
            found |= get_type_hints(get_args(hint)[0])
        else:
            found[name] = hint
    return found


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
