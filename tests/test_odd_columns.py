"""Columns that are constant, tiny, huge or far from 0, and single values that set the scale of their column."""

import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scorewise import ScoreDensity
from scorewise.data import Table
from scorewise.data.tabular.columns import moments, varies
from scorewise.data.tabular.far import far_values

QUICK: dict[str, Any] = {"steps": 150, "terms": 16, "hidden": (16,), "random_state": 0}
RNG = np.random.default_rng(0)
Z = RNG.normal(size=(200, 2))


@pytest.fixture(scope="module")
def plain() -> ScoreDensity:
    return ScoreDensity(**QUICK).fit(Z)


@pytest.mark.parametrize(
    ("offset", "sd"),
    [
        (0, 1),
        (4e-12, 1e-13),
        (1e9, 1e-3),
        (-1e9, 1e-3),
        (0, 1e200),
        (1e200, 1e200),
        (0, 1e-200),
        (1e6, 1e-8),
    ],
)
def test_a_density_is_the_same_in_any_units(offset: float, sd: float, plain: ScoreDensity) -> None:
    """The density shifts by the log of the units, but for the digits that an offset takes."""
    x = offset + sd * Z
    lost = np.finfo(float).eps * abs(offset) / sd
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ScoreDensity(**QUICK).fit(x)
    np.testing.assert_allclose(model.scale_, sd * plain.scale_, rtol=1e-9 + 10 * lost)
    shift = 2 * math.log(sd)
    np.testing.assert_allclose(model.score_samples(x) + shift, plain.score_samples(Z), atol=0.01 + 100 * lost)
    far = x[:1] + 40 * model.scale_
    assert model.score_samples(far)[0] < model.score_samples(x).min() - 2, "40 sigma away is odd"
    assert np.isfinite(model.sample(20)).all()
    assert np.std(model.sample(200)[:, 0] / sd) == pytest.approx(1, abs=0.4)


COLUMNS: Sequence[tuple[Sequence[float], bool]] = (
    ([2.5, 2.5, 2.5], False),
    ([0.0, 0.0, 0.0], False),
    ([0.0, -0.0, 0.0], False),
    ([0.1 + 0.2, 0.3, 0.3], False),
    ([1e200, np.nextafter(1e200, math.inf), 1e200], False),
    ([1e9, 1e9 + 2e-7, 1e9], False),
    ([1e9, 1e9 + 1e-3, 1e9], True),
    ([4e-12, 4.1e-12, 3.9e-12], True),
    ([0.0, 5e-300, 0.0], True),
    ([-1.7e308, 1.7e308, 0.0], True),
    ([1.0, 1.0 + 1e-14, 1.0], True),
)


@pytest.mark.parametrize(("values", "several"), COLUMNS)
def test_constant_is_a_few_units_in_the_last_place(values: Sequence[float], several: bool, tmp_path: Path) -> None:
    x = np.column_stack([np.resize(values, 60), RNG.normal(size=60), RNG.normal(size=60)])
    assert varies(torch.as_tensor(x)).tolist() == [several, True, True]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = ScoreDensity(**{**QUICK, "steps": 10}).fit(x)
    sentences = [str(one.message) for one in said]
    assert ("columns with one value only count as ones of standard deviation 1: 0" in sentences) is not several
    assert np.isfinite(model.score_samples(x)).all()
    assert np.isfinite(model.sample(5)).all()
    np.save(tmp_path / "x.npy", x)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        source = Table(str(tmp_path / "x.npy"), val=0, test=0)
        assert source.shape == ((3,) if several else (2,))
    assert any("one value only in training are not used: x_1" in str(one.message) for one in said) is not several


def test_moments_of_odd_columns() -> None:
    for offset, sd in ((1e9, 1e-3), (4e-12, 1e-13), (1e200, 1e190), (0, 1e307), (0, 1e-300)):
        x = torch.as_tensor(offset + sd * Z)
        mean_D, scale_D = moments(x)
        rounding = 10 * np.finfo(float).eps * abs(offset) / sd
        np.testing.assert_allclose(((mean_D - offset) / sd).numpy(), Z.mean(0), atol=1e-9 + rounding)
        np.testing.assert_allclose((scale_D / sd).numpy(), Z.std(0), rtol=1e-9 + rounding)


FAR: Sequence[tuple[float, bool, bool]] = (
    (-9999, True, True), (-999, True, True), (-99, True, True), (1e20, True, True), (-1e20, True, True),
    (9.96e36, True, True), (9.969209968386869e36, True, True), (3.4e38, True, True), (-3.4028235e38, True, True),
    (1e6, True, False), (1.7e308, True, False), (-5e4, True, False), (4.0, False, False), (-8.0, False, False),
)  # fmt: skip


@pytest.mark.parametrize(("value", "told", "code"), FAR)
def test_a_far_value_is_told_of_by_column_and_row(value: float, told: bool, code: bool, tmp_path: Path) -> None:
    x = RNG.normal(size=(300, 3)).round(4)
    x[17, 1] = value
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ScoreDensity(**{**QUICK, "steps": 2}).fit(x)
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["a,b,c", *(",".join(map(repr, row)) for row in x.tolist())]) + "\n")
    source = Table(str(path), val=0, test=0)
    for sentences, named in (([str(one.message) for one in said], "1 has"), (source.doubts(0.1), "b has")):
        assert len(sentences) == told
        for one in sentences:
            assert one.startswith(f"column {named} {value:.6g} in row {17 if named[0] == '1' else 18}")
            assert ("usual code for a missing value" in one) is code
            assert not re.search(r"\n|nan", one)


@pytest.mark.parametrize("smoothing", [0.05, 0.3, 0.5])
def test_ordinary_columns_are_not_doubted(smoothing: float) -> None:
    """Heavy tails, counts of which most are 0, categories as numbers, and much smoothing are no reason."""
    columns = [
        RNG.normal(size=400), RNG.exponential(size=400), np.exp(RNG.normal(size=400)), RNG.uniform(size=400),
        RNG.poisson(0.2, 400), RNG.integers(0, 2, 400), np.where(np.arange(400) < 4, 1.0, 0.0), np.arange(400.0),
    ]  # fmt: skip
    x = torch.as_tensor(np.column_stack(columns))
    assert far_values(x, moments(x)[1], smoothing, range(8)) == []
