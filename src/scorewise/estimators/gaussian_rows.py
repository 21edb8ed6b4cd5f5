"""A Gaussian of rows with missing cells: the density of every subset of the columns in closed form."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Generator, Tensor

from scorewise.noise import normal_like

LOG_2_PI = math.log(2 * math.pi)
TOGETHER = 256
"""Patterns of missing cells whose matrices are in memory at a time."""


class Pattern(NamedTuple):
    """Rows whose observed cells O are in the same columns.

    Args:
        rows_n: their places.
        observed_D: which columns are in O.
        precision_DD: the inverse of the covariance of O, 0 elsewhere.
        log_det: of that covariance.
    """

    rows_n: Tensor
    observed_D: Tensor
    precision_DD: Tensor
    log_det: Tensor


@dataclass(frozen=True)
class GaussianCells:
    """Every cell as a Gaussian given all other observed cells of its row: Cells.

    Args:
        found_BD: the rows; NaN where a cell is missing.
        mean_BD, std_BD: of every cell, the missing ones too.
    """

    found_BD: Tensor
    mean_BD: Tensor
    std_BD: Tensor

    @property
    def log_prob_BD(self) -> Tensor:
        """The log-density of what was found, nats."""
        z_BD = (self.found_BD - self.mean_BD) / self.std_BD
        return -0.5 * (z_BD.square() + LOG_2_PI) - self.std_BD.log()

    @property
    def below_BD(self) -> Tensor:
        """The probability of less than what was found."""
        below_BD: Tensor = torch.special.ndtr((self.found_BD - self.mean_BD) / self.std_BD)
        return below_BD

    @property
    def at_most_BD(self) -> Tensor:
        """The same: no value has a mass."""
        return self.below_BD

    def quantile(self, u: float) -> Tensor:
        """Return the u-quantile of every cell, shape (B, D)."""
        z: Tensor = torch.special.ndtri(torch.tensor(u).to(self.std_BD))
        return self.mean_BD + self.std_BD * z


class GaussianRows:
    """A Gaussian with full covariance over rows of which cells may be missing (NaN): RowDensity.

    It computes in float64, and answers in float64.

    Args:
        mean_D: of the columns.
        covariance_DD: positive definite.

    Raises:
        ValueError: shapes that do not fit, or a covariance that is not positive definite.

    Example:
        >>> import torch
        >>> from scorewise.estimators import GaussianRows
        >>> rows = GaussianRows(torch.zeros(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]]))
        >>> rows.given_the_rest(torch.tensor([[1.0, float("nan")]])).quantile(0.5)
        tensor([[0.0000, 0.8000]], dtype=torch.float64)
    """

    def __init__(self, mean_D: Tensor, covariance_DD: Tensor) -> None:
        dims = len(mean_D)
        if tuple(covariance_DD.shape) != (dims, dims):
            raise ValueError(
                f"a mean of {dims} columns needs a covariance of shape {[dims, dims]}, not {list(covariance_DD.shape)}"
            )
        self.mean_D, self.covariance_DD = mean_D.double(), covariance_DD.double()
        factor_DD, failed = torch.linalg.cholesky_ex(self.covariance_DD)
        if bool(failed):
            raise ValueError("the covariance is not positive definite: give fit a larger ridge")
        self.factor_DD = factor_DD

    @classmethod
    def fit(cls, x_ND: Tensor, ridge: float = 1e-6, iterations: int = 100, tolerance: float = 1e-6) -> Self:
        """Return the Gaussian of largest likelihood: by moments, or by EM where cells are missing.

        A column without any observed cell has mean 0 and variance 1.

        Args:
            x_ND: rows; NaN marks a missing cell.
            ridge: added to the variances.
            iterations: of EM, at most.
            tolerance: EM ends where means and covariances move by less, in standard deviations.
        """
        x_ND = x_ND.double()
        eye_DD = torch.eye(x_ND.shape[1], dtype=x_ND.dtype)
        mean_D = x_ND.nanmean(0).nan_to_num()
        variance_D = (x_ND - mean_D).square().nanmean(0)
        found = cls(mean_D, torch.diag(variance_D.nan_to_num(1.0)) + ridge * eye_DD)
        for _ in range(iterations):
            mean_D, covariance_DD = found._expected_moments(x_ND, ridge)
            scale_D = found.covariance_DD.diagonal().sqrt()
            moved = ((mean_D - found.mean_D) / scale_D).abs().amax()
            change_DD = covariance_DD + ridge * eye_DD - found.covariance_DD
            moved = torch.maximum(moved, (change_DD / scale_D / scale_D[:, None]).abs().amax())
            found = cls(mean_D, covariance_DD + ridge * eye_DD)
            if moved < tolerance or not bool(x_ND.isnan().any()):
                break
        return found

    def _expected_moments(self, x_ND: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
        """Return mean and covariance of rows whose missing cells have their law given the observed ones.

        Without the ridge that the variances of this Gaussian have: or that of missing cells would add up.
        """
        filled_ND, left_DD = x_ND.clone(), torch.zeros_like(self.covariance_DD)
        for pattern in self._patterns(x_ND):
            mean_nD, spread_DD = self._missing(x_ND, pattern)
            filled_ND[pattern.rows_n] = torch.where(pattern.observed_D, x_ND[pattern.rows_n], mean_nD)
            left_DD += len(pattern.rows_n) * (spread_DD - ridge * torch.diag((~pattern.observed_D).to(spread_DD)))
        mean_D = filled_ND.mean(0)
        centred_ND = filled_ND - mean_D
        return mean_D, (centred_ND.T @ centred_ND + left_DD) / len(x_ND)

    def _patterns(self, x_BD: Tensor) -> Iterator[Pattern]:
        """Yield the rows by what is observed of them."""
        observed_PD, which_B = torch.unique(~x_BD.isnan(), dim=0, return_inverse=True)
        rows = which_B.argsort().split(which_B.bincount(minlength=len(observed_PD)).tolist())
        for first in range(0, len(observed_PD), TOGETHER):
            o_PD = observed_PD[first : first + TOGETHER].to(self.covariance_DD)
            both_PDD = o_PD[:, :, None] * o_PD[:, None]
            factor_PDD = torch.linalg.cholesky(self.covariance_DD * both_PDD + torch.diag_embed(1 - o_PD))
            precision_PDD = torch.cholesky_inverse(factor_PDD) * both_PDD
            log_det_P = 2 * factor_PDD.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            for i in range(len(o_PD)):
                place = first + i
                yield Pattern(rows[place], observed_PD[place], precision_PDD[i], log_det_P[i])

    def _centred(self, x_BD: Tensor, pattern: Pattern) -> Tensor:
        return torch.where(pattern.observed_D, x_BD[pattern.rows_n] - self.mean_D, 0.0)

    def _missing(self, x_BD: Tensor, pattern: Pattern) -> tuple[Tensor, Tensor]:
        """Return the mean (n, D) and covariance (D, D) of all cells given the observed ones."""
        gain_DD = pattern.precision_DD @ self.covariance_DD
        mean_nD = self.mean_D + self._centred(x_BD, pattern) @ gain_DD
        missing_D = (~pattern.observed_D).to(gain_DD)
        spread_DD = (self.covariance_DD - self.covariance_DD @ gain_DD) * missing_D * missing_D[:, None]
        return mean_nD, spread_DD

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return the log-density of the observed part of every row, nats, shape (B,)."""
        x_BD = x_BD.double()
        log_q_B = x_BD.new_empty(len(x_BD))
        for pattern in self._patterns(x_BD):
            y_nD = self._centred(x_BD, pattern)
            square_n = ((y_nD @ pattern.precision_DD) * y_nD).sum(-1)
            log_q_B[pattern.rows_n] = -0.5 * (square_n + pattern.log_det + int(pattern.observed_D.sum()) * LOG_2_PI)
        return log_q_B

    def given_the_rest(self, x_BD: Tensor) -> GaussianCells:
        """Return what every cell is, given all other observed cells of its row.

        With P the precision of the observed cells, an observed one has variance 1 / P_dd and mean x_d - (P y)_d / P_dd.
        """
        x_BD = x_BD.double()
        mean_BD, std_BD = torch.empty_like(x_BD), torch.empty_like(x_BD)
        for pattern in self._patterns(x_BD):
            missing_nD, spread_DD = self._missing(x_BD, pattern)
            inverse_D = pattern.precision_DD.diagonal().where(pattern.observed_D, 1.0).reciprocal()
            known_nD = x_BD[pattern.rows_n] - self._centred(x_BD, pattern) @ pattern.precision_DD * inverse_D
            mean_BD[pattern.rows_n] = torch.where(pattern.observed_D, known_nD, missing_nD)
            std_BD[pattern.rows_n] = torch.where(pattern.observed_D, inverse_D, spread_DD.diagonal()).sqrt()
        return GaussianCells(x_BD, mean_BD, std_BD)

    def fill(self, x_BD: Tensor, generator: Generator | None = None) -> Tensor:
        """Return rows whose missing cells are drawn given the observed ones, shape of x.

        A row y drawn from the Gaussian becomes one given the observed cells o as y + gain (o - y_O).
        """
        x_BD = x_BD.double()
        drawn_BD = self.mean_D + normal_like(x_BD, generator) @ self.factor_DD.T
        filled_BD = x_BD.clone()
        for pattern in self._patterns(x_BD):
            rows_n = pattern.rows_n
            gap_nD = torch.where(pattern.observed_D, x_BD[rows_n] - drawn_BD[rows_n], 0.0)
            moved_nD = drawn_BD[rows_n] + gap_nD @ pattern.precision_DD @ self.covariance_DD
            filled_BD[rows_n] = torch.where(pattern.observed_D, x_BD[rows_n], moved_nD)
        return filled_BD

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n whole rows, shape (n, D)."""
        return self.fill(self.mean_D.new_full((n, len(self.mean_D)), math.nan), generator)
