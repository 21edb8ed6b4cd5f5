"""A place beside metrics.csv where a run's numbers go."""

import contextlib
import functools
import os
import warnings
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, runtime_checkable

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger
from torch import Tensor

from scorewise.errors import UserError
from scorewise.tracking.metrics_table import WHAT_IT_IS, measured


@dataclass(frozen=True)
class Label:
    """What a tracker says about a run.

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
    """A place beside metrics.csv for the same numbers, and for pictures, histograms and sentences.

    Whatever goes wrong with it, the run goes on: the first failure is one warning, and the rest goes untracked.
    Processes that a run forks leave it alone; `catch_up` gives it their numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost, self.process, self.last = False, os.getpid(), -1

    @classmethod
    @abstractmethod
    def of_run(cls, folder: Path, label: Label, settings: Mapping[str, Any]) -> "Tracker | None":
        """Return the tracker of a run, which opens nothing yet; None where its settings turn it off.

        Args:
            folder: of the run.
            label: of the run.
            settings: of the logger, as they are configured.

        Raises:
            UserError: a setting that it does not know.
        """

    @property
    def name(self) -> str:
        """The tracker's name."""
        return type(self).__name__

    @property
    def version(self) -> str:
        """Empty: a run has one tracker."""
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: a tracker has the config from its beginning."""

    @abstractmethod
    def begin(self, step: int) -> None:
        """Open the tracker for a run that has made so many steps, 0 for a new one, and note which it has, in `last`."""

    @abstractmethod
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add numbers by name."""

    @abstractmethod
    def log_picture(self, name: str, path: Path, step: int) -> None:
        """Add a PNG file."""

    @abstractmethod
    def log_histogram(self, name: str, values: Tensor, step: int) -> None:
        """Add a histogram of the finite ones among values of any shape."""

    @abstractmethod
    def log_sentence(self, name: str, text: str, step: int) -> None:
        """Add a sentence."""

    @abstractmethod
    def end(self, exit_code: int) -> None:
        """Close the tracker of a run that ends with this status, 0 if it is finished."""

    @abstractmethod
    def abandon(self) -> None:
        """Drop what a failure leaves; it may fail itself."""

    def catch_up(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add the rows of metrics.csv that are later than what it has.

        Those of forked processes, and of a run that is resumed those of the time before: it may not have been there
        then, or have been killed with what it had not written yet.
        """
        for row in rows:
            if int(row["step"]) > self.last and (values := measured(row)):
                epoch = {"epoch": float(row["epoch"])} if row.get("epoch") not in (None, "") else {}
                self.log_metrics({**values, **epoch}, int(row["step"]))


T = TypeVar("T", bound=Tracker)
P = ParamSpec("P")


def sheltered(method: Callable[Concatenate[T, P], None]) -> Callable[Concatenate[T, P], None]:
    """Return a tracker's method that stops no run, and that only the process that leads it calls."""

    @functools.wraps(method)
    def call(self: T, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.lost or rank_zero_only.rank != 0 or os.getpid() != self.process:  # type: ignore[attr-defined]
            return
        try:
            method(self, *args, **kwargs)
        except UserError:  # a signal's, see stopping.stoppable
            raise
        except Exception as error:
            self.lost = True
            warnings.warn(
                f"{self.name} failed ({type(error).__name__}: {' '.join(str(error).split())}): "
                "the run goes on, and its numbers are in metrics.csv.",
                stacklevel=2,
            )
            with contextlib.suppress(Exception):
                self.abandon()

    return call


@runtime_checkable
class TakesSentences(Protocol):
    """A logger that takes sentences beside numbers."""

    def log_sentence(self, name: str, text: str, step: int) -> None:
        """Add a sentence."""


def log_sentences(loggers: Iterable[Logger], sentences: Mapping[str, str], step: int) -> None:
    """Log what metrics are beside the metrics: a number without its conventions says little.

    Args:
        loggers: of a trainer.
        sentences: by the name of the metric.
        step: of the training.
    """
    for name, text in sentences.items():
        for logger in loggers:
            if isinstance(logger, TakesSentences):
                logger.log_sentence(name + WHAT_IT_IS, text, step)
