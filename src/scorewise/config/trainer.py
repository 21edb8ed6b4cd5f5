"""Settings of lightning.Trainer: those that a run takes, and what to use in place of the others."""

from collections.abc import Mapping
from typing import Any

from scorewise.catalog import Config, settings_of
from scorewise.errors import UserError

TAKEN = (
    *("accumulate_grad_batches", "benchmark", "detect_anomaly", "deterministic", "max_time", "min_epochs", "min_steps"),
    *("sync_batchnorm", "val_check_interval"),
)
"""Settings that the options of trainer= do not list, and that work as Lightning says (`+trainer.max_time=...`)."""
INSTEAD = {
    "barebones": "debug=profiler",
    "callbacks": "callbacks.save_every_n_steps, callbacks.patience and the other settings of callbacks=",
    "default_root_dir": "paths.runs",
    "enable_autolog_hparams": "logger=, whose trackers have the whole config",
    "enable_checkpointing": "callbacks.save_every_n_steps: a run is always saved",
    "enable_model_summary": "the number of parameters in the summary of the run",
    "enable_progress_bar": "callbacks.progress",
    "fast_dev_run": "debug=fast or debug=tiny",
    "gradient_clip_algorithm": "optim.clip, which clips the norm",
    "gradient_clip_val": "optim.clip",
    "inference_mode": "nothing: evaluation differentiates the score, so it is always off",
    "limit_predict_batches": "an input with fewer examples",
    "log_every_n_steps": "metrics.csv as it is: every tenth step is logged",
    "logger": "logger=csv, tensorboard or wandb",
    "model_registry": "logger=, and model.save for a model",
    "num_sanity_val_steps": "debug=fast, which validates once",
    "plugins": "trainer.strategy and trainer.precision",
    "reload_dataloaders_every_n_epochs": "nothing: examples of a known law are drawn anew in every epoch (data.fresh)",
    "use_distributed_sampler": "nothing: every process takes its own part of a batch",
}
"""Settings that would do nothing, or would take away what a run rests on, and what does what they are for."""

OF_GPUS = ("16-mixed", "16")
"""Precisions that Lightning replaces by another one on a CPU."""


def refuse_trainer_settings(config: Config) -> None:
    """Refuse settings of Lightning's trainer that would be accepted and do nothing.

    Raises:
        UserError: the setting, and what to use instead.
    """
    trainer, patience = config.get("trainer", {}), config.get("callbacks", {}).get("patience")
    known = {*settings_of("trainer", "cpu"), *TAKEN}
    for name in sorted(set(trainer) - known):
        if name not in INSTEAD:
            raise UserError(f"trainer.{name} is no setting of lightning.Trainer: leave it out.")
        raise UserError(f"trainer.{name}={trainer[name]} has no effect on a run: use {INSTEAD[name]}.")
    ends = trainer.get("max_epochs", 1) is not None or trainer.get("max_steps", -1) != -1 or trainer.get("max_time")
    if not ends:
        raise UserError(
            "trainer.max_epochs=null has no end: give data.epochs or trainer.max_epochs, trainer.max_steps, or "
            "+trainer.max_time."
        )
    if patience is not None and trainer.get("limit_val_batches") == 0:
        raise UserError(
            f"callbacks.patience={patience} stops by the held-out loss, and trainer.limit_val_batches=0 has none: use "
            "callbacks.patience=null, or validate."
        )
    _refuse_beside_overfitting(trainer)
    _refuse_least(trainer, patience)
    if str(trainer.get("precision")) in OF_GPUS and trainer.get("accelerator") == "cpu":
        raise UserError(
            f"trainer.precision={trainer['precision']} is for GPUs, and trainer.accelerator=cpu would compute in "
            "bf16-mixed under its name: use trainer.precision=bf16-mixed, or 32-true."
        )


def _refuse_beside_overfitting(trainer: Mapping[str, Any]) -> None:
    """Refuse numbers of batches that overfitting takes no notice of."""
    if not (overfit := trainer.get("overfit_batches")):
        return
    for name in ("limit_train_batches", "limit_val_batches"):
        if trainer.get(name) is not None:
            raise UserError(
                f"trainer.{name}={trainer[name]} has no effect beside trainer.overfit_batches={overfit}, which trains "
                f"and validates on the same batches: use trainer.{name}=null."
            )


def _refuse_least(trainer: Mapping[str, Any], patience: int | None) -> None:
    """Refuse a least length of a training that nothing ends early, or that ends before."""
    for name, most in (("min_epochs", "max_epochs"), ("min_steps", "max_steps")):
        least, limit = trainer.get(name), trainer.get(most)
        if not least:
            continue
        if patience is None and not trainer.get("max_time"):
            raise UserError(
                f"trainer.{name}={least} has no effect where nothing ends a training early: leave it out, or give "
                "callbacks.patience or +trainer.max_time."
            )
        if limit is not None and 0 <= limit < least:
            raise UserError(
                f"trainer.{name}={least} is more than trainer.{most}={limit}, where the training ends: use {limit} or "
                "less, or a longer training (data.epochs, trainer.max_steps)."
            )
