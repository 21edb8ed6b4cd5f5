"""Threads sleep while they wait where another program is busy, and only there."""

import os
import sys
from pathlib import Path

import pytest

from scorewise.run import waiting


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of two processors that has not loaded PyTorch and is told nothing by its environment."""
    for name in waiting.GIVEN:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(waiting, "APART", 0)


def load(folder: Path, running: str) -> Path:
    file = folder / "loadavg"
    file.write_text(f"0.44 0.02 0.56 {running}/94 2762\n")
    return file


@pytest.mark.parametrize(
    ("running", "settled"), [("1", False), ("2", True), ("7", True), ("0", False), ("many", False)]
)
def test_threads_sleep_where_another_program_runs(alone: None, tmp_path: Path, running: str, settled: bool) -> None:
    assert waiting.settle_waiting(load(tmp_path, running)) is settled
    assert os.environ.get("GOMP_SPINCOUNT") == (waiting.SPINS if settled else None)


@pytest.mark.parametrize("name", waiting.GIVEN)
def test_whoever_settles_it_is_left_alone(
    alone: None, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "4")
    assert not waiting.settle_waiting(load(tmp_path, "3"))
    assert os.environ[name] == "4"


def test_processors_for_both_are_no_reason(alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert not waiting.settle_waiting(load(tmp_path, "7"))  # six others, two of ours
    assert waiting.settle_waiting(load(tmp_path, "8"))


def test_what_runs_for_an_instant_is_no_other_program(alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter(["4", "1", "3", "2", "2"])

    class Changing:
        def read_text(self) -> str:
            return f"0 0 0 {next(readings)}/94 1"

    assert waiting.others_running(Changing()) == 0  # type: ignore[arg-type]


def test_a_system_that_does_not_say_is_taken_as_idle(alone: None, tmp_path: Path) -> None:
    assert waiting.others_running(tmp_path / "none") == 0
    assert not waiting.settle_waiting(tmp_path / "none")


def test_loaded_openmp_has_read_its_settings(alone: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    assert not waiting.settle_waiting(load(tmp_path, "3"))
