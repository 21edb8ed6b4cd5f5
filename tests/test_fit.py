"""One call that is the twin of the command train."""

import sys
import warnings
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import RichProgressBar
from test_cli import Command

import scorewise
from scorewise.errors import UserError
from scorewise.run.progress import NotebookLine, progress_bar

TINY: dict[str, Any] = {"debug": "tiny", "backbone__hidden": [8, 8], "optim__schedule": "constant"}


def test_it_finds_the_folder_of_the_command_and_the_command_finds_its(command: Command) -> None:
    typed = ("data=digits", "objective=dsm", "debug=tiny", "backbone.hidden=[8,8]", "optim.schedule=constant")
    ended = command(*typed)
    assert ended.status == 0, ended.err
    set_before = HydraConfig.instance().cfg
    before, shown = (ended.run / "summary.json").read_bytes(), warnings.showwarning
    model = scorewise.fit("digits", objective="dsm", **TINY)
    assert "objective: dsm" in repr(model)
    assert (ended.run / "summary.json").read_bytes() == before
    other = scorewise.fit("digits", "objective.sigma=0.2", objective="dsm", **TINY)
    assert len(list(ended.folder.glob("*runs/*/*/summary.json"))) == 2
    assert "is finished" in command(*typed, "objective.sigma=0.2").out
    assert not torch.equal(*(next(one.parameters()) for one in (model, other)))
    assert warnings.showwarning is shown
    assert HydraConfig.instance().cfg is set_before


def test_quiet_leaves_out_what_is_printed_and_keeps_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fit = partial(scorewise.fit, "digits", objective="dsm", **TINY)
    fit(quiet=True)
    assert capsys.readouterr().out == ""
    fit(quiet=False)
    assert "is finished" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"optim\.lr"):
        fit(quiet=True, optim__lr=-1.0)
    fit()
    assert "is finished" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["sweep=dsm_sigma", "hydra.run.dir=here", "+hydra/launcher=joblib"])
def test_what_is_of_the_command_line_is_refused(word: str) -> None:
    with pytest.raises(UserError, match=r"is for the command line: scorewise\.fit trains one run, below paths\.runs"):
        scorewise.fit("digits", word)


def test_a_file_is_a_table_and_a_folder_is_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "run=1 [x].csv"
    np.savetxt(file, np.random.default_rng(0).normal(size=(120, 2)), delimiter=",", header="a,b", comments="")
    model = scorewise.fit(file, backbone={"hidden": [8]}, trainer__max_steps=2)
    assert model.sample(3).shape == (3, 2)
    assert "columns (a, b)" in repr(model)
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="photos"):
        scorewise.fit("photos", debug="tiny")


@pytest.mark.parametrize("name", ["a\tb.csv", "a\nb.csv", "${x}.csv", "a${oc.env:HOME}.csv"])
def test_names_that_no_setting_can_hold_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"has a name that no setting can hold|which no stored config may hold"):
        scorewise.fit(name, debug="tiny")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("wine.csv", r"wine\.csv is neither a file nor a folder, seen from"),
        ("photos/cats", "photos/cats is neither a file nor a folder"),
        (Path("wine"), "wine is neither a file nor a folder"),
        ("digit", "did you mean digits?"),
        (np.zeros((5, 2)), r"data is of type ndarray: .*ScoreDensity\(\)\.fit\(X\)"),
    ],
)
def test_what_is_no_data_is_refused(data: Any, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        scorewise.fit(data)


@pytest.mark.parametrize(
    ("settings", "named", "sentence"),
    [
        (("objective=csmm",), {}, "objective=csmm is no option of objective: use one of .* did you mean csm?"),
        ((), {"backbone__hiden": [8]}, "did you mean hidden?"),
        ((), {"optim__lr": -1.0}, r"optim.lr=-1(\.0)? must be"),
        ((), {"name": "a/b"}, "name=a/b"),
        (("[",), {}, "Hydra|\\["),
    ],
)
def test_what_the_command_refuses_is_the_same_sentence(
    settings: tuple[str, ...], named: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        scorewise.fit("digits", *settings, **named)
    assert not list(tmp_path.iterdir())


def test_the_bar_of_a_notebook_needs_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progress_bar(), RichProgressBar)
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    assert isinstance(progress_bar(), NotebookLine)
