"""One training run in its folder: fit, test, pictures, summary."""

import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from scorewise import catalog
from scorewise.catalog import Config
from scorewise.config import choices
from scorewise.config.build import build, initialise
from scorewise.config.identity import RESULTS
from scorewise.config.trial import refuse_unfit
from scorewise.data.datamodule import ScoreData
from scorewise.errors import UserError, printable
from scorewise.files import put_text
from scorewise.heads.trained import Trained
from scorewise.run import checkpoint, failures
from scorewise.run.callbacks import Averaging, Best, Patience, ResumePoint, SampleGrids, ScoreHistograms, trackers
from scorewise.run.code_version import code_version
from scorewise.run.compiler import compile_step
from scorewise.run.conventions import conventions, meant
from scorewise.run.folder import RunFolder, is_rank_zero
from scorewise.run.kept_weights import not_judged, weights_to_keep
from scorewise.run.label import chosen_trackers, label_of
from scorewise.run.lightning_internals import logged_step, set_logged_step
from scorewise.run.pictures import MEANWHILE, MOST, attempt, draw_curves, draw_report, draw_samples, shown_progress
from scorewise.run.precision import restoring_precision
from scorewise.run.progress import progress_bar
from scorewise.run.same_examples import refuse_others, with_contents
from scorewise.run.stopping import stoppable
from scorewise.run.task import build_task
from scorewise.run.trainer import OURS, quieten, refuse_no_test, trainer_of
from scorewise.stored import Unreadable
from scorewise.tasks.held_out import finite_metrics
from scorewise.tasks.report import Report
from scorewise.tasks.task import Task
from scorewise.tracking.metrics_table import MetricsTable, curves_of
from scorewise.tracking.tracker import log_sentences
from scorewise.weights import fill


