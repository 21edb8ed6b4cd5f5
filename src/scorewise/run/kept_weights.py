"""The weights that a run ends with, and the steps that are not in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import Trainer

from scorewise.errors import UserError
from scorewise.run.callbacks import Best


def weights_to_keep(trainer: Trainer, best: Path, last: Path) -> Path:
    """Return the checkpoint with the weights that a run ends with: the last one where it never validated.

    Args:
        trainer: that has trained.
        best: where the best weights are, if there are any.
        last: where the last ones are.

    Raises:
        UserError: there were best weights, and they are gone.
    """
    if best.is_file():
        return best
    if any(isinstance(callback, Best) and callback.best_model_path for callback in trainer.checkpoint_callbacks):
        raise UserError(
            f"{best} with the best weights is gone: put it back, or remove {best.parent} to start the run again."
        )
    return last


def not_judged(rows: Sequence[Mapping[str, Any]], monitor: str, steps: int) -> str | None:
    """Return what to tell of steps that no validation has judged, so that they cannot be in the best weights.

    Args:
        rows: of metrics.csv.
        monitor: name of the metric that says which weights are the best.
        steps: that the run has made, as they are logged.

    Returns:
        a sentence; None where there are no such steps, or no validation at all.
    """
    judged = [int(row["step"]) + 1 for row in rows if row.get(monitor) not in (None, "")]
    if not judged or max(judged) >= steps:
        return None
    return (
        f"validations say which weights are the best, and the last one was after step {max(judged)} of {steps}: the "
        "steps after it are not in the weights. End with a validation (trainer.max_steps, data.epochs, "
        "trainer.check_val_every_n_epoch), or keep the last weights by trainer.limit_val_batches=0."
    )
