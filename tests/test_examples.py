"""The programs under examples/ run, and come near what is known, without Lightning and Hydra."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from test_imports import MATHEMATICS, imports_of

from scorewise.latent import AIS

EXAMPLES = Path(__file__).parents[1] / "examples"


def output(name: str, steps: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", [name, f"--steps={steps}"])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return capsys.readouterr().out


def number(after: str, text: str) -> float:
    (found,) = re.findall(rf"{re.escape(after)} (-?[\d.]+)", text)
    return float(found)


def test_csm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = output("csm_loop.py", 300, monkeypatch, capsys)
    assert abs(number("gap", said)) < 0.05
    shares = [float(share) for share in said.split("centre: ")[1].split()]
    assert all(abs(share - 0.25) < 0.1 for share in shares)


def test_energy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = output("energy_loop.py", 120, monkeypatch, capsys)
    assert number("relative error of the score:", said) < 0.1


def test_vae(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("scorewise.latent.AIS", lambda **_: AIS(temperatures=40, chains=8))
    said = output("vae_loop.py", 60, monkeypatch, capsys)
    assert 20 < number("64 held-out digits:", said) < 44.36, "64 pixels by a fair coin are 44.36 nats"


def test_no_lightning_and_no_hydra() -> None:
    """Nor a room that may import them: the mathematics runs where neither is installed, see test_light_core."""
    for file in EXAMPLES.glob("*.py"):
        for name in imports_of(file):
            root, _, room = name.partition(".")
            assert root not in ("lightning", "hydra", "omegaconf")
            assert root != "scorewise" or room.split(".")[0] in (*MATHEMATICS, "data"), (file, name)


def test_every_example_is_documented() -> None:
    page = (EXAMPLES.parent / "docs/library.md").read_text()
    assert all(f"`examples/{file.name}`" in page for file in EXAMPLES.glob("*.py"))
