"""Sweeps: started by name, continued after a kill, and their tables."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Outcome
from test_resume import CLOSED, Killed, kill

from scorewise.commands.sweeps import NOTES, Sweep, note_of
from scorewise.config.identity import identity
from scorewise.tasks.score_task import ScoreTask

Command = Callable[..., Outcome]
LITTLE = ("data=gaussian", "data.dims=2", "data.held_out=64", "callbacks.samples=4")
FOUR = ("-m", *CLOSED, "seed=0,1", "optim.lr=0.001,0.01", "trainer.max_epochs=2", *LITTLE)
SAMPLERS = ("inverse_cdf", "langevin_1d")
SCRIPT = Path(__file__).parents[1] / "src" / "train.py"


def table(folder: Path, sweep: str = "sweep") -> list[dict[str, str]]:
    with (folder / "debug_runs" / sweep / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def stamps(runs: list[Path]) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for run in runs for path in run.rglob("*")}


def finished(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*runs/*/*/summary.json"))


def ends_as_if_it_had_not_been_killed(command: Command, whole: list[dict[str, str]], before: int) -> None:
    """Run the sweep of this folder again after a kill."""
    runs = finished(Path.cwd())
    assert len(runs) == before
    untouched = stamps(runs)
    again = command(*FOUR)
    assert again.status == 0, again.err
    assert again.out.count("This run is finished") == before
    assert again.out.count("resuming:") == 1
    assert stamps(runs) == untouched
    assert table(again.folder) == whole
    assert {path.name for path in (again.folder / "debug_runs/sweep").iterdir() if path.is_file()} == {
        "multirun.yaml", "summary.csv", "comparison.html", "comparison.csv", "comparison_seeds.csv",
    }  # fmt: skip
    assert not list(again.folder.glob("debug_runs/sweep/.*"))


def kill_at_training_step(monkeypatch: pytest.MonkeyPatch, number: int, action: Callable[[], None]) -> None:
    original, taken = ScoreTask.training_step, []

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        taken.append(1)
        if len(taken) == number:
            action()
        return original(self, batch, batch_idx)

    monkeypatch.setattr(ScoreTask, "training_step", training_step)


def the_whole_table(command: Command, folder: Path) -> list[dict[str, str]]:
    whole = command(*FOUR, "paths.multirun=debug_runs/whole")
    assert whole.status == 0, whole.err
    rows = table(folder, "whole")
    assert [(row["seed"], row["optim.lr"]) for row in rows] == list(product(("0", "1"), ("0.001", "0.01")))
    assert len({row["loss"] for row in rows}) == 4
    shutil.rmtree(folder / "debug_runs")
    return rows


def test_a_sweep_killed_in_its_third_run_skips_and_resumes(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = the_whole_table(command, tmp_path)
    with monkeypatch.context() as patch:
        kill_at_training_step(patch, 28, kill)  # ten steps a run
        with pytest.raises(Killed):
            command(*FOUR)
    ends_as_if_it_had_not_been_killed(command, rows, before=2)


def test_the_same_sweep_of_another_process_takes_no_outcome_away(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It forgets notes when it begins and when it ends, and those are by cell."""
    with monkeypatch.context() as patch:
        kill_at_training_step(patch, 18, lambda: shutil.rmtree(tmp_path / "debug_runs" / "sweep" / NOTES))
        ended = command(*FOUR)
    assert ended.status == 0, ended.err
    assert [row["status"] for row in table(tmp_path)] == ["finished"] * 4


