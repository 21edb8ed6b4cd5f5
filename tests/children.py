"""Processes of their own, without the seconds in which each imports torch and Lightning: forked from this one.

Where there is a GPU autograd has threads, and refuses to work in a fork of a process that has used it: there a process
is started anew.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

WAY: Any = multiprocessing.get_context("spawn" if torch.cuda.is_available() else "fork")


def started(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process that calls a function."""
    process: BaseProcess = WAY.Process(target=target, args=arguments)
    process.start()
    return process


def train(words: Sequence[str]) -> None:
    """Run `python src/train.py ...`, and end this process as it ends."""
    from scorewise.commands.cli import main

    sys.argv = ["train.py", *words]
    sys.exit(main("train"))


def _told(told: Connection) -> None:
    """Wait for the environment and the words of a second process, and be it, as if it imported Lightning only now."""
    from lightning_utilities.core.rank_zero import rank_zero_only

    environment, words = told.recv()
    os.environ.clear()
    os.environ.update(environment)
    rank_zero_only.rank = int(environment["LOCAL_RANK"])  # type: ignore[attr-defined]
    train(words)


def _first(tell: Connection, words: Sequence[str]) -> None:
    """Be the process that starts another: what it hands to the system goes to one that waits for it."""

    from lightning.pytorch.strategies.launchers import subprocess_script

    def begin(typed: Sequence[str], env: Mapping[str, str], **_: Any) -> Any:
        interpreter, script, *words = typed
        assert (interpreter, Path(script).name) == (sys.executable, "train.py")
        tell.send((dict(env), words))
        return SimpleNamespace(pid=0, poll=lambda: None, send_signal=lambda _: None)

    vars(subprocess_script)["subprocess"] = SimpleNamespace(Popen=begin)
    sys.modules["__main__"] = ModuleType("__main__")  # a script, of which there is no module to be run with -m
    train(words)


def trained_by_two(words: Sequence[str], seconds: float = 60) -> list[int | None]:
    """Train in two processes, the second with what the first hands to the system to start it; return how both end."""
    told, tell = WAY.Pipe(duplex=False)
    both = [started(_told, told), started(_first, tell, words)]
    for process in reversed(both):
        process.join(seconds)
        if process.exitcode != 0:  # the other would wait for it
            for one in both:
                one.kill()
    return [process.exitcode for process in both]
