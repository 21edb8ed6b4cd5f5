"""Synthetic rows of 22_magic.gamma: can a classifier tell them from real ones?

    python benchmarks/synthetic_rows.py --seeds 0 --minutes 20

The table with its class as eleventh column (0 or 1), as generators of tables are judged; each row once, nine tenths
train. `head=by_column` on `backbone=masked_mlp` with the kinds of columns that the data say draws as many rows as
train. Two-sample tests, logistic regression and gradient-boosted trees: three folds, AUROC of real against synthetic,
and 1 - (2 max(AUROC, 1/2) - 1), so 1 cannot be told apart (`LogisticDetection` of sdmetrics is this by logistic
regression). Real rows are those that trained, as published, or those held out, with as many synthetic ones. Real
against real, both halves of the held-out rows, says what 1 looks like.
"""

import time
from collections.abc import Mapping

import numpy as np
import torch
from adbench import Array, folder
from any_order_rows import Settings, fitted_rows
from lines import Line, given_to, go_on, lines, options
from record import Row, ratio_row, write
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scorewise.data.tabular.kinds import found_kind
from scorewise.heads import ByColumn

NAME, TABLE, HELD_OUT, FOLDS, GOAL = "synthetic_rows", "22_magic.gamma", 0.1, 3, 0.86
SETTINGS = Settings(noise=0.0, floor=0.01, steps=3000, dropout=0.0, components=16, lr=2e-3)


def judged(real_ND: Array, other_ND: Array, judge: ClassifierMixin) -> float:
    """Return 1 where a classifier cannot tell two sets of rows apart, 0 where it always can."""
    few = min(len(real_ND), len(other_ND))
    x_ND = np.concatenate([real_ND[:few], other_ND[:few]])
    y_N = np.repeat([0, 1], few)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    p_N = cross_val_predict(judge, x_ND, y_N, cv=folds, method="predict_proba")[:, 1]
    auroc = float(np.mean([roc_auc_score(y_N[test], p_N[test]) for _, test in folds.split(x_ND, y_N)]))
    return 2 - 2 * max(auroc, 0.5)


def fitted(x_ND: Array, seed: int) -> tuple[ByColumn, Array, Array]:
    """Return a model of rows in standard units, and their means and scales; the class is a code."""
    kinds = [found_kind(torch.as_tensor(x_D)) for x_D in x_ND.T]
    numbers_D = np.array([kind.kind != "boolean" for kind in kinds])
    mean_D, scale_D = np.where(numbers_D, x_ND.mean(0), 0.0), np.where(numbers_D, x_ND.std(0), 1.0)
    triples = zip(kinds, x_ND.T, mean_D, scale_D, strict=True)
    columns = [kind.recipe(torch.as_tensor(x_D), mean, scale) for kind, x_D, mean, scale in triples]
    return fitted_rows((x_ND - mean_D) / scale_D, SETTINGS, seed, columns), mean_D, scale_D


def measure(seed: int) -> Line:
    """Return what two judges say."""
    with np.load(folder() / f"{TABLE}.npz") as file:
        x_ND = np.unique(np.column_stack([file["X"].astype(np.float64), file["y"]]), axis=0)
    x_ND = np.random.default_rng(seed).permutation(x_ND)
    held_VD, train_ND = np.split(x_ND, [round(HELD_OUT * len(x_ND))])
    started = time.process_time()
    model, mean_D, scale_D = fitted(train_ND, seed)
    ended = time.process_time()
    with torch.no_grad():
        drawn_ND = mean_D + scale_D * model.sample(len(train_ND), torch.Generator().manual_seed(seed)).numpy()
    found: Line = {"fit_seconds": round(ended - started, 1), "draw_seconds": round(time.process_time() - ended, 1)}
    judges: Mapping[str, ClassifierMixin] = {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "boosted": HistGradientBoostingClassifier(random_state=0),
    }
    for label, judge in judges.items():
        found[f"{label}, trained rows"] = judged(train_ND, drawn_ND, judge)
        found[f"{label}, held out"] = judged(held_VD, drawn_ND, judge)
        found[f"{label}, real against real"] = judged(*np.array_split(held_VD, 2), judge)
    return found


def summarise() -> None:
    """Print and write what there is."""
    numbers: dict[str, Mapping[str, float]] = {
        f"seed {line['seed']}": {key: float(value) for key, value in line.items() if key != "seed"}
        for line in lines(NAME)
    }
    rows: list[Row] = [
        ratio_row(f"{label}: {GOAL} - synthetic rows", [GOAL - found[label] for found in numbers.values()], 0.0)
        for label in ("logistic, trained rows", "boosted, trained rows", "logistic, held out", "boosted, held out")
        if numbers
    ]
    if numbers:
        write(NAME, rows, torch.device("cpu"), **numbers)


def main() -> None:
    """Measure for some minutes, then summarise."""
    given = given_to(options(__doc__, 20, seeds=[0]))
    go_on(NAME, ({"seed": seed} for seed in given.seeds), measure, given.minutes)
    summarise()


if __name__ == "__main__":
    main()