@pytest.mark.slow
def test_a_sweep_killed_for_real_skips_and_resumes(command: Command, tmp_path: Path) -> None:
    rows = the_whole_table(command, tmp_path)
    process = subprocess.Popen([sys.executable, str(SCRIPT), *FOUR], stdout=subprocess.DEVNULL)
    third = False
    while not third and process.poll() is None:  # at the latest the end of the sweep ends it
        time.sleep(0.01)
        begun = [path.parents[1] for path in tmp_path.glob("debug_runs/sweep/*/checkpoints/last.ckpt")]
        third = len(begun) == 3 and len(finished(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    ends_as_if_it_had_not_been_killed(command, rows, before=2)


def test_ctrl_c_ends_a_sweep_and_not_only_its_run(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        kill_at_training_step(patch, 14, lambda: os.kill(os.getpid(), signal.SIGINT))
        stopped = command(*FOUR)
    assert stopped.status == 128 + signal.SIGINT
    assert "Stopped by SIGINT and saved after step 4" in stopped.err
    assert len(list(stopped.folder.glob("debug_runs/sweep/*/config.yaml"))) == 2
    assert [row["status"] for row in table(stopped.folder)] == ["finished", *["unfinished"] * 3]


def test_a_sweep_by_name_starts_without_m_and_what_is_typed_wins(command: Command) -> None:
    tiny = ("debug=tiny", *LITTLE)
    for typed, sigmas in (
        ((), ["0.01", "0.1", "0.3"]),
        (("objective.sigma=0.2,0.4", "objective.sigma_power=2"), ["0.2", "0.4"]),
    ):
        ended = command("sweep=dsm_sigma", *tiny, *typed)
        assert ended.status == 0, ended.err
        rows = table(ended.folder, "dsm_sigma")
        assert [row["objective.sigma"] for row in rows] == sigmas
        assert {row["status"] for row in rows} == {"finished"}
        for row in rows:
            run = ended.folder / "debug_runs/dsm_sigma" / row["folder"]
            assert (
                str(yaml.safe_load((run / "config.yaml").read_text())["objective"]["sigma"]) == row["objective.sigma"]
            )
            assert json.loads((run / "summary.json").read_text())["metrics"]["loss"] == float(row["loss"])
    before = stamps(finished(ended.folder))
    assert command("-m", "sweep=dsm_sigma", *tiny).status == 0
    assert stamps(finished(ended.folder)) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("sweep=sigma",), "sweep=sigma is no option of sweep: use one of dsm_sigma, objectives"),
        (("-m", "sweep=dsm_sigma,objectives"), "names several sweeps: run them one after another"),
        (("-m", "objective=csm,cms"), "objective=cms is no option of objective"),
        (("-m", "seed=0,1", "launcher=slrm"), "launcher=slrm is no option of launcher: use one of basic, local, slurm"),
        (("-m", "seed=0,1", "trainer=ddp"), "trainer.strategy=ddp inside a sweep would start the whole sweep once per"),
        (("-m", "seed=0,1", "trainer.devices=2"), "with trainer.devices=2 inside a sweep would start the whole sweep"),
        (("trainer.strategy=fsdp",), "trainer.strategy=fsdp cannot take the derivative of a gradient"),
        (("task=implicit_vae", "data=mnist", "trainer.strategy=fsdp"), "trainer.strategy=fsdp cannot take the"),
    ],
)
def test_what_cannot_be_swept_is_one_sentence(command: Command, words: tuple[str, ...], sentence: str) -> None:
    ended = command(*words)
    assert ended.status == 1
    assert sentence in ended.err
    assert len(set(ended.err.strip().splitlines())) == 1, ended.err
    assert not list(ended.folder.rglob("config.yaml"))


TINY = ("debug=tiny", *LITTLE)


@pytest.mark.parametrize("swept", ["seed=shuffle(range(0,5))", "objective=glob([dsm,ssm])"])
def test_every_row_is_of_its_own_run(command: Command, swept: str) -> None:
    """Shuffled cells have another order whenever they are asked for, and glob() looks at the options."""
    ended = command("-m", swept, *TINY)
    assert ended.status == 0, ended.err
    name, rows = swept.split("=")[0], table(ended.folder)
    assert len({row[name] for row in rows}) == len(rows) > 1
    for row in rows:
        run = yaml.safe_load((ended.folder / "debug_runs/sweep" / row["folder"] / "config.yaml").read_text())
        chosen = str(run["seed"]) if name == "seed" else run["objective"]["_target_"].split(".")[-2]
        assert chosen == row[name]


