"""The rows of a table that lie most centrally, for tables whose outliers are not to be learned."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from scorewise.estimators import GaussianRows

STEPS = 20
"""Concentration steps at most; the first few change nearly all that changes."""


def central_rows(z_ND: Tensor, of_codes: Sequence[int], fraction: float, ridge: float) -> Tensor:
    """Return which rows a robust Gaussian takes for the most central ones, shape (N,).

    The concentration steps of the minimum covariance determinant (Rousseeuw and Van Driessen 1999, theorem 1), from
    the Gaussian of all rows on: that of the most central rows says which ones are, until they stay. A missing cell
    counts as the mean, a category as indicators of its values.

    Args:
        z_ND: standardised rows; NaN where a cell is missing.
        of_codes: the columns that hold codes of categories.
        fraction: how many of the rows, in (0, 1].
        ridge: added to the variances.
    """
    numbers = [d for d in range(z_ND.shape[1]) if d not in of_codes]
    y_NE = torch.cat([z_ND[:, numbers], *(_indicators(z_ND[:, d]) for d in of_codes)], 1).nan_to_num(0.0)
    central_N = torch.ones(len(y_NE), dtype=torch.bool)
    for _ in range(STEPS):
        log_q_N = GaussianRows.fit(y_NE[central_N], ridge).log_prob(y_NE)
        nearest = log_q_N.topk(math.ceil(fraction * len(y_NE))).indices
        found_N = torch.zeros_like(central_N).index_fill(0, nearest, True)
        if bool((found_N == central_N).all()):
            break
        central_N = found_N
    return central_N


def _indicators(code_N: Tensor) -> Tensor:
    """Return standardised indicators of every value of a column, shape (N, values)."""
    one_hot_NV = (code_N[:, None] == code_N[~code_N.isnan()].unique()).to(code_N)
    share_V = one_hot_NV.mean(0)
    std_V = (share_V * (1 - share_V)).sqrt().clamp(min=1e-3)
    indicator_NV: Tensor = (one_hot_NV - share_V) / std_V
    return indicator_NV
