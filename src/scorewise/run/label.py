"""What trackers say about a run, and which it has."""

from collections.abc import Mapping
from typing import Any

from scorewise.catalog import NONE, Config
from scorewise.config import choices
from scorewise.run.folder import RunFolder
from scorewise.tracking.tracker import Label, Tracker

OF_THIS_COMMAND = ("train", "test", "rerun", "resume", "logger")
"""Settings that say nothing about a run."""


def label_of(config: Config, stored: Config, folder: RunFolder, name: str, code: Mapping[str, Any]) -> Label:
    """Return the label of a run.

    Args:
        config: settled, plain.
        stored: the same as it is written to the folder.
        folder: of the run.
        name: of the run.
        code: the version of the code that trains it.
    """
    chosen = choices.chosen(config)
    settings = {key: value for key, value in stored.items() if key not in OF_THIS_COMMAND}
    return Label(
        name=f"{name}/{folder.identity}",
        identity=folder.identity,
        group=str(config["logger"].get("group") or config["data"].get("name", chosen["data"])),
        kind=name,
        tags=tuple(dict.fromkeys([*map(str, stored["tags"]), *(one for one in chosen.values() if one != "none")])),
        config={**settings, "choices": chosen, "identity": folder.identity, "code": code},
    )


def chosen_trackers(config: Config, folder: RunFolder, label: Label) -> list[Tracker]:
    """Return the tracker that was chosen beside metrics.csv, if any; it opens nothing yet.

    Raises:
        UserError: a class that is no tracker, or a setting that it does not know.
    """
    if config["logger"] == NONE:
        return []
    kind: Any = choices.class_of(config, "logger", Tracker)
    return [tracker for tracker in [kind.of_run(folder.path, label, config["logger"])] if tracker]
