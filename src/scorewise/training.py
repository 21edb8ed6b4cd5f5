"""One training run in its folder: fit, test, pictures, summary."""

import logging
import pickle
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar

from scorewise import __version__, compose
from scorewise.callbacks import Averaging, ResumePoint, SampleGrids
from scorewise.data.datamodule import ScoreData
from scorewise.data.source import Source
from scorewise.errors import UserError
from scorewise.heads.model import Model
from scorewise.runs import Config, RunFolder
from scorewise.sampling.denoise import tweedie
from scorewise.store import load
from scorewise.tasks.score_task import NotFinite, ScoreTask
from scorewise.tracking import MetricsTable, extra_logger, read_metrics

TRAINER_SETTINGS: dict[str, Any] = {
    "inference_mode": False,  # evaluation differentiates the score
    "use_distributed_sampler": False,  # our loader deals out its own examples
    "num_sanity_val_steps": 0,
    "enable_model_summary": False,
    "log_every_n_steps": 10,
}


def quieten() -> None:
    """This silences what a user cannot act on."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*`isinstance\\(treespec, LeafSpec\\)`.*",
        ".*LeafSpec.*",
        ".*litlogger.*",
        ".*The number of training batches.*",
        ".*GPU available but not used.*",
        ".*lr_scheduler.step\\(\\).*before.*optimizer.step.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*WeightAveraging callback.*",
        ".*could not find the monitored key.*",  # a run that ends before its first validation keeps its last weights
    ):
        warnings.filterwarnings("ignore", message=message)


def conventions(source: Source, smoothing: float, objective: str) -> dict[str, str]:
    """This is what each metric means, for people and for summary.json."""
    law = f"data + N(0, {smoothing:g}^2)" if smoothing else "the data as it is"
    return {
        "loss": f"objective={objective}, per example, summed over {source.dims} dimensions, on {law}",
        "csm": f"eq. 5 of the AR-CSM paper, per example, summed over {source.dims} dimensions, on {law}",
        "nll": f"nats per example, of {law}, in the scale that the model sees",
        "bits_per_dim": f"density of {law} in {source.unit} (with the Jacobian of the scaling)",
        "fisher_error": f"1/2 E|s - s*|^2 on the law of {law}",
        "fisher_error_clean": "1/2 E|s - s*|^2 against the clean law, on clean data",
    }


def draw_samples(model: Model, source: Source, count: int, seed: int, path: Path) -> None:
    """This draws samples.png: examples from the model and, where the law has noise, their denoised copies."""
    from scorewise import plots  # matplotlib takes a second, which the first training step need not wait for

    x_BD = model.sample(count, torch.Generator().manual_seed(seed))
    panels = {"samples of the smoothed law" if model.noise else "samples": x_BD}
    if model.noise:
        panels["the same, denoised (x + sigma^2 s)"] = tweedie(model, x_BD)
    if len(source.shape) != 3:
        real_BD = source.examples("test", torch.arange(min(count, source.count("test"))), -1, seed)
        panels["data (clean)"] = real_BD
    plots.samples(panels, source.shape, path, f"{count} samples by {type(model.sampler).__name__}")


class Training:
    """This is one run: the parts, the trainer and the folder.

    Args:
        config: settled, plain, with the paths of this machine.
        stored: the same as it is written to the folder.
        folder: claimed for it.
        name: of the run, for loggers.
    """

    def __init__(self, config: Config, stored: Config, folder: RunFolder, name: str) -> None:
        quieten()
        self.config, self.folder = config, folder
        self.seed = int(config["seed"])
        double = str(config["trainer"]["precision"]).startswith("64")
        torch.set_default_dtype(torch.float64 if double else torch.float32)
        self.parts = compose.build(config, self.seed)
        self.task: ScoreTask = compose.build_task(config, self.parts, self.seed)
        self.data = ScoreData(self.parts.source, int(config["data"]["batch_size"]), self.seed)
        self.stored = {**stored, "model": self.parts.recipe}
        folder.path.mkdir(parents=True, exist_ok=True)
        (folder.path / "checkpoints").mkdir(exist_ok=True)
        self.table = MetricsTable(folder.path / "metrics.csv")
        self.trainer = self._trainer(name)

    def _trainer(self, name: str) -> Trainer:
        settings = {key: value for key, value in self.config["trainer"].items() if key != "_target_"}
        for key in ("max_epochs", "max_steps", "accumulate_grad_batches"):
            if not isinstance(settings[key], int):
                raise UserError(f"trainer.{key}={settings[key]} must be a whole number.")
        extra = extra_logger(self.config["logger"], self.folder.path, name, self.config["tags"], self.stored)
        try:
            return Trainer(
                **TRAINER_SETTINGS,
                **settings,
                logger=[self.table, *([extra] if extra else [])],
                callbacks=self._callbacks(),
                default_root_dir=self.folder.path,
                enable_progress_bar=bool(self.config["callbacks"]["progress"]),
            )
        except (TypeError, ValueError) as error:
            raise UserError(f"trainer cannot be built: {str(error).splitlines()[0]}") from error

    def _callbacks(self) -> list[Callback]:
        chosen, monitor = self.config["callbacks"], self.config["task"]["monitor"]
        callbacks: list[Callback] = [
            ResumePoint(self.folder.last, int(chosen["save_every_n_steps"]), self.table),
            SampleGrids(self._draw_while_training, int(chosen["sample_every_n_epochs"])),
            ModelCheckpoint(self.folder.best.parent, "best", monitor=monitor, mode="min", enable_version_counter=False),
        ]
        if decay := self.task.optimisation.ema_decay:
            callbacks.append(Averaging(decay))
        if chosen["patience"] is not None:
            callbacks.append(EarlyStopping(monitor, patience=int(chosen["patience"])))
        if chosen["progress"]:
            callbacks.append(RichProgressBar(leave=False))
        return callbacks

    def _draw_while_training(self, task: LightningModule) -> None:
        self._draw(self.task.model)

    def _draw(self, model: Model) -> None:
        count = int(self.config["callbacks"]["samples"])
        draw_samples(model, self.parts.source, count, self.seed, self.folder.path / "samples.png")

    def fit(self) -> None:
        """This trains, from the last checkpoint where there is one, and keeps the best weights.

        Raises:
            UserError: the loss is not finite, or the checkpoint is not plain numbers.
        """
        resume = self.folder.last if self.folder.last.is_file() else None
        if resume:
            refuse_unreadable(resume)
        if self.trainer.is_global_zero:
            self.folder.write_config(self.stored)
        try:
            self.trainer.fit(self.task, self.data, ckpt_path=resume, weights_only=True)
        except NotFinite as error:
            good = (
                f"the last good checkpoint is {self.folder.last}"
                if self.folder.last.is_file()
                else "none was saved yet"
            )
            raise UserError(f"{error}: {good}; try a smaller optim.lr, or more data.smoothing.") from error
        if self.folder.best.is_file():
            self.task.load_state_dict(torch.load(self.folder.best, weights_only=True)["state_dict"])

    def take_finished_weights(self) -> None:
        """This takes the weights of the finished run instead of training."""
        self.task.model.load_state_dict(load(self.folder.path).state_dict())

    def test(self) -> dict[str, float]:
        """This is the held-out numbers by name."""
        (results,) = self.trainer.test(self.task, self.data, verbose=False)
        return {name.removeprefix("test/"): float(value) for name, value in results.items()}

    @rank_zero_only
    def finish(self, metrics: dict[str, float], seconds: float, finished: bool) -> None:
        """This writes weights, pictures and summary."""
        from scorewise import plots

        model = self.task.model.eval()
        model.save(self.folder.path)
        self.folder.write_config(self.stored)  # the whole config, of which the recipe is a part
        self.table.save()
        objective = compose.option_name("objective", self.config["objective"]["_target_"])
        curves = read_metrics(self.folder.path / "metrics.csv")
        plots.loss_curves(curves, self.folder.path / "curves.png", f"objective={objective}")
        self._draw(model)
        summary = {
            "finished": finished,
            "identity": self.folder.identity,
            "choices": choices(self.config),
            "seed": self.seed,
            "tags": self.config["tags"],
            "steps": self.trainer.global_step,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "seconds": round(seconds, 1),
            "metrics": metrics,
            "conventions": {
                name: text
                for name, text in conventions(self.parts.source, self.task.smoothing, objective).items()
                if name in metrics
            },
            "versions": {"scorewise": __version__, "torch": str(torch.__version__)},
        }
        self.folder.write_summary(summary)


def refuse_unreadable(checkpoint: Path) -> None:
    """This refuses a checkpoint that is damaged or that would execute something when loaded.

    Raises:
        UserError: which file.
    """
    try:
        torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True)
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:
        raise UserError(
            f"{checkpoint} is damaged or holds more than plain numbers, so it was not loaded: "
            "remove it to start the run again."
        ) from error


def choices(config: Config) -> dict[str, str]:
    """This is the options that were chosen, by group, with head and sampler as resolved."""
    groups = ("data", "backbone", "head", "objective", "sampler", "task")
    return {group: compose.option_name(group, config[group]["_target_"]) for group in groups}


def run(config: Config, stored: Config, folder: RunFolder, name: str) -> dict[str, float]:
    """This is one run from start to end; its held-out numbers."""
    try:
        training = Training(config, stored, folder, name)
        started = time.monotonic()
        if config["train"]:
            training.fit()
        else:
            training.take_finished_weights()
        seconds = time.monotonic() - started
        metrics = training.test() if config["test"] else {}
    except MisconfigurationException as error:  # Lightning's word for settings that cannot work together
        raise UserError(f"the trainer refuses these settings: {' '.join(str(error).split())}") from error
    training.finish(metrics, seconds, finished=True)
    return metrics
