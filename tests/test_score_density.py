"""The scikit-learn face: its own checks, known densities, pipelines."""

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, spearmanr
from sklearn.datasets import load_wine
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from scorewise import ScoreDensity

QUICK: dict[str, Any] = {"steps": 8, "terms": 8, "hidden": (8,), "random_state": 0}


def test_estimator_checks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(ScoreDensity(**QUICK | {"steps": 1}))


def gaussian(n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).multivariate_normal([3.0, -10.0], [[4.0, 1.2], [1.2, 1.0]], n)


@pytest.fixture(scope="module")
def fitted() -> ScoreDensity:
    return ScoreDensity(smoothing=0.1, steps=100, hidden=(32, 32), random_state=0).fit(gaussian(4_000))


def test_the_density_of_a_gaussian(fitted: ScoreDensity) -> None:
    covariance = np.array([[4.0, 1.2], [1.2, 1.0]]) + 0.01 * np.diag([4.0, 1.0])
    x = gaussian(2000, 1) + 0.1 * np.random.default_rng(2).normal(size=(2000, 2)) * [2.0, 1.0]
    z = x - [3.0, -10.0]
    exact = (
        -0.5 * (z @ np.linalg.inv(covariance) * z).sum(1) - np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(covariance)[1]
    )
    assert abs(fitted.score(x) - exact.mean()) < 0.05
    assert fitted.score(x[:100]) == pytest.approx(fitted.score_samples(x[:100]).mean())
    side = np.linspace(-6, 6, 41)
    grid = np.stack(np.meshgrid(3 + 1.2 * side, -10 + 0.6 * side), -1).reshape(-1, 2)
    assert np.exp(fitted.score_samples(grid)).sum() * 0.3**2 * 1.2 * 0.6 == pytest.approx(1, abs=0.01)


def test_samples(fitted: ScoreDensity) -> None:
    x = fitted.sample(4000, random_state=1)
    assert np.abs(np.cov(x.T) / [[4.04, 1.2], [1.2, 1.01]] - 1).max() < 0.25
    assert (fitted.sample(5, random_state=1) == fitted.sample(5, random_state=1)).all()
    assert (fitted.sample(5) == fitted.sample(5, random_state=0)).all()
    assert (fitted.sample(5) != fitted.sample(5, random_state=1)).any()
    for n in (0, 2.5):
        with pytest.raises(ValueError, match=f"n_samples={n}"):
            fitted.sample(n)  # type: ignore[arg-type]


def test_units_only_shift_the_density() -> None:
    x = gaussian(300)
    one = ScoreDensity(**QUICK).fit(x).score_samples(x)
    other = ScoreDensity(**QUICK).fit(1000 * x + 7).score_samples(1000 * x + 7)
    np.testing.assert_allclose(other + 2 * np.log(1000), one, atol=1e-3)


def test_pipelines_grids_and_pickles() -> None:
    x = gaussian(200)
    pipeline = make_pipeline(StandardScaler(), ScoreDensity(**QUICK)).fit(x)
    assert np.isfinite(pipeline.score_samples(x)).all()
    search = GridSearchCV(ScoreDensity(**QUICK), {"smoothing": [0.05, 0.5]}, cv=2).fit(x)
    assert search.best_params_["smoothing"] in (0.05, 0.5)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.score_samples(x), search.best_estimator_.score_samples(x))


def test_odd_tables() -> None:
    x = np.repeat(gaussian(20), 3, axis=0)
    x = np.column_stack([x, np.full(60, 2.5)])
    model = ScoreDensity(**QUICK).fit(x)
    assert np.isfinite(model.score_samples(x)).all()
    assert model.sample(3, random_state=0).shape == (3, 3)
    assert np.isfinite(ScoreDensity(**QUICK).fit(x[:, :1]).score_samples(x[:, :1])).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"smoothing": 0}, {"smoothing": None}, {"smoothing": np.inf}, {"smoothing": np.nan}, {"smoothing": "abc"},
        {"terms": 0}, {"terms": 2.5}, {"steps": 0}, {"steps": 1.5}, {"lr": -1.0}, {"lr": np.inf},
        {"hidden": ()}, {"hidden": 64}, {"hidden": (0,)}, {"hidden": (2.5,)}, {"ordering": 3},
        {"ordering": "zigzag"}, {"random_state": "abc"}, {"orders": 0}, {"contamination": 0}, {"contamination": 0.6},
        {"calibration": 0.6}, {"calibration": -0.1}, {"support_fraction": 0}, {"support_fraction": 1.5},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_one_sentence(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))) as refused:
        ScoreDensity(**{**QUICK, **settings}).fit(gaussian(20))
    assert "\n" not in str(refused.value)


def test_the_default_type_of_torch_does_not_matter(double: None) -> None:
    assert np.isfinite(ScoreDensity(**QUICK).fit(gaussian(50)).score(gaussian(50)))


