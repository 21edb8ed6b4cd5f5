"""The private attributes of Lightning that a run needs, all of them; tests/test_lightning_internals.py watches them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.loops.loop import _Loop
from torch.optim.swa_utils import AveragedModel


def logged_step(trainer: Trainer) -> int:
    """Return the step under which Lightning logs what it logs now."""
    step: int = trainer.fit_loop.epoch_loop._batches_that_stepped
    return step


def set_logged_step(trainer: Trainer, step: int) -> None:
    """Let Lightning log under a step from now on."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = step


def logged_step_of(checkpoint: Mapping[str, Any]) -> int:
    """Return the step under which Lightning logs first when a run goes on from a checkpoint.

    Args:
        checkpoint: what Lightning saved, loaded.
    """
    return int(checkpoint["loops"]["fit_loop"]["epoch_loop.state_dict"]["_batches_that_stepped"])


def pending_row(trainer: Trainer) -> dict[str, float]:
    """Return what Lightning logs of the step or the epoch that ends, which it does only after its hooks.

    Inside an epoch that is nothing at most steps, see `log_every_n_steps`.
    """
    connector = trainer._logger_connector
    inside = connector._first_loop_iter is not None
    if inside and not connector.should_update_logs:
        return {}
    values = {name: float(value) for name, value in connector.metrics["log"].items()}
    return {"epoch": trainer.current_epoch, **values} if values else {}


def has_stepped(trainer: Trainer) -> bool:
    """Return whether the batch that ends has moved the weights, and no gradients wait for the next ones."""
    return not trainer.fit_loop._should_accumulate()


def count_epochs(trainer: Trainer) -> None:
    """Count every epoch that was begun, as a run that is not resumed does at its end."""
    progress = trainer.fit_loop.epoch_progress.current
    # Resuming may leave one of them behind.
    progress.completed = max(progress.ready, progress.processed, progress.completed)  # type: ignore[attr-defined]


def averaged_model(averaging: WeightAveraging) -> AveragedModel | None:
    """Return the model with averaged weights; None outside of a training."""
    return averaging._average_model


def average_due(averaging: WeightAveraging, trainer: Trainer) -> AveragedModel | None:
    """Return the averaged model where it lacks the last step, which counts as in it from now on; else None."""
    if trainer.global_step <= averaging._latest_update_step:
        return None
    averaging._latest_update_step = trainer.global_step
    return averaging._average_model


@contextmanager
def batch_completed(trainer: Trainer) -> Iterator[None]:
    """Count the current batch as completed inside of this, which Lightning does only after its hooks.

    Without it a run that is resumed inside an epoch would be one batch behind its own data.
    """
    loop = trainer.fit_loop.epoch_loop
    loop.batch_progress.increment_completed()
    loop._batches_that_stepped += 1
    try:
        yield
    finally:
        loop._batches_that_stepped -= 1
        loop.batch_progress.current.completed -= 1
        loop.batch_progress.total.completed -= 1


def begin_epoch(trainer: Trainer) -> None:
    """Let a run that was saved at the end of an epoch begin the next one.

    With max_steps Lightning takes every resumed run for one inside an epoch, and would count that epoch twice.
    """
    loop = trainer.fit_loop
    _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]
    loop.epoch_progress.current.completed = loop.epoch_progress.current.processed  # type: ignore[attr-defined]
