"""Lightning's trainer: the settings that every run gives it, and its silence."""

import logging
import os
import warnings
from typing import Any

import torch
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from scorewise import catalog
from scorewise.catalog import Config
from scorewise.errors import UserError, printable

TRAINER_SETTINGS: dict[str, Any] = {
    "inference_mode": False,  # evaluation differentiates the score
    "use_distributed_sampler": False,  # our loader deals out its own examples
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
    "log_every_n_steps": 10,
}

OF_TRAINING = (
    *("max_epochs", "max_steps", "max_time", "min_epochs", "min_steps", "limit_train_batches", "limit_val_batches"),
    *("overfit_batches", "accumulate_grad_batches", "check_val_every_n_epoch", "val_check_interval", "precision"),
)
"""Settings of Lightning's trainer that a run is trained with, its precision too, and that nothing reads later."""
MISSING = object()
OURS = ("_target_", "compile")
"""Settings of the trainer group that are not lightning.Trainer's."""


def quieten() -> None:
    """Silence the messages that a user cannot act on."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*`isinstance\\(treespec, LeafSpec\\)`.*",
        ".*LeafSpec.*",
        ".*litlogger.*",
        ".*torch.jit.script.*",
        ".*The number of training batches.*",
        ".*GPU available but not used.*",
        ".*have no `validation_step`.*",  # a feature extractor keeps its last weights
        ".*lr_scheduler.step\\(\\).*before.*optimizer.step.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*WeightAveraging callback.*",
        ".*sync_dist=True.*",  # held-out numbers are those of all processes already
        ".*could not find the monitored key.*",  # a run that ends before its first validation keeps its last weights
    ):
        warnings.filterwarnings("ignore", message=message)


def trainer_of(**settings: Any) -> Trainer:
    """Return Lightning's trainer with the settings that every run gives it, and with others.

    Raises:
        UserError: Lightning refuses them.
    """
    _settle_check()
    try:
        return Trainer(**TRAINER_SETTINGS, **settings)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, ImportError, MisconfigurationException) as error:
        said = " ".join(printable(line.strip()) for line in str(error).splitlines()).removesuffix(".")
        raise UserError(f"the trainer refuses these settings: {said}; use others of trainer=.") from error


def _settle_check() -> None:
    """Let a machine without CUDA devices know so at once.

    As Lightning sets it, every step of Adam loads the driver's library to look for them.
    """
    if not torch.cuda.is_available():
        os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"


def refuse_of_training(config: Config, stored: Config) -> None:
    """Refuse settings of the trainer that a finished run has not had, where it is only tested or asked.

    Args:
        config: what was asked for.
        stored: the run's own; an option of the user's with what it was trained with is no mistake.

    Raises:
        UserError: the setting.
    """
    plain = [{**option, "max_epochs": 1} for option in catalog.options("trainer").values()]  # nothing says data.epochs
    for name, value in config["trainer"].items():
        if name in OF_TRAINING and all(option.get(name, MISSING) != value for option in (*plain, stored["trainer"])):
            raise UserError(f"trainer.{name}={value} is a setting of training, and this run is trained: leave it out.")


def refuse_no_test(config: Config) -> None:
    """Refuse a test of no batches, where a test is all that is asked for.

    Raises:
        UserError: the setting.
    """
    if config["trainer"].get("limit_test_batches") == 0:
        raise UserError(
            "trainer.limit_test_batches=0 tests nothing: use null for all batches, or some of them, and test=false to "
            "train without a test."
        )
