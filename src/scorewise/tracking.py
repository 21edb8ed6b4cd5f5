"""Where numbers go while a run is on: metrics.csv always, other loggers by choice."""

import csv
import os
import time
import warnings
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger

from scorewise.errors import UserError

SECONDS_BETWEEN_WRITES = 5.0
WHAT_IT_IS = "/what it is"
"""What the names of sentences about a metric end with."""


class MetricsTable(Logger):
    """This is metrics.csv: one row per logged step, one column per metric, continued when a run is resumed.

    Args:
        path: the file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        self.written = 0.0
        self.reload()

    def reload(self) -> None:
        """This takes the rows that are in the file, which another process may have written."""
        if self.path.is_file():
            with self.path.open(newline="") as file:
                self.rows = list(csv.DictReader(file))

    @property
    def name(self) -> str:
        """This is the logger's name."""
        return "metrics"

    @property
    def version(self) -> str:
        """This is empty: a run folder holds one table."""
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """This does nothing: config.yaml holds the settings."""

    @rank_zero_only
    def log_text(self, name: str, text: str) -> None:
        """This adds a sentence to the last row."""
        if self.rows:
            self.rows[-1][name] = text

    def rewind(self, step: int) -> None:
        """This forgets the rows after a step, which a resumed run writes again."""
        self.rows = [row for row in self.rows if int(row["step"]) <= step]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """This adds a row, or fills the last one when it is of the same step."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        if not values:
            return
        if not self.rows or int(self.rows[-1]["step"]) != (step or 0):
            self.rows.append({"step": step or 0})
        if "epoch" in metrics:
            self.rows[-1]["epoch"] = int(metrics["epoch"])
        self.rows[-1].update(values)

    def save(self) -> None:
        """This writes the table every few seconds; Lightning asks after every row."""
        if time.monotonic() - self.written > SECONDS_BETWEEN_WRITES:
            self.write()

    @rank_zero_only
    def write(self) -> None:
        """This writes the table; a reader never sees half of it."""
        self.written = time.monotonic()
        columns = ["step", "epoch", *sorted({name for row in self.rows for name in row} - {"step", "epoch"})]
        partial = self.path.with_suffix(".csv.partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(partial, self.path)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """This writes the table."""
        self.write()


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """This is (step, value) pairs by metric name, from a metrics.csv; its sentences are left out."""
    curves: dict[str, list[tuple[int, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if name not in ("step", "epoch") and not name.endswith(WHAT_IT_IS) and value:
                    curves.setdefault(name, []).append((int(row["step"]), float(value)))
    return curves


def extra_logger(
    settings: dict[str, Any], folder: Path, identity: str, name: str, tags: list[str], config: Any
) -> Logger | None:
    """This is the chosen logger beside metrics.csv, or None.

    Raises:
        UserError: an unknown mode of W&B.
    """
    match settings.get("_target_"):
        case "lightning.pytorch.loggers.TensorBoardLogger":
            from lightning.pytorch.loggers import TensorBoardLogger

            return TensorBoardLogger(save_dir=folder, name="tensorboard", version="")
        case "lightning.pytorch.loggers.WandbLogger":
            import wandb
            from lightning.pytorch.loggers import WandbLogger

            if settings["mode"] not in ("online", "offline", "disabled"):
                raise UserError(f"logger.mode={settings['mode']} is none of online, offline, disabled.")
            logger = WandbLogger(
                project=settings["project"],
                name=f"{name}/{identity}",
                group=name,
                save_dir=folder,
                mode=settings["mode"],
                tags=tags,
                config=config,
                id=identity,
                resume="allow",
            )
            try:
                logger.experiment  # noqa: B018  (starts the run, so that trouble shows here)
            except (wandb.Error, OSError) as error:
                warnings.warn(f"W&B is not available ({error}), so this run logs to metrics.csv only.", stacklevel=2)
                return None
            return logger
        case _:
            return None


def log_sentences(loggers: Iterable[Logger], sentences: Mapping[str, str], step: int) -> None:
    """This logs what metrics are beside the metrics: a number without its conventions says little.

    Args:
        loggers: of a trainer.
        sentences: by the name of the metric.
        step: of the training.
    """
    from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

    for name, text in sentences.items():
        for logger in loggers:
            if isinstance(logger, MetricsTable):
                logger.log_text(name + WHAT_IT_IS, text)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text(name + WHAT_IT_IS, text, step)
            elif isinstance(logger, WandbLogger):
                logger.experiment.summary[name + WHAT_IT_IS] = text


def close_loggers(settings: dict[str, Any]) -> None:
    """This ends what a run leaves open, or the next run of a sweep would log into it."""
    if settings.get("_target_") == "lightning.pytorch.loggers.WandbLogger":
        import wandb

        wandb.finish()
