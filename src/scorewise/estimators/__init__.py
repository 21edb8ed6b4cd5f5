"""Score estimators without a network: all return + grad log p, the joint score."""

from scorewise.estimators.kde import KDE
from scorewise.estimators.spectral import Spectral
from scorewise.estimators.stein import Stein

__all__ = ["KDE", "Spectral", "Stein"]
