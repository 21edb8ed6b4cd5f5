"""Kinds of columns: a zoo of columns and what is found in each, what is given, and that laws take it."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from scorewise.data.tabular.kinds import found_kind, given_kind
from scorewise.errors import UserError
from scorewise.heads.columns import ColumnKind, law_of

N = 2000
Make = Callable[[torch.Generator], Tensor]


def normal(g: torch.Generator) -> Tensor:
    return torch.randn(N, generator=g, dtype=torch.float64)


def uniform(g: torch.Generator) -> Tensor:
    return torch.rand(N, generator=g, dtype=torch.float64)


def with_share(x: Tensor, share: float, value: float, start: float = 0.0) -> Tensor:
    """Return x with a share of its entries set to a value, from the place of another share on."""
    x = x.clone()
    x[int(start * len(x)) : int((start + share) * len(x))] = value
    return x


ZOO: dict[str, tuple[Make, str, dict[str, Any]]] = {
    "a normal law": (normal, "continuous", {"resolution": 0.0}),
    "far from zero": (lambda g: 1e6 + normal(g), "continuous", {}),
    "tiny": (lambda g: 1e-12 * normal(g), "continuous", {}),
    "huge": (lambda g: 1e12 * normal(g), "continuous", {}),
    "rounded": (lambda g: (10 * normal(g)).round() / 10 + 0.05, "continuous", {}),
    "rounded to two places": (lambda g: (100 * normal(g)).round() / 100, "continuous", {}),
    "temperatures in kelvin": (lambda g: 290 + 8 * normal(g), "continuous", {"low": None}),
    "incomes": (lambda g: (10 + normal(g)).exp(), "positive", {"low": 0.0, "spikes": ()}),
    "waiting times": (lambda g: -uniform(g).log(), "positive", {"low": 0.0}),
    "positive and tiny": (lambda g: 1e-12 * normal(g).exp(), "positive", {"low": 0.0}),
    "rainfall": (lambda g: with_share(normal(g).exp(), 0.6, 0.0), "positive", {"low": 0.0, "spikes": (0.0,)}),
    "few zeros": (lambda g: with_share(normal(g).exp(), 0.01, 0.0), "positive", {"spikes": ()}),
    "a code in it": (lambda g: with_share(normal(g), 0.1, -999.0), "continuous", {"spikes": (-999.0,)}),
    "two spikes": (
        lambda g: with_share(with_share(normal(g), 0.3, 0.0), 0.1, 5.5, 0.5),
        "continuous",
        {"spikes": (0.0, 5.5)},
    ),
    "capped": (lambda g: normal(g).clamp(max=1.0), "continuous", {"spikes": (1.0,)}),
    "shares": (lambda g: (2 * normal(g)).sigmoid(), "bounded", {"low": 0.0, "high": 1.0}),
    "percentages": (lambda g: 100 * normal(g).mul(2).sigmoid(), "bounded", {"low": 0.0, "high": 100.0}),
    "shares with many zeros": (
        lambda g: with_share((2 * normal(g)).sigmoid(), 0.3, 0.0),
        "bounded",
        {"low": 0.0, "high": 1.0, "spikes": (0.0,)},
    ),
    "small shares": (lambda g: (normal(g) - 5).sigmoid(), "positive", {"low": 0.0, "high": None}),
    "scaled to its ends": (
        lambda g: (x := normal(g) + 10).sub(x.min()).div(x.max() - x.min()),
        "continuous",
        {"low": None},
    ),
    "yes and no": (lambda g: (uniform(g) < 0.3).double(), "boolean", {"levels": 2}),
    "one and two": (lambda g: 1 + (uniform(g) < 0.3).double(), "whole", {"low": 0.0, "first": 1.0}),
    "two fractions": (lambda g: 0.25 + 0.5 * (uniform(g) < 0.3), "whole", {"low": None, "first": 0.25, "step": 0.5}),
    "counts": (lambda g: (-3 * uniform(g).log()).floor(), "whole", {"low": 0.0, "step": 1.0}),
    "ages": (lambda g: (18 + 60 * uniform(g)).floor(), "whole", {"low": 0.0}),
    "temperatures in whole degrees": (lambda g: (5 * normal(g)).round(), "whole", {"low": None}),
    "hundreds": (lambda g: 100 * (5 + normal(g)).round().clamp(min=0), "whole", {"low": 0.0, "step": 100.0}),
    "grades in halves": (lambda g: (2 * uniform(g) * 4).round() / 2, "whole", {"step": 0.5, "low": 0.0}),
    "whole and wide": (lambda g: (1e6 * normal(g)).round(), "continuous", {}),
    "prices in whole numbers": (lambda g: (1e5 * normal(g).exp()).round(), "positive", {"low": 0.0}),
    "beyond whole numbers": (lambda g: (2.0**60 * normal(g)).round(), "continuous", {}),
    "missing in half": (lambda g: with_share(normal(g), 0.5, math.nan), "continuous", {}),
    "few rows": (lambda g: normal(g)[:10], "continuous", {}),
    "whole numbers once each": (lambda _: torch.arange(N, dtype=torch.float64), "whole", {"low": 0.0}),
}


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("name", ZOO)
def test_the_kind_of_a_column_is_found(name: str, generator: torch.Generator) -> None:
    make, kind, numbers = ZOO[name]
    found = found_kind(make(generator))
    assert found.kind == kind, found.sentence()
    assert {key: getattr(found, key) for key in numbers} == numbers
    assert found.kind in found.sentence()


@pytest.mark.parametrize("name", ZOO)
def test_the_law_of_a_found_kind_takes_every_value_of_it(name: str, generator: torch.Generator) -> None:
    """In standardised units, single precision; and the law is about as wide as the column."""
    x = ZOO[name][0](generator)
    found, there = found_kind(x), x[~x.isnan()]
    of_code = found.kind in ("category", "boolean")
    mean, scale = (0.0, 1.0) if of_code else (float(there.mean()), float(there.std(correction=0)))
    law = law_of([ColumnKind.of(found.recipe(x, mean, scale))], 3)
    q = ((there - mean) / scale).float()[:, None]
    c, at = torch.zeros(len(q), 1, law.width), torch.tensor([0])
    assert bool(law.can_be(q, at).all())
    assert bool(law.log_prob(q, c, at).isfinite().all())
    drawn = law.quantile(torch.linspace(0.001, 0.999, len(q))[:, None], c, at)
    assert float((drawn.mean() - q.mean()).abs()) < 1.5
    assert float(drawn.std()) < 20


def test_rounded_values_have_no_law_narrower_than_their_rounding() -> None:
    x = torch.linspace(-3, 3, 3000, dtype=torch.float64).mul(5).round() / 5 + 0.1
    found = given_kind("x", "continuous", x)
    assert found.resolution == pytest.approx(0.2)
    assert found.recipe(x, 0.0, 1.0)["floor"] == pytest.approx(0.1 / float(x.std(correction=0)), rel=1e-6)


@pytest.mark.parametrize(
    ("given", "kind", "numbers"),
    [
        ("continuous", "continuous", {}),
        ("positive", "positive", {"low": 0.0}),
        ("count", "whole", {"low": 0.0}),
        ("whole", "whole", {"low": None}),
        ("bounded", "bounded", {"low": 0.0, "high": 100.0}),
        ({"kind": "bounded", "low": 0, "high": 20}, "bounded", {"low": 0.0, "high": 20.0}),
        ({"kind": "positive", "spikes": [3]}, "positive", {"spikes": (3.0,)}),
        ({"kind": "whole", "low": 1, "high": 12}, "whole", {"low": 1.0, "high": 12.0}),
    ],
)
def test_a_kind_is_given(given: Any, kind: str, numbers: dict[str, Any]) -> None:
    x = 1.0 + torch.arange(100, dtype=torch.float64) % 12
    found = given_kind("month", given, x)
    assert found.kind == kind
    assert {key: getattr(found, key) for key in numbers} == numbers
    assert found.because == "given"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("colour", "the kind colour: use one of continuous"),
        ({"kind": "positive", "top": 3}, "use one of"),
        ({"low": 3}, "use one of"),
        ({"kind": "bounded", "low": "a"}, "no numbers"),
        ("positive", "given as positive and has -2, which is beyond 0 to any: 'data.kinds={x: continuous}'"),
        ({"kind": "bounded", "low": -3, "high": 1}, "has 2.5, which is beyond -3 to 1"),
        ("boolean", "other numbers than 0 and 1"),
        ("whole", None),
    ],
)
def test_a_kind_that_the_values_are_not_of_is_refused(given: Any, says: str | None) -> None:
    x = torch.tensor([-2.0, 0.3333333333, 2.5], dtype=torch.float64)
    with pytest.raises(UserError, match=says or "holds no whole numbers"):
        given_kind("x", given, x)
