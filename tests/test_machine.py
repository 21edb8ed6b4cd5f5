"""What the machine refuses, a file or memory, is one sentence in every command; a fault of the code is none."""

import ctypes
import errno
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from conftest import Outcome

from scorewise.commands import cli
from scorewise.commands.commands import compare
from scorewise.errors import UserError, machine_told, refused_by_machine
from scorewise.files import refuse_unwritable
from scorewise.run.folder import RunFolder
from scorewise.tasks.denoising import Denoising
from scorewise.tasks.density import DensityEstimation
from scorewise.tasks.ood import OODScoring
from scorewise.tasks.score_task import ScoreTask
from scorewise.tasks.task import Task

Command = Callable[..., Outcome]
Patch = pytest.MonkeyPatch
SMALL = ("objective=mle", "debug=tiny", "data=gaussian", "data.held_out=64", "+trainer.val_check_interval=2")
STUDY = (*SMALL, "study.pruner=none", "study.trials=1")


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Powers(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@contextmanager
def like_anyone() -> Iterator[None]:
    """Heed permissions, which root does not: this thread lays that power of root's down for a while."""
    if sys.platform != "linux":
        if not os.geteuid():
            pytest.skip("root heeds no permissions here")
        yield
        return
    system, header, powers = ctypes.CDLL(None), _Header(0x20080522, 0), (_Powers * 2)()
    assert system.capget(ctypes.byref(header), powers) == 0
    before = powers[0].effective
    powers[0].effective &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert system.capset(ctypes.byref(header), powers) == 0
    try:
        yield
    finally:
        powers[0].effective = before
        assert system.capset(ctypes.byref(header), powers) == 0


@contextmanager
def closed(path: Path, mode: int = 0) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        with like_anyone():
            yield
    finally:
        path.chmod(before)


def one_sentence(ended: Outcome, *words: str) -> None:
    assert ended.status == 1, ended.out
    said = [line for line in ended.err.splitlines() if not line.startswith("warning: ")]
    assert len(said) == 1, ended.err
    for word in words:
        assert word in said[0]


@pytest.fixture
def run(command: Command) -> Path:
    """Return the folder of a finished run, whose last checkpoint and best weights are there."""
    ended = command(*SMALL)
    assert ended.status == 0, ended.err
    Path("rows.csv").write_text(",".join(f"x_{i}" for i in range(1, 11)) + "\n" + ",".join(["0.5"] * 10) + "\n")
    assert (ended.run / "checkpoints" / "best.ckpt").is_file()
    return ended.run


def reading(run: Path) -> dict[str, tuple[str, ...]]:
    return {"eval": (f"run={run}",), "sample": (f"run={run}",), "predict": (f"run={run}", "input=rows.csv")}


def test_closed_and_strange_files_of_a_finished_run(command: Command, run: Path) -> None:
    again = (*SMALL, "train=false")
    for name, words in reading(run).items():
        for file in ("config.yaml", "weights.safetensors"):
            with closed(run / file):
                one_sentence(command(*words, name=name), file, "Permission denied")
        with closed(run):
            one_sentence(command(*words, name=name), "Permission denied")
    for file in ("config.yaml", "summary.json", "metrics.csv", "weights.safetensors"):
        with closed(run / file):
            one_sentence(command(*again), file, "Permission denied")
    for mode in (0, 0o444):
        with closed(run, mode):
            one_sentence(command(*SMALL), "Permission denied")
    with closed(run / "config.yaml"):
        assert compare([str(run)]) == 1
    assert command(*SMALL).status == 0


def test_a_finished_run_that_can_only_be_read(command: Command, run: Path) -> None:
    with closed(run, 0o555):
        assert command(*SMALL).status == 0
        assert command(f"run={run}", name="eval").status == 0
        one_sentence(command(*SMALL, "train=false"), "cannot be written")
        one_sentence(command(f"run={run}", "task=density", name="eval"), "nothing was computed")
        for name in ("sample", "predict"):
            one_sentence(command(*reading(run)[name], name=name), "nothing was computed")
            assert command(*reading(run)[name], "output=out", name=name).status == 0
        assert compare([str(run), "out=compared"]) == 0
        assert compare([str(run), f"out={run.parent}/x"]) == 0
    with closed(run.parent, 0o555):
        assert compare([str(run), f"out={run.parent}"]) == 1


def test_an_unfinished_run_with_what_is_not_its_own(command: Command, run: Path) -> None:
    for setting in ("seed=5", "backbone.hidden=[17]"):
        assert command(*SMALL, setting, "hydra.run.dir=other").status == 0
        for file in ("last.ckpt", "best.ckpt"):
            shutil.copytree(run, "copy")
            Path("copy/summary.json").unlink()
            shutil.copy(Path("other/checkpoints") / file, Path("copy/checkpoints") / file)
            one_sentence(command(*SMALL, "hydra.run.dir=copy"), f"{file} is of another run")
            shutil.rmtree("copy")
        shutil.copytree(run, "copy")
        shutil.copy("other/weights.safetensors", "copy/weights.safetensors")
        if setting != "seed=5":
            one_sentence(command(*SMALL, "train=false", "hydra.run.dir=copy"), "the weights of another model")
        shutil.rmtree("copy")
        shutil.rmtree("other")
    (run / "summary.json").unlink()
    for file in ("last.ckpt", "best.ckpt"):
        with closed(run / "checkpoints" / file):
            one_sentence(command(*SMALL), file, "Permission denied")
    with closed(run / "metrics.csv"):
        one_sentence(command(*SMALL), "metrics.csv", "Permission denied")
    (run / "checkpoints" / "best.ckpt").rename("best")
    one_sentence(command(*SMALL), "best.ckpt with the best weights is gone")
    Path("best").rename(run / "checkpoints" / "best.ckpt")
    assert command(*SMALL).status == 0


PLACES = ("x" * 300, "file/x", "closed/x")
IN_PLACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "hydra.run.dir": ("train", (*SMALL, "hydra.run.dir={}")),
    "paths.runs": ("train", (*SMALL, "paths.runs={}")),
    "hydra.sweep.dir": ("train", ("-m", *SMALL, "seed=0,1", "hydra.sweep.dir={}")),
    "resume": ("train", (*SMALL, "resume={}")),
    "table": ("train", ("experiment=table", "debug=tiny", "data.path={}")),
    "paths.multirun": ("tune", (*STUDY, "paths.multirun={}")),
    "eval": ("eval", ("run={}",)),
    "sample": ("sample", ("run={}",)),
    "predict": ("predict", ("run={}", "input=file")),
    "features": ("features", ("data=digits", "paths.cache={}")),
    "reproduce": ("reproduce", ("figure=fig3a", "budget=tiny", "paths.runs={}")),
}


