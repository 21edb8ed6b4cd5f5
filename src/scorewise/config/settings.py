"""Settings of a config, each refused in one sentence where it is none that its class may have."""

from dataclasses import dataclass
from typing import Annotated, Any

from scorewise.catalog import NONE, Config
from scorewise.config.choices import class_of
from scorewise.config.grouped import holders
from scorewise.errors import UserError
from scorewise.quality.classifier import ClassifierFeatures
from scorewise.ranges import AtLeast, Count, Whole, fault, kinds

BUILT = ("data", "backbone", "head", "objective", "sampler", "likelihood", "latent", "task", "optim")
"""Groups whose options are classes that we build."""
FROM_DATA = ("low", "high", "levels")
"""Settings of classes that `build` takes from the data where they are null."""


@dataclass
class OfCommand:
    """Settings of a command that no group holds."""

    seed: Whole
    train: bool
    test: bool
    rerun: bool


@dataclass
class OfBatches:
    """Settings of data that are not the data set's own."""

    smoothing: Annotated[float, AtLeast(0, "it is a standard deviation")]
    batch_size: Count
    epochs: Count


@dataclass
class OfTrainer:
    """Settings of the trainer that are ours, or that Lightning would refuse in its own words."""

    compile: bool
    max_epochs: Count | None
    max_steps: Annotated[int, AtLeast(-1)] | None
    check_val_every_n_epoch: Count | None


@dataclass
class OfCallbacks:
    """Settings of saving, showing and stopping."""

    progress: bool
    save_every_n_steps: Count | None
    sample_every_n_epochs: Whole | None
    samples: Count | None
    patience: Count | None


BESIDE_CLASSES = {
    "data": OfBatches,
    "trainer": OfTrainer,
    "callbacks": OfCallbacks,
    "extractor": ClassifierFeatures,
}
"""What holds the settings of a group that no class of its options takes."""


def refuse_out_of_range(config: Config) -> None:
    """Refuse settings that are not of the kind, or out of the range, that their class is annotated with.

    Raises:
        UserError: the setting, its value, and what it must be.
    """
    for name in kinds(OfCommand):
        if name in config and (sentence := fault(OfCommand, name, config[name])):
            raise UserError(f"{name}={config[name]} {sentence}.")
    for group in (*BUILT, *BESIDE_CLASSES):
        refuse_settings(config, group)


def refuse_settings(config: Config, group: str) -> None:
    """Refuse settings of one group, see `refuse_out_of_range`.

    Raises:
        UserError: the setting, its value, and what it must be.
    """
    part: dict[str, Any] = config.get(group) or {}
    known: list[Any] = [BESIDE_CLASSES[group]] if group in BESIDE_CLASSES else []
    if group in BUILT and part and part.get("_target_") != NONE["_target_"]:
        known += holders(class_of(config, group))
    for name, value in part.items():
        for cls in known:
            sentence = fault(cls, name, value)
            if sentence and not (value is None and name in FROM_DATA):
                raise UserError(f"{group}.{name}={value} {sentence}.")
