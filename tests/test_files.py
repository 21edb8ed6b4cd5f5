"""Files are written whole or not at all, where they belong and nowhere else."""

import ast
import errno
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Outcome
from test_resume import SMALL, Killed

from scorewise import files
from scorewise.errors import UserError
from scorewise.run import checkpoint
from scorewise.run.checkpoint import CheckpointFiles, is_whole, older, readable
from scorewise.run.folder import RunFolder
from scorewise.tracking.metrics_table import MetricsTable

Command = Callable[..., Outcome]
Patch = pytest.MonkeyPatch
SOURCE = Path(__file__).parents[1] / "src" / "scorewise"


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def checkpoint_with(value: float) -> dict[str, Any]:
    return {"state_dict": {"w": torch.full((64,), value)}, "loops": {}, "optimizer_states": []}


def save_checkpoint(path: Path) -> None:
    CheckpointFiles().save_checkpoint(checkpoint_with(2.0), path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda path: files.put_bytes(path, b"new"),
    "quick bytes": lambda path: files.put_bytes(path, b"new", lasting=False),
    "text": lambda path: files.put_text(path, "new"),
    "table": lambda path: files.write(path, ["a"], [[1.0]]),
    "checkpoint": save_checkpoint,
}
MOMENTS = {"in the file": (os, "open"), "before the move": (os, "replace")}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("error", [Killed(), no_space(), OSError(errno.EIO, "Input/output error")])
def test_what_fails_while_it_is_written_keeps_the_old_file(
    tmp_path: Path, monkeypatch: Patch, writer: str, moment: str, error: BaseException
) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(*MOMENTS[moment], failing(error))
        with pytest.raises((Killed, UserError)) as told:
            WRITERS[writer](path)
    assert path.read_bytes() == b"old"
    assert not list(tmp_path.glob(".*.partial"))
    if isinstance(error, OSError):
        assert f"{path} cannot be written ({error.strerror})" in str(told.value)
        assert ("make room" in str(told.value)) == (error.errno == errno.ENOSPC)
    WRITERS[writer](path)
    assert path.read_bytes() != b"old"


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_full_disk_is_noticed_when_the_file_is_flushed(tmp_path: Path, monkeypatch: Patch, moment: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, moment, failing(no_space()))
    with pytest.raises(UserError, match="No space left on device"):
        files.put_bytes(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("target", ["a file", "nothing", "a folder", "itself"])
def test_a_link_is_replaced_and_never_written_through(tmp_path: Path, writer: str, target: str) -> None:
    (tmp_path / "a file").write_bytes(b"mine")
    (tmp_path / "a folder").mkdir()
    link = tmp_path / "run" / "file.csv"
    link.parent.mkdir()
    link.symlink_to(link if target == "itself" else tmp_path / target)
    WRITERS[writer](link)
    assert link.is_file()
    assert not link.is_symlink()
    assert (tmp_path / "a file").read_bytes() == b"mine"
    assert not (tmp_path / "nothing").exists()
    assert not list((tmp_path / "a folder").iterdir())


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_in_the_place_of_a_file_is_a_sentence(tmp_path: Path, writer: str) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(UserError, match="file cannot be written"):
        WRITERS[writer](tmp_path / "file")


@pytest.mark.parametrize(
    ("target", "refused"),
    [("samples", False), ("linked_in", False), ("linked_out", True), ("linked_out/deeper", True), ("..", True)],
)
def test_an_output_folder_stays_in_the_run(tmp_path: Path, target: str, refused: bool) -> None:
    run = tmp_path / "run"
    (run / "inside").mkdir(parents=True)
    (run / "linked_in").symlink_to(run / "inside")
    (run / "linked_out").symlink_to(tmp_path)
    if not refused:
        files.refuse_outside(run, run / target)
        return
    with pytest.raises(UserError, match="leads out of"):
        files.refuse_outside(run, run / target)


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard", "wandb"])
def test_training_writes_no_folder_that_a_link_leads_away(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path / "run", "0")
    folder.path.mkdir()
    (folder.path / name).symlink_to(tmp_path)
    with pytest.raises(UserError, match="leads out of"), folder.held():
        pass
    (folder.path / name).unlink()
    with folder.held():
        pass


@pytest.mark.parametrize(
    "name", ["../../x", "/abs", "..", ".", "...", "a/b", r"a\b", "../x", "x" * 300, "ü" * 200, r"a\tb\n/"]
)
def test_a_name_leads_nowhere_else(command: Command, name: str) -> None:
    ended = command("debug=tiny", f"name='{name}'")
    assert ended.status == 1
    assert "is no name of a folder" in ended.err
    assert "Traceback" not in ended.err
    assert not list(ended.folder.iterdir())


@pytest.mark.parametrize("name", ["mine", "..mine", "run.1", "a b", "ü", "x" * 255])
def test_a_name_of_a_folder_is_one(name: str) -> None:
    files.refuse_no_folder("name", name)


def test_the_older_checkpoint_stays_until_the_new_one_is_read(tmp_path: Path, monkeypatch: Patch) -> None:
    path = tmp_path / "last.ckpt"
    CheckpointFiles().save_checkpoint(checkpoint_with(1.0), path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "is_whole", failing(Killed()))
        with pytest.raises(Killed):
            save_checkpoint(path)
    assert torch.load(path)["state_dict"]["w"][0] == 2
    assert torch.load(older(path))["state_dict"]["w"][0] == 1
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.warns(UserWarning, match="damaged, so the run continues from the one before"):
        assert readable(path) == older(path)
    save_checkpoint(path)
    assert readable(path) == path
    assert not older(path).exists()


@pytest.mark.parametrize("place", [0.0, 0.25, 0.5, 0.6, 0.75, 0.9, 1.0])
def test_one_flipped_byte_of_a_checkpoint_is_a_sentence_or_no_matter(tmp_path: Path, place: float) -> None:
    """No matter: it is between the parts of the file, where nothing is."""
    path = tmp_path / "last.ckpt"
    save_checkpoint(path)
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 0xFF
    path.write_bytes(content)
    try:
        found = readable(path)
    except UserError as error:
        told = str(error)
    else:
        told = f"{found} is damaged" if torch.load(found)["state_dict"]["w"].eq(2).all() else ""
    assert "last.ckpt is damaged" in told


def test_a_flipped_byte_of_a_weight_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    save_checkpoint(path)
    content = path.read_bytes()
    numbers = torch.full((64,), 2.0).numpy().tobytes()
    assert content.count(numbers) == 1
    path.write_bytes(content.replace(numbers, numbers[:-1] + b"\x41"))
    assert not is_whole(path)
    with pytest.raises(UserError, match="damaged"):
        readable(path)


@pytest.mark.parametrize("name", ["config.yaml", "README.md", "metrics.csv", "last.ckpt"])
def test_a_folder_that_is_deleted_meanwhile_is_not_made_again(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    writers: dict[str, Callable[[], None]] = {
        "config.yaml": lambda: files.put_text(run / name, "x"),
        "README.md": lambda: files.put_text(run / name, "x", lasting=False),
        "metrics.csv": lambda: MetricsTable(run / name).write(),
        "last.ckpt": lambda: save_checkpoint(run / "checkpoints" / name),
    }
    if name == "metrics.csv":  # which stops no training: the checkpoint does
        with pytest.warns(UserWarning, match="cannot be written"):
            writers[name]()
    else:
        with pytest.raises(UserError, match="cannot be written"):
            writers[name]()
    assert not run.exists()
    run.mkdir()
    with pytest.raises(UserError, match="is not finished"):
        RunFolder(run, "0").write_summary({})


def test_a_training_on_a_full_disk_ends_with_a_sentence_and_its_last_checkpoint(
    command: Command, monkeypatch: Patch
) -> None:
    saved: list[Path] = []
    original = files.put_bytes

    def fills(path: Path, content: bytes, lasting: bool = True) -> None:
        with monkeypatch.context() as patch:
            if len(saved) > 2:
                patch.setattr(os, "fsync", failing(no_space()))
            saved.append(path)
            original(path, content, lasting)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "put_bytes", fills)
        ended = command(*SMALL, "hydra.run.dir=here")
    assert ended.status == 1
    assert "No space left on device" in ended.err
    assert "make room" in ended.err
    assert "Traceback" not in ended.err
    last = ended.folder / "here/checkpoints/last.ckpt"
    assert is_whole(last)
    assert not (ended.folder / "here/summary.json").exists()
    resumed = command(*SMALL, "hydra.run.dir=here")
    assert resumed.status == 0, resumed.err
    assert "resuming" in resumed.out


def test_no_output_of_a_run_follows_a_link(command: Command) -> None:
    run = command("debug=tiny").run
    (run / "samples").mkdir()
    mine = run.parents[3] / "mine"
    mine.write_bytes(b"mine")
    outputs = ["summary.json", "metrics.csv", "samples.png", "curves.png", "samples/samples.npz"]
    for name in outputs:
        content = (run / name).read_bytes() if (run / name).is_file() else b""
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(mine)
        if name in ("summary.json", "metrics.csv"):  # which are read, too
            mine.with_name(name).write_bytes(content)
            (run / name).unlink()
            (run / name).symlink_to(mine.with_name(name))
    before = {name: mine.with_name(name).read_bytes() for name in ("mine", "summary.json", "metrics.csv")}
    assert command("debug=tiny", "train=false").status == 0
    assert command(f"run={run}", "n=3", name="sample").status == 0
    assert {name: mine.with_name(name).read_bytes() for name in before} == before
    assert [name for name in outputs if (run / name).is_symlink()] == []
    (run / "samples" / "samples.npz").unlink()
    (run / "samples" / "samples.png").unlink()
    (run / "samples").rmdir()
    (run / "samples").symlink_to(mine.parent)
    ended = command(f"run={run}", "n=3", name="sample")
    assert ended.status == 1
    assert "leads out of" in ended.err


WRITE = {"write_text", "write_bytes", "savefig", "to_csv", "save_file", "touch"}
THEIR_OWN = {"data"}
"""Rooms that fill a cache and not a run folder."""


def test_one_module_writes_files() -> None:
    paths = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] not in THEIR_OWN]
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or path.name == "files.py":
                continue
            said = ast.unparse(node.func)
            if isinstance(node.func, ast.Attribute) and node.func.attr in WRITE:
                assert node.func.attr == "savefig", path
                assert ast.unparse(node.args[0]) == "picture", path  # in memory
            assert said != "os.replace", path
            if said.endswith("open"):
                given = ast.unparse(node)
                assert not any(mode in given for mode in ("'w", "'a'", "'x", "'r+")), (path, given)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe{}", b"[1]", b"null", b"3", b'"text"', b"", b'{"finished": tr', b"[" * 100_000, b'{"finished": 0}'],
)
def test_an_odd_summary_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "summary.json").write_bytes(content)
    assert not RunFolder(tmp_path, "0").finished


