"""Files that somebody stored, read as plain values and within limits: nobody's folder hangs a command."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

LARGEST = 4_000_000
"""Bytes of a config or a summary; what is larger was not written by a run."""
VALUES = 5_000
"""Values in one, those counted again that an alias repeats: a few lines of YAML can stand for millions."""
DEPTH = 50
"""How deep mappings and lists lie in each other, at most."""
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is there


class Unreadable(ValueError):
    """A file that is not read; the message says why in a few words."""


def text_of(path: Path) -> str:
    """Return the text of a small file.

    Raises:
        Unreadable: it is large, no UTF-8 text, or cannot be opened.
    """
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise Unreadable(f"it has {size:,} bytes, and no run writes such a file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from error
    except UnicodeDecodeError as error:
        raise Unreadable("no UTF-8 text") from error


def read_yaml(path: Path) -> Any:
    """Return the plain values of a YAML file.

    Raises:
        Unreadable: see `text_of`; it is no YAML, holds merges or objects, or more values or deeper ones than allowed.
    """
    text = text_of(path)
    try:
        _refuse_boundless(text)
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(_first_line(error)) from error


def leaves(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values of nested mappings and lists, each with its path such as model.shape[0]."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from leaves(value, f"{path}[{i}]")
    else:
        yield path, node


def read_json(path: Path) -> Any:
    """Return the plain values of a JSON file.

    Raises:
        Unreadable: see `text_of`; it is no JSON, or deeper than Python reads.
    """
    text = text_of(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(_first_line(error)) from error


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _refuse_boundless(text: str) -> None:
    """Refuse what would unfold into more values than are allowed, before anything is unfolded."""
    sizes: dict[str, tuple[int, int]] = {}  # of what an anchor names: values, and how deep they lie
    above: list[tuple[str | None, int, int]] = []  # anchors of the open mappings and lists, values before, depth so far
    count, deepest = 0, 0
    for event in yaml.parse(text, Loader=_Loader):
        match event:
            case yaml.AliasEvent():
                values, depth = sizes.get(str(event.anchor), (VALUES + 1, 0))  # inside itself: without end
                count, deepest = count + values, max(deepest, len(above) + depth)
            case yaml.ScalarEvent():
                if event.value == "<<" and event.implicit[0]:
                    raise Unreadable("a merge of mappings, which no run writes")
                count += 1
                if event.anchor:
                    sizes[event.anchor] = (1, 0)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                above.append((event.anchor, count, deepest))
                count, deepest = count + 1, max(deepest, len(above))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                anchor, before, _ = above.pop()
                if anchor:
                    sizes[anchor] = (count - before, deepest - len(above))
        if count > VALUES:
            raise Unreadable(f"more than {VALUES:,} settings")
        if deepest > DEPTH:
            raise Unreadable(f"settings more than {DEPTH} deep")


def weights_in(path: Path) -> int:
    """Return how many numbers a safetensors file says that it holds; none of them is read.

    Raises:
        Unreadable: it is no such file, or too short for what it says.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(LARGEST, path.stat().st_size):
                raise Unreadable("it does not begin as a safetensors file does")
            header: dict[str, Any] = json.loads(file.read(length))
        return sum(math.prod(one["shape"]) for name, one in header.items() if name != "__metadata__")
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise Unreadable(_first_line(error)) from error
