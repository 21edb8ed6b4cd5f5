"""W&B, TensorBoard and metrics.csv: the same numbers in each, and no trouble of theirs ends a run."""

import csv
import errno
import json
import locale
import os
import platform
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Outcome
from test_resume import Killed, at_step, kill

from scorewise.comparison.compared import compare_records
from scorewise.comparison.curves import panels
from scorewise.comparison.record import read_record
from scorewise.errors import UserError
from scorewise.files import put_text
from scorewise.tasks.score_task import ScoreTask
from scorewise.tracking import metrics_table
from scorewise.tracking.metrics_table import WHAT_IT_IS, MetricsTable, measured, read_metrics
from scorewise.tracking.tensorboard import TensorBoard
from scorewise.tracking.tracker import Label
from scorewise.tracking.wandb_run import WandbRun

Command = Callable[..., Outcome]
# Three epochs of ten batches: rows of training at steps 9, 19 and 29, of validation at the ends of epochs.
SMALL = (
    "debug=tiny", "data=gaussian", "head=mixture", "trainer.max_steps=-1", "trainer.max_epochs=3",
    "trainer.limit_train_batches=10", "callbacks.sample_every_n_epochs=2",
)  # fmt: skip
QUICK = (*SMALL, "trainer.max_epochs=1", "callbacks.sample_every_n_epochs=0")
SHARED = {"val/nll", "val/bits_per_dim", "val/fisher_error"}
OWN_PANELS = {"train/loss/csm", "val/loss/csm"}


def table_of(run: Path) -> dict[int, dict[str, float]]:
    with (run / "metrics.csv").open(newline="") as file:
        return {int(row["step"]): measured(row) for row in csv.DictReader(file)}


def warnings_of(ended: Outcome) -> list[str]:
    """Return what a run warned of, but for its test of two batches, see `QUICK`."""
    lines = [line for line in ended.err.splitlines() if line.startswith("warning:")]
    return [line for line in lines if not line.endswith("by trainer.limit_test_batches=2.")]


# W&B, read back from what it wrote.