class TrainingRun:
    """One run: the parts, the trainer and the folder.

    Args:
        config: settled, plain, with the paths of this machine.
        stored: the same as it is written to the folder.
        folder: claimed for it.
        name: of the run, for loggers.
        watching: further callbacks.
        again: whether a finished run is trained once more, from the start.
    """

    def __init__(
        self,
        config: Config,
        stored: Config,
        folder: RunFolder,
        name: str,
        watching: Sequence[Callback] = (),
        again: bool = False,
    ) -> None:
        quieten()
        self.watching = watching
        self.config, self.folder = config, folder
        # A finished run's may be there still: another process removes them.
        self.checkpoints = [] if again else [one for one in (folder.last, folder.best) if one.is_file()]
        self.resume = folder.last if folder.last in self.checkpoints else None
        self.seed = int(config["seed"])
        double = str(config["trainer"]["precision"]).startswith("64")
        torch.set_default_dtype(torch.float64 if double else torch.float32)
        self.parts = build(config, self.seed)
        if config["train"]:
            initialise(config, self.parts, self.seed)
            refuse_unfit(config, self.parts, self.seed)
        if (self.resume or not config["train"]) and (folder.path / "config.yaml").is_file():
            refuse_others(folder.path, self.parts.recipe, self.parts.source)
        self.task: Task = build_task(config, self.parts, self.seed)
        if config["trainer"].get("compile"):
            compile_step(self.parts.model, self.parts.objective)
        self.data = ScoreData(self.parts.source, int(config["data"]["batch_size"]), self.seed)
        self.stored = {**stored, "model": with_contents(self.parts.recipe, self.parts.source)}
        self.table = MetricsTable(folder.path / "metrics.csv")
        every = int(config["callbacks"]["save_every_n_steps"])
        self.resume_point = ResumePoint(folder.last, every, self.table, folder.identity)
        self.code = code_version()
        self.trainer = self._trainer(name)
        if config["test"]:
            refuse_no_test(config)
        if is_rank_zero():
            stages = [stage for stage, key in (("fit", "train"), ("test", "test")) if config[key]]
            self.data.refuse_unusable(stages, config["trainer"])

    def _trainer(self, name: str) -> Trainer:
        settings = {key: value for key, value in self.config["trainer"].items() if key not in OURS}
        loggers: list[Logger] = []
        if self.config["train"]:
            label = label_of(self.config, self.stored, self.folder, name, self.code)
            loggers = [self.table, *chosen_trackers(self.config, self.folder, label)]
        if settings["profiler"]:
            logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)
        return trainer_of(
            **settings,
            logger=loggers,
            plugins=[checkpoint.CheckpointFiles()],
            callbacks=self._callbacks(name),
            default_root_dir=self.folder.path,
            enable_progress_bar=bool(self.config["callbacks"]["progress"]),
        )

    def _callbacks(self, name: str) -> list[Callback]:
        chosen, monitor = self.config["callbacks"], self.config["task"]["monitor"]
        callbacks: list[Callback] = [
            SampleGrids(lambda _: self._draw(self.task.model, MEANWHILE), int(chosen["sample_every_n_epochs"])),
            ScoreHistograms(),
            # What a run continues from holds the record of this epoch too: the best weights are judged first.
            *([Best(self.folder.best, monitor)] if monitor else []),
            self.resume_point,
        ]
        if decay := self.task.optimisation.ema_decay:
            callbacks.append(Averaging(decay))
        if chosen["patience"] is not None:
            callbacks.append(Patience(monitor, int(chosen["patience"])))
        if chosen["progress"]:
            callbacks.append(progress_bar(name))
        return [*callbacks, *self.watching]

    def _draw(self, model: Trained, most: int = MOST) -> Path | None:
        sampler = self.config["sampler"]
        drawn_by = "" if sampler == catalog.NONE else catalog.option_name("sampler", sampler["_target_"])
        count, path = int(self.config["callbacks"]["samples"]), self.folder.path / "samples.png"
        return draw_samples(model, self.parts.source, count, self.seed, path, drawn_by, most)

    def fit(self) -> None:
        """Train, from the last checkpoint where there is one, and keep the best weights.

        Raises:
            UserError: the loss is not finite, there is no memory for a step, or a checkpoint is damaged or another's.
        """
        if self.resume:
            self.resume = checkpoint.readable(self.resume)
            checkpoint.refuse_of_another_run(self.resume, self.folder.identity, self.task)
        if self.folder.best in self.checkpoints:
            checkpoint.refuse_unreadable(self.folder.best)
            checkpoint.refuse_of_another_run(self.folder.best, self.folder.identity, self.task)
        for tracker in trackers(self.trainer):
            tracker.begin(checkpoint.steps_made(self.resume) if self.resume else 0)
        with failures.told(self.folder.last, self.data.batch_size):
            self.trainer.fit(self.task, self.data, ckpt_path=self.resume, weights_only=True)
        if not logged_step(self.trainer) and self.folder.last.is_file():  # forked processes made the steps
            set_logged_step(self.trainer, checkpoint.steps_made(self.folder.last))
        self._catch_up()
        kept = weights_to_keep(self.trainer, self.folder.best, self.folder.last)  # averaged, where that is asked for
        self.task.load_state_dict(checkpoint.weights_of(kept))
        self.kept_step = checkpoint.step_of(kept)
        judged_by = self.config["task"]["monitor"] if kept == self.folder.best else None
        if judged_by and (said := not_judged(self.table.rows, judged_by, logged_step(self.trainer))):
            warnings.warn(said, stacklevel=2)

    def _catch_up(self) -> None:
        self.table.reload()
        for tracker in trackers(self.trainer):
            tracker.catch_up(self.table.rows)

    def close(self, exit_code: int) -> None:
        """End what a run leaves open, or the next run of a sweep would log into it."""
        for tracker in trackers(self.trainer):
            tracker.end(exit_code)

    def load_finished_weights(self) -> None:
        """Load the weights of the finished run instead of training.

        Raises:
            UserError: it is not finished, or its weights are damaged.
        """
        weights = self.folder.path / "weights.safetensors"
        if not weights.is_file():
            raise UserError(f"train=false tests a finished run, and {self.folder.path} is none: train it first.")
        try:
            fill(self.task.model, weights)
        except Unreadable as error:
            reason = printable(str(error))
            raise UserError(f"{weights} is damaged or closed ({reason}): rerun=true trains this run again.") from error

    def test(self) -> dict[str, float]:
        """Test the model and return its held-out numbers by name."""
        self.table.reload()
        if (bar := self.trainer.progress_bar_callback) and self.task.watched is not None:
            bar.disable()  # what takes long shows its own
        with failures.test_told(self.folder.last), shown_progress(self.task.watched, self.task.busy):
            results = self.trainer.test(self.task, self.data, verbose=False)
        self._catch_up()
        found = results[0] if results else {}
        sentences = {f"test/{name}": text for name, text in self.task.conventions().items() if f"test/{name}" in found}
        log_sentences(self.trainer.loggers, sentences, self.trainer.global_step)
        self.table.write()
        metrics = {name.removeprefix("test/"): float(value) for name, value in found.items()}
        return finite_metrics(metrics | dict(self.task.found().intervals))

    @rank_zero_only
    def finish(self, metrics: dict[str, float], seconds: dict[str, float]) -> None:
        """Write weights and summary, then draw the pictures."""
        model = self.task.model.eval()
        if self.config["train"]:
            model.save_weights(self.folder.path / "weights.safetensors")
            put_text(self.folder.path / "README.md", model.card(), lasting=False)
        objective = catalog.option_name("objective", self.config["objective"]["_target_"])
        meanings = conventions(self.parts.source, self.task.smoothing, objective, model) | self.task.conventions()
        self.table.write()
        report = self.task.found()
        remarks = self.parts.source.remarks() | dict(report.remarks) | self.task.remarks()
        before = self.folder.summary()  # of the training whose weights are only tested again
        summary = {
            "finished": True,
            "identity": self.folder.identity,
            "choices": choices.chosen(self.config),
            "seed": self.seed,
            "tags": self.stored["tags"],
            "steps": self.trainer.global_step if self.config["train"] else before.get("steps"),
            "weights_of_step": self.kept_step if self.config["train"] else before.get("weights_of_step"),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            **{name: round(of, 1) if self.config["train"] else before.get(name) for name, of in seconds.items()},
            "metrics": metrics or before.get("metrics", {}),
            "conventions": meant(meanings, metrics or before.get("metrics", {})),
            **({"data": remarks} if remarks else {}),
            "versions": (not self.config["train"] and before.get("versions"))
            or {**self.code, "results": RESULTS, "torch": str(torch.__version__)},
        }
        self.folder.write_summary(summary)
        self._draw_all(model, report, self.task.name if objective == "none" else f"objective={objective}")

    def _draw_all(self, model: Trained, report: Report, title: str) -> None:
        path, task, curves = self.folder.path, self.task, curves_of(self.table.rows)
        attempt("curves.png", lambda: draw_curves(curves, task, title, path / "curves.png"))
        picture = draw_report(report, task.name, self.parts.source.shape, path)
        for shown, drawn in {"samples": self._draw(model), task.name: picture}.items():
            for tracker in trackers(self.trainer):
                if drawn:
                    tracker.log_picture(shown, drawn, logged_step(self.trainer))


