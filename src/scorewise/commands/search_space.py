"""The search space of a study: settings, and the values that trials may give them."""

import json
import math
from dataclasses import dataclass

from optuna.trial import Trial

from scorewise.errors import UserError
from scorewise.ranges import is_number, is_whole, mapping_in

COMPARABLE = (
    *("backbone", "head", "optim", "callbacks"),
    *("trainer.max_epochs", "trainer.max_steps", "trainer.accumulate_grad_batches", "trainer.precision"),
    *("data.batch_size", "data.epochs", "objective.projection", "objective.projections", "objective.share"),
)
"""Settings under which the monitored number still measures the same."""
OF_A_RANGE = {"low", "high", "log", "step"}


@dataclass(frozen=True)
class SearchRange:
    """A range of numbers, both ends included.

    Args:
        low, high: whole numbers where both are.
        log: even in the logarithm.
        step: between neighbours; None: any number (whole ones: 1).

    Raises:
        ValueError: what is wrong with them.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        numbers = [self.low, self.high, *([] if self.step is None else [self.step])]
        if not all(map(is_number, numbers)):
            raise ValueError("low, high and step are numbers")
        if type(self.log) is not bool:
            raise ValueError(f"log={self.log} is neither true nor false")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low={self.low} is not below high={self.high}")
        if self.log and not self.low > 0:
            raise ValueError(f"log needs a positive range, and low={self.low}")
        if self.step is not None and (self.log or not 0 < self.step <= self.high - self.low):
            raise ValueError(f"step={self.step} needs a range without log that is at least as wide")
        if self.whole and self.step is not None and not is_whole(self.step):
            raise ValueError(f"step={self.step} is not whole, and low={self.low} and high={self.high} are")

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole."""
        return is_whole(self.low) and is_whole(self.high)

    @property
    def ends(self) -> tuple[str, ...]:
        """The values that are composed before a study begins, so that a bad one is refused then."""
        return str(self.low), str(self.high)

    def suggest(self, trial: Trial, name: str) -> str:
        """Return a trial's value, as it is typed."""
        if self.whole:
            return str(trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log))
        return repr(trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log))


@dataclass(frozen=True)
class Choices:
    """A list of values.

    Args:
        ends: all of them, as they are typed; each is composed before a study begins.

    Raises:
        ValueError: fewer than two.
    """

    ends: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.ends)) < 2:
            raise ValueError("choices are two values at least")

    def suggest(self, trial: Trial, name: str) -> str:
        """Return a trial's value, as it is typed."""
        return str(trial.suggest_categorical(name, self.ends))


Space = dict[str, SearchRange | Choices]
"""What a study chooses: ranges and choices by the dotted name of their setting."""


def space_of(tree: object, path: str = "") -> Space:
    """Return the settings that a study chooses, by dotted name.

    Args:
        tree: study.space, a mapping that is nested as the config is, with ranges or choices as its leaves.
        path: of the tree.

    Raises:
        UserError: which setting's range or choices are wrong, or which cannot be compared.
    """
    here = f"study.space.{path}" if path else "study.space"
    below = mapping_in(tree)
    if not below:
        raise UserError(f"{here}={tree} is no search space: give ranges {{low, high}} or {{choices}} of settings.")
    if not {"low", "high", "choices"} & set(below):
        return {name: found for key, part in below.items() for name, found in space_of(part, _join(path, key)).items()}
    if not any(path == known or path.startswith(f"{known}.") for known in COMPARABLE):
        raise UserError(
            f"{here} changes what the monitored number measures, so that trials could not be compared: "
            f"choose among settings of {', '.join(COMPARABLE)}."
        )
    try:
        if set(below) == {"choices"} and isinstance(below["choices"], list):
            return {path: Choices(tuple(map(_typed, below["choices"])))}
        if not {"low", "high"} <= set(below) <= OF_A_RANGE:
            raise ValueError("a range has low and high, and log or step; choices are a list by themselves")
        return {path: SearchRange(**below)}
    except (ValueError, TypeError) as error:
        raise UserError(f"{here}: {error}.") from error


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _typed(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
