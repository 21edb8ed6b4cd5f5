"""Splits of a table's rows by their values alone."""

import torch
from torch import Tensor

from scorewise.data.source import Split
from scorewise.noise import Draws


def split_rows(raw_ND: Tensor, val: float, test: float, seed: int) -> dict[Split, Tensor]:
    """Return the places of the rows of every split, in the order of a hash of their values.

    Rows are cut where the shares end, so that neither the order of the file nor other rows decide; equal rows stay
    together.

    Args:
        raw_ND: the rows, float64.
        val: share of the rows for validation.
        test: share of the rows for testing.
        seed: of the hash.
    """
    key_N = torch.zeros(len(raw_ND), dtype=torch.int64)
    for column_N in raw_ND.T:
        bits_N = (column_N.contiguous() + 0.0).view(torch.int64)  # without the sign of zero
        key_N = Draws.of(seed, key_N, bits_N).key_B
    ordered_N, order_N = key_N.sort(stable=True)

    def cut(share: float) -> int:
        place = round(share * len(order_N))
        while 0 < place < len(order_N) and ordered_N[place] == ordered_N[place - 1]:
            place += 1
        return place

    first, second = cut(test), cut(test + val)
    return {"test": order_N[:first], "val": order_N[first:second], "train": order_N[second:]}
