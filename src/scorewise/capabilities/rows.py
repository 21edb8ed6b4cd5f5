"""Densities of rows whose cells may be missing, as protocols."""

from typing import Protocol, runtime_checkable

from torch import Generator, Tensor


@runtime_checkable
class Cells(Protocol):
    """Says what every cell is given all other observed cells of its row.

    A cell that is missing (NaN) has NaN for all but its quantiles, which are given the observed cells.
    """

    @property
    def log_prob_BD(self) -> Tensor:
        """The log-density, or the log-probability of a category, of what was found, nats."""

    @property
    def below_BD(self) -> Tensor:
        """The probability of less than what was found."""

    @property
    def at_most_BD(self) -> Tensor:
        """The probability of what was found or less: more than `below_BD` where a value has a mass."""

    def quantile(self, u: float) -> Tensor:
        """Return the u-quantile of every cell, shape (B, D)."""


@runtime_checkable
class CategoryCells(Cells, Protocol):
    """Says of cells that are categories how probable each of them is."""

    def log_probs(self, d: int) -> Tensor:
        """Return the log-probability of every category that column d can have, nats, shape (B, levels)."""


@runtime_checkable
class CellSurprises(Protocol):
    """Says what every cell of incomplete rows adds to - log q of its row."""

    def surprise(self, x_BD: Tensor) -> Tensor:
        """Return what every cell adds to - log q, nats, shape (B, D); NaN where it is missing."""


@runtime_checkable
class RowDensity(Protocol):
    """Has the density of every subset of the columns of a row; NaN marks a missing cell."""

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return the log-density of the observed part of every row, nats, shape (B,)."""

    def given_the_rest(self, x_BD: Tensor) -> Cells:
        """Return what every cell is given all other observed cells of its row."""

    def fill(self, x_BD: Tensor, generator: Generator | None = None) -> Tensor:
        """Return rows whose missing cells are drawn given the observed ones, shape of x."""

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n whole rows, shape (n, D)."""
