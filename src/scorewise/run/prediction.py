"""Predicting with a finished run: images restored or encoded, outlier scores, or log-densities of a table's rows."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scorewise.capabilities import NormalisedDensity
from scorewise.catalog import settings_of
from scorewise.config.outlier_sets import only_for_choosing
from scorewise.data.datamodule import ScoreData
from scorewise.data.folder import ImageFolder
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.errors import UserError, printable
from scorewise.files import write
from scorewise.noise import Draws
from scorewise.outliers import percentiles, quantities, refused_likelihood
from scorewise.run.evaluation import Finished, finished
from scorewise.run.given import BATCH, Named, folder_of_images, output_names, rows_of_table, takes_rows, write_image
from scorewise.store import import_class, local_folder
from scorewise.tasks.denoising import Denoising
from scorewise.tasks.density import DensityEstimation
from scorewise.tasks.implicit_vae import ImplicitVAE
from scorewise.tasks.ood import OODScoring

OUTLIERS, DENSITIES = "outliers.csv", "densities.csv"
DIGITS = 8
"""Of the numbers in what is written."""
REFERENCE = 10_000
"""Training rows that the percentiles of log-densities refer to, at most."""


class Predicted(NamedTuple):
    """What was predicted.

    Args:
        path: the folder or the file that was written.
        done: how many examples.
        left_out: files or rows that were not used; a warning says why.
        what: was done to the examples, a few words.
    """

    path: Path
    done: int
    left_out: int
    what: str


def run(config: dict[str, Any]) -> Predicted:
    """Return what a finished run makes of a user's examples, as its task says; nothing else is written.

    Args:
        config: run (a folder), input (a folder of images, or a table), output (a folder; None: predictions/ in the run
            folder), header, decimal and encoding of a CSV table (None: as the one of training), task (rows of a table
            have log-densities, or outlier scores by task=ood), trainer, paths, data.path (see `finished`).

    Raises:
        UserError: no example can be used, output is in the input folder, or see `finished`.
    """
    rows = takes_rows(local_folder(config["run"]))
    if rows and import_class(config["task"]["_target_"]) is Denoising:  # what images have when no task is given
        config = {**config, "task": settings_of("task", "density")}
    config = {**config, "task": only_for_choosing(config["task"])}
    done = finished(config)
    predict: dict[type, Callable[[Finished, dict[str, Any]], Predicted]] = {OODScoring: _scored}
    predict |= {DensityEstimation: _densities} if rows else {Denoising: _restored, ImplicitVAE: _encoded}
    if type(done.task) not in predict:
        raise UserError(
            "predict gives rows of a table their log-densities (task=density) or outlier scores: use task=ood."
            if rows
            else "predict restores images, scores outliers or encodes images: use task=denoising or task=ood, or "
            "task=implicit_vae of a VAE."
        )
    return predict[type(done.task)](done, config)


def _restored(done: Finished, config: dict[str, Any]) -> Predicted:
    target = Path(config["output"] or done.folder / "predictions" / done.task.name).absolute()
    images = folder_of_images(done, config, target)
    names = output_names(images.names("test"))
    loader = ScoreData(images, int(done.stored["data"]["batch_size"]), int(done.stored["seed"])).predict_dataloader()
    restored = done.trainer.predict(done.task, loader) or []
    if done.trainer.is_global_zero:
        for name, x_D in zip(names, torch.cat([torch.as_tensor(part) for part in restored]), strict=True):
            write_image(x_D, images.shape, target / name)
    return Predicted(target, len(names), len(images.remarks()["left_out"]), "restored")


def _scored(done: Finished, config: dict[str, Any]) -> Predicted:
    task, source = done.task, done.parts.source
    assert isinstance(task, OODScoring)
    target = Path(config["output"] or done.folder / "predictions").absolute()
    given = Path(str(config["input"])).expanduser()
    if len(source.shape) == 3:
        images = folder_of_images(done, config, target)
        index_N = torch.arange(images.count("test"))
        names, x_ND = images.names("test"), images.examples("test", index_N, -1, 0)
        left_out = [Skipped(name, reason) for name, reason in images.remarks()["left_out"].items()]
    else:
        rows = rows_of_table(given, done, config)
        names, x_ND, left_out = [str(number) for number in rows.numbers], rows.x_ND, rows.left_out
    scores_N = torch.cat([torch.as_tensor(part) for part in done.trainer.predict(task, Named(names, x_ND)) or []])
    scores_N = scores_N.double().cpu()
    unknown = [Skipped(name, "no number for a score") for name, s in zip(names, scores_N, strict=True) if s.isnan()]
    if unknown:
        warnings.warn(f"{len(unknown)} of {len(names)} examples have no score: {reasons_of(unknown)}.", stacklevel=2)
    scored = [(name, float(s)) for name, s in zip(names, scores_N, strict=True) if not s.isnan()]
    places = task.percentiles(torch.tensor([score for _, score in scored], dtype=torch.float64)).tolist()
    path = target / OUTLIERS
    if done.trainer.is_global_zero:
        lines = [(printable(name), score, place) for (name, score), place in zip(scored, places, strict=True)]
        write(
            path,
            ("name", "outlier_score", "percentile"),
            sorted(lines) if len(source.shape) == 3 else lines,
            digits=DIGITS,
        )
    return Predicted(path, len(scored), len(left_out) + len(unknown), f"scored by {task.statistic}")


def _densities(done: Finished, config: dict[str, Any]) -> Predicted:
    """Return log q of every row in the columns' own units, and its place among training rows, the oddest at 100.

    Raises:
        UserError: the model has no density, or none to report.
    """
    source, model = done.parts.source, done.parts.model
    if not isinstance(model, NormalisedDensity):
        raise UserError(f"{type(model).__name__} gives scores and no density: use task=ood for outlier scores.")
    rows = rows_of_table(Path(str(config["input"])).expanduser(), done, config)
    model.to(done.trainer.strategy.root_device)
    some = torch.arange(min(REFERENCE, source.count("train")))
    reference = _numbers(model, source.examples("train", some, -1, int(done.stored["seed"])))
    if reason := refused_likelihood(model, reference):
        raise UserError(
            f"log-densities need a likelihood, which this model has none of to report: {reason}; use task=ood "
            "task.statistic=abs_h."
        )
    found = _numbers(model, rows.x_ND)
    nll_N = found["nll"]
    if beyond := _beyond(model, found):
        warnings.warn(
            f"log-densities of {beyond} of {len(nll_N)} rows rest on a conditional with mass outside the range of the "
            "likelihood: such rows are far from the training data.",
            stacklevel=2,
        )
    places_N = percentiles(nll_N, reference["nll"])
    target = Path(config["output"] or done.folder / "predictions").absolute() / DENSITIES
    log_q = (-nll_N - source.log_volume).tolist()
    lines = [
        (number, *identity, one, place)
        for number, identity, one, place in zip(rows.numbers, rows.ids, log_q, places_N.tolist(), strict=True)
        if math.isfinite(one)
    ]
    unknown = [
        Skipped(f"row {n}", "no number") for n, one in zip(rows.numbers, log_q, strict=True) if not math.isfinite(one)
    ]
    if unknown:
        warnings.warn(f"{len(unknown)} of {len(log_q)} rows have no density: {reasons_of(unknown)}.", stacklevel=2)
    taken = ("row", "log_density", "percentile")
    id_column = tuple(f"{name}_given" if name in taken else name for name in rows.id_column)
    write(target, (taken[0], *id_column, *taken[1:]), lines, digits=DIGITS)
    return Predicted(target, len(lines), len(rows.left_out) + len(unknown), "rows given their log-density")


def _beyond(model: Any, found: dict[str, Tensor]) -> int:
    """Return how many examples have a likelihood that rests on mass outside its range."""
    return int((found["outside"] > model.normaliser().largest_tail).sum()) if "outside" in found else 0


def _numbers(model: Any, x_ND: Tensor) -> dict[str, Tensor]:
    """Return nll of examples, nats, float64, and where its normaliser is numerical the mass outside its range."""
    parts = [quantities(model, x_BD.to(model.mean.device), ("nll",)) for x_BD in x_ND.split(BATCH)]
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in parts[0]}


def _encoded(done: Finished, config: dict[str, Any]) -> Predicted:
    task = done.task
    assert isinstance(task, ImplicitVAE)
    target = Path(config["output"] or done.folder / "predictions" / task.name).absolute()
    images = folder_of_images(done, config, target)
    names = images.names("test")
    loader = ScoreData(images, int(done.stored["data"]["batch_size"]), int(done.stored["seed"])).predict_dataloader()
    parts = [torch.as_tensor(part) for part in done.trainer.predict(task, loader) or []]
    if done.trainer.is_global_zero:
        moments_B2D = torch.cat(parts)
        columns = [f"{what}_{d + 1}" for what in ("mean", "std") for d in range(task.model.z)]
        lines = [(printable(name), *row) for name, row in zip(names, moments_B2D.flatten(1).tolist(), strict=True)]
        write(target / "latents.csv", ("name", *columns), lines, digits=DIGITS)
        draw_latents(task, images, moments_B2D, target)
    return Predicted(target, len(names), len(images.remarks()["left_out"]), "encoded")


def draw_latents(task: ImplicitVAE, images: ImageFolder, moments_B2D: Tensor, folder: Path) -> None:
    """Draw the first images reconstructed and the first one changed along every latent; a scatter of two."""
    from scorewise import plots

    x_BD = images.examples("test", torch.arange(min(task.shown, images.count("test"))), -1, task.seed)
    panels = task.pictures(x_BD, Draws.of(task.seed, -1, torch.arange(len(x_BD))))
    plots.samples(panels, task.source.shape, folder / "reconstructions.png", "reconstructions", task.columns())
    if task.model.z == 2:
        plots.samples({"mean of q(z|x)": moments_B2D[:, 0]}, (2,), folder / "latents.png", "latents")
