"""Densities put together from trained models, and one that is an estimator of scikit-learn's."""

import importlib
from typing import TYPE_CHECKING, Any

from scorewise.densities.ensemble import Ensemble
from scorewise.extras import from_extras

if TYPE_CHECKING:
    from scorewise.densities.score_density import ScoreDensity

__all__ = ["Ensemble", "ScoreDensity"]


def __getattr__(name: str) -> Any:
    if name != "ScoreDensity":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with from_extras():
        return importlib.import_module(f"{__name__}.score_density").ScoreDensity
