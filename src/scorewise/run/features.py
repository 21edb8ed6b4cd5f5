"""The training of the classifier whose features FID and KID compare."""

from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from lightning import Callback, Trainer

from scorewise.config import choices, compatibility
from scorewise.data.datamodule import ScoreData
from scorewise.data.roots import cache_root
from scorewise.data.source import Labelled
from scorewise.files import make_folder, refuse_unwritable
from scorewise.noise import OwnNumbers
from scorewise.quality.classifier import ClassifierFeatures
from scorewise.quality.extractor_store import ExtractorStore
from scorewise.run.callbacks import Averaging
from scorewise.run.precision import restoring_precision
from scorewise.run.progress import progress_bar
from scorewise.run.stopping import stoppable
from scorewise.run.task import build_optimisation
from scorewise.run.trainer import OURS, quieten, refuse_no_test, trainer_of
from scorewise.tasks.classification import Classification
from scorewise.tracking import console
from scorewise.version import __version__


class TrainedExtractor(NamedTuple):
    """A trained feature extractor, and what there is to say about it.

    Args:
        extractor: ready to be used.
        accuracy: share of the test images that it classifies correctly.
        images: how many these are.
        folder: where it was saved.
    """

    extractor: ClassifierFeatures
    accuracy: float
    images: int
    folder: Path


@restoring_precision
def train_extractor(config: dict[str, Any], place: Path | None = None) -> TrainedExtractor:
    """Train a feature extractor on the clean images of a labelled data set, save it, and return it.

    Args:
        config: data, extractor, optim, trainer, seed and paths.
        place: the folder of extractors; None: features/ in the cache.

    Raises:
        UserError: data without labels, or what the data set refuses.
    """
    compatibility.refuse_unlabelled(config)
    refuse_no_test(config)
    quieten()
    torch.set_default_dtype(torch.float32)
    store = ExtractorStore(place or cache_root(config["paths"]["cache"]) / "features")
    make_folder(store.folder)
    refuse_unwritable(store.folder)
    source, seed = choices.build_source(config), int(config["seed"])
    source.prepare()
    labels = {split: cast(Labelled, source).labels(split) for split in ("train", "test")}
    with OwnNumbers(seed):
        network = ClassifierFeatures(
            source.shape, int(labels["train"].max()) + 1, f"classifier-{source.name}", **config["extractor"]
        )
    task = Classification(network, build_optimisation(config), labels, seed)
    trainer = _trainer(config, task.optimisation.ema_decay)
    data = ScoreData(source, int(config["data"]["batch_size"]), seed)
    data.refuse_unusable(["fit", "test"], config["trainer"])
    with stoppable("nothing was saved, and the same command starts again"):
        trainer.fit(task, data)
        (results,) = trainer.test(task, data, verbose=False)
    accuracy, count = float(results["test/accuracy"]), data.tested
    network.accuracy = round(accuracy, 4)
    facts = {
        "test_images": count,
        "seed": seed,
        "epochs": trainer.current_epoch,
        "batch_size": data.batch_size,
        "optim": {key: value for key, value in config["optim"].items() if key != "_target_"},
        "versions": {"scorewise": __version__, "torch": str(torch.__version__)},
    }
    return TrainedExtractor(network.cpu().finished(), accuracy, count, store.put(source.name, network, facts))


def _trainer(config: dict[str, Any], ema_decay: float) -> Trainer:
    settings = {key: value for key, value in config["trainer"].items() if key not in OURS}
    callbacks: list[Callback] = [Averaging(ema_decay)] if ema_decay else []
    if console.console.is_terminal:
        callbacks.append(progress_bar())
    return trainer_of(
        **{**settings, "limit_val_batches": 0},
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=console.console.is_terminal,
    )