def records(file: Path) -> list[Any]:
    """Return the records of a .wandb file: LevelDB's log format behind a header of seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    data, place, whole, found = file.read_bytes(), 7, b"", []
    assert data[:4] == b":W&B"
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        if kind == 0:
            break
        part = data[place + 7 : place + 7 + length]
        whole = part if kind in (1, 2) else whole + part
        place += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(whole)
            found.append(record)
    return found


def items(updates: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in updates}


class Offline:
    """One offline run of W&B."""

    def __init__(self, folder: Path) -> None:
        (file,) = folder.glob("run-*.wandb")
        self.folder, self.bytes, found = folder, file.read_bytes(), records(file)
        by_kind: dict[str, list[Any]] = {}
        for record in found:
            kind = record.WhichOneof("record_type")
            by_kind.setdefault(kind, []).append(getattr(record, kind))
        (self.run,) = by_kind["run"]
        self.config = items(self.run.config.update)
        self.history = [items(one.item) for one in by_kind["history"]]
        self.metrics = by_kind["metric"]
        self.exit_codes = [one.exit_code for one in by_kind.get("exit", [])]


def offline_runs(run: Path) -> list[Offline]:
    import wandb

    wandb.teardown()  # as at the end of a process: only then everything is written
    return [Offline(folder) for folder in sorted((run / "wandb").glob("offline-run-*"))]


def test_an_offline_run_that_was_killed_and_continued(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "WANDB_API_KEY": "5ec2e7" * 7,
        "SOME_TOKEN": "t0ken-of-the-environment",
        "SCOREWISE_CACHE": "/else/where",
        **dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "a-user-called-zyxwv"),
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    host, system = "a-host-called-zyxwv", os.uname()
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    monkeypatch.setattr(platform, "node", lambda: host)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((system[0], host, *system[2:])))
    asked = (*SMALL, "logger=wandb", "tags=[mine]")
    with monkeypatch.context() as patch:
        at_step(patch, 16, kill)
        with pytest.raises(Killed):
            command(*asked)
    ended = command(*asked)
    assert ended.status == 0, ended.err
    assert "resuming:" in ended.out
    first, second = offline_runs(ended.run)
    assert first.exit_codes == [1], "killed is not finished"
    assert second.exit_codes == [0]

    for one, resumed in ((first, False), (second, True)):
        assert (one.run.run_id, one.run.resume) == (ended.run.name, resumed)
        assert one.run.display_name == f"csm-made-mixture-gaussian/{ended.run.name}"
        assert (one.run.run_group, one.run.job_type) == ("gaussian", "csm-made-mixture-gaussian")
        assert {"mine", "csm", "made", "mixture", "gaussian"} <= set(one.run.tags)
        assert one.config["objective"] == {"_target_": "scorewise.objectives.csm.CSM"}
        assert one.config["choices"]["head"] == "mixture"
        assert one.config["optim"]["warmup_steps"] == 2
        here = Path(__file__).parents[1]
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
        assert one.config["code"].get("commit", "") == commit.stdout.strip()
        assert one.run.host == "unnamed"
        for private in (*secrets.values(), str(ended.folder), str(here), host):
            assert private.encode() not in one.bytes
        for file in one.folder.rglob("*"):
            assert file.is_dir() or not any(value.encode() in file.read_bytes() for value in (*secrets.values(), host))
        (of_every_curve,) = [metric for metric in one.metrics if metric.glob_name == "*"]
        assert of_every_curve.step_metric == "step"

    rows = table_of(ended.run)
    logged: dict[int, dict[str, Any]] = {}
    for row in [*first.history, *second.history]:
        assert row["step"] == row["_step"]
        before = logged.setdefault(row["step"], {})
        assert all(before.get(name, value) == value for name, value in row.items() if name.startswith("train/"))
        before.update(row)
    assert set(rows) == set(logged) == {9, 19, 29, 30}
    for step, row in rows.items():
        assert {name: logged[step][name] for name in row} == pytest.approx(row)
    assert {step: logged[step]["epoch"] for step in rows} == {row["step"]: row["epoch"] for row in second.history}
    assert rows.keys() == {row["step"] for row in second.history}, "also what the killed one may have lost"
    names = {name for row in rows.values() for name in row}
    assert names >= SHARED | OWN_PANELS | {"train/loss", "val/loss", "train/grad_norm", "test/nll"}
    assert all(row["train/loss"] == row["train/loss/csm"] for row in rows.values() if "train/loss" in row)

    for step in (9, 19, 29):
        assert logged[step]["val/conditional_scores/_type"] == "histogram"
        assert sum(logged[step]["val/conditional_scores/values"]) == 8190, "8,192 entries in examples of 10"
    for step, one in ((19, second), (30, second)):
        assert logged[step]["samples/_type"] == "image-file"
        assert (one.folder / "files" / logged[step]["samples/path"]).read_bytes()[:4] == b"\x89PNG"
    assert (second.folder / "files" / logged[30]["samples/path"]).read_bytes() == (
        ended.run / "samples.png"
    ).read_bytes()


def test_a_service_that_crashes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb.sdk import wandb_setup

    original = WandbRun.log_metrics

    def crash(self: WandbRun, metrics: dict[str, float], step: int | None = None) -> None:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        for child in children:
            if "wandb-core" in Path(f"/proc/{child}/cmdline").read_text():
                os.kill(int(child), signal.SIGKILL)
                os.waitpid(int(child), 0)
        monkeypatch.setattr(WandbRun, "log_metrics", original)
        self.log_metrics(metrics, step)

    if not Path("/proc/self/task").is_dir():
        pytest.skip("finds the service through /proc")
    monkeypatch.setattr(WandbRun, "log_metrics", crash)
    ended = command(*QUICK, "logger=wandb")
    assert ended.status == 0, ended.err
    assert len(warnings_of(ended)) == 1, ended.err
    assert "W&B failed (" in ended.err
    assert set(table_of(ended.run)) == {9, 10}
    assert wandb_setup.singleton()._connection is None, "the next run of a sweep starts another service"


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A user without an account, in a process in which W&B remembers none."""
    import wandb

    wandb.teardown()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with open(os.devnull) as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        yield
    wandb.teardown()


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize(("key", "reason"), [(None, "No API key configured"), ("short", "API key must have")])
def test_online_without_a_good_key_is_kept_offline(
    command: Command, monkeypatch: pytest.MonkeyPatch, key: str | None, reason: str
) -> None:
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    ended = command(*QUICK, "logger=wandb", "logger.mode=online")
    assert ended.status == 0, ended.err
    (warning,) = warnings_of(ended)
    assert warning.startswith("warning: W&B cannot be reached (")
    assert reason in warning
    (kept,) = offline_runs(ended.run)
    assert {row["step"] for row in kept.history} == {9, 10}


