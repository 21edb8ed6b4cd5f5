"""Outliers of ADBench's classical tables, honestly split: mean AUROC and mean rank of one default and of its peers.

Half of the inliers train, shuffled, the rest and all outliers test; equal rows are on one side, at most 10,000 rows of
a table, standardised by the training rows. Nobody sees a label. One line per table, seed and method goes to
docs/benchmarks/outliers_adbench.jsonl, which a later call goes on with; the summary is of the seeds that have all
tables. Deep peers (benchmarks/deep_peers.py) are measured where they are named, and compared with ours on the tables
and seeds that they have.

    python benchmarks/outliers_adbench.py --seeds 0 1 2 3 4 --minutes 45
    python benchmarks/outliers_adbench.py --seeds 0 --methods 'AutoEncoder (PyOD)' 'DeepSVDD (PyOD)' DTE-C
"""

import time
from collections.abc import Mapping

import numpy as np
import torch
from adbench import Array, honest, names
from deep_peers import DEEP
from kept_fits import fitted
from lines import Line, given_to, go_on, lines, mean_with_interval, options
from outlier_peers import PEERS, Scores
from record import Row, ratio_row, write
from sklearn.metrics import roc_auc_score

NAME, OURS, LARGEST = "outliers_adbench", "ScoreDensity", 1e300
RESAMPLES = 10_000
Found = dict[tuple[str, int, str], float]


METHODS = (*PEERS, OURS)


def scoring(method: str, x_ND: Array, seed: int) -> tuple[Scores, float]:
    """Return how a method scores rows, and the processor time of its fit, seconds."""
    if method == OURS:
        fit = fitted(x_ND, seed)
        return fit.model.outlier_score, fit.seconds
    started = time.process_time()
    scores = {**PEERS, **DEEP}[method](x_ND, seed)
    return scores, time.process_time() - started


def measure(table: str, seed: int, method: str) -> Line:
    """Return the AUROC of a method on a table, and its processor time."""
    split = honest(table, seed)
    scores, fit_seconds = scoring(method, split.train_ND, seed)
    started = time.process_time()
    score_N = np.nan_to_num(scores(split.test_ND), posinf=LARGEST).clip(-LARGEST, LARGEST)
    return {
        "auroc": float(roc_auc_score(split.odd_N, score_N)),
        "fit_seconds": fit_seconds,
        "score_seconds": time.process_time() - started,
        "rows": len(split.train_ND),
        "columns": split.train_ND.shape[1],
    }


def table_of(found: Found, seeds: list[int]) -> Array:
    """Return AUROC by method, seed and table."""
    return np.array([[[found[name, seed, method] for name in names()] for seed in seeds] for method in METHODS])


def ranks(auroc_MST: Array) -> Array:
    """Return the rank of every method in every table and seed, 1 the best; equal ones share theirs."""
    better = (auroc_MST[None] > auroc_MST[:, None]).sum(1)
    same = (auroc_MST[None] == auroc_MST[:, None]).sum(1)
    return np.asarray(better + 0.5 * (same + 1), dtype=np.float64)


def gap(auroc_MST: Array, ours: int, other: int) -> list[float]:
    """Return how far ours is ahead in mean AUROC and the 2.5 % and 97.5 % ends, tables drawn with replacement."""
    ahead_T = (auroc_MST[ours] - auroc_MST[other]).mean(0)
    drawn = np.random.default_rng(0).integers(len(ahead_T), size=(RESAMPLES, len(ahead_T)))
    return [float(ahead_T.mean()), *np.quantile(ahead_T[drawn].mean(1), [0.025, 0.975]).tolist()]


