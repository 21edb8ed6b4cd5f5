"""The trained model of a run, with what the run's folder tells of it; and which runs a folder holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scorewise.comparison.finding import find_runs
from scorewise.comparison.metrics import metrics_of, objective_of, of_run
from scorewise.comparison.record import Record, read_result
from scorewise.comparison.settings import differing, settings_of, shown
from scorewise.comparison.typed_again import option_or_class
from scorewise.errors import UserError, printable
from scorewise.ranges import mapping_in
from scorewise.store import load as load_model
from scorewise.store import local_folder
from scorewise.stored import read_yaml

BUNDLED = {path.name: path for path in Path(__file__).parents[1].glob("trained_models/*")}
"""The models that come with the package, by name."""
TOLD = 3
"""Held-out numbers that a model tells of its run, and settings that tell runs apart in a sentence."""
LISTED = 8
"""Runs that are listed in a sentence."""


def load(folder: str | Path, classes: Sequence[type] = ()) -> Any:
    """Return a trained model from a run folder or a folder written by `model.save`, see `scorewise.store.load`.

    A folder that holds a single run stands for it. The model's `repr` tells what the run says of itself.

    Args:
        folder: on this machine; or `digits`, the model that comes with Scorewise, where no folder is called so.
        classes: your own classes that the config names.

    Raises:
        UserError: the folder holds several runs, which are listed, or see `scorewise.store.load`.
    """
    path = BUNDLED[str(folder)] if str(folder) in BUNDLED and not Path(folder).exists() else local_folder(folder)
    path = only_run(path)
    model = load_model(path, classes)
    model.facts = facts(read_result(path, path.name)) or _stored_facts(path)
    return model


def facts(record: Record) -> dict[str, str]:
    """Return what a run tells of itself, a few words by what they are about; nothing of a folder that is no run."""
    if not record.comparable:
        return {}
    data, steps = option_or_class("data", record.config["data"]["_target_"]), record.summary.get("steps")
    found = {"data": data, "objective": objective_of(record), "seed": str(record.seed)}
    if steps is not None:
        found["trained"] = f"{steps} steps"
    if told := _numbers(record, [record]):
        found["held out"] = told
    return {about: printable(text) for about, text in found.items()}


def _stored_facts(path: Path) -> dict[str, str]:
    """Return what a saved model tells of itself."""
    facts = mapping_in(mapping_in(read_yaml(path / "config.yaml")).get("facts"))
    return {printable(str(about)): printable(str(text)) for about, text in facts.items()}


def only_run(folder: Path) -> Path:
    """Return a folder with a config, or else the one run that it holds.

    Raises:
        UserError: it holds several, or none.
    """
    if (folder / "config.yaml").is_file():
        return folder
    try:
        runs = [path for path in find_runs([folder]).runs if (path / "config.yaml").is_file()]
    except UserError:
        runs = []
    if not runs:
        raise UserError(f"{folder} holds no config.yaml: give the folder of a run or of a saved model.")
    if len(runs) == 1:
        return runs[0]
    records = [read_result(path, str(path.relative_to(folder))) for path in runs]
    known = [record for record in records if record.comparable]
    apart = differing(known)[:TOLD] if known else []
    listed = [_listed(record, apart, known) for record in records[:LISTED]]
    more = f" and {len(records) - LISTED} more" if len(records) > LISTED else ""
    raise UserError(f"{folder} holds {len(records)} runs, so give the folder of one: {', '.join(listed)}{more}.")


def _listed(record: Record, apart: Sequence[str], known: Sequence[Record]) -> str:
    """Return a run as it stands in a list: its folder, what tells it apart, and its first held-out numbers."""
    if not record.comparable:
        return f"{printable(record.label)} (damaged)"
    settings: Mapping[str, Any] = settings_of(record)
    words = [f"seed={record.seed}", *(f"{name}={shown(settings[name])}" for name in apart if name in settings)]
    words.append(_numbers(record, known, most=1) if record.finished else "unfinished")
    return printable(f"{record.label} ({'; '.join(filter(None, words))})")


def _numbers(record: Record, records: Sequence[Record], most: int = TOLD) -> str:
    """Return the first held-out numbers of a run, of those that runs have, with standard errors or intervals."""
    told = [(metric.title, of_run(metric, record)) for metric in metrics_of(records)]
    return ", ".join([f"{title} {number}" for title, number in told if number][:most])
