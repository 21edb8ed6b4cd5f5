"""Reproducing a figure: its trainings, its measurements, its picture and its numbers."""

import itertools
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import torch
from hydra import compose as hydra_compose
from omegaconf import DictConfig, OmegaConf

from scorewise.config import compatibility
from scorewise.config.identity import generation, identity, plain, storable
from scorewise.config.settings import OfReproduction, refuse_of_command
from scorewise.config.settle import settle
from scorewise.errors import UserError
from scorewise.figures.bench import Bench, write_whole
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.kept_seeds import KeptSeed, KeptSeeds, NotKept
from scorewise.figures.results import Results, Text
from scorewise.run.folder import claim
from scorewise.run.precision import restoring_precision
from scorewise.store import import_class
from scorewise.tracking import console
from scorewise.version import __version__

BESIDE = ("figure=", "budget=", "seeds=", "kept=", "paths.", "hydra.")
"""What may be typed without making another figure of it."""
QUIETLY = ("callbacks.progress=false", "callbacks.sample_every_n_epochs=0")
Config = dict[str, Any]


class AskedTraining(NamedTuple):
    """One training that a figure asks for, as overrides of the training command."""

    name: str
    seed: int
    overrides: tuple[str, ...]


def listed(figure: Config, budget: Config) -> Iterator[AskedTraining]:
    """Return the trainings of a figure under a budget: every combination of `each`, every seed.

    A budget with `only` takes those trainings and no other.
    """
    each: dict[str, list[Any]] = {**figure.get("each", {}), **budget.get("each", {})}
    only = budget.get("only")
    shared = [*QUIETLY, *figure.get("shared", []), *budget.get("shared", [])]
    for values in itertools.product(*each.values()):
        names = dict(zip(each, values, strict=True))
        for name, overrides in figure.get("trainings", {}).items():
            if only is not None and name not in only:
                continue
            more = budget.get("trainings", {}).get(name, [])
            words = tuple(str(word).format(**names) for word in (*shared, *overrides, *more))
            for seed in range(budget.get("seeds", 1)):
                yield AskedTraining(name.format(**names), seed, (*words, f"seed={seed}"))


def trained(asked: AskedTraining, place: Path, kept: KeptSeeds | None = None) -> FinishedRun:
    """Return a training's finished run: found finished, also below another figure, kept, resumed, or run now.

    Raises:
        UserError: what the user can mend.
    """
    cfg: DictConfig = hydra_compose("train", list(asked.overrides))
    config, stored = (settle(view(cfg)) for view in (plain, storable))
    path = place / asked.name.replace("/", "-") / identity(config)
    below_any = (path, *sorted(place.parent.glob(f"*/*/{path.name}")))
    folders = [claim(config, stored, each, None) for each in below_any]
    folder = next((each for each in folders if each.finished), folders[0])
    line, features = (kept.of(path.name), kept.features) if kept else (None, None)
    if not folder.finished:
        if line:
            return FinishedRun(asked.seed, folder, config, line, features)
        from scorewise.run import training  # Lightning takes seconds, and some figures train nothing

        compatibility.refuse_incompatible(config)
        training.train_run(config, stored, folder, asked.name)
    return FinishedRun(asked.seed, folder, config, features=features)


def all_trained(
    figure: Config, budget: Config, place: Path, kept: KeptSeeds | None = None
) -> dict[str, list[FinishedRun]]:
    """Return the finished runs of a figure's trainings by name, one per seed, run now where they are not finished."""
    finished: dict[str, list[FinishedRun]] = {}
    trainings = list(listed(figure, budget))
    for i, asked in enumerate(trainings, 1):
        begun = time.monotonic()
        finished.setdefault(asked.name, []).append(trained(asked, place, kept))
        console.say(f"[{i}/{len(trainings)}] {asked.name} seed={asked.seed}: {time.monotonic() - begun:.0f} s")
    return finished


def budget_of(figure: Config, wanted: str, seeds: int | None = None) -> Config:
    """Return the budget of a figure that was asked for.

    Args:
        figure: its config.
        wanted: name of the budget.
        seeds: in place of the budget's.

    Raises:
        UserError: the figure has no such budget or training, or not of several seeds, or this machine lacks what the
            budget needs.
    """
    if wanted not in figure["budgets"]:
        budgets = " or ".join(figure["budgets"])
        raise UserError(f"budget={wanted} is no budget of figure={figure['name']}: use {budgets}.")
    if wanted == "gpu" and not torch.cuda.is_available():
        raise UserError("budget=gpu needs a CUDA device, and there is none here: use budget=cpu.")
    budget = dict(figure["budgets"][wanted])
    trainings = figure.get("trainings", {})
    if unknown := [name for name in budget.get("only") or () if name not in trainings]:
        raise UserError(
            f"figure.budgets.{wanted}.only has {unknown[0]!r}, which figure={figure['name']} does not train: use "
            f"{', '.join(map(repr, trainings)) or 'none'}."
        )
    if seeds is not None and "seeds" not in budget:
        raise UserError(f"figure={figure['name']} budget={wanted} has one training each: leave out seeds={seeds}.")
    return budget if seeds is None else {**budget, "seeds": seeds}


