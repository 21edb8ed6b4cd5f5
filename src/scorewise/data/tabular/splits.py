"""Splits of a table's rows by their values alone."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from scorewise.data.source import Split
from scorewise.errors import UserError
from scorewise.noise import Draws
from scorewise.ranges import is_share

EQUAL_ROWS = ("auto", "together", "apart")
MANY, COMMON, COPIES = 0.5, 0.05, 5
"""From which on equal rows are split: the share of rows with an equal one; the share of one row, so many at least."""


@final
@dataclass(frozen=True)
class Splits:
    """The shares of a table's rows, in the order of a hash of their values.

    Rows are cut where the shares end, so that neither the order of the file nor other rows decide.

    Args:
        val: share of the rows for validation.
        test: share of the rows for testing.
        seed: of the hash.
        equal_rows: together, so that no held-out row is one that was trained on; apart, each on its own, which columns
            of few values need: else whole combinations of these are in one split; auto: apart where at least half of
            the rows have an equal one, or one makes up a twentieth of them, five rows at least.

    Raises:
        UserError: a share is none, or they are more than the whole, or equal_rows is none of these.

    Example:
        >>> import torch
        >>> from scorewise.data.tabular.splits import Splits
        >>> rows = torch.arange(100.0, dtype=torch.float64)[:, None]
        >>> {split: len(places) for split, places in Splits(0.1, 0.2, 0).of(rows).items()}
        {'test': 20, 'val': 10, 'train': 70}
    """

    val: float
    test: float
    seed: int
    equal_rows: str = "auto"

    def __post_init__(self) -> None:
        for name in ("val", "test"):
            if not is_share(share := getattr(self, name)):
                raise UserError(f"data.{name}={share} must be a share of the rows, 0 to 1.")
        if self.val + self.test > 1:
            raise UserError(f"data.val={self.val} and data.test={self.test} must be at most 1 together.")
        if self.equal_rows not in EQUAL_ROWS:
            raise UserError(f"data.equal_rows={self.equal_rows} must be one of {', '.join(EQUAL_ROWS)}.")

    def of(self, raw_ND: Tensor) -> dict[Split, Tensor]:
        """Return the places of the rows of every split; the rows are float64."""
        key_N = self._keys(raw_ND)
        ordered_N, order_N = key_N.sort(stable=True)

        def cut(share: float) -> int:
            place = round(share * len(order_N))
            while 0 < place < len(order_N) and ordered_N[place] == ordered_N[place - 1]:
                place += 1
            return place

        first, second = cut(self.test), cut(self.test + self.val)
        return {"test": order_N[:first], "val": order_N[first:second], "train": order_N[second:]}

    def _keys(self, raw_ND: Tensor) -> Tensor:
        key_N = torch.zeros(len(raw_ND), dtype=torch.int64)
        for column_N in raw_ND.T:
            bits_N = (column_N.contiguous() + 0.0).view(torch.int64)  # without the sign of zero
            key_N = Draws.of(self.seed, key_N, bits_N).key_B
        if self.equal_rows == "together" or not len(key_N):
            return key_N
        _, group_N, count_G = key_N.unique(return_inverse=True, return_counts=True)
        equals = float((count_G[group_N] > 1).double().mean())
        if self.equal_rows == "auto" and equals < MANY and int(count_G.max()) < max(COMMON * len(key_N), COPIES):
            return key_N
        order_N = group_N.argsort(stable=True)
        copy_N = torch.empty_like(group_N)
        copy_N[order_N] = torch.arange(len(key_N)) - (count_G.cumsum(0) - count_G)[group_N[order_N]]
        return Draws.of(self.seed, key_N, copy_N).key_B
