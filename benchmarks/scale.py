"""What a job costs as it grows: dimensions and batch, a million rows, a second process, and many runs of a sweep.

    python benchmarks/scale.py [--parts step table processes sweep]

step: loss, gradient and Adam of `objective=csm backbone=made` with the settings of the MNIST job (MADE 2 x 512,
context 12, head 2 x 64) for D of 64, 784 and 3,072 and batches of 32, 128 and 512, each in a process of its own:
processor milliseconds, the median of its steps, with memory kept as commands keep it, and, in another process that
gives memory back at once, the most above what it had with weights, their gradients and Adam's averages in place.
table: `table_limits.py` for a million rows of ten columns. processes: 300 steps of the digits demo by one process and
by two (gloo), processor seconds of all, start and end included. sweep: processor seconds of a sweep of 52 runs of 20
steps less those of 2, over 50. One thread per process; parts measured before are kept.
"""

import argparse
import ctypes
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median

import torch
from memory import MIB, resident
from record import FOLDER, write

from scorewise.backbones import MADE
from scorewise.heads import ConditionalScore
from scorewise.noise import Draws
from scorewise.objectives import CSM
from scorewise.tasks.optimisation import Optimisation

HERE = Path(__file__).parent
PARTS = ("step", "table", "processes", "sweep")
SIZES = [(dims, batch) for dims in (64, 784, 3072) for batch in (32, 128, 512)]
RUNS = 50
SUBREAPER = 36
"""What `prctl` calls to become the parent of orphaned descendants."""


def step(dims: int, batch: int) -> tuple[float, float]:
    """Return the processor milliseconds of a step of this process, and the MiB that it takes."""
    torch.manual_seed(0)
    model = ConditionalScore(MADE((dims,), 12, (512, 512)), hidden=(64, 64), noise=0.3)
    objective, optimizer = CSM(), Optimisation().optimizer(model.parameters())
    factor = objective.gain(model) / dims

    def taken(rows: int) -> float:
        x_BD, draws = torch.randn(rows, dims), Draws.of(0, 0, torch.arange(rows))
        start = time.process_time()
        (objective(model, x_BD, draws).total * factor).backward()
        optimizer.step()
        spent = time.process_time() - start
        optimizer.zero_grad(set_to_none=False)
        return 1e3 * spent

    taken(2)
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = resident("VmRSS")
    taken(batch)
    spent = [taken(batch) for _ in range(max(3, min(20, 2**20 // (dims * batch))))]
    return median(spent), (resident("VmHWM") - before) / MIB


def children(command: list[str], **more: str) -> float:
    """Return the processor seconds of a command and of all that it starts, waited for by it or not. Linux only."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env={**os.environ, **more}, check=True, capture_output=True)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def of_steps() -> Mapping[str, Mapping[str, float]]:
    """Return milliseconds and MiB of a step by dimensions and batch."""
    spent, memory = dict[str, float](), dict[str, float]()
    for dims, batch in SIZES:
        name = f"D = {dims}, batch {batch}"
        for place, kept in ((0, "2000000000"), (1, "65536")):  # as commands keep memory, and given back at once
            command = [sys.executable, __file__, "--step", str(dims), str(batch)]
            malloc = {"MALLOC_MMAP_THRESHOLD_": kept, "MALLOC_TRIM_THRESHOLD_": kept}
            environment = {**os.environ, "OMP_NUM_THREADS": "1", **malloc}
            printed = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
            (spent, memory)[place][name] = float(printed.split()[place])
        print(f"{name}: {spent[name]:.1f} ms, {memory[name]:.0f} MiB", flush=True)
    return {"step_ms": spent, "step_mib": memory}


def of_table() -> Mapping[str, Mapping[str, float]]:
    """Return what `table_limits.py` prints of a million rows of ten columns."""
    command = [sys.executable, str(HERE / "table_limits.py"), "--rows", "1000000", "--columns", "10"]
    printed = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True)
    found = json.loads(re.findall(r"\{.*\}", printed.stdout.decode())[-1])
    print(found, flush=True)
    return {"a_million_rows_of_10_columns": {name: one for name, one in found.items() if not isinstance(one, str)}}


def training(folder: str, *words: str) -> list[str]:
    """Return a training command that writes below a folder."""
    fixed = ["logger=csv", "test=false", "callbacks.progress=false", f"paths.runs={folder}"]
    return [sys.executable, str(HERE.parent / "src" / "train.py"), *words, *fixed]


def of_processes() -> Mapping[str, Mapping[str, float]]:
    """Return processor seconds of the digits demo by one process and by two."""
    spent = {}
    for name, words in {
        "one": [],
        "two, gloo": ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"],
    }.items():
        with tempfile.TemporaryDirectory() as folder:
            found = children(training(folder, "trainer.max_steps=300", *words), OMP_NUM_THREADS="1")
        spent[name] = found
    print(spent, flush=True)
    return {"300_steps_s": spent}


def of_sweep() -> Mapping[str, Mapping[str, float]]:
    """Return processor seconds of a further run of a sweep."""
    spent = {}
    for runs in (2, 2 + RUNS):
        seeds = ",".join(map(str, range(runs)))
        with tempfile.TemporaryDirectory() as folder:
            words = ["-m", f"seed={seeds}", "trainer.max_steps=20", f"paths.multirun={folder}/sweep"]
            spent[runs] = children(training(folder, *words), OMP_NUM_THREADS="1")
    found = {"two runs": spent[2], "every further run": (spent[2 + RUNS] - spent[2]) / RUNS}
    print(found, flush=True)
    return {"sweep_s": found}


def main() -> None:
    """Measure, print and write docs/benchmarks/scale.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--step", nargs=2, type=int, help="measure one step in this process, and print ms and MiB")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.step:
        print(*step(*arguments.step))
        return
    path = FOLDER / "scale.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    numbers: dict[str, Mapping[str, float]] = {name: table for name, table in before.items() if isinstance(table, dict)}
    measured = {"step": of_steps, "table": of_table, "processes": of_processes, "sweep": of_sweep}
    for part in arguments.parts:
        numbers.update(measured[part]())
        write("scale", [], torch.device("cpu"), **numbers)


if __name__ == "__main__":
    main()
