"""`ScoreDensity` by PyOD's conventions: larger scores are odder, outliers are 1, fitted rows have labels."""

from typing import Any, Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from scorewise.densities.score_density import ScoreDensity


@final
class PyODScoreDensity(BaseEstimator):  # type: ignore[misc]
    """`outlier_score` of a `ScoreDensity` as PyOD's detectors have theirs; PyOD itself is not needed.

    Args:
        contamination: the share of the fitted rows that are outliers, at most .5.
        settings: of the `ScoreDensity`; None: its defaults.

    Attributes:
        density_: what was fitted.
        decision_scores_: of the fitted rows, larger is odder.
        threshold_: above it rows are outliers.
        labels_: of the fitted rows, 1 for outliers and 0 for others.

    Example:
        >>> import numpy as np
        >>> from scorewise.densities.pyod_detector import PyODScoreDensity
        >>> x = np.concatenate([np.random.default_rng(0).normal(size=(95, 2)), np.full((5, 2), 9.0)])
        >>> PyODScoreDensity(contamination=0.05, settings={"steps": 20, "random_state": 0}).fit(x).labels_.sum()
        5
    """

    def __init__(self, contamination: float = 0.1, settings: dict[str, Any] | None = None) -> None:
        self.contamination, self.settings = contamination, settings

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit to rows, outliers among them."""
        if not 0 < self.contamination <= 0.5:
            raise ValueError(f"contamination={self.contamination} must be a share of the rows above 0 and at most .5")
        self.density_ = ScoreDensity(**(self.settings or {})).fit(X)
        self.decision_scores_ = self.decision_function(X)
        self.threshold_ = float(np.percentile(self.decision_scores_, 100 * (1 - self.contamination)))
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(int)
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return how odd every row is, shape (n,): larger means odder."""
        return self.density_.outlier_score(X)

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return 1 for outliers and 0 for other rows, shape (n,)."""
        return (self.decision_function(X) > self.threshold_).astype(np.int64)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return where scores lie from the least to the largest of the fitted ones, shape (n, 2): outliers second."""
        low, high = self.decision_scores_.min(), self.decision_scores_.max()
        share_N = ((self.decision_function(X) - low) / max(high - low, 1e-300)).clip(0, 1)
        return np.stack([1 - share_N, share_N], 1)
