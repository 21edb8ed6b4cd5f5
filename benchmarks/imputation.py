"""Missing cells of five tables given the observed ones: how near, and how likely.

    python benchmarks/imputation.py --seeds 0 --minutes 30

Red and white wine (eleven measured columns) and the inliers of magic and cardio (ADBench), each row once, at most 4,000
to train, standardised by these; 500 others are judged, of which 30 % of the cells are missing at random. All rows get
Gaussian noise of .1 standard deviations once, before anybody sees them: columns are rounded, and densities of rounded
numbers have no finite optimum. Training rows have no missing cells, which the mixture cannot take. Root mean square of
(mean - value) over the missing cells, and minus the log-density of the missing cells given the observed ones of the
row, nats per missing cell. Ours: `head=by_column` on `backbone=masked_mlp`, any order, a mixture of 16; its mean is
that of 100 draws. The mixture of full Gaussians (1 to 16, BIC) has both in closed form. scikit-learn's
`IterativeImputer` with forests of 50 trees (as MissForest) is given training rows and judged rows together, and has no
density. The fifth table is of categories alone, the 39 yes-or-no columns of celeba's inliers, as they are: there it is
the share of missing cells whose most probable value is the right one, by others than ours where their mean is above a
half, beside the more frequent value of the column.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from adbench import Array, folder
from any_order_rows import Settings, fitted_rows
from lines import Line, given_to, go_on, lines, mean_with_interval, options
from numpy.typing import NDArray
from outlier_peers import likeliest_mixture
from record import Row, ratio_row, write
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

from scorewise.data.roots import data_root

NAME, NOISE, MISSING, MOST, JUDGED = "imputation", 0.1, 0.3, 4000, 500
DRAWS, COPIES = 100, 20
TABLES = ("red wine", "white wine", "22_magic.gamma", "6_cardio")
OF_CATEGORIES = "8_celeba"
SETTINGS = Settings(noise=0.05, floor=0.05, steps=3000, dropout=0.1)
OURS, MIXTURE, FORESTS = "ours", "GaussianMixture (BIC)", "IterativeImputer (forests)"
FREQUENT = "the more frequent value"


class Incomplete(NamedTuple):
    """A table of which some rows lack cells.

    Args:
        train_ND: complete rows, standardised.
        test_ND: others, complete.
        missing_ND: which of their cells are missing.
        categories: whether all cells are 0 or 1, and no numbers.
    """

    train_ND: Array
    test_ND: Array
    missing_ND: NDArray[np.bool_]
    categories: bool = False


class Imputed(NamedTuple):
    """What a method says.

    Args:
        mean_ND: of the missing cells, or the most probable category; others are not read.
        log_q_N: log-density of the missing cells of every row; None: it has none.
    """

    mean_ND: Array
    log_q_N: Array | None


def incomplete(name: str, seed: int) -> Incomplete:
    """Return a table."""
    if name.endswith("wine"):
        path = data_root(None) / "uci" / f"winequality-{name.split()[0]}.csv"
        x_ND = np.loadtxt(path, delimiter=";", skiprows=1)[:, :-1]
    else:
        with np.load(folder() / f"{name}.npz") as file:
            x_ND = file["X"][file["y"] == 0].astype(np.float64)
    rng = np.random.default_rng(seed)
    x_ND = rng.permutation(np.unique(x_ND, axis=0))
    few = min(JUDGED, len(x_ND) // 4)
    test_ND, train_ND = x_ND[:few], x_ND[few:][:MOST]
    if name == OF_CATEGORIES:
        return Incomplete(train_ND, test_ND, _missing(test_ND.shape, rng), categories=True)
    mean_D, scale_D = train_ND.mean(0), np.where(train_ND.std(0) > 0, train_ND.std(0), 1.0)
    train_ND, test_ND = (
        (rows_ND - mean_D) / scale_D + NOISE * rng.normal(size=rows_ND.shape) for rows_ND in (train_ND, test_ND)
    )
    return Incomplete(train_ND, test_ND, _missing(test_ND.shape, rng))


def _missing(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which cells are missing; something of every row is observed."""
    missing_ND = rng.random(shape) < MISSING
    missing_ND[np.arange(shape[0]), rng.integers(shape[1], size=shape[0])] = False
    return missing_ND


