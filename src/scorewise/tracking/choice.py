"""Where numbers go while a run is on: metrics.csv always, one tracker beside it by choice."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch.loggers import Logger

from scorewise.errors import UserError
from scorewise.tracking.metrics_table import WHAT_IT_IS
from scorewise.tracking.tracker import Label, Tracker


def chosen_tracker(settings: Mapping[str, Any], folder: Path, label: Label) -> Tracker | None:
    """Return the chosen tracker beside metrics.csv, or None; it opens nothing yet.

    Raises:
        UserError: an unknown mode of W&B, or another class.
    """
    match target := settings.get("_target_"):
        case "none":
            return None
        case "scorewise.tracking.tensorboard.TensorBoard":
            from scorewise.tracking.tensorboard import TensorBoard

            return TensorBoard(folder / "tensorboard", label)
        case "scorewise.tracking.wandb_run.WandbRun":
            from scorewise.tracking.wandb_run import WandbRun

            if settings["mode"] not in ("online", "offline", "disabled"):
                raise UserError(f"logger.mode={settings['mode']} is none of online, offline, disabled.")
            if settings["mode"] == "disabled":
                return None
            return WandbRun(folder, label, settings["project"], settings["entity"], settings["mode"])
        case _:
            raise UserError(f"logger._target_={target} is no logger: use logger=csv, tensorboard or wandb.")


@runtime_checkable
class TakesSentences(Protocol):
    """A logger that takes sentences beside numbers."""

    def log_sentence(self, name: str, text: str, step: int) -> None:
        """Add a sentence."""


def log_sentences(loggers: Iterable[Logger], sentences: Mapping[str, str], step: int) -> None:
    """Log what metrics are beside the metrics: a number without its conventions says little.

    Args:
        loggers: of a trainer.
        sentences: by the name of the metric.
        step: of the training.
    """
    for name, text in sentences.items():
        for logger in loggers:
            if isinstance(logger, TakesSentences):
                logger.log_sentence(name + WHAT_IT_IS, text, step)
