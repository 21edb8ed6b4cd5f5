"""Testing a finished run again."""

import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from lightning import Trainer

from scorewise import catalog
from scorewise.config import compatibility
from scorewise.config.build import Parts, build
from scorewise.config.choices import own_classes
from scorewise.config.grouped import accepted
from scorewise.config.identity import CHANGES_RESULTS, OF_THIS_MACHINE, without_plumbing
from scorewise.config.settings import OfFinishedRun, refuse_of_command, refuse_unread
from scorewise.config.settle import settle
from scorewise.data.datamodule import ScoreData
from scorewise.data.roots import place_of
from scorewise.data.tables import Table
from scorewise.errors import UserError, printable
from scorewise.files import put_text, refuse_unwritable
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.run.conventions import conventions, meant
from scorewise.run.later_test import name_beside
from scorewise.run.pictures import draw_report, shown_progress
from scorewise.run.precision import restoring_precision
from scorewise.run.progress import progress_bar
from scorewise.run.same_examples import other_examples, refuse_other_rows
from scorewise.run.stopping import stoppable
from scorewise.run.task import build_task
from scorewise.run.trainer import OURS, quieten, refuse_no_test, refuse_of_training, trainer_of
from scorewise.store import import_class, load, local_folder, read_config, refuse_unknown
from scorewise.tasks.held_out import finite_metrics
from scorewise.tasks.task import Task
from scorewise.tracking import console


class Finished(NamedTuple):
    """A finished run, ready to be tested or to predict."""

    folder: Path
    stored: dict[str, Any]
    parts: Parts
    task: Task
    trainer: Trainer


def finished(config: dict[str, Any]) -> Finished:
    """Return a finished run with its weights, under its own task or another one.

    Args:
        config: run (a folder), trainer, paths, classes (a user's own that the run was trained with), task where it is
            not the run's own, and data.path where the table that the run was trained on is elsewhere now.

    Raises:
        UserError: the folder is missing, unfinished, damaged or refused.
    """
    quieten()
    refuse_of_command(config, OfFinishedRun, ("trainer", "paths", "data", "task"))
    folder = local_folder(config["run"])
    own = own_classes(config)
    refuse = partial(refuse_unknown, classes=own)
    stored = read_config(folder, refuse)
    if missing := [section for section in CHANGES_RESULTS if section not in stored]:
        raise UserError(f"{folder} is no run (its config.yaml has no {missing[0]}): give the folder of a run.")
    for group in ("data", "backbone", "head", "objective", "sampler", "task", "optim"):
        if stored[group] != catalog.NONE:
            refuse(stored[group]["_target_"])  # read_config also knows names that nothing may be built from
    if "task" in config:
        if "latent" in config and "latent" not in stored:
            raise UserError("task=implicit_vae tests runs that it has trained, and this run is of another task.")
        if "latent" in stored and "latent" not in config:
            raise UserError(f"{folder} is a run of task=implicit_vae, which no other task can use: give that one.")
        stored["task"] = config["task"]
    stored = settle(stored)  # a run of an earlier version has no likelihood
    compatibility.refuse_incompatible(stored, training=False)
    refuse_of_training(config, stored)
    double = str(stored["trainer"]["precision"]).startswith("64")
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    model = load(folder, own)
    places = {"root": config["paths"]["data"], "cache": config["paths"]["cache"]}  # of this machine
    for section in OF_THIS_MACHINE:
        known = accepted(import_class(stored[section]["_target_"]))
        stored[section].update({key: place for key, place in places.items() if key in known})
    stored["paths"] = config["paths"]
    _find_table(stored, (config.get("data") or {}).get("path"))
    parts = build(stored, int(stored["seed"]))
    refuse_other_rows(model.recipe, parts.recipe, parts.source)
    if isinstance(model, WithLikelihood) and model.likelihood is None:
        model.likelihood = cast(WithLikelihood, parts.model).likelihood
    parts = parts._replace(model=model)
    task = build_task(stored, parts, int(stored["seed"]))
    settings = {key: value for key, value in config["trainer"].items() if key not in (*OURS, "max_epochs")}
    settings["precision"] = stored["trainer"]["precision"]
    watched = console.console.is_terminal and task.watched is None  # which shows what takes long itself
    trainer = trainer_of(
        **settings,
        logger=False,
        callbacks=[progress_bar()] if watched else [],
        enable_checkpointing=False,
        enable_progress_bar=watched,
    )
    return Finished(folder, stored, parts, task, trainer)


def _find_table(stored: dict[str, Any], given: str | None) -> None:
    """Set where the table is that a run was trained on.

    Raises:
        UserError: it is not there, or the run was trained on something else.
    """
    data = stored["data"]
    if not issubclass(import_class(data["_target_"]), Table):
        if given is not None:
            raise UserError(f"data.path={given} is for runs of data=table, and this one is none: leave it out.")
        return
    data["path"] = given if given is not None else data["path"]
    if not place_of(Path(str(data["path"])).expanduser(), data.get("root")).is_file():
        raise UserError(
            f"the table that this run was trained on, {printable(str(data['path']))}, is not there: say where it is, "
            "data.path=<file>, or start the command where training was started."
        )


@restoring_precision
def evaluate(config: dict[str, Any]) -> tuple[dict[str, float], dict[str, str], Path | None]:
    """Return the held-out numbers of a finished run, what they mean, and the picture of its task, if it has one.

    Under another task than the run's own, the numbers are also written to the run folder.

    Args:
        config: see `finished`.

    Raises:
        UserError: see `finished`.
    """
    refuse_unread(config, OfFinishedRun)
    refuse_no_test(config)
    folder, stored, parts, task, trainer = finished(config)
    if "task" in config:
        refuse_unwritable(folder)
    if other_examples(parts.model.recipe, parts.source):
        warnings.warn("the images have changed since this run was trained on them: the numbers are new.", stacklevel=2)
    data = ScoreData(parts.source, int(stored["data"]["batch_size"]), int(stored["seed"]))
    data.refuse_unusable(["test"], config["trainer"])
    with stoppable("nothing was written, and the same command starts again"), shown_progress(task.watched, task.busy):
        (results,) = trainer.test(task, data, verbose=False)
    report = task.found()
    logged = {name.removeprefix("test/"): float(value) for name, value in results.items()}
    metrics = finite_metrics(logged | dict(report.intervals))
    objective = catalog.option_name("objective", stored["objective"]["_target_"])
    texts = conventions(parts.source, float(stored["data"]["smoothing"]), objective, parts.model) | task.conventions()
    name = task.name
    if "task" in config and trainer.is_global_zero:
        content = {
            "task": without_plumbing("task", config["task"]),
            "metrics": metrics,
            "conventions": meant(texts, metrics),
            **({"data": remarks} if (remarks := dict(report.remarks) | task.remarks()) else {}),
        }
        name = name_beside(folder, name, content)
        put_text(folder / f"{name}.json", json.dumps(content, indent=2) + "\n")
    picture = draw_report(report, name, parts.source.shape, folder) if trainer.is_global_zero else None
    return metrics, texts, picture
