"""Cells with the value of another row: how well the surprise of a cell tells them, beside what others say of cells.

    python benchmarks/outlier_cells.py

Inliers of three tables of ADBench and the red wines, half to train (at most 1,500 rows). Of 100 other rows, 1 to 3
cells each have the value that another row has there; every cell of these and of 100 untouched rows is judged: AUROC
over cells. The peers are ECOD's tail of the cell's own column, the squared difference from the mean of the five nearest
rows, which is the cell's part of that distance, and a Gaussian given all other cells in closed form.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from adbench import Array, honest, standardised
from numpy.typing import NDArray
from record import ratio_row, write
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from scorewise import ScoreDensity
from scorewise.data.roots import data_root
from scorewise.estimators import GaussianRows
from scorewise.outliers import CellFindings

TABLES = ("22_magic.gamma", "6_cardio", "30_satellite")
TRAINED, JUDGED, CHANGED, SEEDS = 1500, 200, 100, 1
OURS = "ScoreDensity"
Judge = Callable[[Array, Array, int], Array]


class Planted(NamedTuple):
    """Rows of which some cells are another row's.

    Args:
        train_ND: untouched rows, standardised.
        test_ND: others.
        wrong_ND: which cells of these have another value than they had.
    """

    train_ND: Array
    test_ND: Array
    wrong_ND: NDArray[np.bool_]


def planted(name: str, seed: int) -> Planted:
    """Return a table with such cells."""
    rng = np.random.default_rng(seed)
    if name == "wine":
        x_ND = np.loadtxt(data_root(None) / "uci" / "winequality-red.csv", delimiter=";", skiprows=1)
        x_ND = rng.permutation(np.unique(x_ND, axis=0))
        table = standardised(x_ND[: len(x_ND) // 2], x_ND[len(x_ND) // 2 :], np.zeros(0, dtype=bool))
        inliers_ND = table.test_ND
    else:
        table = honest(name, seed)
        inliers_ND = rng.permutation(table.test_ND[~table.odd_N])
    test_ND, others_ND = inliers_ND[:JUDGED].copy(), inliers_ND[JUDGED:]
    columns = test_ND.shape[1]
    for row in range(CHANGED):
        cells = rng.choice(columns, rng.integers(1, 4), replace=False)
        test_ND[row, cells] = others_ND[rng.integers(len(others_ND)), cells]
    return Planted(rng.permutation(table.train_ND)[:TRAINED], test_ND, test_ND != inliers_ND[:JUDGED])


def surprise(train_ND: Array, test_ND: Array, seed: int) -> Array:
    """Return the surprise of every cell by `ScoreDensity` with its defaults."""
    return ScoreDensity(random_state=seed).fit(train_ND).explain(test_ND).cells.surprise_BD.numpy()


def own_column(train_ND: Array, test_ND: Array, seed: int) -> Array:
    """Return ECOD's tail of the cell's own column, the smaller of both."""
    count, columns = len(train_ND), range(train_ND.shape[1])
    sorted_ND = np.sort(train_ND, axis=0)
    at_most, below = (
        np.stack([np.searchsorted(sorted_ND[:, d], test_ND[:, d], side) for d in columns], 1)
        for side in ("right", "left")
    )
    return -np.log((np.minimum(at_most, count - below) + 1) / (count + 1))


def from_neighbours(train_ND: Array, test_ND: Array, seed: int) -> Array:
    """Return the squared difference from the mean of the five nearest rows."""
    places = NearestNeighbors(n_neighbors=5).fit(train_ND).kneighbors(test_ND)[1]
    return np.square(test_ND - train_ND[places].mean(1))


def gaussian(train_ND: Array, test_ND: Array, seed: int) -> Array:
    """Return the surprise of every cell by a Gaussian."""
    rows = GaussianRows.fit(torch.as_tensor(train_ND), ridge=1e-3)
    return CellFindings.of(rows, torch.as_tensor(test_ND)).surprise_BD.numpy()


JUDGES: Mapping[str, Judge] = {
    OURS: surprise,
    "ECOD of the column": own_column,
    "5 nearest neighbours": from_neighbours,
    "Gaussian given the rest": gaussian,
}


def main() -> None:
    """Measure, print and write docs/benchmarks/outlier_cells.json."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    auroc: dict[str, dict[str, float]] = {label: {} for label in JUDGES}
    for name in ("wine", *TABLES):
        for seed in range(SEEDS):
            table = planted(name, seed)
            for label, judge in JUDGES.items():
                score_ND = judge(table.train_ND, table.test_ND, seed)
                auroc[label][f"{name}, seed {seed}"] = float(roc_auc_score(table.wrong_ND.ravel(), score_ND.ravel()))
            print(
                name,
                seed,
                {label: round(found[f"{name}, seed {seed}"], 3) for label, found in auroc.items()},
                flush=True,
            )
    rows = [
        ratio_row(
            f"odd cells: AUROC of {label} - ours, 4 tables, {SEEDS} seeds",
            [auroc[label][key] - auroc[OURS][key] for key in auroc[OURS]],
            -0.05,
        )
        for label in JUDGES
        if label != OURS
    ]
    write("outlier_cells", rows, torch.device("cpu"), **auroc)


if __name__ == "__main__":
    main()