def skewed(n: int, seed: int) -> np.ndarray[Any, Any]:
    """Return a Gaussian of which one column is exponentiated: the largest of 2,000 is 15 standard deviations away."""
    x = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], n)
    return np.column_stack([x[:, 0], np.exp(1.5 * x[:, 1])])


def test_a_heavy_tail_leaves_the_range_to_the_others() -> None:
    x, other = skewed(2000, 0), skewed(4000, 1)
    model = ScoreDensity(smoothing=0.1, steps=120, hidden=(32, 32), random_state=0).fit(x)
    other += 0.1 * model.scale_ * np.random.default_rng(2).normal(size=other.shape)
    drawn = model.sample(4000)
    assert model.score(other) > -4.3  # -2,900 where columns are only standardised: one row lies far out
    for column in (0, 1):
        assert ks_2samp(drawn[:, column], other[:, column]).statistic < 0.05
    assert abs(spearmanr(drawn).statistic - spearmanr(other).statistic) < 0.1


def test_a_heavy_tail_has_a_density() -> None:
    x = skewed(500, 0)[:, 1:]
    model = ScoreDensity(**QUICK).fit(x)
    line = np.linspace(x.min() - 150, x.max() + 300, 40_001)[:, None]
    assert np.exp(model.score_samples(line)).sum() * (line[1] - line[0]) == pytest.approx(1, abs=1e-3)


def test_planted_outliers_of_wine() -> None:
    x = load_wine().data
    rng = np.random.default_rng(0)
    held = rng.permutation(len(x))[:50]
    inliers = x[held]
    shuffled = np.column_stack([rng.permutation(column) for column in inliers.T])  # right columns, wrong together
    model = ScoreDensity(smoothing=0.3, steps=200, terms=16, random_state=0).fit(np.delete(x, held, 0))
    scores = model.outlier_score(np.concatenate([inliers, shuffled]))
    assert roc_auc_score([0] * 50 + [1] * 50, scores) > 0.8


def test_orders_of_the_first_network() -> None:
    x = np.zeros((40, 3))  # the column that varies says most, constant ones follow by their place
    x[:, 1] = np.random.default_rng(0).normal(size=40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_list, by_array, found, raster = (
            ScoreDensity(**QUICK, ordering=order).fit(x).score(x)
            for order in ([1, 0, 2], np.array([1, 0, 2]), "data_driven", "raster")
        )
    assert by_list == by_array == found != raster


def test_outliers_among_the_fitted_rows_are_not_learned_where_few_rows_are_central() -> None:
    x = np.concatenate([gaussian(240), 0.1 * gaussian(40, 1) + np.array([6.0, -6.0])])  # a cluster of its own
    odd = np.arange(280) >= 240
    found = {
        share: roc_auc_score(odd, ScoreDensity(**QUICK, support_fraction=share).fit(x).outlier_score(x, fitted=True))
        for share in (0.75, 1.0)
    }
    assert found[0.75] > 0.95 > 0.8 > found[1.0]


@pytest.fixture(scope="module")
def detector() -> ScoreDensity:
    return ScoreDensity(steps=100, hidden=(32, 32), calibration=0.3, random_state=0).fit(gaussian(600))


def test_the_interface_of_outlier_detectors(detector: ScoreDensity) -> None:
    x = np.concatenate([gaussian(200, 1), gaussian(20, 2) + np.array([10.0, -10.0])])
    decision = detector.decision_function(x)
    np.testing.assert_allclose(decision, detector.score_samples(x) - detector.offset_)
    np.testing.assert_array_equal(detector.predict(x), np.where(decision >= 0, 1, -1))
    assert (detector.predict(x)[200:] == -1).all()
    assert roc_auc_score([0] * 200 + [1] * 20, detector.outlier_score(x)) > 0.99
    assert (detector.predict(gaussian(600)) == -1).mean() == pytest.approx(0.05, abs=0.005)


def test_fitted_rows_are_judged_by_the_others(detector: ScoreDensity) -> None:
    x, new = gaussian(600), gaussian(2000, 3)
    alone, own = detector.outlier_score(x, fitted=True), detector.outlier_score(x)
    kept = np.isclose(alone, own)  # they were not fitted, so none is at no distance from itself
    np.testing.assert_allclose(np.sort(own[kept]), np.sort(detector.calibration_scores_))
    assert (alone[~kept] > own[~kept]).all()
    flagged = [(detector.outlier_score(new) > np.quantile(scores, 0.9)).mean() for scores in (alone, own)]
    assert flagged[0] == pytest.approx(0.1, abs=0.04)
    assert flagged[1] > 0.2
    np.testing.assert_allclose(detector.outlier_score(new, fitted=True), detector.outlier_score(new))


def test_p_values_are_valid(detector: ScoreDensity) -> None:
    p = detector.pvalues(gaussian(4000, 3))
    assert len(detector.calibration_scores_) == 180
    for level in (0.05, 0.2, 0.5):  # of one draw of 180 held-out rows, which have a standard error of their own
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 180)
    assert detector.pvalues(np.array([[100.0, 100.0]]))[0] == pytest.approx(1 / 181)


