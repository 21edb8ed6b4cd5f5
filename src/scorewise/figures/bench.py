"""Where a figure works: its finished trainings, and measurements that are made once."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from scorewise.figures.finished_run import FinishedRun
from scorewise.files import make_folder, put_text

Measured = TypeVar("Measured")


class Bench:
    """The finished trainings of a figure, and a folder of what was measured of them.

    Args:
        folder: for measurements.
        runs: finished trainings by name, one per seed.
        version: of whatever makes an earlier measurement out of date.
        say: prints a line of progress.
    """

    def __init__(
        self,
        folder: Path,
        runs: Mapping[str, Sequence[FinishedRun]],
        version: int | str,
        say: Callable[[str], None] = print,
    ) -> None:
        self.folder, self.runs, self.version, self.say = folder, runs, version, say
        self.of_runs: dict[str, dict[str, Any]] = {}
        """What was measured of single runs: by the run's identity, then by key."""

    @property
    def firsts(self) -> dict[str, FinishedRun]:
        """The run of the first seed of every training, by name."""
        return {name: runs[0] for name, runs in self.runs.items()}

    @property
    def first(self) -> FinishedRun:
        """The run of the first seed of the first training."""
        return next(iter(self.firsts.values()))

    def of(self, group: str) -> dict[str, Sequence[FinishedRun]]:
        """Return the runs of trainings named "group/rest", by the rest of the name; "" for a training without one."""
        split = {name: name.partition("/") for name in self.runs}
        return {split[name][2]: runs for name, runs in self.runs.items() if split[name][0] == group}

    @property
    def groups(self) -> list[str]:
        """What stands before the stroke of the trainings' names, each once."""
        return list(dict.fromkeys(name.partition("/")[0] for name in self.runs))

    def identities(self) -> dict[str, list[str]]:
        """Return the identities of the runs of every training, by name."""
        return {name: [run.summary["identity"] for run in runs] for name, runs in self.runs.items()}

    def once(self, name: str, settings: Mapping[str, Any], measure: Callable[[], Measured]) -> Measured:
        """Return a measurement (plain numbers, lists and mappings), taken from the folder when it was made before."""
        return self._once(name, self._key(name, settings), measure)

    def once_of(
        self, run: FinishedRun, name: str, settings: Mapping[str, Any], measure: Callable[[], Measured]
    ) -> Measured:
        """Return a measurement of one run, see `once`: what is kept with the run, and made anew for another run."""
        identity = run.summary["identity"]
        key = self._key(name, {**settings, "run": identity})
        kept = run.kept.measured if run.kept else {}
        found: Measured = kept[key] if key in kept else self._once(name, key, measure)
        self.of_runs.setdefault(identity, {})[key] = found
        return found

    def _key(self, name: str, settings: Mapping[str, Any]) -> str:
        text = json.dumps([settings, self.version], sort_keys=True, default=str)
        return f"{name.replace('/', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def _once(self, name: str, key: str, measure: Callable[[], Measured]) -> Measured:
        path = self.folder / f"{key}.json"
        if path.is_file():
            found: Measured = json.loads(path.read_text())
            return found
        started = time.monotonic()
        measured = measure()
        write_whole(json.dumps(measured), path)
        self.say(f"  measured {name} in {time.monotonic() - started:.0f} s")
        again: Measured = json.loads(path.read_text())
        return again


def write_whole(text: str, path: Path) -> None:
    """Write a file whole or not at all."""
    make_folder(path.parent)
    put_text(path, text)
