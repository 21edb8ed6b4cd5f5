"""ScoreDensity as a detector of the installed PyOD; skipped without it, since it brings a compiler of 200 MB."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

base = pytest.importorskip("pyod.models.base")

from scorewise.densities.pyod_detector import PyODScoreDensity  # noqa: E402

SETTINGS: dict[str, Any] = {"steps": 30, "hidden": (8,), "random_state": 0}
X = np.concatenate([np.random.default_rng(0).normal(size=(190, 2)), np.random.default_rng(1).normal(0, 40, (10, 2))])
ODD = np.arange(200) >= 190


@pytest.fixture(scope="module")
def detector() -> Any:
    made = PyODScoreDensity(contamination=0.05, settings=SETTINGS)
    assert isinstance(made, base.BaseDetector)
    return clone(made).fit(X)


def test_the_fitted_rows(detector: Any) -> None:
    assert detector.decision_scores_.shape == detector.labels_.shape == (200,)
    np.testing.assert_array_equal(detector.labels_, detector.decision_scores_ > detector.threshold_)
    assert detector.labels_.sum() == 10
    assert detector.labels_[ODD].mean() >= 0.8


def test_new_rows(detector: Any) -> None:
    new = np.concatenate([np.random.default_rng(2).normal(size=(500, 2)), [[30.0, -30.0]]])
    score, label = detector.decision_function(new), detector.predict(new)
    np.testing.assert_array_equal(label, score > detector.threshold_)
    assert label[-1] == 1
    assert label[:-1].mean() < 0.05, "not many more inliers are called outliers than there were among the fitted rows"
    for method in ("linear", "unify"):
        share = detector.predict_proba(new, method=method)
        np.testing.assert_allclose(share.sum(1), 1)
        assert share[-1, 1] == share[:, 1].max()
    again, confidence = detector.predict(new, return_confidence=True)
    np.testing.assert_array_equal(again, label)
    np.testing.assert_array_equal(detector.predict_confidence(new), confidence)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert set(detector.predict_with_rejection(new)) <= {-2, 0, 1}


def test_beside_other_detectors(detector: Any) -> None:
    from pyod.models.feature_bagging import FeatureBagging
    from pyod.models.knn import KNN
    from pyod.models.lscp import LSCP
    from pyod.utils.utility import standardizer

    scores = np.stack([detector.decision_scores_, KNN().fit(X).decision_scores_], 1)
    assert roc_auc_score(ODD, standardizer(scores).mean(1)) > 0.95  # what pyod.models.combination.average does
    lscp = LSCP([PyODScoreDensity(settings=SETTINGS), KNN()], contamination=0.05, random_state=0).fit(X)
    assert roc_auc_score(ODD, lscp.decision_scores_) > 0.9
    bagging = FeatureBagging(PyODScoreDensity(settings=SETTINGS), n_estimators=2, random_state=0).fit(X)
    assert roc_auc_score(ODD, bagging.decision_scores_) > 0.9


def test_a_wrong_share_is_refused() -> None:
    for wrong in (0, 0.6):
        with pytest.raises(ValueError, match="contamination"):
            PyODScoreDensity(contamination=wrong)