def test_rows_that_are_kept_for_p_values_have_no_say_in_the_scale_of_the_others(detector: ScoreDensity) -> None:
    x = gaussian(600)
    kept = np.isclose(detector.outlier_score(x), detector.outlier_score(x, fitted=True))
    assert kept.sum() == 180
    np.testing.assert_allclose(detector.mean_, x[~kept].mean(0))
    np.testing.assert_allclose(detector.scale_, x[~kept].std(0))


@pytest.mark.parametrize("order", ["raster", "any"])
def test_a_training_that_leaves_the_numbers_is_refused(order: str) -> None:
    with pytest.raises(ValueError, match=r"lr=1e\+06 left no finite loss"):
        ScoreDensity(**{**QUICK, "steps": 100}, lr=1e6, ordering=order).fit(gaussian(100))


def test_without_kept_rows_there_are_no_p_values() -> None:
    model = ScoreDensity(**{**QUICK, "calibration": 0.0}).fit(gaussian(50))
    with pytest.raises(ValueError, match="calibration=0 kept no row"):
        model.pvalues(gaussian(3))


def test_cells_are_explained_in_their_own_units(detector: ScoreDensity) -> None:
    x = gaussian(50, 4)
    x[0] = [3.0, -5.0]  # five standard deviations up, and it takes the other along
    found = detector.explain(x)
    assert found.oddest(1) == [0]
    assert found.columns == ["0", "1"]
    np.testing.assert_allclose(found.cells.found_BD.numpy(), x)
    inside = (found.cells.low_BD.numpy() < x) & (x < found.cells.high_BD.numpy())
    assert inside[1:].mean() == pytest.approx(0.93, abs=0.07)
    assert float(found.cells.p_BD[0, 1]) < 0.01
    assert (found.cells.p_BD[1:] > 0.05).double().mean() > 0.8


def test_columns_and_rows_have_the_names_of_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(gaussian(60), columns=["acid", "sugar"], index=[f"wine {i}" for i in range(60)])
    found = ScoreDensity(**QUICK).fit(frame).explain(frame[:3])
    assert found.columns == ["acid", "sugar"]
    assert found.rows == ["wine 0", "wine 1", "wine 2"]


@pytest.mark.parametrize("names", [[0, 1], [("a", "x"), ("a", "y")]])
def test_columns_without_text_for_a_name_must_come_in_their_order_too(names: list[Any]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(gaussian(60))
    frame.columns = pandas.Index(names)
    found = ScoreDensity(**QUICK).fit(frame)
    assert (found.score_samples(frame) == found.score_samples(frame.to_numpy())).all()
    with pytest.raises(ValueError, match="give the latter, in their order"):
        found.score_samples(frame.iloc[:, [1, 0]])


def test_values_of_few_columns_are_not_at_chance() -> None:
    """Columns of two values each: rows of the data have the same parity, outliers the other."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (600, 4)).astype(float)
    even = x[x.sum(1) % 2 == 0]
    odd = x[x.sum(1) % 2 == 1]
    model = ScoreDensity(steps=150, random_state=0).fit(even[:200])
    assert roc_auc_score([0] * 50 + [1] * 50, model.outlier_score(np.concatenate([even[200:250], odd[:50]]))) > 0.95


@pytest.mark.parametrize("dtype", [str, int])
def test_equal_rows_have_one_p_value_whatever_stands_beside_them(dtype: type) -> None:
    drawn: np.ndarray[Any, Any] = np.random.default_rng(0).choice([1, 2, 3], (200, 2), p=[0.5, 0.3, 0.2]).astype(dtype)
    detector = ScoreDensity(**QUICK | {"steps": 1, "calibration": 0.5}).fit(drawn)
    together = detector.pvalues(drawn)
    rows, first = np.unique(drawn.astype(str), axis=0, return_index=True)
    assert len(rows) == 9
    assert len({(*row, p) for row, p in zip(drawn.astype(str).tolist(), together.tolist(), strict=True)}) == 9
    for place in first:
        assert detector.pvalues(drawn[place : place + 1]).tolist() == [together[place]]


def test_it_fits_in_every_mode_of_torch_and_leaves_the_rows_alone() -> None:
    rows = gaussian(60)
    rows.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = ScoreDensity(**QUICK).fit(rows).score_samples(rows)
        for mode in (torch.inference_mode, torch.no_grad):
            with mode():
                found = ScoreDensity(**QUICK).fit(rows).score_samples(rows)
                any_order = ScoreDensity(**QUICK | {"ordering": "any"}).fit(rows).score_samples(rows)
            assert (found == expected).all()
            assert np.isfinite(any_order).all()
