"""ScoreDensity on data frames of every kind, and on arrays with missing cells: a zoo, and known answers."""

import datetime
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.stats import kstest, multivariate_normal

from scorewise import ScoreDensity

QUICK: dict[str, Any] = {"steps": 8, "terms": 2, "hidden": (8,), "random_state": 0}
G = np.random.default_rng(0)
N = 80
NUMBERS = G.normal(size=(N, 2))


def gaps(x: np.ndarray[Any, Any], share: float = 0.2, seed: int = 1) -> np.ndarray[Any, Any]:
    """Return an array some of whose cells are missing."""
    return np.where(np.random.default_rng(seed).random(x.shape) < share, np.nan, x)


def frame(columns: dict[str, Any]) -> Any:
    return pytest.importorskip("pandas").DataFrame(columns)


def typed(values: Any, dtype: str) -> Any:
    return pytest.importorskip("pandas").array(values, dtype=dtype)


def words(values: Any = ("a", "b", "c"), n: int = N) -> list[str]:
    drawn: list[str] = np.random.default_rng(2).choice(values, n).tolist()
    return drawn


def some_missing(values: Any) -> list[Any]:
    return [None if i % 5 == 0 else value for i, value in enumerate(values)]


ZOO: dict[str, Callable[[], Any]] = {
    "numbers with gaps": lambda: frame({"a": gaps(NUMBERS)[:, 0], "b": NUMBERS[:, 1]}),
    "an array with gaps": lambda: gaps(NUMBERS),
    "nullable whole numbers": lambda: frame({"a": typed(some_missing(range(N)), "Int64"), "b": NUMBERS[:, 0]}),
    "nullable bytes": lambda: frame({"a": typed(some_missing([7] * 40 + [9] * 40), "UInt8"), "b": NUMBERS[:, 0]}),
    "text": lambda: frame({"a": some_missing(words()), "b": NUMBERS[:, 0]}),
    "categories": lambda: frame({"a": words(), "b": NUMBERS[:, 0]}).astype({"a": "category"}),
    "categories of numbers": lambda: frame({"a": words((10, 20)), "b": NUMBERS[:, 0]}).astype({"a": "category"}),
    "booleans": lambda: frame({"a": NUMBERS[:, 0] > 0, "b": NUMBERS[:, 1]}),
    "nullable booleans": lambda: frame({"a": typed(some_missing(NUMBERS[:, 0] > 0), "boolean"), "b": NUMBERS[:, 1]}),
    "an empty column": lambda: frame({"a": [np.nan] * N, "b": NUMBERS[:, 0], "c": words()}),
    "an empty row": lambda: np.where(np.arange(N)[:, None] == 3, np.nan, NUMBERS),
    "one column of numbers": lambda: gaps(NUMBERS[:, :1]),
    "one column of text": lambda: frame({"a": words()}),
    "two rows": lambda: frame({"a": ["x", "y"], "b": [1.5, 2.5]}),
    "constant columns": lambda: frame({"a": [2.5] * N, "b": ["x"] * N, "c": [True] * N, "d": NUMBERS[:, 0]}),
    "a large constant": lambda: frame({"a": [1e15] * N, "b": words()}),
    "duplicates": lambda: frame({"a": np.repeat(NUMBERS[:8, 0], 10), "b": np.repeat(words(n=8), 10)}),
    "tiny numbers": lambda: 1e-12 * gaps(NUMBERS),
    "huge numbers": lambda: 1e12 * gaps(NUMBERS),
    "both with categories": lambda: frame({"a": 1e-12 * NUMBERS[:, 0], "b": 1e12 * NUMBERS[:, 1], "c": words()}),
    "more columns than rows": lambda: gaps(G.normal(size=(12, 20))),
    "most cells missing": lambda: gaps(G.normal(size=(N, 4)), 0.9),
}


@pytest.fixture(params=ZOO)
def table(request: pytest.FixtureRequest) -> Any:
    return ZOO[request.param]()


def fitted(table: Any, **settings: Any) -> ScoreDensity:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ScoreDensity(**(QUICK | settings)).fit(table)


def test_every_table_has_everything(table: Any) -> None:
    model, n = fitted(table), len(table)
    log_q, score = model.score_samples(table), model.outlier_score(table)
    assert log_q.shape == score.shape == (n,)
    assert np.isfinite(log_q).all()
    assert np.isfinite(score).all()
    np.testing.assert_allclose(model.decision_function(table), log_q - model.offset_)
    assert set(model.predict(table)) <= {-1, 1}
    if len(model.calibration_scores_):
        p = model.pvalues(table)
        assert ((p > 0) & (p <= 1)).all()
        found = model.explain(table[:3])
        assert (found.cells.p_BD.isnan() == found.cells.found_BD.isnan()).all()
        assert float(found.cells.p_BD.nan_to_num(1.0).min()) > 0
    drawn = model.sample(7, random_state=1)
    assert drawn.shape == (7, *table.shape[1:])
    completed = model.impute(table, draws=2)
    assert completed.draws[0].shape == table.shape
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.score_samples(table), log_q)
    if hasattr(table, "dtypes"):
        assert list(drawn.columns) == list(completed.draws[0].columns) == list(table.columns)
        assert list(drawn.dtypes) == list(table.dtypes)
        assert list(completed.draws[0].index) == list(table.index)
        empty = table.isna().all()
        assert not completed.draws[0].loc[:, ~empty].isna().any().any()
        observed = table.notna()
        assert completed.draws[0][observed].equals(table[observed]) or _same(completed.draws[0], table, observed)


