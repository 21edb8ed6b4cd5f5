"""Scorewise: score matching, one dimension at a time or all at once.

Importing this imports nothing heavy; torch comes with the first of its names.
"""

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from scorewise.extras import from_extras
from scorewise.version import __version__

if TYPE_CHECKING:
    from scorewise import (
        backbones,
        capabilities,
        data,
        denoising,
        densities,
        estimators,
        gradients,
        heads,
        latent,
        likelihood,
        noise,
        objectives,
        ordering,
        outliers,
        plots,
        quality,
        sampling,
        store,
        tasks,
    )
    from scorewise.commands.fit import fit
    from scorewise.comparison.loading import load
    from scorewise.densities import Ensemble, ScoreDensity

__all__ = [
    "Ensemble",
    "ScoreDensity",
    "__version__",
    "backbones",
    "capabilities",
    "data",
    "denoising",
    "densities",
    "estimators",
    "fit",
    "gradients",
    "heads",
    "latent",
    "likelihood",
    "load",
    "noise",
    "objectives",
    "ordering",
    "outliers",
    "plots",
    "quality",
    "sampling",
    "store",
    "tasks",
]
_NAMES = {"Ensemble": "densities", "ScoreDensity": "densities", "fit": "commands.fit", "load": "comparison.loading"}
_ONCE_HERE = ("objectives", "backbones", "heads", "sampling", "likelihood", "estimators", "latent", "noise", "ordering")
"""Where the names are that stood here until 0.1."""
_MODULES_ONCE_HERE = {
    "cli": "commands.cli",
    "ensemble": "densities.ensemble",
    "score_density": "densities.score_density",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        with from_extras():
            return getattr(importlib.import_module(f"scorewise.{_NAMES[name]}"), name)
    if not name.startswith("_"):
        if find_spec(f"scorewise.{name}"):
            with from_extras():
                return importlib.import_module(f"scorewise.{name}")
        for home in _ONCE_HERE:
            module = importlib.import_module(f"scorewise.{home}")
            if name in getattr(module, "__all__", ("Draws", "Ordering")) and hasattr(module, name):
                _warn(name, f"{home}.{name}")
                return getattr(module, name)
    raise AttributeError(f"module 'scorewise' has no attribute {name!r}")


def _warn(old: str, new: str) -> None:
    text = f"scorewise.{old} is scorewise.{new} now; the earlier name goes with the next release."
    warnings.warn(text, DeprecationWarning, stacklevel=3)


class _Earlier(MetaPathFinder, Loader):
    """Modules by the paths that they had in release 0.1."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        return ModuleSpec(fullname, self) if package == "scorewise" and name in _MODULES_ONCE_HERE else None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__.partition(".")[2]
        _warn(old, _MODULES_ONCE_HERE[old])
        found = vars(importlib.import_module(f"scorewise.{_MODULES_ONCE_HERE[old]}"))
        vars(module).update({name: value for name, value in found.items() if not name.startswith("__")})


sys.meta_path.append(_Earlier())