# W&B's part played by a stand-in.


class StandIn:
    """A run of W&B that remembers what it is told, and fails as it is told to."""

    def __init__(self, error: Exception | None = None, at: str = "log", **asked: Any) -> None:
        self.error, self.at, self.asked = error, at, asked
        self.rows: list[dict[str, Any]] = []
        self.summary: dict[str, str] = {}
        self.exit_codes: list[int] = []
        self.dir = "/run/files"

    def define_metric(self, name: str, **settings: Any) -> None:
        pass

    def log(self, row: dict[str, Any], step: int) -> None:
        if self.error and self.at == "log":
            raise self.error
        self.rows.append(row)

    def finish(self, exit_code: int) -> None:
        if self.error and self.at == "finish":
            raise self.error
        self.exit_codes.append(exit_code)


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    import wandb

    found: dict[str, Any] = {"runs": [], "settings": {}}

    def init(**asked: Any) -> StandIn:
        if refusal := found.get(asked["mode"]):
            raise refusal
        found["runs"].append(StandIn(**found["settings"], **asked))
        run: StandIn = found["runs"][-1]
        return run

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "teardown", lambda: None)
    return found


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("error", "at"), [(FULL, "log"), (ConnectionResetError("Connection lost"), "log"), (FULL, "finish")]
)
def test_trouble_while_logging_is_one_warning(
    command: Command, stand_ins: dict[str, Any], error: Exception, at: str
) -> None:
    stand_ins["settings"] = {"error": error, "at": at}
    ended = command(*QUICK, "logger=wandb")
    assert ended.status == 0, ended.err
    (warning,) = warnings_of(ended)
    assert f"W&B failed ({type(error).__name__}: {error}): the run goes on" in warning
    assert set(table_of(ended.run)) == {9, 10}


def test_no_network_is_one_warning_and_an_offline_run(command: Command, stand_ins: dict[str, Any]) -> None:
    import wandb

    stand_ins["online"] = wandb.errors.CommError("no such\nhost")
    ended = command(*QUICK, "logger=wandb", "logger.mode=online")
    assert ended.status == 0, ended.err
    (warning,) = warnings_of(ended)
    assert warning == "warning: W&B cannot be reached (no such host), so this run is kept for wandb sync."
    (run,) = stand_ins["runs"]
    assert run.asked["mode"] == "offline"
    assert run.exit_codes == [0]
    assert "This run is finished" in command(*QUICK).out, "loggers are no part of what a run is"


def test_a_full_disk_under_offline_runs_too(command: Command, stand_ins: dict[str, Any]) -> None:
    stand_ins["offline"] = FULL
    ended = command(*QUICK, "logger=wandb")
    assert ended.status == 0, ended.err
    assert len(warnings_of(ended)) == 1


