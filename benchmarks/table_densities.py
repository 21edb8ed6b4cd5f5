"""Nats per row of rows with noise, 31 tables of ADBench: `ScoreDensity` beside a Gaussian mixture and kernels.

    python benchmarks/table_densities.py --seeds 1 --minutes 20

The honest split of the table of outliers (benchmarks/adbench.py): half of the inliers train, standardised by them. The
law in question is that of the inliers with Gaussian noise of .3 standard deviations in every column, the default of
`ScoreDensity`; all are evaluated on the same inliers of the test half (at most 2,000) with that noise, 1,000 noisy
copies at least. So that nobody is at a disadvantage the others are convolved with the noise exactly. The mixture of
full Gaussians (1 to 16, BIC) comes twice: fitted to the rows and convolved, and fitted to rows with the noise. The
bandwidth of the kernels is the likeliest for a fifth of the training rows, with noise, that were held out; then
they stand on all. `ScoreDensity` has its defaults, which keep a tenth of the rows for p-values.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from adbench import Array, honest, names
from kept_fits import fitted
from lines import Line, given_to, go_on, lines, mean_with_interval, options
from outlier_peers import likeliest_mixture
from record import ratio_row, write
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

NAME, NOISE, MOST, COPIES = "table_densities", 0.3, 2000, 1000
LEAST = 0.05
"""Nats that ours may be behind on a table."""
BANDWIDTHS = np.geomspace(0.02, 1.5, 16)
AT_ONCE = 500
LogDensity = Callable[[Array], Array]


def noisy(x_ND: Array, seed: int) -> Array:
    """Return rows with noise, copies of few."""
    x_ND = np.repeat(x_ND, -(-COPIES // len(x_ND)), axis=0)
    return x_ND + NOISE * np.random.default_rng(seed).normal(size=x_ND.shape)


def ours(x_ND: Array, seed: int) -> LogDensity:
    """Return the log-density of `ScoreDensity`."""
    score: LogDensity = fitted(x_ND, seed).model.score_samples
    return score


def mixture(x_ND: Array, seed: int) -> LogDensity:
    """Return that of a mixture of full Gaussians convolved with the noise."""
    fit = likeliest_mixture(x_ND, seed)
    parts = [
        multivariate_normal(mean, covariance + NOISE**2 * np.eye(len(mean)))
        for mean, covariance in zip(fit.means_, fit.covariances_, strict=True)
    ]
    log_weight_K = np.log(fit.weights_)[:, None]
    return lambda y_ND: logsumexp(log_weight_K + np.stack([part.logpdf(y_ND) for part in parts]), axis=0)


def mixture_of_noisy(x_ND: Array, seed: int) -> LogDensity:
    """Return that of a mixture of full Gaussians fitted to rows with the noise."""
    noise_ND = NOISE * np.random.default_rng(seed + 1000).normal(size=x_ND.shape)
    score: LogDensity = likeliest_mixture(x_ND + noise_ND, seed).score_samples
    return score


def kernel_log_density(x_ND: Array, y_ND: Array, bandwidths: Array) -> Array:
    """Return log-densities of rows by Gaussian kernels, one line per bandwidth."""
    found = []
    for some_BD in np.array_split(y_ND, -(-len(y_ND) // AT_ONCE)):
        square_BN = cdist(some_BD, x_ND, "sqeuclidean")
        found.append([logsumexp(-square_BN / (2 * h * h), axis=1) - _log_scale(h, x_ND) for h in bandwidths])
    return np.concatenate(found, axis=1)


def _log_scale(bandwidth: float, x_ND: Array) -> float:
    return float(np.log(len(x_ND)) + x_ND.shape[1] * (np.log(bandwidth) + 0.5 * np.log(2 * np.pi)))


def kernels(x_ND: Array, seed: int) -> LogDensity:
    """Return that of Gaussian kernels convolved with the noise."""
    mixed_ND = np.random.default_rng(seed).permutation(x_ND)
    held_VD, others_ND = np.split(mixed_ND, [max(1, min(1000, len(x_ND) // 5))])
    widths = np.hypot(BANDWIDTHS, NOISE)
    best = widths[int(np.argmax(kernel_log_density(others_ND, noisy(held_VD, seed + 2000), widths).mean(1)))]
    return lambda y_ND: kernel_log_density(x_ND, y_ND, best[None])[0]


DENSITIES: Mapping[str, Callable[[Array, int], LogDensity]] = {
    "ScoreDensity": ours,
    "GaussianMixture (BIC), convolved": mixture,
    "GaussianMixture (BIC) of noisy rows": mixture_of_noisy,
    "kernels": kernels,
}
OURS, *PEERS = DENSITIES


def measure(table: str, seed: int) -> Line:
    """Return the mean log-density by every method, and how far ours is ahead with its standard error over rows."""
    split = honest(table, seed)
    test_ND = np.random.default_rng(seed).permutation(split.test_ND[~split.odd_N])[:MOST]
    log_q = {label: fit(split.train_ND, seed)(noisy(test_ND, seed + 3000)) for label, fit in DENSITIES.items()}
    found: Line = {label: float(of_B.mean()) for label, of_B in log_q.items()}
    for label in PEERS:
        ahead_N = (log_q[OURS] - log_q[label]).reshape(len(test_ND), -1).mean(1)
        found[f"se of {label}"] = float(ahead_N.std() / len(ahead_N) ** 0.5)
    return {**found, "rows": len(split.train_ND), "columns": split.train_ND.shape[1]}


def summarise() -> None:
    """Print the tables and how far ours is ahead, and write them."""
    found, numbers, rows = lines(NAME), {}, []
    if not found:
        return
    for line in found:
        numbers[f"{line['table']}, seed {line['seed']}"] = {label: float(line[label]) for label in DENSITIES}
    for label in PEERS:
        ahead = [line[OURS] - line[label] for line in found]
        mean, low, high = mean_with_interval(ahead)
        count = sum(one > 0 for one in ahead)
        numbers[f"ahead of {label}"] = {"tables": count, "of": len(ahead), "mean": mean, "low": low, "high": high}
        numbers[f"ahead of {label}"]["least"] = min(ahead)
        print(f"ahead of {label} on {count} of {len(ahead)}: {mean:+.2f} [{low:+.2f}, {high:+.2f}], {min(ahead):+.3f}")
        rows.append(ratio_row(f"nats per row: {label} - ours, over tables", [-one for one in ahead], 0.0))
    of_best = [line[OURS] - max(line[label] for label in PEERS) for line in found]
    ahead, behind = sum(one > 0 for one in of_best), sum(one < -LEAST for one in of_best)
    numbers["ahead of the best of them"] = {"tables": ahead, "of": len(of_best), "more_than_.05_behind": behind}
    numbers["ahead of the best of them"] |= {"median": float(np.median(of_best)), "least": min(of_best)}
    print(f"ahead of the best of them on {ahead} of {len(of_best)}, more than {LEAST} behind on {behind}")
    rows.append(ratio_row("nats per row: best of them - ours, over tables", [-one for one in of_best], 0.0))
    write(NAME, rows, torch.device("cpu"), **numbers)


def main() -> None:
    """Measure for some minutes, then summarise."""
    given = given_to(options(__doc__, 30, seeds=[1]))
    go_on(NAME, ({"table": name, "seed": seed} for seed in given.seeds for name in names()), measure, given.minutes)
    summarise()


if __name__ == "__main__":
    main()
