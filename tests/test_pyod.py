"""ScoreDensity as a detector of PyOD's: the conventions, and the installed PyOD where there is one."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from scorewise.densities.pyod_detector import PyODScoreDensity

SETTINGS: dict[str, Any] = {"steps": 30, "hidden": (8,), "random_state": 0}
X = np.concatenate([np.random.default_rng(0).normal(size=(190, 2)), np.random.default_rng(1).normal(0, 40, (10, 2))])


def test_the_conventions() -> None:
    detector = clone(PyODScoreDensity(contamination=0.05, settings=SETTINGS)).fit(X)
    np.testing.assert_array_equal(detector.decision_scores_, detector.decision_function(X))
    np.testing.assert_array_equal(detector.labels_, detector.decision_scores_ > detector.threshold_)
    np.testing.assert_array_equal(detector.labels_, detector.predict(X))
    assert detector.labels_.sum() == 10
    assert detector.labels_[190:].mean() >= 0.8
    share = detector.predict_proba(X)
    np.testing.assert_allclose(share.sum(1), 1)
    assert (share[:, 1].min(), share[:, 1].max()) == (0, 1)
    for wrong in (0, 0.6):
        with pytest.raises(ValueError, match="contamination="):
            PyODScoreDensity(contamination=wrong).fit(X)


def test_it_is_as_a_detector_of_the_installed_pyod() -> None:
    base = pytest.importorskip("pyod.models.base")

    class Theirs(base.BaseDetector):  # type: ignore[misc, name-defined]
        def fit(self, rows: Any, y: Any = None) -> Any:
            self._set_n_classes(y)
            self.ours = PyODScoreDensity(self.contamination, SETTINGS).fit(rows)
            self.decision_scores_ = self.ours.decision_scores_
            self._process_decision_scores()
            return self

        def decision_function(self, rows: Any) -> Any:
            return self.ours.decision_function(rows)

    theirs = Theirs(contamination=0.05).fit(X)
    assert theirs.threshold_ == pytest.approx(theirs.ours.threshold_)
    np.testing.assert_array_equal(theirs.labels_, theirs.ours.labels_)
    np.testing.assert_array_equal(theirs.predict(X), theirs.ours.predict(X))
    np.testing.assert_allclose(theirs.predict_proba(X), theirs.ours.predict_proba(X))