def test_every_job_of_a_sweep_has_its_own_run_and_a_failed_one_is_failed(
    command: Command, stand_ins: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_train_start(self: Any) -> None:
        if self.seed == 1:
            raise UserError("it fails")

    monkeypatch.setattr(ScoreTask, "on_train_start", on_train_start)
    ended = command("-m", *QUICK, "logger=wandb", "logger.group=together", "seed=0,1")
    assert ended.status == 1
    good, bad = stand_ins["runs"]
    assert good.asked["id"] != bad.asked["id"]
    assert [run.asked["group"] for run in (good, bad)] == ["together", "together"]
    assert (good.exit_codes, bad.exit_codes) == ([0], [1])
    assert {row["step"] for row in good.rows} == {9, 10}


@pytest.mark.parametrize(
    ("given", "asked", "most"),
    [
        ("tags=[{}]", "tags", 64),
        ("logger.group={}", "group", 128),
        ("name={}", "job_type", 128),
        ("name={}", "name", 128),
    ],
)
@pytest.mark.parametrize("beyond", [0, 1])
def test_what_is_too_long_for_wandb_is_shortened_and_said(
    command: Command, stand_ins: dict[str, Any], given: str, asked: str, most: int, beyond: int
) -> None:
    text = "a" * (most + beyond - 1) + "z"
    ended = command(*QUICK, "logger=wandb", given.format(text))
    assert ended.status == 0, ended.err
    (run,) = stand_ins["runs"]
    found = run.asked[asked]
    assert all(len(one) <= most for one in ([found] if isinstance(found, str) else found))
    said = [
        warning for warning in warnings_of(ended) if f"for the {asked.rstrip('s')} of" in warning and text in warning
    ]
    if asked == "name":
        assert found.endswith(f"/{ended.run.name}"), "the identity tells runs apart"
        assert len(said) >= 1
    else:
        assert (text in found) == (beyond == 0)
        assert bool(said) == bool(beyond)
    assert set(table_of(ended.run)) == {9, 10}


def test_tags_that_wandb_itself_takes(tmp_path: Path) -> None:
    import wandb

    run = WandbRun(tmp_path, LABEL, "scorewise", None, "offline")
    with pytest.warns(UserWarning, match="at most 64 letters for the tag"):
        short = run._fitting("tag", "t" * 65)
    assert wandb.Settings(run_tags=("t" * 64, short)).run_tags == ("t" * 64, short)
    with pytest.raises(ValueError, match="64 characters"):
        wandb.Settings(run_tags=("t" * 65,))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("logger.mode=abc", "logger.mode=abc is none of online, offline, disabled."),
        ("logger.mode=null", "logger.mode=null is none of online, offline, disabled."),
        ("logger.project=a/b", "logger.project=a/b must be a name of at most 128 letters without any of /\\#?%:."),
        (f"logger.project={129 * 'p'}", f"logger.project={60 * 'p'}... must be a name of at most 128 letters"),
        ("logger.project=null", "logger.project=null must be a name."),
        ("logger.group=[a]", "logger.group=['a'] must be a name or null."),
        ("tags=[[a]]", "tags=[['a']] must be a list of words, tags=[mine] say."),
    ],
)
def test_what_wandb_cannot_take_is_refused_before_training(command: Command, setting: str, sentence: str) -> None:
    ended = command(*QUICK, "logger=wandb", setting)
    assert ended.status == 1
    assert ended.err.startswith(sentence)
    assert ended.out == ""
    assert not list(ended.folder.iterdir())


def test_a_tracker_that_comes_later_has_what_was_before_it(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for step, logger in ((12, "tensorboard"), (22, "csv")):
        with monkeypatch.context() as patch:
            at_step(patch, step, kill)
            with pytest.raises(Killed):
                command(*SMALL, f"logger={logger}")
    with monkeypatch.context() as patch:
        at_step(patch, 25, kill)
        with pytest.raises(Killed):
            command(*SMALL, "logger=wandb")
    ended = command(*SMALL, "logger=tensorboard")
    assert ended.status == 0, ended.err
    events = EventAccumulator(str(ended.run / "tensorboard")).Reload()
    curves = read_metrics(ended.run / "metrics.csv")
    assert set(events.Tags()["scalars"]) == {*curves, "epoch"}
    for name, points in curves.items():
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in points], "each once"
        assert [value for _, value in found] == pytest.approx([value for _, value in points])
    (offline,) = offline_runs(ended.run)
    whole = table_of(ended.run)
    for row in offline.history:
        assert {name: row[name] for name in whole[row["step"]] if name in row} == pytest.approx(whole[row["step"]])
    assert [row["step"] for row in offline.history] == [9, 19]


# TensorBoard and metrics.csv.


def test_tensorboard_has_the_names_of_the_table(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with monkeypatch.context() as patch:
        at_step(patch, 16, kill)
        with pytest.raises(Killed):
            command(*SMALL, "logger=tensorboard")
    ended = command(*SMALL, "logger=tensorboard")
    assert ended.status == 0, ended.err
    events = EventAccumulator(str(ended.run / "tensorboard"), {"histograms": 0}).Reload()
    curves = read_metrics(ended.run / "metrics.csv")
    drawn = [panel.metric.name for panel in panels(compare_records([read_record(ended.run, "a run")]))]
    shared = ["csm", "fisher_error", "nll"]  # bits_per_dim is nll on another scale
    assert sorted(drawn) == sorted([*shared, "loss"]), "the copy of a loss gets no panel there"
    assert set(events.Tags()["scalars"]) == {*curves, "epoch"}
    for name, points in curves.items():
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in points]
        assert [value for _, value in found] == pytest.approx([value for _, value in points])
    assert [event.step for event in events.Images("samples")] == [19, 30]
    assert [event.step for event in events.Histograms("val/conditional_scores")] == [9, 19, 29]
    assert sum(events.Histograms("val/conditional_scores")[-1].histogram_value.bucket) == 8190
    assert b"scorewise.objectives.csm.CSM" in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0]


