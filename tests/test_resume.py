"""Stopping, killing and resuming: the same weights to the bit, the same table."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from children import started, train
from conftest import Outcome
from safetensors.torch import load_file

from scorewise.errors import UserError
from scorewise.run import folder as run_folder
from scorewise.run import training
from scorewise.run.checkpoint import CheckpointFiles
from scorewise.run.elapsed import CLOCKS
from scorewise.run.folder import RunFolder
from scorewise.run.trainer import TRAINER_SETTINGS
from scorewise.run.training import TrainingRun
from scorewise.tasks.score_task import ScoreTask
from scorewise.tracking.metrics_table import MetricsTable, read_metrics

Command = Callable[..., Outcome]
# 5 batches an epoch, 3 epochs, a save every 2 steps.
SMALL = (
    "debug=tiny", "trainer.max_steps=-1", "trainer.max_epochs=3", "trainer.limit_train_batches=5",
    "callbacks.sample_every_n_epochs=0", "trainer.limit_val_batches=3",
)  # fmt: skip
CLOSED = (*SMALL, "head=mixture")
"""The same with a density in closed form, which is tested in a third of the time."""


class Killed(BaseException):
    """Stands for kill -9: nothing of ours runs after it."""


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, action: Callable[[], None]) -> None:
    """Do something in the middle of the given training step, once."""
    original = ScoreTask.training_step
    done: list[int] = []

    def training_step(self: Any, batch: Any, batch_idx: int) -> Any:
        if self.global_step + 1 == step and not done:
            done.append(step)
            action()
        return original(self, batch, batch_idx)

    monkeypatch.setattr(ScoreTask, "training_step", training_step)


def kill() -> None:
    raise Killed


def same_results(one: Path, two: Path) -> None:
    a, b = load_file(one / "weights.safetensors"), load_file(two / "weights.safetensors")
    assert all(torch.equal(value, b[name]) for name, value in a.items())
    last = [torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (one, two)]
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, last[1][part][name]) for name, value in last[0].get(part, {}).items())
    assert (one / "metrics.csv").read_text() == (two / "metrics.csv").read_text()
    # versions are of the code too, which somebody may be writing meanwhile
    apart = {"seconds": 0, "processor_seconds": 0, "versions": {}}
    summaries = [json.loads((folder / "summary.json").read_text()) | apart for folder in (one, two)]
    assert summaries[0] == summaries[1]


def test_running_again_leaves_no_number_of_the_old_weights(tmp_path: Path) -> None:
    numbers = json.dumps({"task": {"_target_": "mine.Task"}, "metrics": {"nll": 1.0}})
    old = ("densityestimation.json", "densityestimation.png", "mytask.json", "mytask.png", "mytask-points.png")
    kept = {
        "notes.json": '{"metrics": 1}',
        "list.json": "[1]",
        "half.json": '{"task": ',
        "notes.png": "",
        "a.json": "x",
    }
    for name, text in (dict.fromkeys(old, numbers) | kept).items():
        (tmp_path / name).write_text(text)
    RunFolder(tmp_path, "0").clear()
    assert {file.name for file in tmp_path.iterdir()} == kept.keys()


Whole = Callable[..., None]


@pytest.fixture(scope="module")
def whole_runs() -> dict[tuple[str, ...], Path]:
    """Runs of their settings that nothing has stopped, with `saved_steps_are_logged`."""
    return {}


@pytest.fixture
def whole(
    command: Command,
    whole_runs: dict[tuple[str, ...], Path],
    tmp_path_factory: pytest.TempPathFactory,
    saved_steps_are_logged: None,
) -> Whole:
    """Put such a run into whole/: trained once, and copied from then on."""

    def run(*settings: str) -> None:
        if settings not in whole_runs:
            ended = command(*settings, "hydra.run.dir=whole")
            assert ended.status == 0, ended.err
            whole_runs[settings] = tmp_path_factory.mktemp("whole")
            shutil.copytree("whole", whole_runs[settings], dirs_exist_ok=True)
            return
        shutil.copytree(whole_runs[settings], "whole")

    return run


@pytest.fixture
def saved_steps_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of metrics.csv are of every second step, after each of which small runs are saved."""
    monkeypatch.setitem(TRAINER_SETTINGS, "log_every_n_steps", 2)