@restoring_precision
def reproduce_figure(cfg: DictConfig, typed: Sequence[str] = ()) -> Path:
    """Reproduce one figure under one budget and return the JSON file with its numbers.

    Args:
        cfg: figure, budget, seeds, kept and paths.
        typed: the overrides that were typed; a figure that they change goes beside its runs, not into docs/.

    Raises:
        UserError: no such budget, or what a training refuses.
    """
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    refuse_of_command({str(key): part for key, part in config.items()}, OfReproduction, ("paths",))
    settings, wanted = dict(config["figure"]), str(config["budget"])
    name, budget, text = str(settings["name"]), budget_of(settings, wanted, config["seeds"]), Text.of(settings)
    place = Path(config["paths"]["runs"]).absolute() / "figures" / f"{name}-{wanted}"
    started = time.monotonic()
    trained_in = place.with_name(f"{settings.get('trained_by', name)}-{wanted}")  # figures may share their trainings
    others = [word for word in typed if not word.startswith(BESIDE)]
    # A tiny budget tries the code; its numbers are no result, nor are those of a changed figure.
    aside = wanted == "tiny" or bool(others)
    pictures, numbers = (place, place) if aside else (Path("docs/figures"), Path("docs/results"))
    kept = KeptSeeds(numbers / "seeds" / f"{name}.jsonl") if config["kept"] else None
    figure: Figure = import_class(settings["_target_"])(**budget.get("settings", {}))
    train = partial(all_trained, settings, budget, trained_in, kept)
    try:
        bench, found = _measured(figure, place / "measured", kept, train)
    except KeyError as missing:
        if (left_out := missing.args[0]) not in {asked.name for asked in listed(settings, {**budget, "only": None})}:
            raise
        raise UserError(
            f"figure={name} cannot do without {left_out!r}, which figure.budgets.{wanted}.only leaves out: name it "
            "too. What was trained and measured is kept."
        ) from None
    finished = bench.runs
    said = text.said(found, budget.get("settings", {}))
    if kept is not None:
        kept.add(list(_of(finished, bench)))
    pictures.mkdir(parents=True, exist_ok=True)
    figure.save({**said["data"], **found.arrays}, text, pictures / f"{name}.png")
    more = [*(word for word in typed if word.startswith(("seeds=", "kept="))), *others]
    whole = {
        "figure": name,
        "title": text.title,
        "command": " ".join(["python src/reproduce.py", f"figure={name}", f"budget={wanted}", *map(quote, more)]),
        "budget": budget,
        **said,
        "minutes_of_training": round(sum(run.summary["seconds"] for few in finished.values() for run in few) / 60, 1),
        "machine": machine(),
        "versions": {"scorewise": __version__, "torch": str(torch.__version__)},
    }
    write_whole(json.dumps(whole, indent=1) + "\n", numbers / f"{name}.json")
    for judged in said["claims"]:
        console.say(f"{'holds' if judged['holds'] else 'FALLS SHORT'}: {judged['sentence']} ({judged['measured']})")
    console.say(f"{time.monotonic() - started:.0f} s in all")
    console.show_paths({"picture": pictures / f"{name}.png", "numbers": numbers / f"{name}.json"})
    return numbers / f"{name}.json"


def _measured(
    figure: Figure, folder: Path, kept: KeptSeeds | None, train: Callable[[], Mapping[str, Sequence[FinishedRun]]]
) -> tuple[Bench, Results]:
    """Return what a figure measures of its trainings; of which too little was kept, those are trained again."""
    warnings.filterwarnings("ignore", message=".*torch.jit.script.*")  # torch's own, from inside its forward mode
    while True:
        bench = Bench(folder, train(), generation(), console.say)
        torch.set_default_dtype(torch.float32)
        try:
            return bench, figure.measure(bench)
        except NotKept as missing:
            assert kept is not None
            kept.forget(missing.kept)
            console.say(f"{missing}, so it is trained again")


def _of(finished: Mapping[str, Sequence[FinishedRun]], bench: Bench) -> Iterator[KeptSeed]:
    """Return what is to be kept of every finished run."""
    for training, runs in finished.items():
        for run in runs:
            yield KeptSeed(training, run.seed, run.summary, bench.of_runs.get(run.summary["identity"], {}))


def machine() -> str:
    """Return what the numbers were made on, without any name."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {device}"
