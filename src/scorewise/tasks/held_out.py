"""Numbers of held-out examples, and the examples that have none."""

import warnings
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor
from torchmetrics import CatMetric

from scorewise.errors import names_of


@final
class HeldOutNumber:
    """One number per held-out example, of all processes; those that are not finite are counted, not averaged.

    Args:
        device: of the values.
    """

    def __init__(self, device: torch.device) -> None:
        self._values, self._places = (CatMetric(nan_strategy="disable").to(device) for _ in range(2))
        self._shape = torch.Size()

    def add(self, values_B: Tensor, index_B: Tensor | None) -> None:
        """Add the numbers of some examples.

        Args:
            values_B: the numbers; or several of every example, (B, L).
            index_B: places of the examples in their split; None: they are in no split.
        """
        self._shape = values_B.shape[1:]
        self._values.update(values_B.detach().flatten())
        self._places.update(values_B.new_full((len(values_B),), -1) if index_B is None else index_B)

    def values(self) -> Tensor:
        """Return all numbers in the order of their places, finite or not, float64, shape (N,); or (N, L).

        So they are the same however many processes collected them, and whatever is drawn from them.
        """
        return joined(self._values).double().reshape(-1, *self._shape)[self._order()]

    def finite(self) -> Tensor:
        """Return the numbers that are finite, float64."""
        values_N = self.values()
        return values_N[values_N.isfinite()]

    def missing(self) -> list[int]:
        """Return the places of the examples without a finite number, in order; -1 where they are in no split."""
        places_N = joined(self._places)[self._order()]
        return sorted(int(place) for place in places_N[~self.values().isfinite()].tolist())

    def _order(self) -> Tensor:
        return joined(self._places).argsort(stable=True)


def joined(metric: CatMetric) -> Tensor:
    """Return the values that all processes have collected, shape (N,)."""
    return torch.as_tensor(metric.compute()).reshape(-1)


def without_number(missing: Iterable[int], total: int, one: str, names: list[str]) -> str:
    """Return how many examples have no finite number, and which, as part of a sentence: '1 of 30 test rows (17)'.

    Args:
        missing: their places in the split, -1 for those in none.
        total: examples that were looked at.
        one: what an example is called.
        names: of the examples of the split.
    """
    missing = list(missing)
    named = [names[place] for place in missing if 0 <= place < len(names)]
    which = f" ({names_of(named)})" if named else ""
    return f"{len(missing)} of {total} {one}s{which}"


def finite_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """Return the metrics that are finite numbers; the others are named in a warning."""
    fine = {name: value for name, value in metrics.items() if abs(value) < float("inf")}
    if lost := [name for name in metrics if name not in fine]:
        warnings.warn(f"not reported, since it is no finite number: {names_of(lost)}.", stacklevel=2)
    return fine
