"""Progress of a run, where it is looked at."""

import sys

from lightning.pytorch.callbacks import ProgressBar, RichProgressBar, TQDMProgressBar


def progress_bar() -> ProgressBar:
    """Return a bar that moves: in a notebook one that needs no further package, elsewhere one of the terminal's."""
    return TQDMProgressBar(leave=False) if "ipykernel" in sys.modules else RichProgressBar(leave=False)
