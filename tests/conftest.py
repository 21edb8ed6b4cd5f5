"""What tests share."""

import gc
import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("WANDB_MODE", "offline")

import pytest
import torch
from PIL import Image
from quick_compositions import quick_compositions

torch.set_num_threads(1)
gc.disable()  # while tests are collected, which drops little


@pytest.fixture(scope="session", autouse=True)
def _in_less_time() -> Iterator[None]:
    """Compose configs quickly, and look for no garbage in the modules that were imported to collect the tests.

    Nor does every step of every optimiser ask the system for GPUs that are not there.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    with quick_compositions(), pytest.MonkeyPatch.context() as patch:
        if torch.accelerator.current_accelerator(check_available=True) is None:
            patch.setattr(torch.optim.Optimizer, "_accelerator_graph_capture_health_check", lambda _: None)
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


def empty(draw: Callable[..., Any]) -> Callable[..., None]:
    """Return what leaves the smallest picture where a function would draw one."""
    given = inspect.signature(draw)

    def drawn(*args: Any, **named: Any) -> None:
        from scorewise.files import put_bytes

        put_bytes(Path(given.bind(*args, **named).arguments["path"]), grey_pixel(), lasting=False)

    return drawn


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

    Pictures are left empty, since laying one out takes as long as the rest of a short run, unless a test is marked with
    `pictures`. Nor does a model draw what would be in them, unless it is marked with `draws`: data are in its place.
    What is written is not flushed to the disk.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    if request.node.get_closest_marker("pictures") is None:
        from scorewise import plots
        from scorewise.run import pictures

        monkeypatch.setattr(pictures, "ENTRIES", 80)
        if request.node.get_closest_marker("draws") is None:
            monkeypatch.setattr(pictures, "_drawn", lambda _, source, n, seed: pictures._clean(source, n, seed)[1])
        for name in ("curves", "histograms", "images", "plane", "samples", "table"):
            monkeypatch.setattr(plots, name, empty(getattr(plots, name)))
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
