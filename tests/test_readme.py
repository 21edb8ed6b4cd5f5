"""What the README shows works as it stands."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Outcome
from test_imports import files_of, imports_of, rooms

import scorewise

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language: str, contains: str) -> str:
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if contains in text]
    assert len(found) == 1, f"{len(found)} {language} blocks contain {contains}"
    block: str = found[0]
    return block


def test_the_worked_example(command: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my/conf/objective").mkdir(parents=True)
    (tmp_path / "my/rcsm.py").write_text(block("python", "class RegularisedCSM"))
    (tmp_path / "my/conf/objective/rcsm.yaml").write_text(block("yaml", "rcsm.RegularisedCSM"))
    shown = block("bash", "PYTHONPATH=my python src/train.py")
    arguments = shown.split("src/train.py ")[1].replace("$PWD", str(tmp_path)).replace('"', "").split()
    monkeypatch.syspath_prepend(str(tmp_path / "my"))
    ended = command(*arguments, "debug=tiny")
    assert ended.status == 0, ended.err
    assert yaml.safe_load((ended.run / "config.yaml").read_text())["objective"]["strength"] == 0.01
    assert "is finished" in command(*arguments, "debug=tiny").out
    assert ended.run.parent.name == "rcsm-made-digits"
    assert scorewise.load(ended.run).sample(2).shape == (2, 1, 8, 8), "an objective is of training alone"
    assert "classes=[rcsm.RegularisedCSM]" in command(f"run={ended.run}", name="eval").err
    assert command(f"run={ended.run}", "classes=[rcsm.RegularisedCSM]", name="eval").status == 0
    refused = command(*arguments, "backbone=mlp")
    assert "needs a backbone with causal features; backbone=mlp has none" in refused.err


def test_the_commands_compose() -> None:
    from test_compose import settled

    commands = re.findall(
        r"^python src/train\.py(.*?)(?:#.*)?$", block("bash", "objective=csm head=mixture"), re.MULTILINE
    )
    assert len(commands) == 7
    for arguments in commands:
        settled(*(re.sub(r"=([^,]*),.*", r"=\1", word) for word in arguments.split() if word != "-m"))


def test_the_table_of_benchmarks_is_what_was_measured() -> None:
    from scorewise.figures import results_page

    docs = Path(__file__).parents[1] / "docs"
    found, text = results_page.read(docs / "benchmarks"), (docs / "performance.md").read_text()
    assert {one["name"] for one in found} >= {"memory", "train_step"}
    assert results_page.SPEED_BEGINS in text
    assert results_page.with_speed(text, found) == text


def test_it_names_every_room_above_those_that_it_imports() -> None:
    tree = README.partition("\nsrc/scorewise/\n")[2].partition("\ndocs/")[0].splitlines()
    lines = [[Path(one).stem for one in line.strip().partition("  ")[0].split()] for line in tree]
    assert sorted(room for line in lines for room in line) == rooms()
    for i, line in enumerate(lines):
        below = {room for lower in lines[i:] for room in lower}
        for room in line:
            ours = {
                name.split(".")[1] for file in files_of(room) for name in imports_of(file) if name[:10] == "scorewise."
            }
            assert ours <= below, room


def test_every_script_is_named() -> None:
    named = README.partition("\nsrc/train.py ")[2].partition("   ")[0].split()
    assert {"train.py", *named} == {file.name for file in (Path(__file__).parents[1] / "src").glob("*.py")}


def test_every_file_that_it_names_is_there() -> None:
    root = Path(__file__).parents[1]
    assert (root / "docs/figures/demo_samples.png").is_file()
    tree = README.partition("\nsrc/scorewise/\n")[2].partition("\ndocs/")[0]
    named = {one for line in tree.splitlines() for one in line.strip().split("  ")[0].split()}
    assert len(named) > 20
    for name in named:
        assert (root / "src/scorewise" / name).exists(), name
    assert len(README.splitlines()) < 250
    for line in README.splitlines():
        assert not re.search(r"[A-Z]+_(TABLE|SENTENCE)", line), line
