"""What a command costs before it does anything, in processor time of whole processes.

    python benchmarks/start.py [--rounds 5]

One process after the other, in turn: torch imported and one Adam built, which nothing that trains can do without;
`python src/train.py --help`; the default training up to the end of its first step (`trainer.max_steps=1 test=false`, so
with its checkpoint and pictures); and a run of 400 steps of it loaded in Python, with 100 samples and their log_prob.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from record import Row, ratio_row, write

SOURCE = Path(__file__).parents[1] / "src"
FLOOR = "import torch; torch.optim.Adam([torch.zeros(1, requires_grad=True)])"
USED = """
import sys, scorewise
model = scorewise.load(sys.argv[1])
model.log_prob(model.sample(100))
"""
FIRST_STEP = "first step of the default training"
GOALS = {FIRST_STEP: 1.35, "load, 100 samples and their log_prob": 1.35, "--help": 0.2}


def seconds(words: list[str], place: Path) -> float:
    """Return the processor time of a process that ends well."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], cwd=place, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, print and write docs/benchmarks/start.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        train = [str(SOURCE / "train.py")]
        step = [*train, "trainer.max_steps=1", "test=false"]
        run = place / "kept"
        # It also fills the caches of files.
        seconds([*train, "trainer.max_steps=400", "test=false", f"paths.runs={run}"], place)
        (trained,) = (path.parent for path in run.rglob("summary.json"))
        commands = {FIRST_STEP: step, "load, 100 samples and their log_prob": ["-c", USED, str(trained)]}
        commands["--help"] = [*train, "--help"]
        found: dict[str, list[float]] = {"torch and one Adam": [], **{name: [] for name in commands}}
        for number in range(rounds):
            found["torch and one Adam"].append(seconds(["-c", FLOOR], place))
            for name, words in commands.items():
                more = [f"seed={number + 1}"] if words is step else []
                found[name].append(seconds([*words, *more], place))
    floor = found["torch and one Adam"]
    rows: list[Row] = []
    for name, goal in GOALS.items():
        ratios = [one / other for one, other in zip(found[name], floor, strict=True)]
        rows.append(ratio_row(f"processor time of {name} / of importing torch and building one Adam", ratios, goal))
    medians = {name: sorted(each)[len(each) // 2] for name, each in found.items()}
    write("start", rows, torch.device("cpu"), seconds=medians)


if __name__ == "__main__":
    main()
