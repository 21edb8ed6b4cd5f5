"""Two processes end where one does; the last of 129 held-out examples is a batch of the first process alone."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from children import trained_by_two
from conftest import Outcome
from safetensors.torch import load_file

from scorewise.tracking.metrics_table import read_metrics

SETTINGS = (
    "debug=tiny", "data=gaussian", "data.dims=6", "data.batch_size=64", "data.held_out=129",
    "trainer.precision=64-true", "trainer.max_steps=20",
    "trainer.max_epochs=4", "trainer.limit_train_batches=8", "trainer.limit_val_batches=null",
    "trainer.limit_test_batches=null", "objective=csm", "head=mixture", "callbacks.sample_every_n_epochs=0",
)  # fmt: skip


def started_by_lightning(words: list[str], folder: Path) -> None:
    script = Path(__file__).parents[1] / "src" / "train.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [sys.executable, str(script), *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


def forked_before(words: list[str], _: Path) -> None:
    """What Lightning would start is there already: with its words and its environment, without its imports."""
    assert trained_by_two(words) == [0, 0]


@pytest.mark.parametrize("begin", [forked_before, pytest.param(started_by_lightning, marks=pytest.mark.slow)])
def test_two_processes_end_with_the_weights_of_one(
    tmp_path: Path, command: Callable[..., Outcome], begin: Callable[[list[str], Path], None]
) -> None:
    begin([*SETTINGS, "trainer=ddp", "trainer.accelerator=cpu", "hydra.run.dir=two"], tmp_path)
    one = command(*SETTINGS, "hydra.run.dir=one")
    assert one.status == 0, one.err
    a, b = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 1e-8
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("one", "two")]
    assert summaries[0]["steps"] == summaries[1]["steps"] == 20
    assert summaries[0]["identity"] == summaries[1]["identity"]
    one_by_one, by_two = (read_metrics(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    assert one_by_one.keys() == by_two.keys() >= {"train/loss", "train/loss/csm", "train/grad_norm", "val/loss"}
    for name, points in one_by_one.items():
        assert [step for step, _ in by_two[name]] == [step for step, _ in points], name
        assert [value for _, value in by_two[name]] == pytest.approx([value for _, value in points], abs=1e-6), name
    for name, value in summaries[0]["metrics"].items():
        assert abs(value - summaries[1]["metrics"][name]) < 1e-6, name
