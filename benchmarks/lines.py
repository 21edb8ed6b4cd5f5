"""Measurements of one kind, a line of JSON each in docs/benchmarks/NAME.jsonl, which a later call goes on with."""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from record import FOLDER

Case = Mapping[str, str | int]
Line = dict[str, Any]
RESAMPLES = 10_000


def options(doc: str | None, minutes: float, **numbers: Sequence[int]) -> argparse.ArgumentParser:
    """Return the options of a measurement: how many minutes it may take, and lists of whole numbers.

    Args:
        doc: what it measures.
        minutes: unless others are given.
        numbers: the lists, unless others are given.
    """
    parser = argparse.ArgumentParser(description=doc)
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, nargs="+", default=list(default))
    parser.add_argument("--minutes", type=float, default=minutes)
    return parser


def given_to(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return what was given on the command line; torch has one thread from then on, and nothing warns."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    return parser.parse_args()


def lines(name: str) -> list[Line]:
    """Return what was measured already."""
    path = FOLDER / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def go_on(name: str, cases: Iterable[Case], measure: Callable[..., Line], minutes: float) -> None:
    """Measure what is not there yet, until the time is over: `measure(**case)` gives what a line says beside the case.

    Args:
        name: of the file.
        cases: in their order.
        measure: one of them.
        minutes: after which none is begun.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    ends, done = time.monotonic() + 60 * minutes, lines(name)
    for case in cases:
        if any(case.items() <= line.items() for line in done):
            continue
        if time.monotonic() > ends:
            print("the time is over: the same command goes on")
            return
        line = {**case, **{key: _short(value) for key, value in measure(**case).items()}}
        with (FOLDER / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(" ".join(f"{key}={value}" for key, value in line.items()), flush=True)


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def mean_with_interval(value_N: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and the 2.5 % and 97.5 % ends, drawn with replacement."""
    drawn = np.random.default_rng(0).integers(len(value_N), size=(RESAMPLES, len(value_N)))
    low, high = np.quantile(np.asarray(value_N)[drawn].mean(1), [0.025, 0.975])
    return float(np.mean(value_N)), float(low), float(high)
