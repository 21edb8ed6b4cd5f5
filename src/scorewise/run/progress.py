"""Progress of a run, where it is looked at."""

import importlib
import sys
from typing import Any, final

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar

TOLD = 100
"""How often a training tells a notebook where it is."""


def progress_bar(run: str = "training") -> ProgressBar:
    """Return a bar that moves in a terminal; in a notebook a line, which stays readable once it is stored.

    Args:
        run: what the run is called there.
    """
    return NotebookLine(run) if "ipykernel" in sys.modules else RichProgressBar(leave=False)


@final
class NotebookLine(ProgressBar):
    """One line of a notebook's output: how far a training is, and at the end what it has come to.

    Args:
        run: what the line begins with.
    """

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run
        self.shown: Any = None
        self.enabled = True

    def enable(self) -> None:
        """Tell from now on."""
        self.enabled = True

    def disable(self) -> None:
        """Tell nothing from now on."""
        self.enabled = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a line of its own for every training."""
        self.shown = None
        self._tell(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell now and then: every update is a message to the browser."""
        if trainer.global_step % max(1, _steps(trainer) // TOLD) == 0:
            self._tell(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave what the training has come to."""
        self._tell(trainer, pl_module, ended=True)

    def _tell(self, trainer: Trainer, pl_module: LightningModule, ended: bool = False) -> None:
        if not self.enabled:
            return
        done, all_steps = f"{trainer.global_step:,}", _steps(trainer)
        how_far = f"{done} steps" if ended else f"step {done}" + (f" of {all_steps:,}" if all_steps else "")
        numbers = self.get_metrics(trainer, pl_module).items()
        told = (f"{name} {value:.4g}" for name, value in numbers if isinstance(value, float))
        line = ", ".join([f"{self.run}: {how_far}", *told])
        bundle = {"text/plain": line}
        if self.shown is None:
            self.shown = importlib.import_module("IPython.display").display(bundle, raw=True, display_id=True)
        else:
            self.shown.update(bundle, raw=True)


def _steps(trainer: Trainer) -> int:
    """Return how many steps a training makes at most, 0 where nothing says so."""
    steps = trainer.estimated_stepping_batches
    return int(steps) if steps < sys.maxsize else 0
