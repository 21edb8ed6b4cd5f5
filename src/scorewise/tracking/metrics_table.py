"""The table of a run's metrics: metrics.csv."""

import csv
import io
import time
import warnings
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger

from scorewise.errors import UserError
from scorewise.files import put_text

SECONDS_BETWEEN_WRITES = 5.0
WHAT_IT_IS = "/what it is"
"""What the names of sentences about a metric end with."""


class MetricsTable(Logger):
    """The table metrics.csv: one row per logged step, one column per metric, continued when a run is resumed.

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
        """Read the rows of the file again, which another process may have written.

        Raises:
            UserError: it is damaged.
        """
        if self.path.is_file() and not self.unwritten:
            with self.path.open(newline="", encoding="utf-8") as file:
                self.rows = _rows_of(file, self.path)

    def restore(self, text: str) -> None:
        """Take the rows of a text of this table instead of those of the file, and write them."""
        self.rows = _rows_of(io.StringIO(text, newline=""), self.path)
        self.write()

    @property
    def name(self) -> str:
        """The logger's name."""
        return "metrics"

    @property
    def version(self) -> str:
        """Empty: a run folder holds one table."""
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml holds the settings."""

    @rank_zero_only
    def log_sentence(self, name: str, text: str, step: int) -> None:
        """Add a sentence to the last row, whatever its step."""
        if self.rows:
            self.rows[-1][name] = text

    def rewind(self, step: int) -> None:
        """Forget the rows after a step, which a resumed run writes again."""
        self.rows = [row for row in self.rows if int(row["step"]) <= step]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a row, or fill the last one when it is of the same step."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        if not values:
            return
        if not self.rows or int(self.rows[-1]["step"]) != (step or 0):
            self.rows.append({"step": step or 0})
        if "epoch" in metrics:
            self.rows[-1]["epoch"] = int(metrics["epoch"])
        self.rows[-1].update(values)

    def save(self) -> None:
        """Write the table every few seconds; Lightning asks after every row."""
        if time.monotonic() - self.written > SECONDS_BETWEEN_WRITES:
            self.write()

    @rank_zero_only
    def write(self) -> None:
        """Write the table; a reader never sees half of it.

        What cannot be written, on a full disk say, waits for the next time: it stops no training.
        """
        self.written = time.monotonic()
        try:
            put_text(self.path, self.text(), lasting=False)
            self.unwritten = False
        except UserError as error:
            if not self.unwritten:
                warnings.warn(f"{error} It is tried again later.", stacklevel=2)
            self.unwritten = True

    def text(self) -> str:
        """Return the table as it is written."""
        columns = ["step", "epoch", *sorted({name for row in self.rows for name in row} - {"step", "epoch"})]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the table."""
        self.write()


def _rows_of(text: Iterable[str], path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics.csv, which may have been changed by hand since it was written."""
    try:
        rows: list[dict[Any, Any]] = list(csv.DictReader(text))
        for row in rows:
            row.pop(None, None)  # cells beyond the last column
            int(row["step"])
            measured(row)
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        told = {KeyError: "no column step", TypeError: "a row without a step"}
        reason = told.get(type(error), _line(error))
        raise UserError(
            f"{path} is damaged ({reason}): put it back as it was, or remove it, and the run goes on with the "
            "rows of its checkpoint."
        ) from error
    return rows


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) pairs by metric name, from a metrics.csv; its sentences are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        return curves_of(csv.DictReader(file))


def curves_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) pairs by metric name, from the rows of a metrics.csv."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in measured(row).items():
            curves.setdefault(name, []).append((int(row["step"]), value))
    return curves


def measured(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics of a row, without its sentences and what was not measured."""
    shown = {name: value for name, value in row.items() if name not in ("step", "epoch") and value not in ("", None)}
    return {name: float(value) for name, value in shown.items() if not name.endswith(WHAT_IT_IS)}


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
