"""Measurements of one kind, a line of JSON each in docs/benchmarks/NAME.jsonl, which a later call goes on with."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from record import FOLDER

Case = Mapping[str, str | int]
Line = dict[str, Any]
RESAMPLES = 10_000


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
