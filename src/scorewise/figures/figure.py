"""What a figure is: measurements on trained models, a picture, and claims with what was seen."""

import hashlib
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

Measured = TypeVar("Measured")


class Run(Protocol):
    """A finished training, as figures see it."""

    @property
    def seed(self) -> int:
        """The seed of the training."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """Its summary.json."""

    @property
    def curves(self) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Its metrics by name, as (step, value)."""

    @property
    def model(self) -> Any:
        """The trained model, loaded from its folder."""

    @property
    def source(self) -> Any:
        """The data set that it was trained on."""

    def tested(self, *words: str) -> Mapping[str, float]:
        """Return the held-out numbers under another task, given as src/eval.py takes it."""

    def extractor(self, choice: str | None, epochs: int | None = None) -> Any:
        """Return a feature extractor for that data set: inception, untrained, or (None) a classifier of its own."""


@dataclass(frozen=True)
class Table:
    """Rows of numbers with a caption that states units and conventions."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Claim:
    """One sentence that a figure must show, whether it holds, and the numbers that decide it."""

    sentence: str
    holds: bool
    measured: str


@dataclass(frozen=True)
class Results:
    """Everything that a figure found.

    Args:
        tables, claims, notes: for readers.
        data: further numbers that the picture is drawn from.
        arrays: what the picture shows and no file of numbers should hold, such as samples.
    """

    tables: Sequence[Table]
    claims: Sequence[Claim]
    notes: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return the same as JSON can hold it, without the arrays."""
        tables, claims = ([asdict(part) for part in parts] for parts in (self.tables, self.claims))
        found: dict[str, Any] = json.loads(
            json.dumps({"tables": tables, "claims": claims, "notes": self.notes, "data": self.data})
        )
        return found


class Bench:
    """Where a figure works: its finished trainings, and measurements that are made once.

    Args:
        folder: for measurements.
        runs: finished trainings by name, one per seed.
        version: of whatever makes an earlier measurement out of date.
        say: prints a line of progress.
    """

    def __init__(
        self, folder: Path, runs: Mapping[str, Sequence[Run]], version: int | str, say: Callable[[str], None] = print
    ) -> None:
        self.folder, self.runs, self.version, self.say = folder, runs, version, say

    def once(self, name: str, settings: Mapping[str, Any], measure: Callable[[], Measured]) -> Measured:
        """Return a measurement (plain numbers, lists and mappings), taken from the folder when it was made before."""
        text = json.dumps([settings, self.version], sort_keys=True, default=str)
        path = self.folder / f"{name.replace('/', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
        if path.is_file():
            found: Measured = json.loads(path.read_text())
            return found
        started = time.monotonic()
        measured = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(measured))
        os.replace(partial, path)
        self.say(f"  measured {name} in {time.monotonic() - started:.0f} s")
        again: Measured = json.loads(path.read_text())
        return again


class Figure(ABC):
    """One figure or table of the sources: how it is measured and how it is drawn.

    Numbers of a budget come to the constructor; trainings are listed in the figure's config.
    """

    title: ClassVar[str]

    @abstractmethod
    def measure(self, bench: Bench) -> Results:
        """Return tables, claims and the data of the picture."""

    @abstractmethod
    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
        """Draw the picture from the data and the arrays of the results."""

    def save(self, results: Results, path: Path) -> None:
        """Write the picture."""
        canvas = Canvas(layout="constrained")
        FigureCanvasAgg(canvas)
        self.draw({**results.plain()["data"], **results.arrays}, canvas)
        canvas.savefig(path, dpi=110)


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation over repetitions (0 for one)."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    return mean, (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def thinned(curve: Sequence[tuple[int, float]], most: int = 400) -> list[tuple[int, float]]:
    """Return a curve with at most so many points, evenly picked, the last one kept."""
    if len(curve) <= most:
        return list(curve)
    picked = [curve[i * (len(curve) - 1) // (most - 1)] for i in range(most)]
    return [(step, float(f"{value:.6g}")) for step, value in picked]


def image_rows(rows: Mapping[str, Any], shape: Sequence[int] | Mapping[str, Sequence[int]], canvas: Canvas) -> None:
    """Draw one labelled row of images per entry, examples (B, D) in [-1, 1], of one shape or one per row."""
    widest = max(len(x_BD) for x_BD in rows.values())
    canvas.set_size_inches(1.8 + 0.75 * widest, 0.8 * len(rows))
    for i, (name, x_BD) in enumerate(rows.items(), 1):
        of_row = shape[name] if isinstance(shape, Mapping) else shape
        images = x_BD.detach().cpu().reshape(-1, *of_row).permute(0, 2, 3, 1).numpy()
        axes = canvas.add_subplot(len(rows), 1, i)
        joined = np.concatenate(list(np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)), axis=1)
        axes.imshow((joined.squeeze(-1) if joined.shape[-1] == 1 else joined) * 0.5 + 0.5, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        for spine in axes.spines.values():
            spine.set_visible(False)