@pytest.mark.parametrize(
    ("step", "settings"),
    [*((step, CLOSED) for step in (2, 3, 4, 5, 6, 10, 11, 15)), (8, SMALL)],
    ids=lambda one: one if isinstance(one, int) else "closed" if one is CLOSED else "quadrature",
)
def test_a_killed_run_ends_as_if_nothing_had_happened(
    command: Command, whole: Whole, monkeypatch: pytest.MonkeyPatch, step: int, settings: tuple[str, ...]
) -> None:
    whole(*settings, "optim.schedule=cosine")
    with monkeypatch.context() as patch:
        at_step(patch, step, kill)
        with pytest.raises(Killed):
            command(*settings, "hydra.run.dir=parts")
    assert not Path("parts/weights.safetensors").exists()
    resumed = command(*settings, "hydra.run.dir=parts")
    assert resumed.status == 0, resumed.err
    assert ("resuming:" in resumed.out) == (step > 2), "a save after step 2 is what a run can resume from"
    same_results(Path("whole"), Path("parts"))


@pytest.mark.parametrize(
    ("owner", "method", "call"),
    [
        (CheckpointFiles, "save_checkpoint", 2),
        (CheckpointFiles, "save_checkpoint", 4),
        (MetricsTable, "write", 1),
        (MetricsTable, "write", 3),
        (MetricsTable, "write", 6),
        (TrainingRun, "test", 1),
        (TrainingRun, "finish", 1),
        (RunFolder, "write_summary", 1),
    ],
)
@pytest.mark.parametrize("settings", [(), ("trainer.max_steps=12",)], ids=["epochs", "steps"])
def test_a_run_killed_between_two_files_ends_as_if_nothing_had_happened(
    command: Command,
    whole: Whole,
    monkeypatch: pytest.MonkeyPatch,
    settings: tuple[str, ...],
    owner: type,
    method: str,
    call: int,
) -> None:
    small = (*CLOSED, *settings)
    whole(*small)
    original, calls = getattr(owner, method), []

    def killing(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise Killed
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, killing)
        with pytest.raises(Killed):
            command(*small, "hydra.run.dir=parts")
    resumed = command(*small, "hydra.run.dir=parts")
    assert resumed.status == 0, resumed.err
    same_results(Path("whole"), Path("parts"))


