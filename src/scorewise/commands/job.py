"""A job: one run of a command, alone or in a sweep. Importing this imports neither torch nor Lightning."""

import functools
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from scorewise.commands import searched, sweeps
from scorewise.config.refusals import one_sentence
from scorewise.errors import Stopped, UserError, machine_told
from scorewise.run.allocation import settle_allocation
from scorewise.run.folder import is_rank_zero
from scorewise.run.waiting import settle_waiting

failed: list[int] = []
"""Exit statuses of jobs that ended with a sentence; the other jobs of a sweep go on."""


class SweepStopped(BaseException):
    """A sweep was asked to stop, so that none of its other runs may start; no Exception, or Hydra would keep it.

    Args:
        exit_code: of the process.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def ending_well(
    task: Callable[[DictConfig], Path | None], command: str, debugging: bool = False
) -> Callable[[DictConfig], sweeps.Outcome | None]:
    """Return a command as Hydra runs it: a sentence is printed and noted, and the other jobs of a sweep go on.

    Args:
        task: the command.
        command: its name.
        debugging: whether what the machine refuses keeps its traceback.
    """

    @functools.wraps(task)
    def job(cfg: DictConfig) -> sweeps.Outcome | None:
        settle_allocation()
        settle_waiting()
        try:
            with nullcontext() if debugging else machine_told():
                searched.refuse_hidden()
                folder = task(cfg)
        except UserError as error:
            if is_rank_zero():
                print(error, file=sys.stderr)
            if isinstance(error, Stopped) and sweeping():
                raise SweepStopped(error.exit_code) from None
            failed.append(error.exit_code)
            return _noted(sentence=str(error))
        except KeyboardInterrupt:
            print("Stopped: nothing is lost, and the same command starts again.", file=sys.stderr)
            if sweeping():
                raise SweepStopped(130) from None
            failed.append(130)
            return None
        except OmegaConfBaseException as error:  # a setting that must be given, say
            sentence = str(one_sentence(error, command))
            print(sentence, file=sys.stderr)
            failed.append(1)
            return _noted(sentence=sentence)
        except Exception as error:
            if not sweeping():
                raise
            traceback.print_exc()  # and the other runs go on
            failed.append(1)
            return _noted(sentence=f"{type(error).__name__}: {error}")
        return _noted(folder=str(folder)) if folder else None

    return job


def sweeping() -> bool:
    """Return whether this run is one of several of a command."""
    return str(HydraConfig.get().mode) == "RunMode.MULTIRUN"


def first() -> bool:
    """Return whether this run is alone, or the first of its sweep."""
    return not sweeping() or int(HydraConfig.get().job.num) == 0


def which() -> str:
    """Return which run of a sweep this is and what was chosen for it; empty where it is none."""
    if not sweeping():
        return ""
    number, words = int(HydraConfig.get().job.num), list(HydraConfig.get().overrides.task)
    if not sweeps.announced:  # in a process that a launcher has started
        return f"run {number + 1}: {' '.join(words)}"
    choices = sweeps.announced[0].choices()
    return f"run {number + 1} of {len(choices)}: {' '.join(map('='.join, choices[number].items()))}"


def _noted(**how: str) -> sweeps.Outcome | None:
    return sweeps.Outcome(**how) if is_rank_zero() else None
