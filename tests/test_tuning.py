"""Studies: killed and continued, pruned and failed trials, bad spaces."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Outcome
from test_resume import SMALL, Killed, kill
from test_sweeps import LITTLE, kill_at_training_step

from scorewise.errors import Held
from scorewise.run.callbacks import Reports
from scorewise.run.folder import RunFolder

Command = Callable[..., Outcome]
STUDY = (*SMALL, "trainer.max_epochs=2", *LITTLE, "study.pruner=none", "study.startup=2")
PLACE = "debug_runs/study-csm-made-gaussian"


def trials(folder: Path, place: str = PLACE) -> list[dict[str, str]]:
    with (folder / place / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_killed_study_ends_as_if_it_had_not_been(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = command(*STUDY, "study.trials=3", name="tune")
    assert whole.status == 0, whole.err
    rows = trials(whole.folder)
    assert [row["status"] for row in rows] == ["finished"] * 3
    rates = [float(row["optim.lr"]) for row in rows]
    assert len(set(rates)) == 3
    assert all(0.0003 <= rate <= 0.01 for rate in rates)
    values = [float(row["val_loss"]) for row in rows]
    best = min(range(3), key=values.__getitem__)
    assert f"best: trial {best}, " in whole.out
    shutil.rmtree(whole.folder / PLACE)
    with monkeypatch.context() as patch:
        kill_at_training_step(patch, 18, kill)  # ten steps a trial
        with pytest.raises(Killed):
            command(*STUDY, "study.trials=2", name="tune")
    resumed = command(*STUDY, "study.trials=2", name="tune")
    assert resumed.status == 0, resumed.err
    assert trials(resumed.folder) == rows[:2]
    assert command(*STUDY, "study.trials=3", name="tune").status == 0
    assert trials(resumed.folder) == rows
    again = next(line for line in whole.out.splitlines() if line.startswith("python src/train.py"))
    trained = command(*again.split()[2:])
    assert trained.status == 0, trained.err
    (alone,) = trained.folder.glob("debug_runs/csm-made-gaussian/*")
    metrics = json.loads((alone / "summary.json").read_text())["metrics"]
    assert metrics["loss"] == float(rows[best]["loss"])
    assert alone.name == rows[best]["folder"]
    other = command(*STUDY, "study.trials=5", "data.std=2", name="tune")
    assert other.status == 1
    assert "is a study with another trainings: a study goes on only with its own" in other.err


def test_a_trial_that_ends_with_a_bug_is_recorded_and_the_study_goes_on(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scorewise.run.training import TrainingRun

    original, begun = TrainingRun.fit, []

    def fit(self: Any) -> None:
        begun.append(1)
        if len(begun) == 1:
            raise RuntimeError("a bug")
        original(self)

    monkeypatch.setattr(TrainingRun, "fit", fit)
    ended = command(*STUDY, "study.trials=2", name="tune")
    assert ended.status == 0, ended.err
    rows = trials(ended.folder)
    assert [row["status"] for row in rows] == ["failed", "finished"]
    assert rows[0]["sentence"] == "RuntimeError: a bug"
    assert "Traceback" in ended.err


def test_a_trial_that_another_command_writes_is_left_to_it(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def held(_: RunFolder) -> None:
        raise Held("written elsewhere")

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "held", held)
        refused = command(*STUDY, "study.trials=1", name="tune")
    assert (refused.status, refused.err.strip()) == (1, "written elsewhere")
    assert command(*STUDY, "study.trials=1", name="tune").status == 0
    assert [row["status"] for row in trials(refused.folder)] == ["finished"]


def test_a_study_that_another_process_is_at_is_left_to_it(command: Command, tmp_path: Path) -> None:
    with RunFolder(tmp_path / PLACE, "the other").held():
        refused = command(*STUDY, "study.trials=1", name="tune")
    assert refused.status == 1
    assert refused.err.strip() == f"{tmp_path / PLACE} is being written by another process: wait for it, or stop it."
    assert command(*STUDY, "study.trials=1", name="tune").status == 0


def test_validations_are_counted_and_not_epochs() -> None:
    told: list[int] = []
    reports = Reports("val/loss", lambda _, number: told.append(number))
    for epoch in (4, 9, 14):
        metrics = {"val/loss": torch.tensor(1.0)}
        trainer = SimpleNamespace(callback_metrics=metrics, current_epoch=epoch, check_val_every_n_epoch=5)
        reports.on_validation_end(trainer, None)  # type: ignore[arg-type]
    assert told == [0, 1, 2]


def test_trials_that_are_pruned_or_fail_are_recorded(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from scorewise.objectives import CSM

    original = CSM.__call__

    def explode(self: Any, model: Any, x_BD: Any, draws: Any) -> Any:
        loss = original(self, model, x_BD, draws)
        small = any(5 in parameter.shape for parameter in model.backbone.parameters())
        return replace(loss, total=loss.total * float("nan")) if small else loss

    monkeypatch.setattr(CSM, "__call__", explode)
    space = "study.space={optim: {lr: {choices: [0.01, 0.000000001]}}, backbone: {hidden: {choices: [[5], [16]]}}}"
    settings = ("study.pruner=median", "study.startup=1", "study.warmup=0", "study.sampler=random", "study.trials=3")
    order = "study.seed=7"  # whose draws are: a network that explodes, a good rate, a bad rate
    ended = command(*STUDY, *settings, order, "~study.space", f"+{space}", name="tune")
    assert ended.status == 0, ended.err
    rows = trials(ended.folder)
    assert [row["status"] for row in rows] == ["failed", "finished", "pruned"]
    for row in rows:
        exploded = row["backbone.hidden"] == "[5]"
        assert (row["status"] == "failed") == exploded
        assert ("the loss became nan" in row["sentence"]) == exploded
        assert (ended.folder / PLACE / row["folder"] / "config.yaml").is_file()
        assert (ended.folder / PLACE / row["folder"] / "weights.safetensors").is_file() == (row["status"] == "finished")
    assert rows[2]["optim.lr"] == "1e-09"
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("study.space.optim.lr.low=0.1",), "study.space.optim.lr: low=0.1 is not below high=0.01"),
        (("study.space.optim.lr.low=0",), "study.space.optim.lr: log needs a positive range, and low=0"),
        (("study.space.optim.lr.low=a",), "study.space.optim.lr: low, high and step are numbers"),
        (("~study.space.optim.lr",), "study.space.optim={} is no search space"),
        (
            ("+study.space.backbone.context={low: 1, high: 9, step: 0.5}",),
            "step=0.5 is not whole, and low=1 and high=9 are",
        ),
        (("+study.space.trainer.limit_val_batches={choices: [1, 2]}",), "limit_val_batches changes what the monitored"),
        (
            ("+study.space.data.batch_size={choices: [8, 64]}", "trainer.limit_val_batches=1"),
            "study.space.data.batch_size changes how many examples trainer.limit_val_batches=1 validates on",
        ),
        (("rerun=true",), "leave resume, rerun and train as they are"),
        (("+study.space.optim.lrr={low: 1, high: 2}",), "optim.lrr is no setting of optim; did you mean lr?"),
        (("+study.space.optim.clip={choices: [1]}",), "study.space.optim.clip: choices are two values at least"),
        (("+study.space.optim.clip={choices: [1, 2], log: true}",), "choices are a list by themselves"),
        (("+study.space.data.smoothing={low: 0.1, high: 1}",), "study.space.data.smoothing changes what the monitored"),
        (("+study.space.backbone={choices: [made, mlp]}",), "objective=csm needs a backbone with causal features"),
        (("study.trials=0",), "study.trials=0 must be a whole number of at least 1"),
        (("study.sampler=grid",), "study.sampler=grid is none of tpe, random"),
        (("trainer=ddp",), "a study trains every trial in one process"),
        (("-m", "seed=0,1"), "a study is one command by itself"),
        (("sweep=dsm_sigma",), "a study is one command by itself"),
        (("task=implicit_vae", "data=mnist", "data.smoothing=0"), "task=implicit_vae monitors no number"),
    ],
)
def test_a_bad_study_is_one_sentence(command: Command, words: tuple[str, ...], sentence: str) -> None:
    ended = command(*words, name="tune")
    assert ended.status == 1
    assert sentence in ended.err
    assert len(set(ended.err.strip().splitlines())) == 1, ended.err
    assert not list(ended.folder.rglob("study.db"))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("+study.space.backbone.ordering={choices: [raster, reverse]}",), "backbone.ordering"),
        (
            ("data.dims=8", "backbone.ordering=random", "+study.space.backbone.ordering_seed={low: 0, high: 9}"),
            "backbone.ordering_seed",
        ),
        (
            (
                "data.dims=8",
                "backbone=patch_transformer",
                "backbone.patch=[2]",
                "+study.space.backbone.patch={choices: [[2], [4]]}",
            ),
            "backbone.patch",
        ),
        (("head=block_score", "+study.space.head.block={low: 1, high: 2}"), "head.block"),
        (("objective=ssm", "+study.space.backbone={choices: [made, mlp]}"), "backbone"),
        (("+study.space.backbone={choices: [made, masked_mlp]}",), "backbone"),
    ],
)
def test_trials_are_not_ranked_by_losses_of_other_scores(command: Command, words: tuple[str, ...], name: str) -> None:
    ended = command(*STUDY, "study.trials=1", *words, name="tune")
    assert (ended.status, len(ended.err.strip().splitlines())) == (1, 1), ended.err
    assert f"study.space.{name} changes which scores objective=" in ended.err
    assert "or use objective=block_mle, csm_mle or mle, which rank by it" in ended.err
    assert not list(ended.folder.rglob("study.db"))


@pytest.mark.parametrize(
    "words",
    [
        ("objective=mle", "+study.space.backbone.ordering={choices: [raster, reverse]}"),
        ("+study.space.backbone.ordering_seed={low: 0, high: 9}",),
        ("+study.space.backbone={choices: [made, transformer]}",),
        ("+study.space.head={choices: [conditional_score, block_score]}",),
    ],
    ids=["a likelihood", "a seed without effect", "the same order", "blocks of one dimension"],
)
def test_trials_are_ranked_by_losses_of_the_same_scores(command: Command, words: tuple[str, ...]) -> None:
    ended = command(*STUDY, "study.trials=1", "test=false", *words, name="tune")
    assert ended.status == 0, ended.err


def test_a_study_without_a_validation_ends_with_its_first_trial(command: Command) -> None:
    short = ("debug=tiny", *LITTLE, "test=false", "study.trials=3")
    for _ in range(2):  # nor does the same command train more of them
        ended = command(*short, name="tune")
        assert ended.status == 1
        sentence = ended.err.strip().splitlines()[-1]
        assert sentence.startswith("trial 0 ended before its first validation, and so would all others")
        (row,) = trials(ended.folder)
        assert "ended before its first validation, so it has no val/loss" in row["sentence"]


def test_a_short_trial_beside_longer_ones_does_not_end_a_study(command: Command) -> None:
    epochs = "+study.space.trainer.max_steps={choices: [2, 5]}"
    settings = ("test=false", "study.sampler=random", "study.trials=4", "trainer.max_epochs=1")
    ended = command(*STUDY, *settings, epochs, name="tune")
    assert ended.status == 0, ended.err
    found = {(row["trainer.max_steps"], row["status"]) for row in trials(ended.folder)}
    assert found == {("2", "failed"), ("5", "finished")}
    assert "warning: trainer.max_steps of study.space is typed as well, which has no effect" in ended.err


def test_a_study_with_no_validation_at_all_is_refused(command: Command) -> None:
    ended = command(*STUDY, "trainer.limit_val_batches=0", name="tune")
    assert (ended.status, list(ended.folder.rglob("study.db"))) == (1, [])
    assert ended.err.startswith("a study compares trials by val/loss, and trainer.limit_val_batches=0 has none")


def test_a_number_that_was_never_finite_is_no_missing_validation(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scorewise.objectives import CSM

    monkeypatch.setattr(CSM, "held_out", lambda *given: given[2].sum(-1) * float("nan"))
    ended = command(*STUDY, "study.trials=1", "test=false", name="tune")
    assert ended.status == 1
    assert trials(ended.folder)[0]["sentence"].startswith("its val/loss was finite in no validation")
