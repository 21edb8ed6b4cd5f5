"""One run as its folder tells it, whole or damaged. Nothing in the folder is executed."""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from scorewise.catalog import updated
from scorewise.config.identity import CHANGES_RESULTS, RESULTS
from scorewise.errors import printable
from scorewise.ranges import has_shape, is_number, mapping_in
from scorewise.stored import Unreadable, read_json, read_yaml

LAST_STEP = 2**53
"""Of a curve; no run gets there, and floats count no further."""
MOST = 1_000
"""Metrics and curves of a run; what a stranger's folder has beyond that is counted."""
MOST_TESTS = 50
"""Later tests of a run."""
LARGEST = 50_000_000
"""Bytes of metrics.csv; what comes behind them is not read."""
CHOSEN = ("data", "backbone", "head", "objective", "task")
"""Sections that name a class."""
COMPANIONS = ("_se", "_low", "_high")
"""What the names of standard errors and of the ends of intervals end with."""
Curve = list[tuple[int, float]]


@dataclass(frozen=True)
class Record:
    """A run as its folder tells it.

    Args:
        path: of the folder.
        label: what it is called: its folder, or beside other runs what tells it from them, printable.
        config: as stored; empty where it cannot be read.
        summary: as stored; empty where there is none or it cannot be read.
        later: tests of the finished run under other tasks, by the name of their JSON file.
        curves: (step, value) by the name of the metric.
        problems: what is wrong with the folder, a few words each.
        folder: its path below what all runs share, printable; empty where the label is that.
    """

    path: Path
    label: str
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    later: dict[str, dict[str, Any]] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    folder: str = ""

    @property
    def where(self) -> str:
        """Its path below what all runs share, printable."""
        return self.folder or self.label

    @property
    def comparable(self) -> bool:
        """Whether it is known what the run computes."""
        return bool(self.config)

    @property
    def finished(self) -> bool:
        """Whether it has ended and written its summary."""
        return self.summary.get("finished") is True

    @property
    def seed(self) -> int | str:
        """The seed that its config states; empty where it has none."""
        seed: int | str = self.config.get("seed", "")
        return seed

    @property
    def results(self) -> object:
        """The generation of numbers that it belongs to: `identity.RESULTS` when it was finished, or now."""
        versions = self.summary.get("versions")
        return mapping_in(versions).get("results", 1) if has_shape(versions, {}) else RESULTS

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Its held-out numbers, standard errors and ends of intervals included."""
        return _numbers(self.summary.get("metrics")) | {
            f"{test}: {name}": value
            for test, found in self.later.items()
            for name, value in _numbers(found["metrics"]).items()
        }

    @cached_property
    def conventions(self) -> dict[str, str]:
        """What its metrics mean, by their names."""
        return _texts(self.summary.get("conventions")) | {
            f"{test}: {name}": text
            for test, found in self.later.items()
            for name, text in _texts(found.get("conventions")).items()
        }

    @property
    def status(self) -> str:
        """Finished, unfinished, or damaged."""
        if not self.comparable:
            return "damaged"
        return "finished" if self.finished else "unfinished"


def number(value: object) -> float | None:
    """Return a number as a float, and None for any other value and where no float holds it."""
    try:
        return float(value) if is_number(value) else None
    except OverflowError:
        return None


def _numbers(values: object) -> dict[str, float]:
    """Return those values of a mapping that are numbers."""
    found = {str(name): number(value) for name, value in mapping_in(values).items()}
    return {name: value for name, value in found.items() if value is not None}


def _texts(values: object) -> dict[str, str]:
    return {str(name): str(text) for name, text in mapping_in(values).items()}


def read_record(path: Path, label: str) -> Record:
    """Return the run of a folder; what cannot be read is among its problems, and nothing is raised."""
    problems: list[str] = []
    config = _config(path / "config.yaml", problems)
    summary = _of_a_test(path / "summary.json", problems)
    later = _later(path, problems)
    curves = _curves(path / "metrics.csv", problems)
    if config and not summary and not problems:
        steps = max((points[-1][0] for points in curves.values()), default=None)
        reached = "before its first logged step" if steps is None else f"last logged step {steps}"
        problems.append(
            f"pruned by its study ({reached}), see trials.csv there"
            if _pruned(path)
            else f"unfinished, or running: no summary.json ({reached}); the command that began it continues it"
        )
    elif summary and summary.get("finished") is not True:
        problems.append("unfinished: its summary.json does not say that it has ended")
    for name, points in curves.items():
        if name.endswith("/loss") and points and not math.isfinite(points[-1][1]):
            problems.append(f"{printable(name)} is {points[-1][1]} at step {points[-1][0]}")
    return Record(path, label, config, summary, later, curves, tuple(problems))


def _pruned(path: Path) -> bool:
    """Return whether the run is a trial that its study has given up."""
    try:
        with (path.parent / "trials.csv").open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            return any(row.get("folder") == path.name and row.get("status") == "pruned" for row in rows)
    except (OSError, ValueError, csv.Error):
        return False


def read_result(path: Path, label: str) -> Record:
    """Return the run of a folder without its curves and later tests; nothing is raised."""
    problems: list[str] = []
    config, summary = _config(path / "config.yaml", problems), _json(path / "summary.json", problems)
    return Record(path, label, config, summary, problems=tuple(problems))


def _config(path: Path, problems: list[str]) -> dict[str, Any]:
    if not path.is_file():
        problems.append("no config.yaml, so what it computes is not known")
        return {}
    try:
        config = read_yaml(path)
        if not has_shape(config, {}):
            raise Unreadable("no mapping")
    except Unreadable as error:
        problems.append(f"config.yaml is damaged ({printable(str(error))})")
        return {}
    config = {str(section): part for section, part in updated(config).items()}
    kinds = dict.fromkeys(CHANGES_RESULTS, dict) | {"seed": object}
    missing = [section for section, kind in kinds.items() if not has_shape(config, {section: kind})]
    if missing:
        problems.append(
            f"no run: its config.yaml has no {', '.join(missing)} (a saved model and a feature extractor have none)"
        )
        return {}
    nameless = [section for section in CHOSEN if not has_shape(config[section], {"_target_": str})]
    if nameless:
        problems.append(f"config.yaml is damaged (no _target_ in {', '.join(nameless)})")
        return {}
    return config


def leaves(node: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Return the settings of a config with dotted names; a list is one setting."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, node


def _of_a_test(path: Path, problems: list[str]) -> dict[str, Any]:
    """Return the content of a test's file with its first metrics; how many there are more is a problem."""
    found = _json(path, problems)
    numbers = _numbers(found.get("metrics"))
    if len(numbers) > MOST:
        problems.append(f"{printable(path.name)} has {len(numbers):,} metrics: only the first {MOST:,} are read")
        found["metrics"] = dict(islice(numbers.items(), MOST))
    return found


