"""What kind of numbers a column holds, as a recipe says it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from scorewise.errors import names_of


@dataclass(frozen=True)
class ColumnKind:
    """One column: its kind, and the numbers that its law rests on, in the units in which the model sees the column.

    Args:
        kind: continuous, positive, bounded, whole, category or boolean.
        mean, std: where the bulk of the values lies, after the map of positive and bounded ones.
        floor: standard deviation of the noise that the law is smoothed with at least, in units of std.
        low, high: the least and the largest value that there can be; None: no end.
        offset: how far from an end the map of positive and bounded columns has its pole.
        first, step: of whole numbers: one of their values, and how far apart two are.
        levels: how many categories there are, codes 0 to levels - 1.
        spikes: single values that have a probability of their own.
        given: whether the column is only read: others are modelled given it.
        unit: how many of the column's own units one unit of the model is; densities are in its own.

    Raises:
        ValueError: a mean, a scale, a step or an end that is none.

    Example:
        >>> import torch
        >>> from scorewise.heads.columns import ColumnKind, law_of
        >>> law = law_of([ColumnKind("whole", low=0, high=2, mean=1)], components=1)
        >>> features, first = torch.zeros(1, 1, law.width), torch.tensor([0])
        >>> p = law.log_prob(torch.tensor([[0.0], [1.0], [2.0]]), features, first).exp()
        >>> [round(float(one), 3) for one in p]
        [0.087, 0.826, 0.087]
    """

    kind: str
    mean: float = 0.0
    std: float = 1.0
    floor: float = 0.0
    low: float | None = None
    high: float | None = None
    offset: float = 0.0
    first: float = 0.0
    step: float = 1.0
    levels: int = 0
    spikes: Sequence[float] = ()
    unit: float = 1.0
    given: bool = False

    def __post_init__(self) -> None:
        numbers = (self.mean, self.std, self.floor, self.offset, self.first, self.step, self.unit, *self.spikes)
        scales = (self.std, self.step, self.unit)
        if not all(map(math.isfinite, numbers)) or min(scales) <= 0 or min(self.floor, self.offset) < 0:
            raise ValueError(f"the column {self} has a mean, a scale or a step that is none")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"the ends of the column {self} are in no order")

    @classmethod
    def of(cls, plain: "Mapping[str, Any] | ColumnKind") -> Self:
        """Return the column of a recipe.

        Raises:
            ValueError: the recipe says something that no column has.
        """
        given = asdict(plain) if isinstance(plain, ColumnKind) else dict(plain)
        known = [field.name for field in fields(cls)]
        if unknown := [str(name) for name in given if name not in known]:
            raise ValueError(f"a column has no {names_of(unknown)}: it has {names_of(known)}")
        if "kind" not in given:
            raise ValueError(f"the column {given} says no kind")
        return cls(**{**given, "spikes": tuple(given.get("spikes", ()))})

    def plain(self) -> dict[str, Any]:
        """Return the column as a recipe has it, without what is as ever."""
        usual = asdict(type(self)(self.kind))
        return {"kind": self.kind} | {
            name: list(value) if name == "spikes" else value
            for name, value in asdict(self).items()
            if value != usual[name]
        }

    @property
    def ends(self) -> tuple[float, float]:
        """The ends, infinite where there is none."""
        low, high = self.low, self.high
        return -math.inf if low is None else low, math.inf if high is None else high
