"""Sweeps: their cells, how each of them ended, and the table of all."""

import hashlib
import json
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from scorewise.errors import first_line
from scorewise.files import put_text, write

NOTES = ".cells"
"""Where the runs of a sweep note how they ended, until the table is written."""
HYDRAS = "multirun.yaml"
"""Where Hydra writes what a sweep was."""
PLUGINS = "hydra_plugins."
"""The package that Hydra finds launchers in."""
FINISHED, FAILED, UNFINISHED = "finished", "failed", "unfinished"
Row = dict[str, Any]

announced: list["Sweep"] = []
"""The sweep that this process has started, if any."""


@dataclass(frozen=True)
class Outcome:
    """The end of a cell: its run, or why it failed.

    Args:
        folder: of its run, or empty where none was found.
        sentence: why it failed, or empty.
    """

    folder: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class Sweep:
    """The runs that one command starts.

    Args:
        place: folder of their run folders.
        cells: what was chosen for each of them, as key=value.
        made: folders that were not there before, the innermost first.
        seen: how cells ended that this process has run; of the others there are notes.
    """

    place: Path
    cells: tuple[tuple[str, ...], ...]
    made: tuple[Path, ...] = ()
    seen: dict[tuple[str, ...], Outcome] = field(default_factory=dict)

    @property
    def table(self) -> Path:
        """The file with one row per cell."""
        return self.place / "summary.csv"

    def choices(self) -> list[dict[str, str]]:
        """Return the settings in which the cells differ, of every cell."""
        chosen = [dict(word.lstrip("+").split("=", 1) for word in cell if "=" in word) for cell in self.cells]
        keys = dict.fromkeys(key for cell in chosen for key in cell)
        differing = [key for key in keys if len({cell.get(key) for cell in chosen}) > 1]
        return [{key: cell.get(key, "") for key in differing} for cell in chosen]

    def outcomes(self) -> Iterator[Outcome | None]:
        """Return how every cell ended; None where it has not said."""
        for cell in self.cells:
            note = note_of(self.place, cell)  # which the same sweep may take away that another process runs
            noted = Outcome(**json.loads(note.read_text())) if cell not in self.seen and note.is_file() else None
            yield self.seen.get(cell, noted)

    def rows(self) -> list[Row]:
        """Return the table: choices, status, held-out numbers, run folder and, where it failed, the sentence."""
        return [row_of(*cell) for cell in zip(self.choices(), self.outcomes(), strict=True)]

    def begin(self) -> None:
        """Forget what a killed sweep has noted, and nothing of another sweep in the same folder."""
        for cell in self.cells:
            note_of(self.place, cell).unlink(missing_ok=True)
        if (notes := self.place / NOTES).is_dir() and not any(notes.iterdir()):
            notes.rmdir()

    def end(self) -> list[Row]:
        """Write the table and return its rows; of a new sweep without any run nothing stays."""
        rows = self.rows()
        self.begin()
        if not self.made or any(self.place.glob("*/config.yaml")):
            write_table(self.table, rows)
        else:
            (self.place / HYDRAS).unlink(missing_ok=True)
            remove_empty(self.made)
        return rows


def launcher_told(error: BaseException) -> str | None:
    """Return what a launcher refuses, its settings or its machine, as a sentence; None for errors of other code."""
    modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    plugins = [at for at, module in enumerate(modules) if module.startswith(PLUGINS)]
    if not plugins or any(module.startswith(f"{__package__}.") for module in modules[plugins[-1] :]):
        return None
    reason = first_line(error)
    return f"the launcher refuses ({reason}): mend its setting (hydra.launcher.…), or use another one (launcher=basic)."


def missing(folder: Path) -> tuple[Path, ...]:
    """Return a folder and those above it that are not there, the innermost first."""
    return tuple(one for one in (folder, *folder.parents) if not one.exists())


def remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders as far as they are empty, the innermost first."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def note_of(place: Path, cell: Sequence[str]) -> Path:
    """Return the file in which a cell notes how it ended, the same in whatever order its sweep takes it."""
    return place / NOTES / f"{hashlib.sha256(json.dumps(list(cell)).encode()).hexdigest()[:16]}.json"


def row_of(choices: dict[str, str], outcome: Outcome | None) -> Row:
    """Return the row of a cell; one without an outcome did not end."""
    from scorewise.run.folder import RunFolder  # torch takes seconds, and a command that is refused needs none

    told = outcome or Outcome(sentence="it did not end: the same command goes on with it")
    summary = RunFolder(Path(told.folder), "").summary() if told.folder else {}
    if told.sentence:
        status, found = FAILED if outcome else UNFINISHED, {}
    else:
        status, found = FINISHED, summary.get("metrics", {})
    return {**choices, "status": status, **found, "folder": Path(told.folder).name, "sentence": told.sentence}


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as a CSV file, whole or not at all; folder and sentence are its last columns."""
    last = ("folder", "sentence")
    columns = [*dict.fromkeys(key for row in rows for key in row if key not in last), *last]
    write(path, columns, ([row.get(key, "") for key in columns] for row in rows))


class Tidy(Callback):
    """Hydra's callback that removes the folders which a refused run leaves empty."""

    def __init__(self) -> None:
        self.made: tuple[Path, ...] = ()

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note which folders are not there yet."""
        self.made = missing(Path(config.hydra.run.dir).absolute())

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Remove those that are empty."""
        remove_empty(self.made)


class Notes(Callback):
    """Hydra's callback that announces a sweep and notes how each of its runs ended, in whatever process that is."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Announce the sweep."""
        place = Path(config.hydra.sweep.dir).absolute()
        sweep = Sweep(place, cells_of(config), missing(place))
        sweep.begin()
        announced.append(sweep)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note how a run of a sweep ended."""
        outcome = job_return._return_value
        if str(config.hydra.mode) != "RunMode.MULTIRUN" or not isinstance(outcome, Outcome):
            return
        note = note_of(Path(config.hydra.sweep.dir), config.hydra.overrides.task)
        if announced:
            announced[-1].seen[tuple(config.hydra.overrides.task)] = outcome
        note.parent.mkdir(parents=True, exist_ok=True)
        put_text(note, json.dumps(asdict(outcome)))


def cells_of(config: DictConfig) -> tuple[tuple[str, ...], ...]:
    """Return the overrides of every cell, as Hydra's sweeper makes them of a sweep's settings and of what was typed.

    What was typed wins.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    words = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())  # which glob() asks
    parsed = parser.parse_overrides([*words, *config.hydra.overrides.task])
    (cells,) = BasicSweeper.split_arguments(parsed, None)
    return tuple(tuple(cell) for cell in cells)
