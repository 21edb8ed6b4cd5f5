"""The LightningModule of a settled config."""

from typing import Any

from scorewise.catalog import Config, option_name
from scorewise.config.build import Parts
from scorewise.config.choices import built, class_of
from scorewise.config.grouped import grouped
from scorewise.config.outlier_sets import entries_of, outside_sources
from scorewise.data.tabular.source import Tabular
from scorewise.errors import UserError
from scorewise.tasks.bundle import Bundle
from scorewise.tasks.optimisation import Optimisation
from scorewise.tasks.task import Task


def build_optimisation(config: Config) -> Optimisation:
    """Return the settings of optimisation of a config.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    optimisation: Optimisation = built(config, "optim")
    return optimisation


def build_task(config: Config, parts: Parts, seed: int) -> Task:
    """Return the LightningModule of a settled config.

    Raises:
        UserError: a setting is unknown, out of range, or does not fit the model.
    """
    settings = {key: value for key, value in config["task"].items() if key != "_target_"}
    given = {"monitor": settings.pop("monitor")} if "monitor" in settings else {}
    if "out" in settings:
        source = parts.source
        columns = source.table.plain() if isinstance(source, Tabular) else None
        settings["out"] = outside_sources(entries_of(settings["out"]), source.shape, config["paths"], columns)
    bundle = Bundle(
        parts.model,
        parts.objective,
        build_optimisation(config),
        parts.source,
        smoothing=float(config["data"]["smoothing"]),
        seed=seed,
        **given,
    )
    kind: Any = class_of(config, "task")
    try:
        task: Task = kind(bundle, **grouped(kind, settings))
    except (TypeError, ValueError) as error:
        raise UserError(f"task={option_name('task', config['task']['_target_'])} cannot be built: {error}.") from error
    return task