LABEL = Label("a run", "0", "data", "kind", (), {"seed": 0})


def test_a_run_killed_before_its_first_save_is_in_tensorboard_once(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for value in (1.0, 2.0):  # it begins again from step 0
        board = TensorBoard(tmp_path, LABEL)
        board.begin(0)
        for step in (9, 19):
            board.log_metrics({"val/loss": value}, step)
        board.end(0)
        time.sleep(1.1)  # event files are read in the order of their names, which hold seconds
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("val/loss")] == [(9, 2.0), (19, 2.0)]


def test_a_histogram_of_nothing_finite_is_left_out(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = TensorBoard(tmp_path, LABEL)
    board.begin(0)
    board.log_histogram("scores", torch.full((3, 2), torch.nan), 1)
    board.log_histogram("scores", torch.tensor([1.0, torch.inf]), 2)
    assert not board.lost
    board.end(0)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Histograms("scores")] == [2]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"step;epoch;train/loss\n9;0;1.5\n", "no column step"),
        (b"step,train/loss\nx,1.5\n", "invalid literal for int"),
        (b"step,train/loss\n9,much\n", "could not convert string to float: 'much'"),
        (b"train/loss,step\n1.5\n", "a row without a step"),
        (b"step,train/loss\n9,\xff\n", "'utf-8' codec can't decode"),
        (b'step,train/loss\n9,"' + b"x" * 200_000 + b"\n", "field larger than field limit"),
    ],
)
def test_a_damaged_table_is_one_sentence(content: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.csv is damaged \(" + re.escape(reason)):
        MetricsTable(file)
    assert file.read_bytes() == content


def test_a_table_is_utf8_and_goes_on_without_cells_that_have_no_column(tmp_path: Path) -> None:
    file = tmp_path / "metrics.csv"
    file.write_bytes(f"step,epoch,nll{WHAT_IT_IS},train/loss\n9,0,nats \u00b1 1,1.5,2.5\n".encode())
    before = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")  # where files are of ASCII, unless Python was told that all are UTF-8
    try:
        with nullcontext() if sys.flags.utf8_mode else pytest.raises(UnicodeDecodeError):
            file.read_text()
        table = MetricsTable(file)
        table.rewind(9)
        table.log_metrics({"train/loss": 1.0}, 19)
        table.write()
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    assert [(row["step"], row["train/loss"]) for row in rows] == [("9", "1.5"), ("19", "1.0")]
    assert rows[0][f"nll{WHAT_IT_IS}"] == "nats \u00b1 1"


def test_a_table_that_cannot_be_written_for_a_while(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def full(path: Path, text: str, lasting: bool) -> None:
        calls.append(text.count("\n") - 1)
        if calls[-1] < 2:
            raise UserError(f"{path} cannot be written.")
        put_text(path, text, lasting)

    monkeypatch.setattr(metrics_table, "put_text", full)
    ended = command(*QUICK)
    assert ended.status == 0, ended.err
    assert min(calls) < 2
    (warning,) = warnings_of(ended)
    assert "metrics.csv cannot be written" in warning
    assert set(table_of(ended.run)) == {9, 10}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (("objective=dsm", "backbone=mlp", "data=toy2d"), {"joint_scores"}),
        (("objective=csm_annealed", "data=toy2d"), {"conditional_scores"}),
        (("objective=mle", "head=discretised_mixture", "data=digits", "data.smoothing=0"), set()),
    ],
)
def test_scores_at_validation_examples(settings: tuple[str, ...], names: set[str]) -> None:
    from test_compose import settled

    from scorewise.config.build import build
    from scorewise.run.task import build_task

    config = settled(*settings, "debug=tiny")
    parts = build(config, 0)
    task = build_task(config, parts, 0)
    scores = task.scores()
    assert set(scores) == names
    for values in scores.values():
        assert values.shape == (8192 // parts.source.dims, parts.source.dims)
        assert not values.requires_grad
        assert torch.equal(values, next(iter(task.scores().values()))), "the same noise every time"


# The dashboard.


def test_the_dashboard_as_a_file(command: Command) -> None:
    asked = ("project=p", "group=rings", "objectives=[csm,dsm]", "save=workspace.json")
    ended = command(*asked, name="dashboard")
    assert ended.status == 0, ended.err
    view = json.loads((ended.folder / "workspace.json").read_text())
    assert (view["project"], view["displayName"]) == ("p", "Scorewise: rings")
    (runs,) = view["spec"]["section"]["runSets"]
    (only,) = runs["filters"]["filters"]
    assert (only["key"], only["op"], only["value"]) == ({"section": "run", "name": "group"}, "=", "rings")
    panels = {
        panel["config"]["chartTitle"]: panel["config"].get("metrics") or panel["config"]["mediaKeys"]
        for section in view["spec"]["section"]["panelBankConfig"]["sections"]
        for panel in section["panels"]
        if panel["viewType"] != "Bar Chart"
    }
    for name in ("fisher_error", "nll", "bits_per_dim", "csm"):
        assert panels[name] == [f"val/{name}"]
    for name in ("csm", "dsm"):
        assert panels[f"loss of {name}"] == [f"val/loss/{name}", f"train/loss/{name}"]
    assert panels["dsm without its constant, D / (2 sigma^2) on average"] == ["val/loss_without_constant"]
    assert panels["samples"] == ["samples"]
    assert panels["conditional scores"] == ["val/conditional_scores"]
    assert panels["model"] == ["train/grad_norm"]
    one = command("group=rings", "objectives=csm", "save=workspace.json", name="dashboard")
    assert one.status == 0, one.err
    assert (ended.folder / "workspace.json").read_text().count('"val/loss/') == 1
    every = command("group=rings", "save=workspace.json", name="dashboard")
    assert every.status == 0, every.err
    conf = Path(__file__).parents[1] / "conf/objective"
    written = (ended.folder / "workspace.json").read_text()
    assert all(f'"val/loss/{file.stem}"' in written for file in conf.glob("*.yaml"))


@pytest.mark.usefixtures("stranger")
def test_the_dashboard_in_one_sentence_where_it_cannot_be_made(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_key = command("group=rings", name="dashboard")
    typo = command("group=rings", "objectives=cms", "save=workspace.json", name="dashboard")
    typos = command("group=rings", "objectives=[dsm,ssm_rv]", name="dashboard")
    nowhere = command("group=rings", "save=nowhere/workspace.json", name="dashboard")
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    not_installed = command("group=rings", name="dashboard")
    for ended, sentence in (
        (typo, "objectives=cms is no objective; did you mean csm?"),
        (typos, "objectives=ssm_rv is no objective; did you mean ssm_vr?"),
        (no_key, "W&B cannot be reached (No API key configured"),
        (nowhere, "nowhere/workspace.json cannot be written (No such file or directory)"),
        (not_installed, "pip install 'scorewise[dashboard]'"),
    ):
        assert ended.status == 1
        assert sentence in ended.err
        assert len(ended.err.strip().splitlines()) == 1, ended.err


def test_the_panels_of_a_group_are_those_of_its_objectives(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb
    from wandb_workspaces.workspaces import internal

    runs = [SimpleNamespace(config={"choices": {"objective": name}}) for name in ("dsm", "csm", "dsm")]
    asked = {("us/p", "rings"): runs}
    api = SimpleNamespace(
        default_entity="us",
        runs=lambda path, filters: asked.get((path, filters["group"]), []),
        client=SimpleNamespace(app_url="https://example.org"),
    )
    saved: list[Any] = []

    def upsert(view: Any) -> dict[str, Any]:
        saved.append(view)
        return {"upsertView": {"view": {"name": "nw-1-v", "id": "1"}}}

    monkeypatch.setattr(wandb, "Api", lambda: api)
    monkeypatch.setattr(internal, "upsert_view2", upsert)
    ended = command("project=p", "group=rings", name="dashboard")
    assert ended.status == 0, ended.err
    assert "https://example.org/us/p" in ended.out
    (view,) = saved
    (losses,) = [one for one in view.spec.section.panel_bank_config.sections if one.name == "Loss of each objective"]
    assert [panel.config.chart_title for panel in losses.panels][:-1] == ["loss of csm", "loss of dsm"]
    none = command("project=q", "group=rings", name="dashboard")
    assert none.status == 1
    assert "group=rings has no runs in us/q" in none.err


def test_sentences_end_with_what_the_table_leaves_out() -> None:
    assert measured({"step": "3", "epoch": "1", "a": "2.5", "b": "", "a" + WHAT_IT_IS: "twice a"}) == {"a": 2.5}
