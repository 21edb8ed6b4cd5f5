"""Predicting with a finished run: images restored or encoded, outlier scores, or log-densities of a table's rows."""

import json
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from lightning import LightningModule
from torch import Tensor

from scorewise.catalog import default_options, settings_of
from scorewise.config.choices import own_classes
from scorewise.config.outlier_sets import only_for_choosing
from scorewise.config.settings import OfPrediction, refuse_of_command, refuse_unread
from scorewise.data.datamodule import Batch
from scorewise.errors import UserError
from scorewise.files import refuse_outside, refuse_unwritable
from scorewise.heads.trained import Trained
from scorewise.run.code_version import code_version
from scorewise.run.evaluation import Finished, finished
from scorewise.run.given import GivenBatches, images_of_folder, rows_of_table, takes_rows
from scorewise.run.pictures import shown_progress
from scorewise.run.precision import restoring_precision
from scorewise.run.replaced import told_if_replaced
from scorewise.run.stopping import stoppable
from scorewise.store import local_folder
from scorewise.tasks.prediction import Given, Prediction

OF_ROWS = "density"
"""The task that rows of a table have where none is given."""
SURVEYS = "surveys"
"""Where a run keeps what predictions refer to."""


class Predicted(NamedTuple):
    """What was predicted.

    Args:
        path: the folder or the file that was written.
        done: how many examples.
        left_out: files or rows that were not used; a warning says why.
        what: was done to the examples, a few words.
        page: that was written too; None: none was.
    """

    path: Path
    done: int
    left_out: int
    what: str
    page: Path | None = None


class Predicting(LightningModule):
    """A prediction as Lightning runs it, on any device.

    Args:
        model: that it asks.
        prediction: what is computed.
    """

    def __init__(self, model: Trained, prediction: Prediction) -> None:
        super().__init__()
        self.model, self.prediction = model, prediction

    def on_predict_start(self) -> None:
        """Compute what predictions refer to."""
        with shown_progress(self.prediction, "comparing with held-out examples"):
            self.prediction.begin()

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return what is predicted for every example of a batch."""
        return self.prediction.of(batch)


@restoring_precision
def predict(config: dict[str, Any]) -> Predicted:
    """Write what a finished run makes of a user's examples, as its task says, and nothing else.

    Args:
        config: run (a folder), input (a folder of images, or a table), output (a folder; None: predictions/ in the run
            folder), header, decimal and encoding of a CSV table (None: as the one of training), task (rows of a table
            have log-densities, or outlier scores by task=ood), trainer, paths, classes, data.path (see `finished`).

    Raises:
        UserError: no example can be used, output is in the input folder, or see `finished`.
    """
    refuse_unread(config, OfPrediction)
    refuse_of_command(config, OfPrediction)
    rows = takes_rows(local_folder(config["run"]), own_classes(config))
    if rows and config["task"]["_target_"] == _of_images()["_target_"]:
        config = {**config, "task": settings_of("task", OF_ROWS)}
    done = finished({**config, "task": only_for_choosing(config["task"])})
    prediction = done.task.prediction
    if prediction is None:
        raise UserError(
            "predict gives rows of a table their log-densities (task=density) or outlier scores: use task=ood."
            if rows
            else "predict restores images, scores outliers or encodes images: use task=denoising or task=ood, or "
            "task=implicit_vae of a VAE."
        )
    target = Path(config["output"] or done.folder / "predictions" / prediction.folder).absolute()
    if not config["output"]:
        refuse_outside(done.folder, target)
    refuse_unwritable(target)
    given = rows_of_table(done, config) if rows else images_of_folder(done, config, target)
    prediction.accept(given)
    if prediction.keeps:
        _keep(prediction, done, config)
    with stoppable("nothing was written, and the same command starts again"):
        found = _found(done, prediction, given)
    unusable = prediction.unusable(given, found)
    if done.trainer.is_global_zero:
        whole = stoppable("every file that is there is whole, and the same command starts again")
        with whole, told_if_replaced(target / prediction.file):
            prediction.write(given, found, target)
    left_out = len(given.left_out) + len(unusable)
    return Predicted(
        target / prediction.file, len(given.names) - len(unusable), left_out, prediction.what, prediction.page
    )


def _keep(prediction: Prediction, done: Finished, config: dict[str, Any]) -> None:
    """Let a prediction keep what it refers to beside the run, unless its code can change without a name of its own."""
    refuse_outside(done.folder, done.folder / SURVEYS)
    code = code_version()  # an installed package says nothing of changes
    if not own_classes(config) and code.get("modified", False) is False:
        about = json.dumps([done.stored, config["trainer"], code, torch.__version__], sort_keys=True, default=str)
        prediction.keep_in(done.folder / SURVEYS, about)


def _of_images() -> dict[str, Any]:
    """Return the task that examples have where none is given."""
    return settings_of("task", default_options("predict")["task"])


def _found(done: Finished, prediction: Prediction, given: Given) -> Tensor:
    """Return what is predicted for all examples, shape (N, ...)."""
    size = int(done.stored["data"]["batch_size"])
    batches = (GivenBatches.by_name if prediction.by_name else GivenBatches.by_place)(given, size)
    parts = done.trainer.predict(Predicting(done.parts.model, prediction), cast(Any, batches)) or []
    return torch.cat([torch.as_tensor(part) for part in parts]).cpu()