def test_two_sweeps_in_one_folder_leave_each_others_notes_alone(tmp_path: Path) -> None:
    one, other = (Sweep(tmp_path, cells) for cells in ((("seed=0",), ("seed=1",)), (("seed=2",), ("seed=3",))))
    note = note_of(tmp_path, ["seed=0"])
    note.parent.mkdir()
    note.write_text(json.dumps({"folder": "a"}))
    other.begin()
    assert [row["status"] for row in other.rows()] == ["unfinished"] * 2
    assert [row["status"] for row in one.end()] == ["finished", "unfinished"]
    assert not note.parent.exists()


def test_the_table_is_written_where_the_launcher_gives_up_or_is_stopped(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when joblib loses a process, and at Ctrl-C while other processes train."""
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    original = BasicLauncher.launch
    for error in (RuntimeError("a worker was killed"), KeyboardInterrupt()):

        def launch(self: Any, overrides: Any, initial_job_idx: int, error: BaseException = error) -> Any:
            original(self, overrides[:1], initial_job_idx)
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(BasicLauncher, "launch", launch)
            settings = ("-m", "seed=0,1", *TINY)
            if isinstance(error, KeyboardInterrupt):
                assert command(*settings).status == 130
            else:
                with pytest.raises(RuntimeError):
                    command(*settings)
        assert [row["status"] for row in table(Path.cwd())] == ["finished", "unfinished"]


def test_a_sampler_is_part_of_a_run_whose_numbers_are_of_samples() -> None:
    from test_compose import settled

    drawn = [identity(settled("task=sample_quality", "data=mnist", f"sampler={one}")) for one in SAMPLERS]
    assert len(set(drawn)) == len(SAMPLERS)
    assert len({identity(settled("data=mnist", f"sampler={one}")) for one in SAMPLERS}) == 1


def test_the_table_names_the_run_that_failed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ScoreTask.on_fit_start

    def on_fit_start(self: Any) -> None:
        if self.seed == 1:
            raise ZeroDivisionError("a bug")
        original(self)

    monkeypatch.setattr(ScoreTask, "on_fit_start", on_fit_start)
    tiny = ("debug=tiny", *LITTLE, "objective=dsm")
    ended = command("-m", "objective.sigma=0.1,-1", "seed=0,1", *tiny)
    assert ended.status == 1
    assert "Traceback" in ended.err, "a bug keeps its traceback"
    rows = table(ended.folder)
    assert [row["status"] for row in rows] == ["finished", "failed", "failed", "failed"]
    assert rows[1]["sentence"] == "ZeroDivisionError: a bug"
    assert rows[2]["sentence"].startswith("objective.sigma=-1")
    assert "failed: objective.sigma=-1 seed=0: objective.sigma=-1" in ended.out


def test_a_sweep_ends_with_the_page_of_its_runs_and_shows_the_config_once(command: Command) -> None:
    ended = command("-m", "debug=tiny", "data=gaussian", "objective=dsm", "objective.sigma=0.3,0.1")
    assert ended.status == 0, ended.err
    said = ended.out
    assert said.count("all settings: the same command with --cfg job") == 1
    assert "run 1 of 2: objective.sigma=0.3" in said
    assert "run 2 of 2: objective.sigma=0.1" in said
    place = ended.folder / "debug_runs/sweep"
    assert f"compared: {place / 'comparison.html'}" in said
    assert "with others: python src/compare.py debug_runs" in said
    page = (place / "comparison.html").read_text()
    assert 0 < page.find("sigma=0.3</") < page.find("sigma=0.1</"), "in the order in which they were typed"
    assert "python src/compare.py debug_runs/sweep" in page
    table = said[said.index("sweep of 2 runs") :]
    assert 0 < table.find("csm") < table.find("loss"), "headlines first"
