"""What happens around training steps: averaging, saving, stopping and sample grids."""

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint, WeightAveraging
from torch import Tensor

from scorewise.data.datamodule import Batches
from scorewise.errors import Stopped
from scorewise.run.elapsed import Elapsed
from scorewise.run.lightning_internals import (
    average_due,
    averaged_model,
    batch_completed,
    begin_epoch,
    count_epochs,
    has_stepped,
    logged_step,
    pending_row,
)
from scorewise.tasks.task import Task
from scorewise.tracking.metrics_table import MetricsTable
from scorewise.tracking.tracker import Tracker


class Averaging(WeightAveraging):
    """An exponential moving average of the weights with a warmed-up decay min(decay, (1 + n) / (10 + n)).

    Without the warm-up a short run is dominated by its first weights. Buffers are copied, not averaged:
    averaging would send integer ones through floating point.

    Args:
        decay: of the average after warm-up.
    """

    def __init__(self, decay: float) -> None:
        @torch.no_grad()
        def average(averaged: Sequence[Tensor], current: Sequence[Tensor], n: Tensor | int) -> None:
            weight = 1 - min(decay, (1 + float(n)) / (10 + float(n)))
            torch._foreach_lerp_(list(averaged), list(current), weight)

        super().__init__(use_buffers=False, multi_avg_fn=average)
        self.average, self.averaged, self.current, self.steps = average, list[Tensor](), list[Tensor](), 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the weights once: finding them takes longer than averaging those of a small model."""
        if model := averaged_model(self):
            self.averaged, self.current = list(model.module.parameters()), list(pl_module.parameters())
            self.steps = int(model.n_averaged)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the weights after a step into the average; the first ones are copied."""
        if (model := average_due(self, trainer)) is None:
            return
        if self.steps:
            self.average(self.averaged, self.current, self.steps)
            model.n_averaged += 1
        else:
            model.update_parameters(pl_module)
        self.steps += 1


class ResumePoint(Checkpoint):
    """The checkpoint from which a run continues, last.ckpt: saved every n steps, at the end of epochs and at a stop.

    Where epochs are shorter than n steps, not every one ends with a save: it takes longer than many small steps.

    Ctrl-C or SIGTERM finish the batch, save and end the run; a second Ctrl-C ends it at once.

    Args:
        path: the file.
        every_n_steps: what a killed run loses at most.
        table: metrics.csv, saved with it and rewound on resuming.
        identity: of the run, saved with it.
    """

    def __init__(self, path: Path, every_n_steps: int, table: MetricsTable, identity: str = "") -> None:
        self.path, self.every_n_steps, self.table, self.identity = path, every_n_steps, table, identity
        self.asked: int | None = None
        self.before: dict[int, Any] = {}
        self.elapsed = Elapsed()
        self.saved_step = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds that the run has taken so far, the table as it is, and whose they are."""
        return {**self.elapsed.seconds(), "table": self.table.text(), "identity": self.identity}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the seconds that the run had taken when it was saved, and its table."""
        self.elapsed.restore(state_dict)
        if "table" in state_dict:  # releases before 0.2 did not keep it
            self.table.restore(state_dict["table"])

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = number
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle SIGINT and SIGTERM, and put loader, table and trackers where the run continues from."""
        try:
            self.before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread: signals belong to somebody else
            self.before = {}
        done = trainer.fit_loop.epoch_loop.batch_progress.current.completed
        loader = trainer.train_dataloader
        assert isinstance(loader, Batches)
        loader.load_state_dict({"position": done if done < trainer.num_training_batches else 0})
        if done and done >= trainer.num_training_batches:
            begin_epoch(trainer)
        self.table.rewind(trainer.global_step - 1)
        for tracker in trackers(trainer):
            tracker.catch_up(self.table.rows)
        self.saved_step = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the handlers of the signals."""
        self._restore_handlers()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epochs, which Lightning leaves out where a run is continued that had made all its steps."""
        count_epochs(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the handlers of the signals."""
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save inside an epoch; at its end, after validation."""
        inside = batch_idx + 1 < trainer.num_training_batches
        # Several processes hear of a signal at different steps, so they agree on it at the regular saves only.
        asked = self.asked is not None and trainer.world_size == 1
        if inside and has_stepped(trainer) and (asked or trainer.global_step % self.every_n_steps == 0):
            self.table.log_metrics(pending_row(trainer), logged_step(trainer))
            with batch_completed(trainer):
                self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of an epoch: the last, one that was asked to be that, or n steps after the save before."""
        asked = self.asked is not None and trainer.world_size == 1
        if trainer.fit_loop.done or asked or trainer.global_step - self.saved_step >= self.every_n_steps:
            self.table.log_metrics(pending_row(trainer), logged_step(trainer) - 1)
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            asked = torch.tensor(self.asked or 0, device=trainer.strategy.root_device)
            torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX)
            self.asked = int(asked.item()) or None
        trainer.save_checkpoint(self.path)
        self.saved_step = trainer.global_step
        self.table.write()
        if self.asked and not trainer.fit_loop.done:
            name = signal.Signals(self.asked).name
            raise Stopped(
                f"Stopped by {name} and saved after step {trainer.global_step}: the same command continues from there.",
                self.asked,
            )


