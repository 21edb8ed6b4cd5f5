"""`ScoreDensity` as a detector of PyOD's."""

from typing import Any, Self, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scorewise.densities.score_density import ScoreDensity
from scorewise.extras import from_extras

with from_extras():
    from pyod.models.base import BaseDetector


@final
class PyODScoreDensity(BaseDetector):  # type: ignore[misc]
    """`outlier_score` of a `ScoreDensity` where PyOD takes one of its detectors; needs `scorewise[pyod]`.

    The rows that it is fitted to are each judged by the others.

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
        >>> int(PyODScoreDensity(contamination=0.05, settings={"steps": 20, "random_state": 0}).fit(x).labels_.sum())
        5
    """

    def __init__(self, contamination: float = 0.1, settings: dict[str, Any] | None = None) -> None:
        super().__init__(contamination=contamination)
        self.settings = settings

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit to rows, outliers among them."""
        self._set_n_classes(y)
        self.density_ = ScoreDensity(**(self.settings or {})).fit(X)
        self.decision_scores_ = self.density_.outlier_score(X, fitted=True)
        self._process_decision_scores()
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return how odd every row is, shape (n,): larger means odder."""
        return self.density_.outlier_score(X)