def test_places_where_nothing_can_be_in_every_command(command: Command, monkeypatch: Patch) -> None:
    Path("file").write_text("")
    Path("closed").mkdir(mode=0)
    monkeypatch.setattr(cli, "_show_sweep", lambda _: False)
    try:
        with like_anyone():
            for place in PLACES:
                for command_name, words in list(IN_PLACES.values())[: None if place == "file/x" else 2]:
                    ended = command(*(word.format(place) for word in words), name=command_name)
                    assert ended.status == 1, (command_name, words, place)
                    assert "Traceback" not in ended.err, ended.err
                    assert place[:100] in ended.err
                for given in ((place,), (".", f"out={place}")):
                    assert compare(list(given)) == 1
    finally:
        Path("closed").chmod(0o755)


def test_a_working_folder_that_is_gone(
    command: Command, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("gone").mkdir()
    monkeypatch.chdir("gone")
    Path.cwd().rmdir()
    for name in ("train", "eval", "sample", "predict", "tune", "dashboard", "reproduce", "features"):
        monkeypatch.setattr(sys, "argv", [name])
        with pytest.raises(SystemExit) as ended:
            cli.run(name)
        assert ended.value.code == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert compare(["."]) == 1
    assert "is gone" in capsys.readouterr().err


def test_a_study_whose_database_is_broken(command: Command) -> None:
    assert command(*STUDY, name="tune").status == 0
    (database,) = Path("debug_runs").glob("*/study.db")
    good = database.read_bytes()
    for content in (b"hello" * 1000, good[: len(good) // 2]):
        database.write_bytes(content)
        one_sentence(command(*STUDY, name="tune"), "study.db cannot be used")
    database.write_bytes(good)
    with sqlite3.connect(database) as tables:
        tables.execute("update study_user_attributes set value_json='{'")
    tables.close()
    one_sentence(command(*STUDY, name="tune"), "study.db cannot be used")
    database.unlink()
    database.mkdir()
    one_sentence(command(*STUDY, name="tune"), "study.db cannot be used")
    database.rmdir()
    database.write_bytes(good)
    with closed(database, 0o444):
        one_sentence(command(*STUDY, "study.trials=2", name="tune"), "study.db cannot be used")
    with closed(database.parent, 0o555):
        one_sentence(command(*STUDY, name="tune"), "cannot be written")
    database.unlink()
    ended = command(*STUDY, name="tune")  # begins again and finds its run
    assert ended.status == 0, ended.err


def test_a_sweep_that_cannot_write_its_table(command: Command) -> None:
    words = ("-m", *SMALL, "seed=0,1", "hydra.sweep.dir=sweep")
    assert command(*words).status == 0
    Path("sweep/summary.csv").unlink()
    Path("sweep/summary.csv").mkdir()
    one_sentence(command(*words), "summary.csv cannot be written")


NO_MEMORY: dict[str, Exception] = {
    "of a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    "of a CPU": RuntimeError(
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."
    ),
    "for an array": MemoryError("Unable to allocate 7.28 TiB for an array"),
    "at all": MemoryError(),
}


def stopping_at(
    step: int, error: Exception, monkeypatch: Patch, hook: str = "training_step", task: type[Task] = ScoreTask
) -> None:
    plain = getattr(task, hook)

    def hooked(self: Task, *given: object) -> object:
        if self.trainer.global_step >= step:
            raise error
        return plain(self, *given)

    monkeypatch.setattr(task, hook, hooked)


@pytest.mark.parametrize("kind", NO_MEMORY)
def test_no_memory_in_a_step_names_the_batch_size_and_keeps_what_there_was(
    command: Command, monkeypatch: Patch, kind: str
) -> None:
    with monkeypatch.context() as patch:
        stopping_at(3, NO_MEMORY[kind], patch)
        ended = command(*SMALL)
    one_sentence(ended, "not enough memory for data.batch_size=16", "last.ckpt")
    assert (ended.run / "metrics.csv").read_text().count("\n") > 1
    resumed = command(*SMALL)
    assert resumed.status == 0, resumed.err
    assert "resuming" in resumed.out


def test_no_memory_elsewhere(command: Command, monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        stopping_at(0, NO_MEMORY["of a CPU"], patch)
        one_sentence(command(*SMALL), "none was saved yet")
        swept = command("-m", *SMALL, "seed=0,1")
        assert swept.status == 1
        assert swept.err.count("not enough memory for data.batch_size=16") == 2
        assert "Traceback" not in swept.err
        assert command(*STUDY, name="tune").status == 1
    with monkeypatch.context() as patch:
        stopping_at(0, NO_MEMORY["of a CPU"], patch, "validation_step")
        one_sentence(command(*SMALL), "not enough memory")
    assert command(*SMALL, "hydra.run.dir=one").status == 0
    one_sentence(command("run=one", "n=100000000000000", name="sample"), "not enough memory", "fewer examples")


def test_a_process_of_several_that_has_ended_is_one_sentence(command: Command, monkeypatch: Patch) -> None:
    said = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection reset by peer [127.0.0.1]:3"
    with monkeypatch.context() as patch:
        stopping_at(3, RuntimeError(said), patch)
        ended = command(*SMALL)
    one_sentence(
        ended, "another process of this run has ended: the last good checkpoint is", "the same command goes on"
    )
    assert command(*SMALL).status == 0


@pytest.mark.parametrize("kind", NO_MEMORY)
def test_no_memory_in_a_test_keeps_what_was_trained(command: Command, monkeypatch: Patch, kind: str) -> None:
    with monkeypatch.context() as patch:
        stopping_at(0, NO_MEMORY[kind], patch, "test_step", DensityEstimation)
        ended = command(*SMALL)
    one_sentence(ended, "not enough memory for the test", "test=false", "last.ckpt")
    steps = (ended.run / "metrics.csv").read_text()
    with monkeypatch.context() as patch:
        stopping_at(0, AssertionError("it trains again"), patch)
        stopping_at(0, AssertionError("it tests"), patch, "test_step", DensityEstimation)
        without = command(*SMALL, "test=false")
    assert without.status == 0, without.err
    assert (ended.run / "weights.safetensors").is_file()
    assert (ended.run / "metrics.csv").read_text() == steps
    tested = command(*SMALL, "train=false")
    assert tested.status == 0, tested.err
    assert RunFolder(ended.run, "").summary()["metrics"]


def test_no_memory_under_eval_leaves_the_run_as_it_was(command: Command, monkeypatch: Patch) -> None:
    run = command("debug=tiny", "data=digits").run
    before = {path.name: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for words, task in (((), DensityEstimation), (("task=denoising",), Denoising), (("task=ood",), OODScoring)):
        with monkeypatch.context() as patch:
            stopping_at(0, NO_MEMORY["of a CPU"], patch, "test_step", task)
            one_sentence(command(f"run={run}", *words, name="eval"), "not enough memory", "data.batch_size")
    assert {path.name: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_fault_of_the_code_keeps_its_traceback(command: Command, monkeypatch: Patch) -> None:
    for error in (
        RuntimeError("shapes cannot be multiplied"),
        ConnectionResetError(104, "Connection reset"),
        OSError(),
    ):
        with monkeypatch.context() as patch:
            stopping_at(0, error, patch)
            with pytest.raises(type(error)):
                command(*SMALL)


def test_debugging_shows_the_traceback_of_what_the_machine_refuses(command: Command, monkeypatch: Patch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    Path("file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        command(*SMALL, "hydra.run.dir=file/x")


REFUSED: dict[OSError, str] = {
    PermissionError(errno.EACCES, "Permission denied", "a"): "a cannot be used (Permission denied): allow it",
    OSError(errno.EROFS, "Read-only file system", b"a"): "only reading is possible",
    OSError(errno.ENAMETOOLONG, "File name too long", "y" * 5000): "use a shorter name",
    OSError(errno.EIO, "Input/output error", Path("a")): "mend that",
    OSError(errno.ENOSPC, "No space left on device"): "make room",
    OSError(errno.EMFILE, "Too many open files", "a\nb"): r"a\nb cannot be used",
}


def test_the_sentences() -> None:
    for error, words in REFUSED.items():
        with pytest.raises(UserError) as told, machine_told():
            raise error
        assert words in str(told.value)
        assert "\n" not in str(told.value)
        assert len(str(told.value)) < 500
    ours = Path(cli.__file__).with_name("nowhere.py")
    for bug in (
        OSError("a text"),
        FileNotFoundError(errno.ENOENT, "No such file", str(ours)),
        KeyError("a"),
        OSError(2, "a"),
    ):
        assert refused_by_machine(bug) is None


def test_a_place_is_judged_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "read").mkdir(mode=0o555)
    with like_anyone():
        refuse_unwritable(tmp_path / "a" / "b")
        for place in ("read", "read/a/b"):
            with pytest.raises(UserError, match=r"\(Permission denied\), so nothing was computed"):
                refuse_unwritable(tmp_path / place)
    (tmp_path / "a.csv").write_text("1,2")
    (tmp_path / "lost").symlink_to("nowhere")
    (tmp_path / "found").symlink_to(".")
    refuse_unwritable(tmp_path / "found" / "a")
    before = sorted(tmp_path.iterdir())
    for place, words in (
        ("a.csv", "/a.csv is a file, so nothing was computed: give a folder."),
        ("a.csv/b/c", f"/a.csv/b/c cannot be made, since {tmp_path}/a.csv is a file, so nothing was computed"),
        ("lost", "/lost is a link to nothing, so nothing was computed"),
        ("lost/b", f"/lost/b cannot be made, since {tmp_path}/lost is a link to nothing, so nothing"),
        ("b" * 300, "(File name too long), so nothing was computed"),
        ("/dev/null", "/dev/null is no folder, so nothing was computed"),
        ("/proc/x", "/proc/x cannot be written (No such file or directory), so nothing was computed"),
        ("/proc", "/proc cannot be written (No such file or directory), so nothing was computed"),
    ):
        if place.startswith("/proc") and sys.platform != "linux":
            continue
        with pytest.raises(UserError) as refused:
            refuse_unwritable(tmp_path / place)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
    refuse_unwritable(tmp_path / "b" / ".." / ".." / "c")
    assert sorted(tmp_path.iterdir()) == before, "nothing is left of the trial"


def test_an_output_that_is_no_folder_is_refused_before_anything_is_drawn(command: Command, run: Path) -> None:
    for name in ("predict", "sample"):
        for output in ("rows.csv", "rows.csv/b"):
            refused = command(*reading(run)[name], f"output={output}", name=name)
            one_sentence(refused, "rows.csv is a file, so nothing was computed: give a folder.")
