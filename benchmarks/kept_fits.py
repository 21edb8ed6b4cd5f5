"""Fits of `ScoreDensity` that several measurements share.

They are kept in the folder that SCOREWISE_FITS names, outside the repository, and found again by their rows and seed;
without that variable every measurement fits for itself. The folder belongs to one state of the sources: use a new one
after a change of the recipe.
"""

import os
import time
from typing import NamedTuple

from adbench import Array
from joblib import Memory

from scorewise import ScoreDensity

KEPT = Memory(os.environ.get("SCOREWISE_FITS"), verbose=0)


class Fit(NamedTuple):
    """A fitted model and the processor time that it cost.

    Args:
        model: with its defaults.
        seconds: of the processor.
    """

    model: ScoreDensity
    seconds: float


@KEPT.cache  # type: ignore[untyped-decorator]
def fitted(x_ND: Array, seed: int) -> Fit:
    """Return `ScoreDensity` with its defaults, fitted to rows."""
    started = time.process_time()
    model = ScoreDensity(random_state=seed).fit(x_ND)
    return Fit(model, time.process_time() - started)
