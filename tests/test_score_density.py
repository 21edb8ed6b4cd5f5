"""The scikit-learn face: its own checks, known densities, pipelines."""

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from scorewise import ScoreDensity

QUICK: dict[str, Any] = {"steps": 20, "terms": 8, "hidden": (8,), "random_state": 0}


def test_estimator_checks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(ScoreDensity(**QUICK))


def gaussian(n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).multivariate_normal([3.0, -10.0], [[4.0, 1.2], [1.2, 1.0]], n)


@pytest.fixture(scope="module")
def fitted() -> ScoreDensity:
    return ScoreDensity(steps=1500, terms=16, hidden=(32, 32), random_state=0).fit(gaussian(10_000))


def test_the_density_of_a_gaussian(fitted: ScoreDensity) -> None:
    covariance = np.array([[4.0, 1.2], [1.2, 1.0]]) + 0.01 * np.diag([4.0, 1.0])
    x = gaussian(4000, 1) + 0.1 * np.random.default_rng(2).normal(size=(4000, 2)) * [2.0, 1.0]
    z = x - [3.0, -10.0]
    exact = (
        -0.5 * (z @ np.linalg.inv(covariance) * z).sum(1) - np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(covariance)[1]
    )
    assert abs(fitted.score(x) - exact.mean()) < 0.05
    assert fitted.score(x) == pytest.approx(fitted.score_samples(x).mean())
    side = np.linspace(-9, 9, 181)
    grid = np.stack(np.meshgrid(3 + 1.2 * side, -10 + 0.6 * side), -1).reshape(-1, 2)
    assert np.exp(fitted.score_samples(grid)).sum() * 0.1**2 * 1.2 * 0.6 == pytest.approx(1, abs=0.01)


def test_samples(fitted: ScoreDensity) -> None:
    x = fitted.sample(4000, random_state=1)
    assert np.abs(np.cov(x.T) / [[4.04, 1.2], [1.2, 1.01]] - 1).max() < 0.25
    assert (fitted.sample(5, random_state=1) == fitted.sample(5, random_state=1)).all()
    with pytest.raises(ValueError, match="n_samples=0"):
        fitted.sample(0)


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
    with pytest.raises(ValueError, match="smoothing=0 must be positive"):
        ScoreDensity(smoothing=0).fit(x)


def test_planted_outliers_of_wine() -> None:
    x = load_wine().data
    rng = np.random.default_rng(0)
    held = rng.permutation(len(x))[:50]
    inliers = x[held]
    shuffled = np.column_stack([rng.permutation(column) for column in inliers.T])  # right columns, wrong together
    model = ScoreDensity(smoothing=0.3, steps=400, terms=16, random_state=0).fit(np.delete(x, held, 0))
    scores = model.outlier_score(np.concatenate([inliers, shuffled]))
    assert roc_auc_score([0] * 50 + [1] * 50, scores) > 0.8
