"""The release, and the names that it has changed."""

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__version__ = "0.2.0.dev0"


def renamed(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__` that finds names which it had in the release before, with a warning.

    Args:
        package: its `__name__`.
        names: earlier name -> present one, which is in the package.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        text = f"{package}.{name} is {package}.{names[name]} now; the earlier name goes with the next release."
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(package), names[name])

    return find
