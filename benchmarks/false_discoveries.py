"""Rows at a false discovery rate of .1: how many of the list belong to the data, and how many outliers are on it.

    python benchmarks/false_discoveries.py --seeds 1 --minutes 20

The honest split of the table of outliers (benchmarks/adbench.py). Every detector is fitted once to the training half;
then, 20 times, half of the other inliers, drawn at random, are kept for split-conformal p-values, and the rest with all
outliers are judged: Benjamini and Hochberg at .1 (`scorewise.outliers.discoveries`). The same code and the same draws
for all detectors: `ScoreDensity.outlier_score` with its defaults, 300 isolation trees, the 5 nearest neighbours.
Realised rate: the share of the list that belongs to the data, 0 of an empty list; power: the share of the outliers that
are on the list. No p-value is below 1 / (kept + 1), so a table of few rows has no list for anyone. nonconform itself,
with the forest, is benchmarks/nonconform_peer.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from adbench import Array, honest, names
from kept_fits import fitted
from lines import Line, given_to, go_on, lines, mean_with_interval, options
from outlier_peers import Detector, Scores, forest, neighbours
from record import ratio_row, write

from scorewise.outliers import conformal_p_values, discoveries

NAME, RATE, RESAMPLINGS = "false_discoveries", 0.1, 20


def ours(x_ND: Array, seed: int) -> Scores:
    """Return the outlier scores of `ScoreDensity`."""
    score: Scores = fitted(x_ND, seed).model.outlier_score
    return score


DETECTORS: Mapping[str, Detector] = {
    "ScoreDensity": ours,
    "IsolationForest": forest,
    "5 nearest neighbours": neighbours,
}
OURS, *PEERS = DETECTORS


def rate_and_power(inside_N: Array, outside_N: Array, seed: int) -> tuple[float, float]:
    """Return the realised rate and the power by scores of inliers and outliers, half of the inliers kept."""
    mixed_N = torch.as_tensor(np.random.default_rng(seed).permutation(inside_N))
    kept_N, judged_N = mixed_N.tensor_split(2)
    p_N = conformal_p_values(torch.cat([judged_N, torch.as_tensor(outside_N)]), kept_N)
    listed_N = discoveries(p_N, RATE)
    false, true = int(listed_N[: len(judged_N)].sum()), int(listed_N[len(judged_N) :].sum())
    return false / max(1, false + true), true / len(outside_N)


def measure(table: str, seed: int) -> Line:
    """Return the means over the resamplings, and the standard error of the realised rate."""
    split = honest(table, seed)
    found: Line = {"inliers": int((~split.odd_N).sum()), "outliers": int(split.odd_N.sum())}
    for label, detector in DETECTORS.items():
        score_N = np.asarray(detector(split.train_ND, seed)(split.test_ND))
        pairs = [rate_and_power(score_N[~split.odd_N], score_N[split.odd_N], draw) for draw in range(RESAMPLINGS)]
        rate_R, power_R = np.array(pairs).T
        found[f"{label}: rate"], found[f"{label}: power"] = float(rate_R.mean()), float(power_R.mean())
        found[f"{label}: se of rate"] = float(rate_R.std(ddof=1) / RESAMPLINGS**0.5)
    return found


def write_splits(folder: Path, seeds: Sequence[int]) -> None:
    """Write the training rows, the other inliers and the outliers of every table."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for name in names():
            split = honest(name, seed)
            inside_ND, outside_ND = split.test_ND[~split.odd_N], split.test_ND[split.odd_N]
            np.savez(folder / f"{name} {seed}.npz", train_ND=split.train_ND, inside_ND=inside_ND, outside_ND=outside_ND)


def beside_nonconform() -> Line:
    """Return and print rate and power of nonconform, and how far ours is ahead on the same tables and seeds."""
    ours = {(line["table"], line["seed"]): line for line in lines(NAME)}
    theirs = [line for line in lines(f"{NAME}_nonconform") if (line["table"], line["seed"]) in ours]
    if not theirs:
        return {}
    rate, low, high = mean_with_interval([line["nonconform: rate"] for line in theirs])
    power = float(np.mean([line["nonconform: power"] for line in theirs]))
    gaps = [ours[line["table"], line["seed"]][f"{OURS}: power"] - line["nonconform: power"] for line in theirs]
    ahead, less, more = mean_with_interval(gaps)
    print(f"nonconform on {len(theirs)}: rate {rate:.3f} [{low:.3f}, {high:.3f}], power {power:.3f}")
    print(f"{'':22s} power of ours ahead by {ahead:+.3f} [{less:+.3f}, {more:+.3f}]")
    found = {"tables": len(theirs), "rate": rate, "rate_low": low, "rate_high": high, "power": power}
    return found | {"ours_ahead": ahead, "ours_ahead_low": less, "ours_ahead_high": more}


def summarise() -> None:
    """Print means over tables with their intervals, and write them."""
    found = lines(NAME)
    if not found:
        return
    numbers: dict[str, Mapping[str, float]] = {"tables and seeds": {"count": len(found)}}
    rows = []
    for label in DETECTORS:
        rate, low, high = mean_with_interval([line[f"{label}: rate"] for line in found])
        power = float(np.mean([line[f"{label}: power"] for line in found]))
        over = sum(line[f"{label}: rate"] > RATE + 2 * line[f"{label}: se of rate"] for line in found)
        ahead, less, more = mean_with_interval([line[f"{OURS}: power"] - line[f"{label}: power"] for line in found])
        numbers[label] = {"rate": rate, "rate_low": low, "rate_high": high, "power": power, "tables_above": over}
        numbers[label] |= {"ours_ahead": ahead, "ours_ahead_low": less, "ours_ahead_high": more}
        print(f"{label:22s} rate {rate:.3f} [{low:.3f}, {high:.3f}], above .1 + 2 s.e. on {over}; power {power:.3f}")
        print(f"{'':22s} power of ours ahead by {ahead:+.3f} [{less:+.3f}, {more:+.3f}]")
        if label == OURS:
            rows.append(ratio_row("realised rate of ours - .1, over tables", [rate - RATE], 0.0))
        else:
            rows.append(ratio_row(f"power of {label} - ours, mean over tables", [-ahead], 0.0))
    if theirs := beside_nonconform():
        numbers["nonconform, IsolationForest"] = theirs
        rows.append(ratio_row("power of nonconform's IsolationForest - ours, mean", [-theirs["ours_ahead"]], 0.0))
    write(NAME, rows, torch.device("cpu"), **numbers)


def main() -> None:
    """Measure for some minutes, then summarise."""
    parser = options(__doc__, 30, seeds=[1])
    parser.add_argument(
        "--splits", type=Path, help="a folder to write the splits to, for benchmarks/nonconform_peer.py"
    )
    given = given_to(parser)
    if given.splits:
        write_splits(given.splits, given.seeds)
    go_on(NAME, ({"table": name, "seed": seed} for seed in given.seeds for name in names()), measure, given.minutes)
    summarise()


if __name__ == "__main__":
    main()
