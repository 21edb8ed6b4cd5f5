"""Whether ScoreDensity is ever worse than a Gaussian on a small table.

    python benchmarks/small_tables.py

Tables below `SCOREWISE_DATA`: subsamples of 50, 100, 200 and 300 rows of both wines, and the inliers of small tables of
ADBench, half of them, 300 at most. Columns are standardised by the training rows, constant ones left out. The rest of
the rows, 1,000 at most, with noise of .3 standard deviations, five copies, are looked at by `ScoreDensity` with its
defaults (calibration=0: all rows are fitted), and by a Gaussian with the covariance of the training rows and .3^2.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from record import ratio_row, write

from scorewise import ScoreDensity
from scorewise.estimators import GaussianRows

SMOOTHING, COPIES, GOAL = 0.3, 5, 0.05
ADBENCH = ("14_glass", "15_Hepatitis", "39_vertebral", "42_WBC", "43_WDBC", "4_breastw", "29_Pima", "18_Ionosphere")
SIZES = (50, 100, 200, 300)
Array = NDArray[np.float64]


def main() -> None:
    """Compare on every table, print, and write docs/benchmarks/small_tables.json."""
    warnings.simplefilter("ignore")
    data, found = Path(os.environ["SCOREWISE_DATA"]), []
    for colour in ("red", "white"):
        x_ND = np.loadtxt(data / "uci" / f"winequality-{colour}.csv", delimiter=";", skiprows=1)[:, :11]
        found += [compared(f"{colour} wine", x_ND, rows) for rows in SIZES]
    for name in ADBENCH:
        table = np.load(data / "adbench" / f"{name}.npz")
        inliers = table["X"][table["y"] == 0].astype(np.float64)
        found.append(compared(name, inliers, min(300, len(inliers) // 2)))
    behind = [-float(one["ahead"]) for one in found]
    row = ratio_row("small tables: nats per row behind a Gaussian, worst of 16 tables", [max(behind)], GOAL)
    names = [f"{one['table']}, {one['rows']} rows" for one in found]
    ahead, errors = (
        {name: float(one[key]) for name, one in zip(names, found, strict=True)} for key in ("ahead", "error")
    )
    write("small_tables", [row], torch.device("cpu"), ahead=ahead, standard_error=errors)


def compared(name: str, x_ND: Array, rows: int) -> dict[str, Any]:
    """Return how many nats a held-out row ScoreDensity is ahead of a Gaussian."""
    x_ND = np.random.default_rng(0).permutation(x_ND)
    varies_D = np.ptp(x_ND[:rows], 0) > 1e-9
    mean_D, scale_D = x_ND[:rows, varies_D].mean(0), x_ND[:rows, varies_D].std(0)
    z_ND = (x_ND[:, varies_D] - mean_D) / scale_D
    train_ND, test_ND = z_ND[:rows], np.repeat(z_ND[rows : rows + 1000], COPIES, 0)
    test_ND = test_ND + SMOOTHING * np.random.default_rng(1).normal(size=test_ND.shape)
    ours = ScoreDensity(calibration=0.0, random_state=0).fit(train_ND)
    theirs = GaussianRows.fit(torch.as_tensor(train_ND), ridge=SMOOTHING**2)
    ahead_N = ours.score_samples(test_ND) - theirs.log_prob(torch.as_tensor(test_ND)).numpy()
    of_row = ahead_N.reshape(-1, COPIES).mean(1)
    line = {
        "table": name,
        "rows": rows,
        "columns": int(varies_D.sum()),
        "ahead": round(float(of_row.mean()), 4),
        "error": round(float(of_row.std() / np.sqrt(len(of_row))), 4),
    }
    print(json.dumps(line), flush=True)
    return line


if __name__ == "__main__":
    main()