@restoring_precision
def train_run(
    config: Config,
    stored: Config,
    folder: RunFolder,
    name: str,
    watching: Sequence[Callback] = (),
    announce: Callable[[], None] = lambda: None,
) -> None:
    """Train, test and draw one run in its folder, or test a finished one again where `train` is false.

    Args:
        config: settled, plain, with the paths of this machine.
        stored: the same as it is written to the folder.
        folder: claimed for it.
        name: of the run, for loggers.
        watching: further callbacks.
        announce: called once nothing refuses the run any more, and before anything is written.

    Raises:
        UserError: what the user can mend.
    """
    training, exit_code, finished = None, 1, folder.finished
    again = bool(config["train"] and config["rerun"] and finished)
    with folder.held():
        if config["train"] and folder.finished and not finished:  # by another process meanwhile
            return
        try:
            with stoppable():
                training = TrainingRun(config, stored, folder, name, watching, again)
                if not config["train"]:
                    training.load_finished_weights()
                announce()
                folder.begin(training.stored if config["train"] else None, again)
                if config["train"]:
                    training.fit()
                seconds = training.resume_point.elapsed.seconds()
                metrics = training.test() if config["test"] else {}
                training.finish(metrics, seconds)
            exit_code = 0
        except UserError as error:
            exit_code = error.exit_code
            raise
        except MisconfigurationException as error:  # Lightning's word for settings that cannot work together
            raise UserError(f"the trainer refuses these settings: {' '.join(str(error).split())}") from error
        finally:
            if training is not None:
                training.close(exit_code)
