"""Sets of outliers: other data in the shape of a model's own."""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType
from typing import Any

from scorewise.catalog import Config, settings_of, targets
from scorewise.config.choices import BATCHING, build_source
from scorewise.config.settings import refuse_settings
from scorewise.data.source import Source
from scorewise.data.tables import Table
from scorewise.errors import UserError, either
from scorewise.outliers.names import ENDINGS, RESERVED
from scorewise.store import import_class


def entries_of(out: Any) -> list[Any]:
    """Return the entries of task.out.

    Raises:
        UserError: it is no list.
    """
    if not isinstance(out, list | NoneType):
        raise UserError(f"task.out={out} must be a list of data options: task.out=[uniform] say.")
    return out or []


def entry_of(entry: Any) -> tuple[str, str, Config]:
    """Return the name, the data option and the settings of an entry of task.out.

    Raises:
        UserError: it is neither an option nor a mapping with one.
    """
    settings = dict(entry) if isinstance(entry, Mapping) else {"data": entry}
    option = settings.pop("data", None)
    name = settings.pop("name", option)
    if not isinstance(option, str) or option not in targets("data"):
        raise UserError(f"task.out: {option} is no option of data: use {either(targets('data'))}.")
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name) or name.endswith(ENDINGS) or name in RESERVED:
        raise UserError(
            f"task.out: {name} cannot be the name of a set: use letters, digits, points and dashes, none of "
            f"{', '.join(RESERVED)}, and no end in {', '.join(ENDINGS)}."
        )
    return name, option, settings


def outside_sources(
    entries: Iterable[Any], shape: Sequence[int], paths: Config, columns: Config | None = None
) -> dict[str, Source]:
    """Return data sets by name, in the shape of other data where they can have it; nothing is read yet.

    Args:
        entries: data options, or mappings with `data` (the option), its settings, and a name where that is another.
        shape: of the other data.
        paths: of this machine: data and cache.
        columns: of the other data where it is a table: other tables are read in these columns, in their scale.

    Raises:
        UserError: no such option or setting, or a name that is given twice.
    """
    found: dict[str, Source] = {}
    for entry in entries:
        name, option, settings = entry_of(entry)
        if name in found:
            raise UserError(
                f"task.out names {name} twice: give one of them another name, {{data: {option}, name: ...}}."
            )
        part = settings_of("data", option)
        known = [key for key in part if key not in ("_target_", *BATCHING)]
        if unknown := sorted(set(settings) - set(known)):
            raise UserError(
                f"task.out: {unknown[0]} is no setting of {option}: there are {', '.join(known) or 'none'}."
            )
        fitted: Config = {"root": paths["data"], "cache": paths["cache"], "shape": list(shape)}
        fitted |= {"val": 0, "test": 1}  # of a folder, all images
        fitted |= {"channels": shape[0], "size": shape[-1]} if len(shape) == 3 else {"dims": shape[0]}
        part |= {key: value for key, value in fitted.items() if key in part} | settings
        if columns is not None and issubclass(import_class(part["_target_"]), Table):
            part["columns"] = columns
        try:
            refuse_settings({"data": part}, "data")
            found[name] = build_source({"data": part})
        except UserError as error:
            if columns is not None:
                raise UserError(
                    f"task.out: {name} cannot be had as rows of {shape[0]} numbers ({error}): a table is compared with "
                    "tables, 'task.out=[{data: table, path: other.csv, name: other}]'."
                ) from error
            raise UserError(f"task.out: {name} cannot be had in the shape {list(shape)}: {error}") from error
    return found


def only_for_choosing(task: Config) -> Config:
    """Return a task's settings for prediction, which reads no set but the one that a statistic is chosen on.

    Raises:
        UserError: there is no such set.
    """
    if "out" not in task:
        return task
    named, wanted = {entry_of(entry)[0]: entry for entry in entries_of(task["out"])}, task.get("choose_on")
    if wanted is not None and wanted not in named:
        raise UserError(f"task.choose_on={wanted} is none of the outlier sets {', '.join(named)}.")
    return {**task, "out": [named[wanted]] if wanted else None}