def summarise() -> None:
    """Print the means over the seeds that have all tables, and write them."""
    found = {(one["table"], one["seed"], one["method"]): one["auroc"] for one in lines(NAME)}
    have = {seed for _, seed, _ in found}
    seeds = sorted(s for s in have if all((name, s, method) in found for name in names() for method in METHODS))
    if not seeds:
        print("no seed has all tables yet")
        return
    auroc_MST, labels = table_of(found, seeds), list(METHODS)
    rank_M, mean_M = ranks(auroc_MST).mean((1, 2)), auroc_MST.mean((1, 2))
    numbers: dict[str, Mapping[str, float]] = {"seeds": {"count": float(len(seeds))}}
    ours = labels.index(OURS)
    for m in np.argsort(-mean_M):
        ahead, low, high = gap(auroc_MST, ours, int(m))
        numbers[labels[m]] = {"mean_auroc": float(mean_M[m]), "mean_rank": float(rank_M[m]), "ours_ahead": ahead}
        numbers[labels[m]] |= {"ours_ahead_low": low, "ours_ahead_high": high, **_seconds(labels[m], seeds)}
        print(
            f"{labels[m]:24s} {mean_M[m]:.4f} rank {rank_M[m]:.2f}, ours ahead {ahead:+.4f} [{low:+.4f}, {high:+.4f}]"
        )
    peers = [m for m in range(len(labels)) if m != ours]
    best, least = max(peers, key=lambda m: mean_M[m]), min(peers, key=lambda m: rank_M[m])
    behind = (auroc_MST[best] - auroc_MST[ours]).mean(1).tolist()
    rank_S = ranks(auroc_MST).mean(2)
    rows: list[Row] = [
        ratio_row(f"ADBench: mean AUROC of {labels[best]} - ours, {len(seeds)} seeds", behind, -0.01),
        ratio_row("ADBench: mean rank, ours - that of the best peer", (rank_S[ours] - rank_S[least]).tolist(), 0.0),
    ]
    write(NAME, rows, torch.device("cpu"), **numbers, **beside_deep(found))


def beside_deep(found: Found) -> dict[str, dict[str, float]]:
    """Return and print mean AUROC of deep peers and of ours on the tables and seeds that they have."""
    numbers: dict[str, dict[str, float]] = {}
    for label in DEEP:
        by_table: dict[str, list[tuple[float, float]]] = {}
        for name, seed, method in found:
            if method == label and (name, seed, OURS) in found:
                by_table.setdefault(name, []).append((found[name, seed, label], found[name, seed, OURS]))
        if not by_table:
            continue
        auroc_TM = np.array([np.mean(pairs, axis=0) for pairs in by_table.values()])
        ahead, low, high = mean_with_interval((auroc_TM[:, 1] - auroc_TM[:, 0]).tolist())
        seeds = sorted({seed for _, seed, method in found if method == label})
        peer, ours = auroc_TM.mean(0)
        numbers[label] = {"tables": len(by_table), "mean_auroc": peer, "ours_there": ours, "ours_ahead": ahead}
        numbers[label] |= {"ours_ahead_low": low, "ours_ahead_high": high, **_seconds(label, seeds)}
        print(
            f"{label:24s} {peer:.4f} on {len(by_table)} tables, seeds {seeds}, ours {ours:.4f}, ahead {ahead:+.4f} "
            f"[{low:+.4f}, {high:+.4f}]"
        )
    return numbers


def _seconds(method: str, seeds: list[int]) -> dict[str, float]:
    """Return the median processor time of a fit and of scoring, seconds."""
    mine = [one for one in lines(NAME) if one["method"] == method and one["seed"] in seeds]
    return {key: float(np.median([one[key] for one in mine])) for key in ("fit_seconds", "score_seconds")}


def main() -> None:
    """Measure for some minutes, then summarise."""
    parser = options(__doc__, 45, seeds=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", choices=(*METHODS, *DEEP), default=list(METHODS))
    given = given_to(parser)
    cases = (
        {"table": name, "seed": seed, "method": method}
        for seed in given.seeds
        for name in names()
        for method in given.methods
    )
    go_on(NAME, cases, measure, given.minutes)
    summarise()


if __name__ == "__main__":
    main()