def _later(path: Path, problems: list[str]) -> dict[str, dict[str, Any]]:
    files = [file for file in sorted(path.glob("*.json")) if file.name != "summary.json"]
    if len(files) > MOST_TESTS:
        problems.append(f"{len(files):,} JSON files: only the first {MOST_TESTS} are read")
    found = {file.stem: _of_a_test(file, problems) for file in files[:MOST_TESTS]}
    return {test: content for test, content in found.items() if has_shape(content, {"metrics": dict})}


def _json(path: Path, problems: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found: dict[str, Any] = read_json(path)
    except Unreadable as error:
        problems.append(f"{printable(path.name)} is damaged ({printable(str(error))})")
        return {}
    if not has_shape(found, {}):
        problems.append(f"{printable(path.name)} is damaged (no mapping)")
        return {}
    return found


def _curves(path: Path, problems: list[str]) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    bad = 0
    if not path.is_file():
        return {}
    try:
        if (size := path.stat().st_size) > LARGEST:
            problems.append(f"metrics.csv has {size:,} bytes: only the first {LARGEST:,} are read")
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            text = file.read(LARGEST)
        rows = csv.reader(io.StringIO(text if size <= LARGEST else text.rpartition("\n")[0], newline=""))
        names = next(rows, [])
        if "step" not in names:
            problems.append("metrics.csv is damaged (no column step)")
            return {}
        at = names.index("step")
        wanted = [(i, name) for i, name in enumerate(names) if re.fullmatch("(train|val)/[^/]+", name)]
        if len(wanted) > MOST:
            problems.append(f"metrics.csv has {len(wanted):,} curves: only the first {MOST:,} are read")
            del wanted[MOST:]
        for row in rows:
            try:
                step = int(row[at])
                if abs(step) > LAST_STEP:
                    raise ValueError
                values = [(name, float(row[i])) for i, name in wanted if row[i]]
            except (ValueError, IndexError):
                bad += 1
                continue
            for name, value in values:
                curves.setdefault(name, []).append((step, value))
    except (OSError, csv.Error) as error:
        problems.append(f"metrics.csv cannot be read further ({printable(str(error))})")
    if bad:
        problems.append(f"metrics.csv: {bad} {'row' if bad == 1 else 'rows'} cannot be read")
    return curves