class Best(ModelCheckpoint):
    """The checkpoint best.ckpt, by the task's monitor; it keeps its record when the run folder has been moved.

    Args:
        path: the file.
        monitor: name of the metric; smaller is better.
    """

    def __init__(self, path: Path, monitor: str) -> None:
        super().__init__(path.parent, path.stem, monitor=monitor, mode="min", enable_version_counter=False)
        self.path = path

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the record, with the paths of where the folder is now."""
        here = str(Path(str(self.dirpath)) / self.path.name)  # as Lightning spells it, or it takes it for another file
        moved = {"dirpath": self.dirpath, "best_model_path": here, "kth_best_model_path": here}
        super().load_state_dict(
            {**state_dict, **moved, "best_k_models": dict.fromkeys([here], state_dict["best_model_score"])}
            if state_dict["best_model_path"]
            else {**state_dict, "dirpath": self.dirpath}
        )

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        """Return whether the weights are the best so far, which no mean that is not finite can say."""
        fine = current is not None and bool(torch.isfinite(current))
        return fine and super().check_monitor_top_k(trainer, current)


class Patience(EarlyStopping):
    """An end of training after so many validations without a better one; a run that it had ended stays ended.

    Args:
        monitor: name of the metric; smaller is better.
        patience: validations.
    """

    def __init__(self, monitor: str, patience: int) -> None:
        # A run that ends before its first validation ends as it is; a mean that is not finite is no better one.
        super().__init__(monitor, patience=patience, check_on_train_epoch_end=False, check_finite=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once where the run that is continued had no patience left."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


class SampleGrids(Callback):
    """Pictures of samples, samples.png, every few epochs while training.

    Args:
        draw: draws samples of the model as it is, and returns the path of the picture; None where that fails.
        every_n_epochs: 0 for never.
    """

    def __init__(self, draw: Callable[[LightningModule], Path | None], every_n_epochs: int) -> None:
        self.draw, self.every_n_epochs = draw, every_n_epochs

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw with the averaged weights: it stands before `Averaging`, which takes them away in this hook."""
        due = self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if due and trainer.is_global_zero:
            path = self.draw(pl_module)
            for tracker in trackers(trainer):
                if path:
                    tracker.log_picture("samples", path, logged_step(trainer))


class ScoreHistograms(Callback):
    """Histograms of how the model's scores at validation examples are distributed, where a tracker shows histograms."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log histograms with the averaged weights: it stands before `Averaging`, like `SampleGrids`."""
        if not (isinstance(pl_module, Task) and trainer.is_global_zero and (shown := trackers(trainer))):
            return
        for name, values in pl_module.scores().items():
            for tracker in shown:
                tracker.log_histogram(f"val/{name}", values, logged_step(trainer))


class Reports(Callback):
    """Reports of the monitored number after every validation.

    Args:
        monitor: name of the metric.
        tell: takes its value and the number of validations before it, and ends the run by raising.
    """

    def __init__(self, monitor: str, tell: Callable[[float, int], None]) -> None:
        self.monitor, self.tell = monitor, tell

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the number, which is of the averaged weights where there are any."""
        every = trainer.check_val_every_n_epoch or 1
        self.tell(float(trainer.callback_metrics[self.monitor]), (trainer.current_epoch + 1) // every - 1)


def trackers(trainer: Trainer) -> list[Tracker]:
    """Return the trackers among a trainer's loggers."""
    return [logger for logger in trainer.loggers if isinstance(logger, Tracker)]
