"""Estimators without a network: scores, all + grad log p, the joint score; and a Gaussian density of rows."""

from scorewise.estimators.gaussian_rows import GaussianRows
from scorewise.estimators.kde import KDE
from scorewise.estimators.spectral import Spectral
from scorewise.estimators.stein import Stein

__all__ = ["KDE", "GaussianRows", "Spectral", "Stein"]
