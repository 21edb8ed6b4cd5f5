"""Processes of their own, without the seconds in which each imports torch and Lightning: forked from this one.

Where there is a GPU autograd has threads, and refuses to work in a fork of a process that has used it: there a process
is started anew.
"""

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
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
