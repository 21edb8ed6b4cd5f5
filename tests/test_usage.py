"""The words of --help, --version, and of a Python that lacks the packages."""

import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from test_compose import settled

from scorewise import __version__, catalog
from scorewise.commands import cli, ready, usage
from scorewise.commands.commands import commands
from scorewise.comparison import typed_again
from scorewise.tracking import console

Command = Callable[..., Any]
SOURCE = Path(__file__).parents[1] / "src"


@pytest.mark.parametrize("name", commands())
def test_help_has_one_line_for_every_group_and_option(
    name: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    ended = command("--help", name=name)
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    of_ours = [line for line in lines if "python src/" not in line]
    assert max(map(len, of_ours)) <= 80
    assert sum(line.startswith(f"  python src/{name}.py ") for line in lines) == 3
    assert "debug/" not in ended.out, "a group that follows from others, and cannot be typed"
    chosen = catalog.default_options(name)
    for group in {*chosen} & {*catalog.groups()}:
        if group != "latent" or "task" in chosen:
            below = lines[lines.index(f"{group}: {usage.GROUPS[group]}") + 1 :]
            for option in catalog.options(group):
                words = next(line.split() for line in below if line.split()[:1] in ([option], [f"{option}*"]))
                assert len(words) > 1, f"{group}={option} says nothing of itself"


def test_help_says_what_must_be_given(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    said = " ".join(command("--help", name="predict").out.split())
    assert "run=??? folder of a finished run classes=[] of your own" in said
    assert " input=??? folder of images" in said
    assert " encoding=null data.path=null where the table is now" in said
    assert "with task=impute missing cells output=null" in said, "a comment of several lines"


def test_the_examples_are_of_options_that_there_are() -> None:
    assert set(usage.COMMANDS) == {*commands(), "compare"}
    for name, examples in usage.EXAMPLES.items():
        for word in " ".join(examples).replace("-m ", "").split():
            key, equals, value = word.strip("'").partition("=")
            if equals and key in catalog.groups():
                assert value in catalog.options(key), word
            elif equals and "." not in key and not word.startswith("'"):
                assert key in catalog.settings_beside_groups(name), word


@pytest.mark.parametrize(
    ("words", "bright"),
    [
        ((), {"head", "sampler", "likelihood"}),
        (("objective=mle",), {"objective", "head", "sampler"}),
        (("head=conditional_score",), {"head", "sampler", "likelihood"}),
        (("optim.lr=0.5",), {"head", "sampler", "likelihood", "optim"}),
    ],
)
def test_what_was_typed_and_what_auto_came_to_is_bright(
    words: tuple[str, ...], bright: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.StringIO()
    monkeypatch.setattr(console, "console", Console(file=said, force_terminal=True, color_system="standard", width=80))
    console.show_config(typed_again.chosen(settled(*words)), "a run")
    *tree, caption = said.getvalue().splitlines()[1:]
    dim = {re.sub(r".*\x1b\[2m(\w+):.*", r"\1", line) for line in tree if "\x1b[2m" in line}
    assert dim == {"task", "objective", "backbone", "head", "data", "sampler", "optim", "trainer", "callbacks"} - bright
    assert len(tree) == len(dim) + len(bright)
    assert "or by auto" in caption


@pytest.mark.parametrize(("words", "status"), [((), 2), (("--help",), 0), (("--version",), 0)])
def test_scorewise_by_itself(
    words: tuple[str, ...], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scorewise", *words])
    with pytest.raises(SystemExit) as ended:
        cli.console()
    assert ended.value.code == status
    said = capsys.readouterr().out
    if words == ("--version",):
        assert said == f"scorewise {__version__}\n"
    else:
        assert all(f"  {name} " in said for name in (*commands(), "compare"))


@pytest.mark.parametrize("script", ["train", "compare"])
def test_a_python_without_the_packages_says_how_to_get_them(script: str) -> None:
    words = [sys.executable, "-S", "-E", str(SOURCE / f"{script}.py"), "runs"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("this Python has no hydra: make setup builds .venv")
    assert len(ended.stderr.splitlines()) == 1
    assert ready.lacking() is None
