"""Scorewise: score matching, one dimension at a time or all at once."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorewise.backbones import MADE, MLP
    from scorewise.heads import ConditionalScore, Energy, Gaussian, Mixture, Score
    from scorewise.noise import Draws
    from scorewise.objectives import CSM, DSM, MLE, SM
    from scorewise.sampling import Exact, Langevin, Langevin1d, tweedie
    from scorewise.store import load

__version__ = "0.1.0"

_HOMES = {
    "backbones": ("MADE", "MLP"),
    "heads": ("ConditionalScore", "Energy", "Gaussian", "Mixture", "Score"),
    "noise": ("Draws",),
    "objectives": ("CSM", "DSM", "MLE", "SM"),
    "sampling": ("Exact", "Langevin", "Langevin1d", "tweedie"),
    "store": ("load",),
}
__all__ = [
    "CSM",
    "DSM",
    "MADE",
    "MLE",
    "MLP",
    "SM",
    "ConditionalScore",
    "Draws",
    "Energy",
    "Exact",
    "Gaussian",
    "Langevin",
    "Langevin1d",
    "Mixture",
    "Score",
    "load",
    "tweedie",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"scorewise.{home}"), name)
    raise AttributeError(f"module 'scorewise' has no attribute {name!r}")