def ours(table: Incomplete, seed: int) -> Imputed:
    """Return means of draws, or the most probable categories, and log-densities."""
    if table.categories:
        return _categories(table, seed)
    model = fitted_rows(table.train_ND, SETTINGS, seed)
    test_BD, missing_BD = torch.as_tensor(table.test_ND), torch.as_tensor(table.missing_ND)
    generator = torch.Generator().manual_seed(seed)
    blank_BD = test_BD.masked_fill(missing_BD, torch.nan)
    with torch.no_grad():
        drawn = [model.fill(blank_BD.repeat(COPIES, 1), generator) for _ in range(DRAWS // COPIES)]
        log_q_B = model.log_prob_of_rest(test_BD, ~missing_BD)
    return Imputed(torch.cat(drawn).unflatten(0, (DRAWS, -1)).mean(0).numpy(), log_q_B.numpy())


def _categories(table: Incomplete, seed: int) -> Imputed:
    """Return the most probable category of every cell, and log-probabilities."""
    columns = [{"kind": "category", "levels": 2}] * table.train_ND.shape[1]
    model = fitted_rows(table.train_ND, replace(SETTINGS, noise=0.0), seed, columns)
    test_BD, missing_BD = torch.as_tensor(table.test_ND), torch.as_tensor(table.missing_ND)
    known_D = torch.ones(test_BD.shape[1], dtype=torch.bool)
    with torch.no_grad():
        likeliest_BD = model.cells(test_BD.masked_fill(missing_BD, torch.nan), known_D).likeliest_BD
        log_q_B = model.log_prob_of_rest(test_BD, ~missing_BD)
    return Imputed(likeliest_BD.numpy(), log_q_B.numpy())


def by_frequency(table: Incomplete, seed: int) -> Imputed:
    """Return the more frequent category of every column, or the mean."""
    return Imputed(np.broadcast_to(table.train_ND.mean(0), table.test_ND.shape), None)


def by_mixture(table: Incomplete, seed: int) -> Imputed:
    """Return means and log-densities of the exact conditional of a mixture of Gaussians."""
    fit = likeliest_mixture(table.train_ND, seed)
    mean_ND, log_q_N = table.test_ND.copy(), np.zeros(len(table.test_ND))
    for row, (x_D, lacks_D) in enumerate(zip(table.test_ND, table.missing_ND, strict=True)):
        if not lacks_D.any():
            continue
        parts = [_conditional(x_D, lacks_D, *of) for of in zip(fit.means_, fit.covariances_, strict=True)]
        log_w_K = np.log(fit.weights_) + [observed for observed, _, _ in parts]
        log_w_K = log_w_K - logsumexp(log_w_K)
        mean_ND[row, lacks_D] = np.exp(log_w_K) @ np.array([mean for _, mean, _ in parts])
        log_q_N[row] = logsumexp(log_w_K + [given for _, _, given in parts])
    return Imputed(mean_ND, log_q_N)


def _conditional(x_D: Array, lacks_D: NDArray[np.bool_], mean_D: Array, cov_DD: Array) -> tuple[float, Array, float]:
    """Return the log-density of what is observed, the mean of the rest given it, and its log-density."""
    seen_D = ~lacks_D
    gain = np.linalg.solve(cov_DD[np.ix_(seen_D, seen_D)], cov_DD[np.ix_(seen_D, lacks_D)]).T
    given = mean_D[lacks_D] + gain @ (x_D - mean_D)[seen_D]
    rest = cov_DD[np.ix_(lacks_D, lacks_D)] - gain @ cov_DD[np.ix_(seen_D, lacks_D)]
    observed = multivariate_normal(mean_D[seen_D], cov_DD[np.ix_(seen_D, seen_D)]).logpdf(x_D[seen_D])
    of_rest = multivariate_normal(given, 0.5 * (rest + rest.T), allow_singular=True).logpdf(x_D[lacks_D])
    return float(observed), given, float(of_rest)


def by_forests(table: Incomplete, seed: int) -> Imputed:
    """Return what chained forests put in."""
    forests = RandomForestRegressor(50, random_state=seed)
    imputer = IterativeImputer(forests, max_iter=5, tol=1e-2, random_state=seed)
    blank_ND = np.where(table.missing_ND, np.nan, table.test_ND)
    filled_ND = imputer.fit_transform(np.concatenate([table.train_ND, blank_ND]))
    return Imputed(filled_ND[len(table.train_ND) :], None)


METHODS = {OURS: ours, MIXTURE: by_mixture, FORESTS: by_forests}
OF_CATEGORIES_TOO = {**METHODS, FREQUENT: by_frequency}


def measure(table: str, seed: int, method: str) -> Line:
    """Return the error of the means, or the share of right categories, and the nats per missing cell."""
    rows, started = incomplete(table, seed), time.process_time()
    imputed = OF_CATEGORIES_TOO[method](rows, seed)
    found: Line = {"seconds": round(time.process_time() - started, 1)}
    if rows.categories:
        found["accuracy"] = float(((imputed.mean_ND > 0.5) == rows.test_ND)[rows.missing_ND].mean())
    else:
        found["rmse"] = float(np.sqrt(((imputed.mean_ND - rows.test_ND)[rows.missing_ND] ** 2).mean()))
    if imputed.log_q_N is not None and (method == OURS or not rows.categories):
        found["nll"] = float(-imputed.log_q_N.sum() / rows.missing_ND.sum())
    return found


def summarise() -> None:
    """Print how far others are behind ours over tables and seeds, and write it."""
    found = {(line["table"], line["seed"], line["method"]): line for line in lines(NAME)}
    numbers: dict[str, dict[str, float]] = {method: {} for method in OF_CATEGORIES_TOO}
    for (table, seed, method), line in found.items():
        for key in ("rmse", "nll", "accuracy"):
            if key in line:
                numbers[method][f"{table}, seed {seed}: {key}"] = line[key]
    rows: list[Row] = []
    for method in (MIXTURE, FORESTS):
        for key in ("rmse", "nll"):
            both = sorted(set(numbers[OURS]) & {one for one in numbers[method] if one.endswith(key)})
            if not both:
                continue
            mean, low, high = mean_with_interval([numbers[OURS][one] - numbers[method][one] for one in both])
            print(f"{key} of ours - {method}: {mean:+.3f} [{low:+.3f}, {high:+.3f}], {len(both)} tables and seeds")
            rows.append(ratio_row(f"imputation: {key} of ours - {method}, mean", [mean], 0.0))
    for method in (MIXTURE, FORESTS, FREQUENT):
        both = sorted(set(numbers[OURS]) & {one for one in numbers[method] if one.endswith("accuracy")})
        if both:
            behind = [numbers[method][one] - numbers[OURS][one] for one in both]
            rows.append(ratio_row(f"imputation: share of right categories, {method} - ours", behind, 0.0))
    if found:
        kept: Mapping[str, Mapping[str, float]] = numbers
        write(NAME, rows, torch.device("cpu"), **kept)


def main() -> None:
    """Measure for some minutes, then summarise."""
    given = given_to(options(__doc__, 30, seeds=[0]))
    cases = (
        {"table": table, "seed": seed, "method": method}
        for seed in given.seeds
        for table, methods in (*((one, METHODS) for one in TABLES), (OF_CATEGORIES, OF_CATEGORIES_TOO))
        for method in methods
    )
    go_on(NAME, cases, measure, given.minutes)
    summarise()


if __name__ == "__main__":
    main()
