"""Where numbers go while a run is on: metrics.csv always, one tracker beside it by choice."""

import contextlib
import csv
import functools
import os
import time
import warnings
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger
from torch import Tensor

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
        self.unwritten = False
        self.reload()

    def reload(self) -> None:
        """This takes the rows that are in the file, which another process may have written.

        Raises:
            UserError: it is damaged.
        """
        if self.path.is_file() and not self.unwritten:
            self.rows = _rows_of(self.path)

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
        """This writes the table; a reader never sees half of it.

        What cannot be written, on a full disk say, waits for the next time: it stops no training.
        """
        self.written = time.monotonic()
        try:
            self._write()
            self.unwritten = False
        except OSError as error:
            if not self.unwritten:
                warnings.warn(f"{self.path} cannot be written ({error}): it is tried again later.", stacklevel=2)
            self.unwritten = True

    def _write(self) -> None:
        columns = ["step", "epoch", *sorted({name for row in self.rows for name in row} - {"step", "epoch"})]
        partial = self.path.with_suffix(".csv.partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(partial, self.path)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """This writes the table."""
        self.write()


def _rows_of(path: Path) -> list[dict[str, Any]]:
    """This is the rows of a metrics.csv, which may have been changed by hand since it was written."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows: list[dict[Any, Any]] = list(csv.DictReader(file))
        for row in rows:
            row.pop(None, None)  # cells beyond the last column
            int(row["step"])
            numbers(row)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        told = {KeyError: "no column step", TypeError: "a row without a step"}
        reason = told.get(type(error), _line(error))
        raise UserError(
            f"{path} is damaged ({reason}): put it back as it was, or remove it, and the run goes on without its "
            "earlier rows."
        ) from error
    return rows


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """This is (step, value) pairs by metric name, from a metrics.csv; its sentences are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        return curves_of(csv.DictReader(file))


def curves_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """This is (step, value) pairs by metric name, from the rows of a metrics.csv."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in numbers(row).items():
            curves.setdefault(name, []).append((int(row["step"]), value))
    return curves


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """This is the metrics of a row, without its sentences and what was not measured."""
    shown = {name: value for name, value in row.items() if name not in ("step", "epoch") and value not in ("", None)}
    return {name: float(value) for name, value in shown.items() if not name.endswith(WHAT_IT_IS)}


@dataclass(frozen=True)
class Label:
    """This is what a tracker says about a run.

    Args:
        name: of the run, its choices and its identity.
        identity: of its config.
        group: runs that may be compared, by default those on the same data.
        kind: runs that differ in their seed and numbers only.
        tags: of the run.
        config: resolved, without any value from the environment.
    """

    name: str
    identity: str
    group: str
    kind: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]


class Tracker(Logger, ABC):
    """This is a place beside metrics.csv for the same numbers, and for pictures, histograms and sentences.

    Whatever goes wrong with it, the run goes on: the first failure is one warning, and the rest goes untracked.
    Processes that a run forks leave it alone; `catch_up` gives it their numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost, self.process, self.last = False, os.getpid(), -1

    @property
    def name(self) -> str:
        """This is the tracker's name."""
        return type(self).__name__

    @property
    def version(self) -> str:
        """This is empty: a run has one tracker."""
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """This does nothing: a tracker has the config from its beginning."""

    @abstractmethod
    def begin(self, step: int) -> None:
        """This opens the tracker for a run that has made so many steps: 0 for a new one."""

    @abstractmethod
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """This adds numbers by name."""

    @abstractmethod
    def log_picture(self, name: str, path: Path, step: int) -> None:
        """This adds a PNG file."""

    @abstractmethod
    def log_histogram(self, name: str, values: Tensor, step: int) -> None:
        """This adds a histogram of the finite ones among values of any shape."""

    @abstractmethod
    def log_sentence(self, name: str, text: str, step: int) -> None:
        """This adds a sentence."""

    @abstractmethod
    def end(self, exit_code: int) -> None:
        """This closes the tracker of a run that ends with this status, 0 if it is finished."""

    @abstractmethod
    def abandon(self) -> None:
        """This drops what a failure leaves; it may fail itself."""

    def catch_up(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """This adds the rows of metrics.csv that are later than what it has: those of forked processes."""
        for row in rows:
            if int(row["step"]) > self.last and (values := numbers(row)):
                self.log_metrics(values, int(row["step"]))


T = TypeVar("T", bound=Tracker)
P = ParamSpec("P")


def sheltered(method: Callable[Concatenate[T, P], None]) -> Callable[Concatenate[T, P], None]:
    """This is a tracker's method that stops no run, and that only the process that leads it calls."""

    @functools.wraps(method)
    def call(self: T, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.lost or rank_zero_only.rank != 0 or os.getpid() != self.process:
            return
        try:
            method(self, *args, **kwargs)
        except UserError:  # a signal's, see stopping.stoppable
            raise
        except Exception as error:
            self.lost = True
            warnings.warn(
                f"{self.name} failed ({type(error).__name__}: {_line(error)}): "
                "the run goes on, and its numbers are in metrics.csv.",
                stacklevel=2,
            )
            with contextlib.suppress(Exception):
                self.abandon()

    return call


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def tracker(settings: Mapping[str, Any], folder: Path, label: Label) -> Tracker | None:
    """This is the chosen tracker beside metrics.csv, or None; it opens nothing yet.

    Raises:
        UserError: an unknown mode of W&B, or another class.
    """
    match target := settings.get("_target_"):
        case "none":
            return None
        case "scorewise.tensorboard.TensorBoard":
            from scorewise.tensorboard import TensorBoard

            return TensorBoard(folder / "tensorboard", label)
        case "scorewise.wandb_run.WandbRun":
            from scorewise.wandb_run import WandbRun

            if settings["mode"] not in ("online", "offline", "disabled"):
                raise UserError(f"logger.mode={settings['mode']} is none of online, offline, disabled.")
            if settings["mode"] == "disabled":
                return None
            return WandbRun(folder, label, settings["project"], settings["entity"], settings["mode"])
        case _:
            raise UserError(f"logger._target_={target} is no logger: use logger=csv, tensorboard or wandb.")


def log_sentences(loggers: Iterable[Logger], sentences: Mapping[str, str], step: int) -> None:
    """This logs what metrics are beside the metrics: a number without its conventions says little.

    Args:
        loggers: of a trainer.
        sentences: by the name of the metric.
        step: of the training.
    """
    for name, text in sentences.items():
        for logger in loggers:
            if isinstance(logger, MetricsTable):
                logger.log_text(name + WHAT_IT_IS, text)
            elif isinstance(logger, Tracker):
                logger.log_sentence(name + WHAT_IT_IS, text, step)
