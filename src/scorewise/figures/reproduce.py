"""Reproducing a figure: its trainings, its measurements, its picture and its numbers."""

import itertools
import json
import os
import platform
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import torch
from hydra import compose as hydra_compose
from omegaconf import DictConfig, OmegaConf

from scorewise import catalog
from scorewise.config import choices, compatibility
from scorewise.config.identity import generation, identity, plain, storable
from scorewise.config.settle import settle
from scorewise.data.images import cache_root
from scorewise.data.source import Source
from scorewise.errors import UserError
from scorewise.figures.figure import Bench, Figure
from scorewise.quality import FeatureExtractor, Shelf
from scorewise.run.folder import RunFolder, claim
from scorewise.store import import_class, load
from scorewise.tracking import console
from scorewise.version import __version__

QUIETLY = ("callbacks.progress=false", "callbacks.sample_every_n_epochs=0")
Config = dict[str, Any]


class Training(NamedTuple):
    """One training that a figure asks for."""

    name: str
    seed: int
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class FinishedRun:
    """A finished training: a `Run` of figures."""

    seed: int
    folder: RunFolder
    config: Config

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """Its summary.json."""
        return self.folder.summary()

    @cached_property
    def curves(self) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Its metrics by name, as (step, value)."""
        from scorewise.tracking.metrics_table import (
            read_metrics,  # Lightning takes seconds, and some figures train nothing
        )

        return read_metrics(self.folder.path / "metrics.csv")

    @property
    def model(self) -> Any:
        """The trained model."""
        return load(self.folder.path)

    @property
    def source(self) -> Source:
        """Its data set."""
        source = choices.build_source(self.config)
        source.prepare()
        return source

    def tested(self, *words: str) -> Mapping[str, float]:
        """Return the held-out numbers under another task, given as src/eval.py takes it."""
        from scorewise.run import evaluation  # Lightning again

        config = plain(hydra_compose("eval", ["run=.", *words]))
        return evaluation.evaluate({**config, "run": str(self.folder.path)})[0]

    def extractor(self, choice: str | None, epochs: int | None = None) -> FeatureExtractor:
        """Return a feature extractor for its data set: inception, untrained, or one that is kept beside the runs.

        Args:
            choice: see `Shelf.take`; None: a classifier of the data set, trained where there is none yet.
            epochs: of that training; None: as many as the features command takes.

        Raises:
            UserError: data without labels, or what the data set refuses.
        """
        source = self.source
        if choice is not None:
            return Shelf(cache_root(self.config["paths"]["cache"]) / "features").take(choice, source)
        place = self.folder.path.parents[1] / "features"
        if newest := Shelf(place).newest(source.name):
            return newest
        from scorewise.run import features  # Lightning again

        option = catalog.option_name("data", self.config["data"]["_target_"])
        config = plain(hydra_compose("features", [f"data={option}"]))
        config["data"] |= {key: self.config["data"][key] for key in ("root", "cache") if key in self.config["data"]}
        if epochs is not None:
            config["trainer"]["max_epochs"] = epochs
        made = features.run(config, place)
        console.say(f"  {made.folder}: {100 * made.accuracy:.1f} % of {made.images:,} test images")
        return made.extractor


def listed(figure: Config, budget: Config) -> Iterator[Training]:
    """Return the trainings of a figure under a budget: every combination of `each`, every seed.

    A budget with `only` takes those trainings and no other.
    """
    each: dict[str, list[Any]] = {**figure.get("each", {}), **budget.get("each", {})}
    shared = [*QUIETLY, *figure.get("shared", []), *budget.get("shared", [])]
    for values in itertools.product(*each.values()):
        names = dict(zip(each, values, strict=True))
        for name, overrides in figure.get("trainings", {}).items():
            if name not in budget.get("only", [name]):
                continue
            more = budget.get("trainings", {}).get(name, [])
            words = tuple(str(word).format(**names) for word in (*shared, *overrides, *more))
            for seed in range(budget.get("seeds", 1)):
                yield Training(name.format(**names), seed, (*words, f"seed={seed}"))


def trained(asked: Training, place: Path) -> FinishedRun:
    """Return a training's finished run: found finished, also below another figure, resumed, or run now.

    Raises:
        UserError: what the user can mend.
    """
    cfg: DictConfig = hydra_compose("train", list(asked.overrides))
    config, stored = (settle(view(cfg)) for view in (plain, storable))
    path = place / asked.name.replace("/", "-") / identity(config)
    below_any = (path, *sorted(place.parent.glob(f"*/*/{path.name}")))
    folders = [claim(config, stored, each, None) for each in below_any]
    folder = next((each for each in folders if each.finished), folders[0])
    if not folder.finished:
        from scorewise.run import training  # Lightning takes seconds, and some figures train nothing

        compatibility.refuse_incompatible(config)
        training.run(config, stored, folder, asked.name)
    return FinishedRun(asked.seed, folder, config)


def run(cfg: DictConfig, typed: Sequence[str] = ()) -> Path:
    """Reproduce one figure under one budget and return the JSON file with its numbers.

    Args:
        cfg: figure, budget and paths.
        typed: the overrides that were typed; a figure that they change goes beside its runs, not into docs/.

    Raises:
        UserError: no such budget, or what a training refuses.
    """
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    settings, wanted = dict(config["figure"]), str(config["budget"])
    name = str(settings["name"])
    if wanted not in settings["budgets"]:
        raise UserError(f"budget={wanted} is no budget of figure={name}: use {' or '.join(settings['budgets'])}.")
    budget = settings["budgets"][wanted]
    if wanted == "gpu" and not torch.cuda.is_available():
        raise UserError("budget=gpu needs a CUDA device, and there is none here: use budget=cpu.")
    place = Path(config["paths"]["runs"]).absolute() / "figures" / f"{name}-{wanted}"
    started = time.monotonic()
    finished: dict[str, list[FinishedRun]] = {}
    trainings = list(listed(settings, budget))
    trained_in = place.with_name(f"{settings.get('trained_by', name)}-{wanted}")  # figures may share their trainings
    for i, asked in enumerate(trainings, 1):
        begun = time.monotonic()
        finished.setdefault(asked.name, []).append(trained(asked, trained_in))
        console.say(f"[{i}/{len(trainings)}] {asked.name} seed={asked.seed}: {time.monotonic() - begun:.0f} s")
    torch.set_default_dtype(torch.float32)
    figure: Figure = import_class(settings["_target_"])(**budget.get("settings", {}))
    bench = Bench(place / "measured", finished, generation(), console.say)
    warnings.filterwarnings("ignore", message=".*torch.jit.script.*")  # torch's own, from inside its forward mode
    measured = figure.measure(bench)
    results = measured.plain()
    others = [word for word in typed if not word.startswith(("figure=", "budget=", "paths.", "hydra."))]
    # A tiny budget tries the code; its numbers are no result, nor are those of a changed figure.
    aside = wanted == "tiny" or bool(others)
    pictures, numbers = (place, place) if aside else (Path("docs/figures"), Path("docs/results"))
    for folder in (pictures, numbers):
        folder.mkdir(parents=True, exist_ok=True)
    figure.save(measured, pictures / f"{name}.png")
    found = {
        "figure": name,
        "title": figure.title,
        "command": " ".join(["python src/reproduce.py", f"figure={name}", f"budget={wanted}", *map(quote, others)]),
        "budget": budget,
        **results,
        "minutes_of_training": round(sum(run.summary["seconds"] for few in finished.values() for run in few) / 60, 1),
        "machine": machine(),
        "versions": {"scorewise": __version__, "torch": str(torch.__version__)},
    }
    path = numbers / f"{name}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found, indent=1) + "\n")
    os.replace(partial, path)
    for judged in results["claims"]:
        console.say(f"{'holds' if judged['holds'] else 'FALLS SHORT'}: {judged['sentence']} ({judged['measured']})")
    console.say(f"{time.monotonic() - started:.0f} s in all")
    console.show_paths({"picture": pictures / f"{name}.png", "numbers": path})
    return path


def machine() -> str:
    """Return what the numbers were made on, without any name."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {device}"
