"""Settings of a config, each refused in one sentence where it is none that its class may have."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from scorewise import catalog
from scorewise.catalog import NONE, Config
from scorewise.config.choices import class_of
from scorewise.config.grouped import holders
from scorewise.errors import UserError, printable
from scorewise.quality.classifier import ClassifierFeatures
from scorewise.ranges import (
    AtLeast,
    Between,
    Count,
    CountOr,
    DeviceNumbers,
    Duration,
    OneOf,
    Place,
    Whole,
    WordList,
    Words,
    fault,
    kinds,
)

BUILT = ("data", "backbone", "head", "objective", "sampler", "likelihood", "latent", "task", "optim", "logger")
"""Groups whose options are classes that we build."""
PRECISIONS = (
    *("32-true", "64-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "transformer-engine"),
    *("transformer-engine-float16", "32", "64", "16", "bf16"),
)
"""Those of `lightning.Trainer`."""
Name = Annotated[str, Words("a name")]
LONGEST_SHOWN = 60
"""Characters of a value in a sentence."""
FROM_DATA = ("low", "high", "levels")
"""Settings of classes that `build` takes from the data where they are null."""


@dataclass
class OfTraining:
    """Settings of training that no group holds."""

    seed: Whole
    train: bool
    test: bool
    rerun: bool
    tags: Annotated[Sequence[str], WordList("a list of words, tags=[mine] say")]
    name: Annotated[str, Words("a name")] | None
    resume: Place | None


@dataclass
class OfFinishedRun:
    """Settings of commands that take a finished run."""

    run: Place
    classes: Annotated[Sequence[str], WordList("a list of classes, classes=[mynet.GRUBackbone] say")]


@dataclass
class OfPrediction(OfFinishedRun):
    """Settings of prediction that no group holds."""

    input: Place
    output: Place | None
    header: bool | None
    decimal: Annotated[str, Words("a text", numbers=False)] | None
    encoding: Annotated[str, Words("a text", numbers=False)] | None


@dataclass
class OfSampling(OfFinishedRun):
    """Settings of drawing from a finished run."""

    n: Count
    seed: Whole
    denoise: bool
    output: Place | None


@dataclass
class OfFeatures:
    """Settings of the training of an extractor that no group holds."""

    seed: Whole


@dataclass
class OfReproduction:
    """Settings of a reproduction beside its figure."""

    budget: Annotated[str, Words("the name of a budget", numbers=False)]
    seeds: Count | None
    kept: bool


@dataclass
class OfDashboard:
    """Settings of a dashboard; objectives are checked where they are known."""

    project: Name
    group: Name
    entity: Name | None
    name: Name | None
    save: Place | None


@dataclass
class OfPaths:
    """Places on this machine."""

    runs: Place
    multirun: Place
    data: Place | None
    cache: Place | None


@dataclass
class OfBatches:
    """Settings of data that are not the data set's own, and the place of a table."""

    smoothing: Annotated[float, AtLeast(0, "it is a standard deviation")]
    batch_size: Count
    epochs: Count
    path: Annotated[str, Words("a path")] | None


Devices = Annotated[int, CountOr("all")] | Annotated[str | Sequence[int], DeviceNumbers()]
"""So many, or which of them."""
Batches = Count | Annotated[float, Between(0, 1, without=("low",))] | None
"""So many batches of an epoch, or a share of them."""


