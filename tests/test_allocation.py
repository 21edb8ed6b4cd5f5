"""A process keeps the memory that it frees for its next step."""

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scorewise.run import allocation
from scorewise.run.trainer import trainer_of

FAULTS = """
import resource
from scorewise.run.allocation import settle_allocation
settled = settle_allocation()
def step():
    pieces = [b"x" * (40 << 20)]
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(settled, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to settle")


def faults(**environment: str) -> tuple[str, int]:
    kept = {name: value for name, value in os.environ.items() if name not in allocation.GIVEN}
    source = str(Path(allocation.__file__).parents[2])
    found = subprocess.run(
        [sys.executable, "-c", FAULTS],
        env={**kept, "PYTHONPATH": source, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    settled, count = found.stdout.split()
    return settled, int(count)


@GLIBC
def test_freed_memory_is_not_asked_for_again() -> None:
    """A piece of 40 MiB is 10,240 pages: ten of them fault in each of them again, or none at all."""
    settled, count = faults()
    assert settled == "True"
    assert count < 1_000


@GLIBC
def test_what_the_environment_settles_stays() -> None:
    settled, count = faults(MALLOC_MMAP_THRESHOLD_="65536")
    assert settled == "False"
    assert count > 50_000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in allocation.GIVEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not allocation.settle_allocation()


@GLIBC
def test_an_older_glibc_refuses_a_large_threshold_and_takes_a_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in allocation.GIVEN:
        monkeypatch.delenv(name, raising=False)
    asked: list[tuple[int, int]] = []

    class Library:
        def mallopt(self, name: int, value: int) -> int:
            asked.append((name, value))
            return int(name != allocation.MMAP_THRESHOLD or value <= 1 << 25)

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library())
    assert allocation.settle_allocation()
    assert asked == [(-3, 1 << 30), (-3, 1 << 25), (-1, 1 << 30)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is for machines without CUDA devices")
def test_steps_do_not_look_for_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def counted() -> int:
        looked.append(1)
        return 0

    monkeypatch.setattr(torch.cuda, "device_count", counted)
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # as Lightning has it
    assert torch.accelerator.current_accelerator(check_available=True) is None  # what every step of Adam asks
    assert looked or not torch.backends.cuda.is_built()
    trainer_of(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    looked.clear()
    assert torch.accelerator.current_accelerator(check_available=True) is None
    assert not looked
