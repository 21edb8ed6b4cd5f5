"""What tests share."""

import gc
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest
import torch
from PIL import Image
from quick_compositions import quick_compositions

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _in_less_time() -> Iterator[None]:
    """Compose configs quickly, and look for no garbage in the modules that were imported to collect the tests."""
    gc.collect()
    gc.freeze()
    with quick_compositions():
        yield
    gc.unfreeze()  # or compiled modules take what is left for lost


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    dtype = torch.get_default_dtype()
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(dtype)


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def grey_pixel() -> bytes:
    """Return the smallest picture."""
    picture = io.BytesIO()
    Image.new("L", (1, 1), 128).save(picture, "png")
    return picture.getvalue()


@dataclass
class Outcome:
    """What a command ended with."""

    status: int
    out: str
    err: str
    folder: Path

    @property
    def run(self) -> Path:
        """The folder of the only run."""
        (summary,) = self.folder.glob("*runs/*/*/config.yaml")  # debug_runs/ by debug=
        return summary.parent


@pytest.fixture
def command(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Outcome]:
    """`python src/train.py ...` in this process, in an empty folder.

    Pictures are made of a few examples and places, and not rendered, which takes most of a short run, unless a test is
    marked with `pictures`.
    """
    monkeypatch.chdir(tmp_path)
    if request.node.get_closest_marker("pictures") is None:
        from scorewise.plots.style import Drawing
        from scorewise.run import pictures

        monkeypatch.setattr(Drawing, "png", lambda _: grey_pixel())
        monkeypatch.setattr(pictures, "ENTRIES", 80)
        for name, fewer in {"CELLS": 5, "ARROWS": 3}.items():
            monkeypatch.setattr(importlib.import_module("scorewise.plots.plane"), name, fewer)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def run(*arguments: str, name: str = "train") -> Outcome:
        from scorewise.commands.cli import main

        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        capsys.readouterr()
        status = main(name)
        torch.set_default_dtype(torch.float32)
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err, tmp_path)

    return run
