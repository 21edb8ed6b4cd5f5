"""Completing rows whose cells may be missing, as a protocol."""

from typing import Any, Protocol, runtime_checkable

from torch import Generator, Tensor


@runtime_checkable
class CompletesRows(Protocol):
    """Has every cell of rows given any known others, and draws missing ones (NaN); some columns may be only read."""

    def only_read(self) -> Tensor:
        """Return which columns are only read, boolean, shape (D,)."""

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return the log-density of the observed part of every row, nats, shape (B,)."""

    def log_prob_of_rest(self, x_BD: Tensor, known: Tensor) -> Tensor:
        """Return the log-density of the observed cells that are not known given those that are, nats, shape (B,)."""

    def cells(self, x_BD: Tensor, known: Tensor) -> Any:
        """Return what every cell is given the known others of its row, see `RowCells`."""

    def fill(self, x_BD: Tensor, generator: Generator | None = None) -> Tensor:
        """Return rows whose missing cells are drawn given the observed ones, shape of x."""
