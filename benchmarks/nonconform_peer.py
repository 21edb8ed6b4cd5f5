"""nonconform with an isolation forest (Hennhoefer and Preisach) on the splits of benchmarks/false_discoveries.py.

    python benchmarks/false_discoveries.py --seeds 2 --minutes 0 --splits splits
    python3.12 -m venv nonconform-venv && nonconform-venv/bin/pip install nonconform
    nonconform-venv/bin/python benchmarks/nonconform_peer.py splits

It needs Python 3.12 or newer and an environment of its own, so it reads arrays from files and needs nothing of this
project. 300 isolation trees are fitted to the training half; 20 times nonconform calibrates them on the same kept rows
as for the other detectors and selects at a false discovery rate of .1, by its own p-values and Benjamini and Hochberg.
"""

import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
from nonconform import ConformalDetector, Split
from sklearn.ensemble import IsolationForest

RATE, RESAMPLINGS, LABEL = 0.1, 20, "nonconform"
LINES = Path(__file__).parents[1] / "docs" / "benchmarks" / "false_discoveries_nonconform.jsonl"


def measure(path: Path) -> dict[str, str | int | float]:
    """Return the mean realised rate and power of one table, and the standard error of the rate."""
    name, seed = path.stem.rsplit(" ", 1)
    with np.load(path) as file:
        train_ND, inside_ND, outside_ND = file["train_ND"], file["inside_ND"], file["outside_ND"]
    forest = IsolationForest(n_estimators=300, random_state=int(seed)).fit(train_ND)
    detector = ConformalDetector(detector=forest, strategy=Split(), seed=int(seed))
    rates, powers = [], []
    for draw in range(RESAMPLINGS):
        kept_ND, judged_ND = np.array_split(inside_ND[np.random.default_rng(draw).permutation(len(inside_ND))], 2)
        detector.calibrate(kept_ND)
        listed_N = np.asarray(detector.select(np.concatenate([judged_ND, outside_ND]), alpha=RATE), dtype=bool)
        false, true = int(listed_N[: len(judged_ND)].sum()), int(listed_N[len(judged_ND) :].sum())
        rates.append(false / max(1, false + true))
        powers.append(true / len(outside_ND))
    found: dict[str, str | int | float] = {"table": name, "seed": int(seed)}
    found[f"{LABEL}: rate"], found[f"{LABEL}: power"] = float(np.mean(rates)), float(np.mean(powers))
    return found | {f"{LABEL}: se of rate": float(np.std(rates, ddof=1) / RESAMPLINGS**0.5)}


def main() -> None:
    """Measure the tables that are not there yet."""
    warnings.simplefilter("ignore")
    logging.getLogger("nonconform").setLevel(logging.ERROR)  # it advises wherever a list is empty
    done = [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.is_file() else []
    known = {f"{line['table']} {line['seed']}" for line in done}
    for path in sorted(Path(sys.argv[1]).glob("*.npz"), key=lambda one: one.stat().st_size):
        if path.stem not in known:
            line = json.dumps(measure(path))
            with LINES.open("a") as file:
                file.write(line + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
