"""Comparisons of folders with more in them than any run writes: a few seconds, and what is left out is said."""

import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from test_comparison import make

from scorewise import comparison
from scorewise.comparison import compared, record
from scorewise.comparison.compared import Compared, caveats, compare_records
from scorewise.comparison.record import read_record

MANY = 20_000


def numbered(count: int, form: str = "m{}") -> dict[str, float]:
    return {form.format(i): i / 3 for i in range(count)}


def table(names: int, rows: int) -> str:
    lines = (",".join([str(row), "0", *[f"{row % 7 / 3:.6f}"] * names]) for row in range(rows))
    return "\n".join([",".join(["step", "epoch", *(f"val/m{i}" for i in range(names))]), *lines, ""])


def own(name: str) -> dict[str, Any]:
    return {f"optim__{name}": 1}


def compare(folder: Path, *runs: Path) -> tuple[Compared, str]:
    """Return what is compared, and what the terminal shows."""
    shown = io.StringIO()
    made = comparison.compare_folders([*map(str, runs), f"out={folder / 'out'}"]).compared
    comparison.show(made, Console(file=shown, width=200))
    return made, shown.getvalue()


HUGE: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "metrics": (lambda: {"metrics": numbered(MANY)}, "summary.json has 20,000 metrics: only the first 1,000 are read"),
    "metrics of parts": (lambda: {"metrics": numbered(MANY, "nll/{}")}, "only the first 1,000 are read"),
    "metrics with errors": (lambda: {"metrics": numbered(MANY) | numbered(MANY, "m{}_se")}, "40,000 metrics"),
    "curves": (lambda: {"curve": table(MANY, 5)}, "metrics.csv has 20,000 curves: only the first 1,000 are read"),
    "rows": (lambda: {"curve": table(3, 100_000)}, ""),
    "rows of many curves": (lambda: {"curve": table(900, 400)}, ""),
    "one cell": (lambda: {"curve": 'step,epoch,val/loss\n0,0,"' + "x" * 18_000_000}, "field larger than field limit"),
    "settings": (lambda: {"metrics": {"nll": 1.0}, "backbone__x": numbered(2_400)}, ""),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_few_seconds_for_a_folder_and_what_is_left_out_is_said(kind: str, tmp_path: Path) -> None:
    changes, words = HUGE[kind]
    run, other = make(tmp_path / "r" / "a", **changes()), make(tmp_path / "r" / "b", {"nll": 2.0})
    began = time.process_time()
    made, shown = compare(tmp_path, run, other)
    assert time.process_time() - began < 10  # about 1 s of one core; 20,000 metrics took more than six minutes
    assert len(made.metrics) <= 1_000
    found = next(one for one in made.records if one.path == run)
    assert words in "; ".join(found.problems)
    assert words in shown.replace("\n", " ")
    assert all(len(points) > 2_000 for points in found.curves.values()) or kind != "rows"


def test_many_later_tests(tmp_path: Path) -> None:
    run = make(tmp_path / "a", {"nll": 1.0})
    for i in range(80):
        (run / f"t{i:02d}.json").write_text(json.dumps({"metrics": numbered(3 if i else 2_000)}))
    found = read_record(run, "a")
    assert len(found.later) == record.MOST_TESTS
    assert len(found.metrics) == 1 + 1_000 + 49 * 3
    assert "80 JSON files: only the first 50 are read" in found.problems
    assert "t00.json has 2,000 metrics: only the first 1,000 are read" in found.problems


def test_a_table_is_read_up_to_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path / "a", {"nll": 1.0}, "step,epoch,val/loss\n1,0,2.0\n2,0,3.5\n3,0,4.0\n")
    whole = [(1, 2.0), (2, 3.5), (3, 4.0)]
    assert read_record(run, "a").curves == {"val/loss": whole}
    for size in range(len((run / "metrics.csv").read_text())):
        monkeypatch.setattr(record, "LARGEST", size)
        found = read_record(run, "a")
        assert found.curves.get("val/loss", []) == whole[: len(found.curves.get("val/loss", []))], size
        assert f"metrics.csv has 44 bytes: only the first {size} are read" in found.problems
        assert not any("cannot be read" in problem for problem in found.problems)


def test_columns_of_all_runs_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compared, "MOST", 3)
    runs = [
        make(tmp_path / name, {f"{name}{i}": 1.0 for i in range(3)} | {f"{name}0_se": 0.1}, **own(name))
        for name in "abcd"
    ]
    made = compare_records([read_record(run, run.name) for run in runs])
    assert [metric.name for metric in made.metrics] == ["a0", "a1", "a2"]
    assert made.left_out == {"metrics": 9, "settings in which they differ": 1}
    assert [one.sentence for one in caveats(made)][:2] == [
        "9 more metrics are left out: only 3 are shown.",
        "1 more settings in which they differ are left out: only 3 are shown.",
    ]
    compare(tmp_path, *runs)
    header = next(csv.reader((tmp_path / "out" / "comparison.csv").open(newline="")))
    assert [name for name in header if name[0] in "abcd" and name[1].isdigit()] == ["a0", "a1", "a2", "a0_se"]
