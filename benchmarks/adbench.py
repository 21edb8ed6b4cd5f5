"""ADBench's classical tables, and the honest split of one: shuffled, equal rows on one side."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scorewise.data.roots import data_root

Array = NDArray[np.float64]
ROWS = 10_000
"""Rows of a table, at most."""
OUTLIERS = 30
"""Outliers that a smaller draw of a large table keeps at least, where there are that many."""


class SplitTable(NamedTuple):
    """A table in two halves, standardised by its training rows.

    Args:
        train_ND: half of the inliers.
        test_ND: the other rows.
        odd_N: which of these are outliers.
    """

    train_ND: Array
    test_ND: Array
    odd_N: NDArray[np.bool_]


def folder() -> Path:
    """Return where the tables are."""
    return data_root(None) / "adbench"


@cache
def names() -> list[str]:
    """Return the names of all tables, the one with the fewest cells first."""
    cells: dict[str, int] = {}
    for path in folder().glob("*.npz"):
        with np.load(path) as file:
            rows, columns = file["X"].shape
        cells[path.stem] = min(rows, ROWS) * columns
    return sorted(cells, key=lambda name: (cells[name], name))


def honest(name: str, seed: int) -> SplitTable:
    """Return a table that trains on half of its inliers; no row is on both sides, nor beside an equal outlier.

    Of a table of more than 10,000 rows that many are drawn, from inliers and outliers in proportion, but no fewer than
    30 outliers (or all).
    """
    with np.load(folder() / f"{name}.npz") as file:
        x_ND, odd_N = file["X"].astype(np.float64), file["y"].astype(bool)
    rng = np.random.default_rng(seed)
    if len(x_ND) > ROWS:
        chosen = _drawn(odd_N, rng)
        x_ND, odd_N = x_ND[chosen], odd_N[chosen]
    _, group_N = np.unique(x_ND, axis=0, return_inverse=True)
    group_N = group_N.reshape(-1)
    count_G, odd_G = np.bincount(group_N), np.bincount(group_N, weights=odd_N) > 0
    order = rng.permutation(len(count_G))
    order = order[~odd_G[order]]
    into_train = order[np.cumsum(count_G[order]) <= (~odd_N).sum() / 2]
    train_N = np.isin(group_N, into_train)
    return standardised(x_ND[train_N], x_ND[~train_N], odd_N[~train_N])


def _drawn(odd_N: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows of a smaller table."""
    outliers, inliers = np.flatnonzero(odd_N), np.flatnonzero(~odd_N)
    few = min(len(outliers), max(OUTLIERS, round(ROWS * len(outliers) / len(odd_N))))
    chosen = [rng.choice(inliers, ROWS - few, replace=False), rng.choice(outliers, few, replace=False)]
    return np.sort(np.concatenate(chosen))


def standardised(train_ND: Array, test_ND: Array, odd_N: NDArray[np.bool_]) -> SplitTable:
    """Return rows with means 0 and standard deviations 1 in training; a constant column is only moved."""
    mean_D, scale_D = train_ND.mean(0), train_ND.std(0)
    scale_D = np.where(scale_D > 1e-12 * np.abs(mean_D).clip(1), scale_D, 1.0)
    return SplitTable((train_ND - mean_D) / scale_D, (test_ND - mean_D) / scale_D, odd_N)
