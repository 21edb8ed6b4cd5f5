"""`experiment=table` of the commands beside `ScoreDensity`, where they differ: nats per row and outliers, three tables.

    python benchmarks/table_experiment.py --seeds 2 --minutes 20

The honest split of the table of outliers (benchmarks/adbench.py). The experiment is trained on the same training rows
as a CSV file, of which it keeps a tenth for validation and a tenth for its own test, with its defaults (the law of the
rows with noise of .1 standard deviations) and with `data.smoothing=0.3`, the law of `ScoreDensity`. Nats per row: of
inliers of the test half with noise of .3, those of benchmarks/table_densities.py, whose numbers of `ScoreDensity` are
read. AUROC: of minus the log-density of clean test rows, beside `ScoreDensity.score_samples`, which is the same, and
`outlier_score`, which adds nearest rows and sizes of scores.
"""

import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from adbench import Array, honest
from kept_fits import fitted
from lines import Line, given_to, go_on, lines, options
from record import Row, ratio_row, write
from sklearn.metrics import roc_auc_score
from table_densities import MOST, NOISE, noisy

import scorewise
from scorewise.data import Columns

NAME, TABLES = "table_experiment", ("44_Wilt", "6_cardio", "12_fault")
EXPERIMENT, SMOOTHER, DENSITY = "experiment=table", "experiment=table data.smoothing=0.3", "ScoreDensity"
METHODS: Mapping[str, tuple[str, ...]] = {EXPERIMENT: (), SMOOTHER: (f"data.smoothing={NOISE}",), DENSITY: ()}


def log_density(x_ND: Array, y_ND: Array, settings: tuple[str, ...], seed: int) -> Array:
    """Return the log-density of rows by the experiment trained on others, nats, in the units of the rows."""
    with tempfile.TemporaryDirectory() as folder:
        path, before = Path(folder) / "rows.csv", Path.cwd()
        names = ",".join(f"x{d}" for d in range(x_ND.shape[1]))
        np.savetxt(path, x_ND, delimiter=",", header=names, comments="", fmt="%.9g")
        os.chdir(folder)
        try:
            model = scorewise.fit(path, f"seed={seed}", *settings, quiet=True)
        finally:
            os.chdir(before)
    columns = Columns.of(model.recipe["columns"])
    used = [int(name[1:]) for name in columns.numeric]
    z_ND = columns.standardised(torch.as_tensor(y_ND[:, used])).float()
    with torch.no_grad():
        log_q_N = torch.cat([model.log_prob(some_BD) for some_BD in z_ND.split(4096)])
    return np.asarray(log_q_N.double().numpy() - np.log(columns.scale).sum())


def measure(table: str, seed: int, method: str) -> Line:
    """Return nats per noisy row and AUROC of clean rows."""
    split, started = honest(table, seed), time.process_time()
    if method == DENSITY:
        known = next(line for line in lines("table_densities") if (line["table"], line["seed"]) == (table, seed))
        model = fitted(split.train_ND, seed).model
        by_all = roc_auc_score(split.odd_N, model.outlier_score(split.test_ND))
        by_density = roc_auc_score(split.odd_N, -model.score_samples(split.test_ND))
        found: Line = {"nats": known[DENSITY], "auroc": float(by_density), "auroc of all views": float(by_all)}
    else:
        inliers_ND = np.random.default_rng(seed).permutation(split.test_ND[~split.odd_N])[:MOST]
        both_ND = np.concatenate([noisy(inliers_ND, seed + 3000), split.test_ND])
        log_q_N = log_density(split.train_ND, both_ND, METHODS[method], seed)
        count = len(both_ND) - len(split.test_ND)
        found = {"auroc": float(roc_auc_score(split.odd_N, -log_q_N[count:]))}
        if method == SMOOTHER:
            found["nats"] = float(log_q_N[:count].mean())
    return {**found, "seconds": round(time.process_time() - started, 1)}


def summarise() -> None:
    """Print and write how far the experiment is behind."""
    found = {(line["table"], line["seed"], line["method"]): line for line in lines(NAME)}
    cases = sorted({(table, seed) for table, seed, _ in found})
    whole = [case for case in cases if all((*case, method) in found for method in METHODS)]
    if not whole:
        return
    rows: list[Row] = []
    nats = [found[*case, DENSITY]["nats"] - found[*case, SMOOTHER]["nats"] for case in whole]
    rows.append(ratio_row(f"nats per row: {SMOOTHER} - ScoreDensity", [-one for one in nats], 0.0))
    for method in (EXPERIMENT, SMOOTHER):
        for key in ("auroc", "auroc of all views"):
            behind = [found[*case, method]["auroc"] - found[*case, DENSITY][key] for case in whole]
            rows.append(ratio_row(f"AUROC: {method} - ScoreDensity, {key}", behind, 0.0))
    numbers = {f"{table}, seed {seed}, {method}": found[table, seed, method] for table, seed, method in sorted(found)}
    kept = {label: {key: line[key] for key in line if isinstance(line[key], float)} for label, line in numbers.items()}
    write(NAME, rows, torch.device("cpu"), **kept)


def main() -> None:
    """Measure for some minutes, then summarise."""
    given = given_to(options(__doc__, 20, seeds=[2]))
    cases = (
        {"table": table, "seed": seed, "method": method}
        for seed in given.seeds
        for table in TABLES
        for method in METHODS
    )
    go_on(NAME, cases, measure, given.minutes)
    summarise()


if __name__ == "__main__":
    main()