@dataclass
class OfTrainer:
    """Settings of the trainer, which Lightning would refuse in its own words, or after something is written."""

    compile: bool
    accelerator: Annotated[str, OneOf(("cpu", "gpu", "cuda", "mps", "tpu", "auto"))]
    devices: Devices
    num_nodes: Count
    strategy: Annotated[str, Words("the name of a strategy of Lightning's", numbers=False)]
    precision: Annotated[str, OneOf(PRECISIONS)]
    max_epochs: Count | None
    max_steps: Annotated[int, CountOr("no limit")]
    overfit_batches: Whole | Annotated[float, Between(0, 1)]
    check_val_every_n_epoch: Count | None
    limit_train_batches: Batches
    limit_val_batches: Whole | Annotated[float, Between(0, 1)] | None
    limit_test_batches: Whole | Annotated[float, Between(0, 1)] | None
    profiler: Annotated[str, OneOf(("simple", "advanced", "pytorch"))] | None
    accumulate_grad_batches: Count
    benchmark: bool | None
    detect_anomaly: bool
    deterministic: bool | Annotated[str, OneOf(("warn",))] | None
    max_time: Annotated[Any, Duration()] | None
    min_epochs: Whole | None
    min_steps: Whole | None
    sync_batchnorm: bool
    val_check_interval: Batches


@dataclass
class OfCallbacks:
    """Settings of saving, showing and stopping."""

    progress: bool
    save_every_n_steps: Count
    sample_every_n_epochs: Whole
    samples: Count
    patience: Count | None


@dataclass
class OfLogger:
    """Settings of trackers; each knows its own besides."""

    project: Name
    entity: Name | None
    group: Name | None


@dataclass
class OfStudy:
    """Settings of a study beside its space."""

    name: Name | None
    trials: Count
    seed: Whole
    sampler: Annotated[str, OneOf(("tpe", "random"))]
    pruner: Annotated[str, OneOf(("median", "none"))] | None
    startup: Whole
    warmup: Whole


BESIDE_CLASSES = {
    "data": OfBatches,
    "logger": OfLogger,
    "paths": OfPaths,
    "trainer": OfTrainer,
    "callbacks": OfCallbacks,
    "study": OfStudy,
    "extractor": ClassifierFeatures,
}
"""What holds the settings of a group that no class of its options takes."""


def refuse_out_of_range(config: Config) -> None:
    """Refuse settings of training that are not of the kind, or out of the range, that their class is annotated with.

    Raises:
        UserError: the setting, its value, and what it must be.
    """
    refuse_of_command(config, OfTraining, (*BUILT, *BESIDE_CLASSES))


def refuse_of_command(config: Config, command: type, groups: Iterable[str] = ()) -> None:
    """Refuse settings of a command, and of groups; see `refuse_out_of_range`.

    Args:
        config: of the command.
        command: what its settings beside groups may be.
        groups: that it has a use for.

    Raises:
        UserError: the setting, its value, and what it must be.
    """
    for name in kinds(command):
        if name in config and (sentence := fault(command, name, config[name])):
            raise UserError(f"{name}={shown(config[name])} {sentence}.")
    for group in groups:
        refuse_settings(config, group)


def refuse_unread(config: Config, command: type) -> None:
    """Refuse a setting that was added (+) and that nothing reads.

    Args:
        config: of the command.
        command: what its settings beside groups may be.

    Raises:
        UserError: the setting.
    """
    known = [*kinds(command), *catalog.groups(), *BESIDE_CLASSES]
    if unread := [name for name in config if name not in known]:
        near = difflib.get_close_matches(unread[0], known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ": leave it out."
        raise UserError(f"{unread[0]} is no setting of Scorewise{meant}")


def shown(value: object) -> str:
    """Return a value as it is typed, on one line and cut short."""
    text = "null" if value is None else printable(str(value).lower() if isinstance(value, bool) else str(value))
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def refuse_settings(config: Config, group: str) -> None:
    """Refuse settings of one group, see `refuse_out_of_range`.

    Raises:
        UserError: the setting, its value, and what it must be.
    """
    part: dict[str, Any] = config.get(group) or {}
    known: list[Any] = [BESIDE_CLASSES[group]] if group in BESIDE_CLASSES else []
    if group in BUILT and part.get("_target_", NONE["_target_"]) != NONE["_target_"]:
        known += holders(class_of(config, group))
    for name, value in part.items():
        for cls in known:
            sentence = fault(cls, name, value)
            if sentence and not (value is None and name in FROM_DATA):
                raise UserError(f"{group}.{name}={shown(value)} {sentence}.")