def test_a_lost_table_comes_back_from_the_checkpoint(
    command: Command, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole(*CLOSED)
    with monkeypatch.context() as patch:
        at_step(patch, 12, kill)
        with pytest.raises(Killed):
            command(*CLOSED, "hydra.run.dir=parts")
    Path("parts/metrics.csv").unlink()
    assert command(*CLOSED, "hydra.run.dir=parts").status == 0
    same_results(Path("whole"), Path("parts"))


@pytest.mark.usefixtures("saved_steps_are_logged")
@pytest.mark.parametrize("backbone", ["masked_mlp", "masked_transformer"])
def test_random_known_parts_are_those_of_the_unbroken_run(
    command: Command, monkeypatch: pytest.MonkeyPatch, backbone: str
) -> None:
    size = {"masked_mlp": "backbone.hidden=[8]", "masked_transformer": "backbone.size=4"}[backbone]
    small = [word for word in CLOSED if not word.startswith("backbone")]
    settings = (*small, "data=gaussian", f"backbone={backbone}", size, "backbone.dropout=0.1", "backbone.orders=2")
    assert command(*settings, "hydra.run.dir=whole").status == 0
    with monkeypatch.context() as patch:
        at_step(patch, 7, kill)
        with pytest.raises(Killed):
            command(*settings, "hydra.run.dir=parts")
    assert command(*settings, "hydra.run.dir=parts").status == 0
    same_results(Path("whole"), Path("parts"))


@pytest.mark.parametrize("step", [3, 6, 7, 9])
def test_gradients_that_wait_for_more_are_not_lost(
    command: Command, whole: Whole, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    settings = (*CLOSED, "+trainer.accumulate_grad_batches=2", "callbacks.save_every_n_steps=1")
    whole(*settings)
    with monkeypatch.context() as patch:
        at_step(patch, step, kill)
        with pytest.raises(Killed):
            command(*settings, "hydra.run.dir=parts")
    assert command(*settings, "hydra.run.dir=parts").status == 0
    same_results(Path("whole"), Path("parts"))


def test_a_run_of_so_many_steps_that_is_killed_after_an_epoch_takes_them_all(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With max_steps Lightning takes an epoch that is done for one that is not."""
    settings = (*CLOSED, "trainer.max_steps=14")
    assert command(*settings, "hydra.run.dir=whole").status == 0
    with monkeypatch.context() as patch:
        at_step(patch, 6, kill)
        with pytest.raises(Killed):
            command(*settings, "hydra.run.dir=parts")
    resumed = command(*settings, "hydra.run.dir=parts")
    assert resumed.status == 0, resumed.err
    same_results(resumed.folder / "whole", resumed.folder / "parts")


RARELY = (*CLOSED, "callbacks.save_every_n_steps=200", "optim.ema_decay=0")


def the_second_epoch_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    def validation_step(self: Any, batch: Any, batch_idx: int) -> None:
        self.log("val/loss", float(abs(self.current_epoch - 1)), on_epoch=True, batch_size=1)

    monkeypatch.setattr(ScoreTask, "validation_step", validation_step)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_run_that_ends_after_its_best_epoch_keeps_those_weights(
    command: Command, whole: Whole, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    the_second_epoch_is_best(monkeypatch)
    whole(*RARELY)
    with monkeypatch.context() as patch:
        if end == "kill":
            at_step(patch, 11, kill)
            with pytest.raises(Killed):
                command(*RARELY, "hydra.run.dir=parts")
        else:
            at_step(patch, 10, lambda: os.kill(os.getpid(), signal.SIGTERM))
            assert command(*RARELY, "hydra.run.dir=parts").status == 128 + signal.SIGTERM
    assert command(*RARELY, "hydra.run.dir=parts").status == 0
    same_results(Path("whole"), Path("parts"))


def test_a_run_that_was_stopped_early_trains_no_further_when_it_is_continued(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scorewise.run.training import TrainingRun

    the_second_epoch_is_best(monkeypatch)
    settings = (*RARELY, "callbacks.patience=1", "trainer.max_epochs=6")
    assert command(*settings, "hydra.run.dir=whole").status == 0
    assert len(read_metrics(Path("whole/metrics.csv"))["val/loss"]) == 3
    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "test", lambda _: kill())
        with pytest.raises(Killed):
            command(*settings, "hydra.run.dir=parts")
    with monkeypatch.context() as patch:
        at_step(patch, 16, kill)
        assert command(*settings, "hydra.run.dir=parts").status == 0
    same_results(Path("whole"), Path("parts"))


def test_patience_without_a_validation_ends_as_the_run_does(command: Command) -> None:
    ended = command("debug=tiny", "callbacks.patience=2")
    assert ended.status == 0, ended.err


def test_asking_for_a_test_of_a_run_that_is_none_leaves_its_folder_usable(command: Command) -> None:
    refused = command("debug=tiny", "train=false", "hydra.run.dir=here")
    assert refused.status == 1
    assert "train it first" in refused.err
    Path("here/checkpoints").mkdir(parents=True, exist_ok=True)  # as another process of the same run begins
    Path("here/config.yaml.partial").write_text("half")
    assert command("debug=tiny", "hydra.run.dir=here").status == 0
    before = Path("here/summary.json").read_text(), Path("here/weights.safetensors").stat().st_mtime_ns
    assert command("debug=tiny", "train=false", "hydra.run.dir=here").status == 0
    assert before == (Path("here/summary.json").read_text(), Path("here/weights.safetensors").stat().st_mtime_ns)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [4, 5])
def test_signals_finish_the_batch_and_save(
    command: Command, whole: Whole, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, step: int
) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with monkeypatch.context() as patch:
        at_step(patch, step, lambda: os.kill(os.getpid(), number))
        stopped = command(*CLOSED, "hydra.run.dir=parts")
    assert stopped.status == 128 + number
    assert f"Stopped by {number.name} and saved after step {step}" in stopped.err
    assert "Traceback" not in stopped.err
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers
    saved = torch.load(stopped.folder / "parts" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == step
    assert command(*CLOSED, "hydra.run.dir=parts").status == 0
    whole(*CLOSED)
    same_results(stopped.folder / "whole", stopped.folder / "parts")


def test_resume_by_folder_and_with_a_changed_config(
    command: Command, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, 8, kill)
        with pytest.raises(Killed):
            command(*CLOSED, "hydra.run.dir=parts")
    changed = command(*CLOSED, "resume=parts", "optim.lr=0.5", "data.smoothing=0.2")
    assert changed.status == 1
    assert "resume=parts is a run with another data.smoothing, optim.lr" in changed.err
    assert command(*CLOSED, "resume=parts").status == 0
    whole(*CLOSED)
    same_results(changed.folder / "whole", changed.folder / "parts")
    assert not list(changed.folder.glob("*runs"))


def test_a_loss_that_is_not_finite_names_the_step_and_the_last_good_checkpoint(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scorewise.objectives import CSM

    calls = []

    def explode(self: Any, model: Any, x_BD: Any, draws: Any) -> Any:
        if torch.is_grad_enabled():
            calls.append(1)
        loss = original(self, model, x_BD, draws)
        return replace(loss, total=loss.total * float("nan")) if len(calls) == 7 else loss

    original = CSM.__call__
    monkeypatch.setattr(CSM, "__call__", explode)
    ended = command(*CLOSED, "hydra.run.dir=here")
    assert ended.status == 1
    assert "the loss became nan at step 7" in ended.err
    assert f"the last good checkpoint is {ended.folder / 'here/checkpoints/last.ckpt'}" in ended.err
    assert "Traceback" not in ended.err
    saved = torch.load(ended.folder / "here/checkpoints/last.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_a_gradient_that_is_not_finite_changes_no_weight(command: Command) -> None:
    ended = command(*CLOSED, "data=gaussian", "data.std=1e-30", "hydra.run.dir=here", "trainer.precision=32-true")
    assert ended.status == 1
    assert re.search(r"the (loss|gradient) became (nan|inf|-inf) at step 1", ended.err)
    assert "none was saved yet" in ended.err


def test_a_real_process_killed_for_real(tmp_path: Path, command: Command) -> None:
    """kill -9 from outside, at whatever moment it comes."""
    settings = (*CLOSED, "trainer.max_epochs=12")
    process = started(train, [*settings, "hydra.run.dir=parts"])
    last = tmp_path / "parts" / "checkpoints" / "last.ckpt"
    while not last.is_file() and process.is_alive():  # at the latest the end of the training ends it
        time.sleep(0.02)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert last.is_file()
    assert command(*settings, "hydra.run.dir=parts").status == 0
    assert command(*settings, "hydra.run.dir=whole").status == 0
    same_results(tmp_path / "whole", tmp_path / "parts")


def test_a_run_killed_after_training_keeps_the_averaged_weights(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With and without a validation: debug=tiny ends before its first one."""
    from scorewise.run.training import TrainingRun

    def killed(self: Any) -> Any:
        raise Killed

    for settings in (CLOSED, ("debug=tiny",)):
        assert command(*settings, "hydra.run.dir=whole", "rerun=true", f"name={len(settings)}").status == 0
        with monkeypatch.context() as patch:
            patch.setattr(TrainingRun, "test", killed)
            with pytest.raises(Killed):
                command(*settings, "hydra.run.dir=parts")
        ended = command(*settings, "hydra.run.dir=parts")
        assert ended.status == 0, ended.err
        one, two = ended.folder / "whole", ended.folder / "parts"
        a, b = load_file(one / "weights.safetensors"), load_file(two / "weights.safetensors")
        assert all(torch.equal(value, b[name]) for name, value in a.items())
        one.rename(ended.folder / f"whole{len(settings)}")
        two.rename(ended.folder / f"parts{len(settings)}")


def test_a_moved_folder_keeps_its_best_weights(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    worse = ("optim.lr=0.5", "optim.schedule=constant", "optim.ema_decay=0", "optim.clip=100")
    with monkeypatch.context() as patch:
        at_step(patch, 12, kill)
        with pytest.raises(Killed):
            command(*CLOSED, *worse, "hydra.run.dir=parts")
    folder = Path.cwd()
    (folder / "parts").rename(folder / "moved")
    assert command(*CLOSED, *worse, "resume=moved").status == 0
    assert command(*CLOSED, *worse, "hydra.run.dir=whole").status == 0
    same_results(folder / "whole", folder / "moved")


def test_stopping_while_testing_says_so(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from scorewise.tasks import DensityEstimation

    for number in (signal.SIGTERM, signal.SIGINT):
        with monkeypatch.context() as patch:
            patch.setattr(DensityEstimation, "test_step", lambda *_, n=number: os.kill(os.getpid(), n))
            stopped = command(*CLOSED, "hydra.run.dir=here")
        assert stopped.status == 128 + number
        assert f"Stopped by {number.name}" in stopped.err
        assert "Traceback" not in stopped.err
    assert command(*CLOSED, "hydra.run.dir=here").status == 0


def test_stopping_what_is_made_of_a_run_says_so(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from scorewise.heads.model import Model
    from scorewise.tasks.log_densities import LogDensities

    assert command(*CLOSED, "data=gaussian", "hydra.run.dir=here").status == 0
    Path("rows.csv").write_text(",".join(["0.1"] * 10) + "\n")

    def stopped_by(number: int) -> torch.Tensor:
        os.kill(os.getpid(), number)
        return torch.zeros(1)

    for number, (command_, kind, method) in itertools.product(
        (signal.SIGTERM, signal.SIGINT), (("predict", LogDensities, "of"), ("sample", Model, "sample"))
    ):
        words = ["run=here", "output=made", *(["input=rows.csv"] if command_ == "predict" else [])]
        with monkeypatch.context() as patch:
            patch.setattr(kind, method, lambda *_, n=number, **__: stopped_by(n))
            stopped = command(*words, name=command_)
        assert stopped.status == 128 + number
        sentence = f"Stopped by {number.name}: nothing was written, and the same command starts again."
        assert stopped.err.strip().endswith(sentence)
        assert not Path("made").exists()
        assert command(*words, name=command_).status == 0
        shutil.rmtree("made")


def test_a_run_folder_is_written_by_one_process_at_a_time(command: Command) -> None:
    first = command(*CLOSED, "hydra.run.dir=here")
    assert first.status == 0
    folder = first.folder / "here"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    held = "import sys, filelock; f = filelock.FileLock(sys.argv[1]); f.acquire(); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", held, folder / ".lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        refused = command(*CLOSED, "hydra.run.dir=here", "rerun=true")
        other.kill()
    assert refused.status == 1
    assert refused.err.strip() == f"{folder} is being written by another process: wait for it, or stop it."
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert command(*CLOSED, "hydra.run.dir=here", "rerun=true").status == 0, "a process that dies lets go of it"
    assert not (folder / ".lock").exists()
    assert {path: path.stat().st_mtime_ns for path in before} != before


def test_the_seconds_of_a_resumed_run_are_those_of_all_its_parts(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[float] = []

    def five_seconds_later() -> None:
        late.append(5.0)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setitem(CLOCKS, "seconds", lambda: time.monotonic() + sum(late))
    with monkeypatch.context() as patch:
        at_step(patch, 4, five_seconds_later)
        assert command(*CLOSED, "hydra.run.dir=here").status == 128 + signal.SIGTERM
    ended = command(*CLOSED, "hydra.run.dir=here")
    assert ended.status == 0
    assert json.loads((ended.folder / "here/summary.json").read_text())["seconds"] > 5


def test_all_processes_of_a_rerun_start_anew(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    first = command(*CLOSED, "hydra.run.dir=here")
    assert first.status == 0
    found: list[object] = []

    def fit(self: training.TrainingRun) -> None:
        found.extend((self.resume, self.checkpoints))
        raise UserError("seen")

    for module in (training, run_folder):  # of a process that looks before the first has cleared
        monkeypatch.setattr(module, "is_rank_zero", lambda: False)
    monkeypatch.setattr(training.TrainingRun, "fit", fit)
    assert command(*CLOSED, "hydra.run.dir=here", "rerun=true").status == 1
    assert found == [None, []]
    assert (first.folder / "here/checkpoints/last.ckpt").is_file()


def test_a_refused_run_leaves_folders_as_they_were(command: Command) -> None:
    table = ("data=table", "data.path=missing.csv", "head=mixture", "objective=mle")
    refused = command(*table)
    assert refused.status == 1
    assert "missing.csv is not there" in refused.err
    assert not list(refused.folder.iterdir())
    (refused.folder / "mine/b").mkdir(parents=True)
    assert command(*table, "hydra.run.dir=mine/b").status == 1
    assert list((refused.folder / "mine").rglob("*")) == [refused.folder / "mine/b"]


def test_a_stopped_rerun_is_continued_and_strange_folders_are_left_alone(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = command(*CLOSED)
    assert first.status == 0
    steps: list[int] = []
    with monkeypatch.context() as patch:
        at_step(patch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert command(*CLOSED, "rerun=true").status == 128 + signal.SIGTERM
    with monkeypatch.context() as patch:
        at_step(patch, 5, lambda: steps.append(5))
        at_step(patch, 4, lambda: steps.append(4))
        assert command(*CLOSED, "rerun=true").status == 0
    assert steps == [5]
    mine = first.folder / "project"
    (mine / "checkpoints").mkdir(parents=True)
    (mine / "README.md").write_text("mine")
    for extra in ((), ("rerun=true",)):
        refused = command(*CLOSED, "hydra.run.dir=project", *extra)
        assert refused.status == 1
        assert "holds other files and no run" in refused.err
    assert (mine / "README.md").read_text() == "mine"
