"""Run folders that release 0.1.0 wrote are found, loaded, evaluated and compared as its own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Outcome
from safetensors.torch import save_file
from test_compose import config_of, settled

import scorewise
from scorewise import catalog
from scorewise.comparison.record import read_record
from scorewise.comparison.typed_again import retyped
from scorewise.config import identity as identities
from scorewise.config.identity import identity, what_counts
from scorewise.config.settle import settle
from scorewise.store import assemble, import_class, read_config, refuse_unknown

Command = Callable[..., Outcome]
STORED = Path(__file__).parent / "runs_of_0_1_0"
NAMES = sorted(path.name for path in STORED.iterdir())
ON_THIS_MACHINE = [name for name in NAMES if name != "table"]
"""Whose data are here."""


def placed(name: str, folder: Path) -> Path:
    """Return a stored run in the folder where a command looks for it, with weights of its shapes."""
    stored = yaml.safe_load((STORED / name / "config.yaml").read_text())
    run = folder / "runs" / name / str(stored["identity"])
    shutil.copytree(STORED / name, run)
    torch.manual_seed(0)
    model = assemble(read_config(run, refuse_unknown)["model"], import_class)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, run / "weights.safetensors")
    return run


@pytest.mark.parametrize("name", NAMES)
def test_they_are_read_and_keep_their_identity(name: str) -> None:
    config = read_config(STORED / name, refuse_unknown)
    assert config["identity"] == identity(config) == identity(settle(config))
    assert json.loads((STORED / name / "summary.json").read_text())["versions"]["scorewise"] == "0.1.0"


@pytest.mark.parametrize("name", ON_THIS_MACHINE)
def test_the_command_that_made_them_finds_them(name: str) -> None:
    config = read_config(STORED / name, refuse_unknown)
    words = [word.strip("'") for word in retyped(config).split()[2:]]
    assert identity(settle(config_of(*words))) == config["identity"]


@pytest.mark.parametrize("name", ["plain", "wandb", "vae"])
def test_they_are_loaded_tested_and_told_to_be_finished(name: str, command: Command, tmp_path: Path) -> None:
    run = placed(name, tmp_path)
    assert scorewise.load(run).sample(2).shape[0] == 2
    if name != "vae":  # whose likelihood takes minutes
        ended = command(f"run={run}", name="eval")
        assert ended.status == 0, ended.err
    words = [word.strip("'") for word in retyped(read_config(run, refuse_unknown)).split()[2:]]
    again = command(*words, f"name={name}")
    assert again.status == 0, again.err
    assert "This run is finished" in again.out
    assert run.name in again.out


def test_they_are_compared() -> None:
    records = [read_record(STORED / name, name) for name in NAMES]
    assert [record.status for record in records] == ["finished"] * len(NAMES)
    assert {record.results for record in records} == {1}


def test_classes_are_found_where_they_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = yaml.safe_load((STORED / "wandb/config.yaml").read_text())
    assert stored["logger"]["_target_"] == "scorewise.wandb_run.WandbRun"
    assert read_config(STORED / "wandb", refuse_unknown)["logger"]["_target_"] in catalog.names_only()
    before = identity(settled())
    monkeypatch.setitem(catalog.MOVED, "scorewise.elsewhere.CSM", "scorewise.objectives.csm.CSM")
    assert import_class("scorewise.elsewhere.CSM") is import_class("scorewise.objectives.csm.CSM")
    refuse_unknown("scorewise.elsewhere.CSM")
    assert what_counts(settled())["objective"]["_target_"] == "scorewise.elsewhere.CSM"
    assert catalog.updated({"objective": [{"_target_": "scorewise.elsewhere.CSM"}]}) == {
        "objective": [{"_target_": "scorewise.objectives.csm.CSM"}]
    }
    assert identity(settled()) != before, "as it would have been all along"


def test_a_release_is_no_reason_to_train_again(monkeypatch: pytest.MonkeyPatch) -> None:
    config: dict[str, Any] = settled()
    before = identity(config)
    monkeypatch.setattr("scorewise.version.__version__", "9.9")
    assert identity(config) == before
    monkeypatch.setattr(identities, "RESULTS", 2)
    assert identity(config) != before