def test_a_folder_for_a_summary_is_none_and_a_summary_that_may_not_be_read_is_a_sentence(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    (tmp_path / "summary.json").mkdir()
    assert RunFolder(tmp_path, "0").summary() == {}
    denied = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "summary.json")
    monkeypatch.setattr(Path, "read_bytes", failing(denied))
    with pytest.raises(UserError, match=r"summary\.json cannot be read \(Permission denied\)"):
        RunFolder(tmp_path, "0").summary()


def test_a_folder_that_cannot_be_held_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(UserError, match="cannot be written"), RunFolder(tmp_path, "0").held():
        pass
    (tmp_path / "file").write_text("")
    for below in ("file/run", "x" * 300):
        with pytest.raises(UserError, match="cannot be written"), RunFolder(tmp_path / below, "0").held():
            pass


@pytest.mark.parametrize("place", ["x" * 300, "loop/run", "file/run"])
def test_a_place_where_no_folder_can_be_is_a_sentence(command: Command, place: str) -> None:
    Path("file").write_text("")
    Path("loop").symlink_to("loop")
    ended = command("debug=tiny", f"paths.runs={place}")
    assert ended.status == 1
    assert "cannot be" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b"null"])
def test_a_run_with_an_odd_summary_is_finished_again(command: Command, content: bytes) -> None:
    run = command("debug=tiny").run
    before = (run / "metrics.csv").read_bytes()
    (run / "summary.json").write_bytes(content)
    ended = command("debug=tiny")
    assert ended.status == 0, ended.err
    assert RunFolder(run, "").finished
    assert (run / "metrics.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (24254.73, 4, "24255"),  # not 2.425e+04
        (900000.0, 4, "900000"),
        (-1234567.8, 6, "-1234568"),
        (9999.7, 4, "9999.7"),
        (12.3456, 4, "12.35"),
        (0.00012345, 4, "0.0001234"),
        (1.5e-7, 4, "1.5e-07"),
        (2.5e16, 4, "2.5e+16"),
        (math.inf, 4, "inf"),
        (math.nan, 4, "nan"),
    ],
)
def test_numbers_have_all_digits_before_the_point(tmp_path: Path, value: float, digits: int, text: str) -> None:
    assert files.plain(value, digits) == text
    files.write(tmp_path / "table.csv", ["a"], [[value]], digits=digits)
    assert (tmp_path / "table.csv").read_text().split() == ["a", text]
