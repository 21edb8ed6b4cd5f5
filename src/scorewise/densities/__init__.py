"""Densities put together from trained models, and one that is an estimator of scikit-learn's."""

from scorewise.densities.ensemble import Ensemble
from scorewise.densities.score_density import ScoreDensity

__all__ = ["Ensemble", "ScoreDensity"]