def _same(one: Any, other: Any, where: Any) -> bool:
    return all(
        (one[name][where[name]].astype(object) == other[name][where[name]].astype(object)).all() for name in other
    )


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (lambda: frame({"when": typed(["2020-01-01"] * N, "datetime64[ns]"), "b": NUMBERS[:, 0]}), "when holds dates"),
        (lambda: frame({"a": words(), "b": [[1]] * N}), "b holds .1. among other things"),
        (lambda: frame({"a": ["x", 1] * 40}), "a holds 'x' among other things"),
        (lambda: frame({"a": [f"name {i}" for i in range(N)]}), "a has 72 values of text, and at most 50"),
        (lambda: frame({"a": np.where(NUMBERS[:, 0] > 0, np.inf, NUMBERS[:, 0]), "b": words()}), "infinite"),
        (lambda: frame({"a": words()})[:1], "minimum of 2"),
        (lambda: frame({"a": [np.nan] * N}), "no value in any cell"),
        (lambda: np.full((N, 2), np.nan), "no value in any cell"),
        (lambda: np.full((N, 2), "2020-01-01", "datetime64[D]"), "X holds dates .datetime64.D..: turn them into"),
        (lambda: np.full((N, 2), 3, "timedelta64[D]"), "X holds dates"),
        (lambda: [["x", 1.0]] * N, "could not convert .* columns of text are read from a data frame"),
        (
            lambda: pa.table({"a": NUMBERS[:, 0], "b": [datetime.date(2020, 1, 1), None] * (N // 2)}),
            "column b holds dates",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(table: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        ScoreDensity(**QUICK).fit(table())
    assert "\n" not in str(refused.value)


def test_a_table_of_arrow_is_the_data_frame_that_it_becomes() -> None:
    columns = {"a": NUMBERS[:, 0], "b": (NUMBERS[:, 1] > 0), "c": list(words())}
    arrow = pa.table(columns)
    one, other = fitted(arrow, random_state=0), fitted(arrow.to_pandas(), random_state=0)
    assert type(one.model_) is type(other.model_)
    np.testing.assert_array_equal(one.score_samples(arrow), other.score_samples(arrow.to_pandas()))
    assert one.explain(arrow.slice(0, 3)).rows == ["0", "1", "2"]
    assert list(one.impute(arrow, draws=2).draws[0].columns) == list(columns)


def test_rows_are_explained_in_whatever_they_come() -> None:
    model = fitted(NUMBERS)
    of_array, of_list = (model.explain(rows) for rows in (NUMBERS[:3], NUMBERS[:3].tolist()))
    assert of_list.rows == of_array.rows == ["0", "1", "2"]
    torch.testing.assert_close(of_list.cells.p_BD, of_array.cells.p_BD)


def test_dates_that_are_a_category_are_one() -> None:
    days = typed([f"202{i % 3}-01-01" for i in range(N)], "datetime64[ns]").astype("category")
    table = frame({"a": NUMBERS[:, 0], "when": days})
    model = fitted(table)
    assert [str(word)[:4] for word in model.explain(table[:1]).labels[1][:3]] == ["2020", "2021", "2022"]
    assert list(model.sample(3).dtypes) == list(table.dtypes)


def test_the_table_decides_and_the_model_says_which() -> None:
    assert "views" in repr(fitted(NUMBERS).model_)
    assert "law per column" in repr(fitted(gaps(NUMBERS)).model_)
    assert "law per column" in repr(fitted(NUMBERS, ordering="any").model_)
    complete = fitted(NUMBERS)
    with pytest.raises(ValueError, match="fit it with ordering='any'"):
        complete.score_samples(gaps(NUMBERS))
    with pytest.raises(ValueError, match="fit it with ordering='any'"):
        complete.impute(NUMBERS)


def test_columns_are_named_in_warnings() -> None:
    with pytest.warns(UserWarning, match="columns without any value are not part of the density: a"):
        ScoreDensity(**QUICK).fit(frame({"a": [np.nan] * N, "b": words()}))
    with pytest.warns(UserWarning, match="columns with one value only .*: b"):
        ScoreDensity(**QUICK).fit(frame({"a": words(), "b": [1.0] * N}))
    codes = np.where(np.arange(N) % 9 == 0, -999, NUMBERS[:, 0])
    with pytest.warns(UserWarning, match="column b has -999 .* usual code for a missing value"):
        ScoreDensity(**QUICK).fit(frame({"a": words(), "b": codes}))


def test_an_unseen_category_is_odd_and_has_a_number() -> None:
    table = frame({"a": words(), "b": NUMBERS[:, 0]})
    model, new = fitted(table, steps=100), table[:4].copy()
    new.loc[0, "a"] = "of another kind"
    assert model.outlier_score(new)[0] > model.outlier_score(table).max()
    found = model.explain(new)
    assert found.shown(float(found.cells.found_BD[0, 0]), 0) == "unknown"
    assert float(found.cells.p_BD[0, 0]) < 1e-6
    assert found.labels[0] == ["a", "b", "c", "unknown"]


def gaussian(n: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).multivariate_normal(MEAN, COVARIANCE, n)


MEAN = np.array([3.0, -10.0, 0.0])
COVARIANCE = np.array([[4.0, 1.2, -0.8], [1.2, 1.0, 0.1], [-0.8, 0.1, 0.5]])


@pytest.fixture(scope="module")
def of_gaussian() -> ScoreDensity:
    return fitted(gaps(gaussian(4000, 0), 0.3), steps=600, terms=2, hidden=(64, 64), lr=1e-3)


def test_a_gaussian_with_cells_missing_at_random(of_gaussian: ScoreDensity) -> None:
    drawn = of_gaussian.sample(20_000, random_state=1)
    scale = np.sqrt(np.diag(COVARIANCE))
    assert np.abs((drawn.mean(0) - MEAN) / scale).max() < 0.07
    assert np.abs((np.cov(drawn.T) - COVARIANCE) / np.outer(scale, scale)).max() < 0.1
    x = gaussian(4000, 2)
    exact = multivariate_normal(MEAN, COVARIANCE).logpdf(x)
    assert (exact - of_gaussian.score_samples(x)).mean() == pytest.approx(0, abs=0.08)
    half = np.where([False, True, False], np.nan, x)
    part = multivariate_normal(MEAN[[0, 2]], COVARIANCE[np.ix_([0, 2], [0, 2])]).logpdf(x[:, [0, 2]])
    assert (part - of_gaussian.score_samples(half)).mean() == pytest.approx(0, abs=0.03)


def test_imputed_intervals_cover(of_gaussian: ScoreDensity) -> None:
    x = gaussian(2000, 3)
    given = gaps(x, 0.4, 4)
    found, missing = of_gaussian.impute(given, draws=10), np.isnan(given)
    assert ((found.low < x) & (x < found.high))[missing].mean() == pytest.approx(0.9, abs=0.03)
    assert (np.isnan(found.mean) == ~missing).all()
    for drawn in found.draws:
        np.testing.assert_array_equal(drawn[~missing], x[~missing])
    off = np.abs(np.stack(found.draws) - x)[:, missing].mean()  # of independent draws: of two numbers of one law
    assert off == pytest.approx(np.abs(found.draws[0] - found.draws[1])[missing].mean(), rel=0.1)


def test_rows_beside_a_row_change_its_draws_and_not_its_interval(of_gaussian: ScoreDensity) -> None:
    row, other = np.array([[0.5, np.nan, -0.5]]), np.array([[np.nan, 0.0, 1.0]])
    alone, equal, beside = (
        of_gaussian.impute(rows, draws=100) for rows in (row, np.repeat(row, 2, 0), np.concatenate([other, row]))
    )
    for end in ("low", "high"):
        assert getattr(beside, end)[-1, 1] == pytest.approx(getattr(alone, end)[0, 1], abs=1e-9)
    drawn = np.stack(equal.draws)[:, :, 1]
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.35, "equal rows have draws of their own"
    error = drawn.std() / np.sqrt(100)
    assert beside.mean[-1, 1] == pytest.approx(alone.mean[0, 1], abs=5 * error)


def test_p_values_of_rows_and_cells(of_gaussian: ScoreDensity) -> None:
    x = gaps(gaussian(2000, 5), 0.3, 6)
    p = of_gaussian.pvalues(x)
    for level in (0.05, 0.2, 0.5):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / len(of_gaussian.calibration_scores_))
    cells = of_gaussian.explain(x).cells.p_BD.numpy()
    for d in range(3):
        assert kstest(cells[:, d][~np.isnan(cells[:, d])], "uniform").statistic < 0.06


def test_a_row_is_hardly_odder_for_what_it_lacks(of_gaussian: ScoreDensity) -> None:
    x = gaussian(3000, 7)
    parts = [np.where(known, x, np.nan) for known in ([True] * 3, [True, False, False], [False, True, True])]
    assert np.ptp([of_gaussian.score_samples(part).mean() for part in parts]) > 1
    assert np.abs([of_gaussian.outlier_score(part).mean() for part in parts]).max() < 0.7
