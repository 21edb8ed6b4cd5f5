"""The wheel holds what the commands need, and the command scorewise is the scripts."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from children import started
from test_start import CONSOLE, TRAINING, imported

from scorewise.commands import cli
from scorewise.commands.commands import commands

ROOT = Path(__file__).parents[1]


def test_every_script_is_a_command() -> None:
    folders = "compare"  # takes folders, where the others take settings
    assert {*commands(), folders} == {file.stem for file in (ROOT / "src").glob("*.py")}


@pytest.mark.parametrize(
    ("typed", "status", "words"),
    [
        ([], 2, "usage: scorewise COMMAND"),
        (["--help"], 0, "eval"),
        (["fit"], 2, "has no command fit: use one of"),
        (["compare"], 1, "no folder"),
    ],
)
def test_what_is_no_command(
    typed: list[str], status: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scorewise", *typed])
    with pytest.raises(SystemExit) as ended:
        cli.console()
    said = capsys.readouterr()
    assert ended.value.code == status
    assert words in said.out + said.err


def test_a_process_that_the_installed_command_starts_is_of_the_same_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning starts them by the first word and the settings, without the command between them."""
    heard: list[tuple[str, list[str]]] = []

    def run(command: str) -> None:
        heard.append((command, sys.argv[1:]))
        sys.exit(0)

    monkeypatch.setattr(cli, "run", run)
    monkeypatch.setattr(sys, "argv", ["/bin/scorewise", "train", "trainer=ddp"])
    monkeypatch.setenv(cli.COMMAND, "")
    with pytest.raises(SystemExit):
        cli.console()
    assert sys.argv == ["/bin/scorewise", "trainer=ddp"]
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit):
        cli.console()
    assert heard == [("train", ["trainer=ddp"])] * 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is installed of the wheel, with nothing of the repository beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        (entry,) = [name for name in names if name.endswith("entry_points.txt")]
        assert b"scorewise = scorewise.commands.ready:console" in file.read(entry)
        file.extractall(folder / "site")
    assert "scorewise/py.typed" in names
    assert {f"scorewise/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")} <= names
    return folder / "site"


def train_from(site: Path, folder: Path) -> None:
    """Import scorewise anew, from there alone, and run `scorewise train debug=tiny`."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "scorewise"]:
        del sys.modules[name]
    sys.path[:] = [str(site), *(path for path in sys.path if Path(path or ".").resolve() not in ROOT.glob("*"))]
    sys.argv = ["scorewise", "train", "debug=tiny"]
    os.chdir(folder)
    from scorewise.commands.ready import console

    try:
        console()
    finally:
        files = {Path(str(one.__file__)) for name, one in sys.modules.items() if name.partition(".")[0] == "scorewise"}
        assert all(file.is_relative_to(site) for file in files)


def test_the_wheel_trains_without_the_repository(site: Path, tmp_path: Path) -> None:
    process = started(train_from, site, tmp_path)
    process.join()
    assert process.exitcode == 0
    assert list(tmp_path.glob("debug_runs/*/*/weights.safetensors"))


@pytest.mark.slow
def test_the_wheel_trains_in_a_new_process(site: Path, tmp_path: Path) -> None:
    program = "import scorewise; print(scorewise.__file__)" + CONSOLE.replace("commands.cli", "commands.ready")
    ended = subprocess.run(
        [sys.executable, "-c", program, "train", "debug=tiny"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert str(site / "scorewise") in ended.stdout
    assert list(tmp_path.glob("debug_runs/*/*/weights.safetensors"))
    assert imported(ended) <= TRAINING
