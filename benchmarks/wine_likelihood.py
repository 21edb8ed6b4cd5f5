"""Held-out log-likelihood of red and white wine, ten folds, columns as RNADE and EoNADE take them.

    python benchmarks/wine_likelihood.py --minutes 60

The eleven measured columns (the grade, which is discrete, is no column; no two correlate by more than .98),
standardised by the training rows; each tenth of the shuffled rows is tested once; of the other nine a tenth says when
training ends (81 / 9 / 10 %, as there). The model: `head=by_column` on `backbone=masked_mlp`, maximum likelihood,
the mixture of 16 orders. One training per fold is judged on *clean* test rows, as published (EoNADE -8.76 and -9.67
nats, Uria, Murray and Larochelle 2014); its training rows get noise of .01 standard deviations. A second one is of the
law of the rows with noise of .1, and is judged on test rows with that noise (20 copies): columns are rounded, and the
density of rounded numbers has no finite optimum, so only the second number says how well a law is known. Beside it a
mixture of full Gaussians (1 to 16, BIC) as in benchmarks/outlier_peers.py: on clean rows as it is, on noisy ones
convolved with the noise exactly.
"""

import time
from collections.abc import Mapping

import numpy as np
import torch
from adbench import Array
from any_order_rows import Settings, fitted_rows, log_density
from lines import Line, given_to, go_on, lines, mean_with_interval, options
from outlier_peers import likeliest_mixture
from record import Row, ratio_row, write
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from scorewise.data.roots import data_root

NAME, FOLDS, NOISE, COPIES = "wine_likelihood", 10, 0.1, 20
EONADE = {"red": -8.76, "white": -9.67}
CLEAN = Settings(noise=0.01, floor=0.001, steps=4000, dropout=0.1, lr=2e-3)
NOISY = Settings(noise=NOISE, floor=0.9 * NOISE, steps=3000, dropout=0.1)


def fold_of(colour: str, fold: int) -> tuple[Array, Array]:
    """Return training and test rows, standardised by the first."""
    path = data_root(None) / "uci" / f"winequality-{colour}.csv"
    x_ND = np.loadtxt(path, delimiter=";", skiprows=1)[:, :-1]
    order = np.random.default_rng(0).permutation(len(x_ND))
    test = np.array_split(order, FOLDS)[fold]
    train_ND = x_ND[np.setdiff1d(order, test)]
    mean_D, scale_D = train_ND.mean(0), train_ND.std(0)
    return (train_ND - mean_D) / scale_D, (x_ND[test] - mean_D) / scale_D


def measure(colour: str, fold: int) -> Line:
    """Return mean log-densities of test rows, nats."""
    train_ND, test_ND = fold_of(colour, fold)
    noise_ND = NOISE * np.random.default_rng(fold).normal(size=(COPIES * len(test_ND), test_ND.shape[1]))
    noisy_ND = np.repeat(test_ND, COPIES, axis=0) + noise_ND
    started = time.process_time()
    clean = log_density(fitted_rows(train_ND, CLEAN, fold), test_ND)
    fitted = time.process_time()
    noisy = log_density(fitted_rows(train_ND, NOISY, fold), noisy_ND)
    mixture = likeliest_mixture(train_ND, fold)
    parts = [
        multivariate_normal(mean, covariance + NOISE**2 * np.eye(len(mean))).logpdf(noisy_ND) + np.log(weight)
        for mean, covariance, weight in zip(mixture.means_, mixture.covariances_, mixture.weights_, strict=True)
    ]
    return {
        "clean": float(clean.mean()),
        "clean, mixture": float(mixture.score(test_ND)),
        "noisy": float(noisy.mean()),
        "noisy, mixture": float(logsumexp(parts, axis=0).mean()),
        "seconds": round(fitted - started, 1),
    }


def summarise() -> None:
    """Print means over the folds that there are, with their intervals, and write them."""
    numbers: dict[str, Mapping[str, float]] = {}
    rows: list[Row] = []
    for colour, published in EONADE.items():
        found = [line for line in lines(NAME) if line["colour"] == colour]
        if not found:
            continue
        for label in ("clean", "clean, mixture", "noisy", "noisy, mixture"):
            mean, low, high = mean_with_interval([line[label] for line in found])
            numbers[f"{colour}: {label}"] = {"mean": mean, "low": low, "high": high, "folds": len(found)}
            print(f"{colour} {label:16s} {mean:.3f} [{low:.3f}, {high:.3f}], {len(found)} folds")
        behind = [published - line["clean"] for line in found]
        rows.append(ratio_row(f"{colour} wine: EoNADE, published - ours, mean", [float(np.mean(behind))], 0.0))
        behind = [line["noisy, mixture"] - line["noisy"] for line in found]
        rows.append(ratio_row(f"{colour} wine, noisy rows: Gaussian mixture - ours, folds", behind, 0.0))
    if numbers:
        write(NAME, rows, torch.device("cpu"), **numbers)


def main() -> None:
    """Measure for some minutes, then summarise."""
    given = given_to(options(__doc__, 60, folds=list(range(FOLDS))))
    go_on(NAME, ({"colour": colour, "fold": fold} for fold in given.folds for colour in EONADE), measure, given.minutes)
    summarise()


if __name__ == "__main__":
    main()
