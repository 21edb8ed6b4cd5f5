"""Models that come with the package, and folders that a model hub takes as they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import scorewise
from scorewise.comparison.loading import BUNDLED
from scorewise.data import Digits
from scorewise.heads import Gaussian
from scorewise.noise import Draws


@pytest.mark.parametrize("name", sorted(BUNDLED))
def test_a_model_of_the_package_is_small_and_samples_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sum(file.stat().st_size for file in BUNDLED[name].iterdir()) < 3_000_000
    model = scorewise.load(name)
    assert model.sample(2).shape == (2, *model.shape)
    assert "held out: nll" in repr(model)
    assert not list(tmp_path.iterdir())


def test_the_digits_model_is_as_good_as_it_says() -> None:
    """On forty test images: within three standard errors of theirs."""
    model, source = scorewise.load("digits"), Digits()
    clean_BD = source.examples("test", torch.arange(40), -1, 0)
    x_BD = clean_BD + model.noise * Draws.of(0, 0, torch.arange(40)).normal(64)
    with torch.no_grad():
        nll_B = -model.log_prob(x_BD)
    told = float(model.facts["held out"].partition("nll ")[2].split()[0])
    assert abs(float(nll_B.mean()) - told) < 3 * float(nll_B.std()) / 40**0.5


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    other = scorewise.load("digits")
    other.facts = {"data": "mine"}
    other.save("digits")
    assert dict(scorewise.load("digits").facts) == {"data": "mine"}


def test_a_saved_folder_has_a_card_with_a_header_and_keeps_what_is_known(tmp_path: Path) -> None:
    model = scorewise.load("digits")
    folder = model.save(tmp_path / "hub")
    assert {file.name for file in folder.iterdir()} == {"README.md", "config.yaml", "weights.safetensors"}
    _, header, text = (folder / "README.md").read_text().split("---\n")
    assert yaml.safe_load(header) == {"library_name": "scorewise", "tags": ["score-matching", "density-estimation"]}
    assert all(f"- {about}: {fact}" in text for about, fact in model.facts.items())
    again = scorewise.load(folder)
    assert dict(again.facts) == dict(model.facts)
    assert repr(again) == repr(model)
    assert isinstance(again, type(model))
    assert not isinstance(again, Gaussian)


@pytest.mark.parametrize("given", [torch.empty(0, 64), torch.empty(0, 1, 8, 8), np.empty((0, 8, 8))])
def test_no_examples_have_no_rest(given: Any) -> None:
    model = scorewise.load("digits")
    assert model.complete(given, torch.arange(64) < 32).shape == given.shape
    assert model.log_prob(given).shape == (0,)
