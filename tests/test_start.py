"""What a command imports before it does anything: a start is felt every time."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from scorewise.data.images import Digits
from scorewise.data.source import Split, split_at_random

SOURCE = Path(__file__).parents[1] / "src"
HEAVY = {
    "torch",
    "lightning",
    "torchmetrics",
    "torchvision",
    "scipy.signal",
    "sklearn",
    "pandas",
    "wandb",
    "matplotlib",
}
TRAINING = {"torch", "lightning", "torchmetrics", "torchvision", "matplotlib"}


CONSOLE = f"""
import sys; from scorewise.commands.cli import console
try:
    console()
finally:
    print('IMPORTED', *sorted({HEAVY} & set(sys.modules)))
"""


def imported(ended: subprocess.CompletedProcess[str]) -> set[str]:
    """Return the large modules that the program above has imported."""
    assert "leak" not in ended.stderr
    return set(ended.stdout.rpartition("IMPORTED")[2].split())


@pytest.mark.parametrize("command", ["train", "compare"])
def test_help_imports_no_large_module(command: str, tmp_path: Path) -> None:
    """And a training what it needs, also while it runs: see test_the_wheel_trains_in_a_new_process."""
    ended = subprocess.run(
        [sys.executable, "-c", CONSOLE, command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert imported(ended) == set()


def test_a_training_imports_what_it_needs_and_what_is_put_off_is_the_module_itself_when_it_is_asked_for() -> None:
    program = f"""
import sys
from scorewise.commands.commands import _importing
with _importing():
    import torch._dynamo
    from scorewise.run import training
print('IMPORTED', *sorted({HEAVY} & set(sys.modules)))
with _importing():
    import scipy.signal
    before = hasattr(scipy.signal, "hamming")
    from scipy.signal import wiener
import scipy.signal
assert before and scipy.signal.wiener is wiener and scipy.signal.windows.hamming
with _importing():
    import scipy.signal
assert scipy.signal.wiener is wiener
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert not ended.returncode, ended.stderr
    assert imported(ended) <= TRAINING


def test_digits_are_those_of_scikit_learn() -> None:
    images, digits = load_digits(return_X_y=True)
    source, parts = Digits(), split_at_random(len(images), (1297, 200, 300))
    splits: tuple[Split, ...] = ("train", "val", "test")
    for split, rows in zip(splits, parts, strict=True):
        assert torch.equal(source.read()[split], torch.from_numpy(images[rows]).to(torch.uint8))
        assert source.labels(split).tolist() == digits[rows].tolist()
