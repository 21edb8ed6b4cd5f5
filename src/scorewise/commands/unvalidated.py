"""Trials without a validation, by which nothing can compare them."""

from collections.abc import Iterable, Mapping
from typing import Any

from optuna.trial import FrozenTrial, Trial

from scorewise.errors import UserError

SAY_WHEN = ("data", "trainer")
"""Groups whose settings say when a trial first validates."""
MARK = "unvalidated"
"""Of trials that ended before that."""


def refuse_no_validation(trainer: Mapping[str, Any], monitor: str) -> None:
    """Refuse settings of the trainer under which no trial validates.

    Raises:
        UserError: the setting.
    """
    if trainer.get("limit_val_batches") == 0:
        raise UserError(
            f"a study compares trials by {monitor}, and trainer.limit_val_batches=0 has none: use null for all "
            "batches, or some of them."
        )


def refuse_to_end_so(trial: Trial, monitor: str) -> None:
    """Refuse a trial that ended before its first validation, and mark it.

    Raises:
        UserError: always.
    """
    trial.set_user_attr(MARK, True)
    raise UserError(f"it ended before its first validation, so it has no {monitor}: train longer.")


def refuse_more_of_them(
    trials: Iterable[FrozenTrial], space: Iterable[str], trainer: Mapping[str, Any], monitor: str
) -> None:
    """Refuse to train where a trial ended before its first validation, and all others of the space would.

    Not where the time is limited, which other trials may need less of.

    Args:
        trials: so far.
        space: names of the settings that trials differ in.
        trainer: its settings.
        monitor: what compares trials.

    Raises:
        UserError: the trial.
    """
    if trainer.get("max_time") is not None or any(name.partition(".")[0] in SAY_WHEN for name in space):
        return
    for trial in trials:
        if MARK in trial.user_attrs:
            raise UserError(
                f"trial {trial.number} ended before its first validation, and so would all others, so that {monitor} "
                "compares none: train longer or validate sooner (trainer.max_steps, data.epochs, "
                "trainer.limit_train_batches, trainer.check_val_every_n_epoch), under another study.name."
            )
