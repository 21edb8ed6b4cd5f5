"""Predicting with a finished run: images restored or encoded, or outlier scores of a folder or a table."""

import csv
import os
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from scorewise.compose import only_for_choosing
from scorewise.data.datamodule import Batch, ScoreData
from scorewise.data.folder import ImageFolder, LeftOut, printable, sentence_of
from scorewise.data.tables import read_table
from scorewise.errors import UserError
from scorewise.evaluation import Finished, finished
from scorewise.noise import Draws
from scorewise.tasks.denoising import Denoising
from scorewise.tasks.implicit_vae import ImplicitVAE
from scorewise.tasks.ood import OODScoring

OUTLIERS = "outliers.csv"
BATCH = 100


class Predicted(NamedTuple):
    """This is what was predicted.

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


def write_image(x_D: Tensor, shape: tuple[int, ...], path: Path) -> None:
    """This writes an image in [-1, 1], shape (channels * height * width,), as an 8-bit PNG."""
    levels = ((x_D.detach().cpu().double().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    planes = levels.reshape(shape).permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(planes[..., 0] if shape[0] == 1 else planes).save(path, format="PNG")


def output_names(names: list[str]) -> list[str]:
    """This is where restored images go, below the output folder: as their inputs, with .png behind what has none.

    Raises:
        UserError: two images would go to one file.
    """
    written = [name if name.lower().endswith(".png") else f"{name}.png" for name in names]
    if twice := sorted({name for name in written if written.count(name) > 1}):
        raise UserError(f"two images of the input would be written as {twice[0]}: rename one of them.")
    return written


def run(config: dict[str, Any]) -> Predicted:
    """This is what a finished run makes of a user's examples, as its task says; nothing else is written.

    Args:
        config: run (a folder), input (a folder of images, or a CSV table for outlier scores), output (a folder; None:
            predictions/ in the run folder), task, trainer, paths.

    Raises:
        UserError: no example can be used, output is in the input folder, or see `finished`.
    """
    if "task" in config:
        config = {**config, "task": only_for_choosing(config["task"])}
    done = finished(config)
    predict: dict[type, Callable[[Finished, dict[str, Any]], Predicted]] = {
        Denoising: _restored,
        OODScoring: _scored,
        ImplicitVAE: _encoded,
    }
    if type(done.task) not in predict:
        raise UserError(
            "predict restores images, scores outliers or encodes images: use task=denoising or task=ood, or "
            "task=implicit_vae of a VAE."
        )
    return predict[type(done.task)](done, config)


def _folder(done: Finished, config: dict[str, Any], target: Path) -> ImageFolder:
    """This is the images of the input, read as `data=images` reads them, at the size of the model."""
    shape = done.parts.source.shape
    if shape[-2] != shape[-1]:
        raise UserError(f"this model takes images of {shape[-1]} x {shape[-2]} pixels, and a folder gives square ones.")
    if target.resolve().is_relative_to(Path(str(config["input"])).resolve()):
        raise UserError(f"output={target} lies in the folder of the images themselves: give another one.")
    images = ImageFolder(str(config["input"]), shape[-1], shape[0], val=0, test=1, cache=config["paths"]["cache"])
    images.prepare()
    return images


def _restored(done: Finished, config: dict[str, Any]) -> Predicted:
    target = Path(config["output"] or done.folder / "predictions" / done.task.name).absolute()
    images = _folder(done, config, target)
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
        images = _folder(done, config, target)
        index_N = torch.arange(images.count("test"))
        names, x_ND = images.names("test"), images.examples("test", index_N, -1, 0)
        left_out = [LeftOut(name, reason) for name, reason in images.remarks()["left_out"].items()]
    else:
        names, x_ND, left_out = _rows(given, done)
    scores_N = torch.cat([torch.as_tensor(part) for part in done.trainer.predict(task, Named(names, x_ND)) or []])
    scores_N = scores_N.double().cpu()
    unknown = [LeftOut(name, "no number for a score") for name, s in zip(names, scores_N, strict=True) if s.isnan()]
    if unknown:
        warnings.warn(f"{len(unknown)} of {len(names)} examples have no score: {sentence_of(unknown)}.", stacklevel=2)
    scored = [(name, float(s)) for name, s in zip(names, scores_N, strict=True) if not s.isnan()]
    places = task.percentiles(torch.tensor([score for _, score in scored], dtype=torch.float64)).tolist()
    path = target / OUTLIERS
    if done.trainer.is_global_zero:
        lines = [(printable(name), score, place) for (name, score), place in zip(scored, places, strict=True)]
        write_table(path, ("name", "outlier_score", "percentile"), sorted(lines) if len(source.shape) == 3 else lines)
    return Predicted(path, len(scored), len(left_out) + len(unknown), f"scored by {task.statistic}")


def _rows(path: Path, done: Finished) -> tuple[list[str], Tensor, list[LeftOut]]:
    """This is the names, the examples in the scale of the model and what is left out of a table."""
    source = done.parts.source
    table = read_table(path, source.columns)
    x_ND = source.scaled(table.rows_ND).to(torch.get_default_dtype())
    fine_N = x_ND.isfinite().all(-1)
    left_out = table.left_out + [
        LeftOut(f"row {name}", "too large a number") for name, fine in zip(table.names, fine_N, strict=True) if not fine
    ]
    total = len(table.names) + len(table.left_out)
    if not bool(fine_N.any()):
        raise UserError(f"{path} has no row that can be scored: {sentence_of(left_out)}.")
    if left_out:
        warnings.warn(
            f"{len(left_out)} of {total} rows of {path} are not scored: {sentence_of(left_out)}.", stacklevel=2
        )
    return [name for name, fine in zip(table.names, fine_N, strict=True) if fine], x_ND[fine_N], left_out


class Named:
    """This is a loader of examples whose noise follows from their names, so that adding others changes no score.

    Args:
        names: of the examples.
        x_ND: the examples, clean.
    """

    def __init__(self, names: Sequence[str], x_ND: Tensor) -> None:
        self.index_N = torch.tensor([zlib.crc32(name.encode(errors="surrogateescape")) for name in names])
        self.x_ND = x_ND

    def __len__(self) -> int:
        return -(-len(self.x_ND) // BATCH)

    def __iter__(self) -> Iterator[Batch]:
        for x_BD, index_B in zip(self.x_ND.split(BATCH), self.index_N.split(BATCH), strict=True):
            yield Batch(x_BD, index_B, torch.full_like(index_B, -1))


def write_table(path: Path, columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> None:
    """This writes a CSV table, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([f"{value:.8g}" if isinstance(value, float) else value for value in line] for line in lines)
    os.replace(partial, path)


def _encoded(done: Finished, config: dict[str, Any]) -> Predicted:
    task = done.task
    assert isinstance(task, ImplicitVAE)
    target = Path(config["output"] or done.folder / "predictions" / task.name).absolute()
    images = _folder(done, config, target)
    names = images.names("test")
    loader = ScoreData(images, int(done.stored["data"]["batch_size"]), int(done.stored["seed"])).predict_dataloader()
    parts = [torch.as_tensor(part) for part in done.trainer.predict(task, loader) or []]
    if done.trainer.is_global_zero:
        moments_B2D = torch.cat(parts)
        columns = [f"{what}_{d + 1}" for what in ("mean", "std") for d in range(task.model.z)]
        lines = [(printable(name), *row) for name, row in zip(names, moments_B2D.flatten(1).tolist(), strict=True)]
        write_table(target / "latents.csv", ("name", *columns), lines)
        draw_latents(task, images, moments_B2D, target)
    return Predicted(target, len(names), len(images.remarks()["left_out"]), "encoded")


def draw_latents(task: ImplicitVAE, images: ImageFolder, moments_B2D: Tensor, folder: Path) -> None:
    """This draws the first images reconstructed and the first one changed along every latent; a scatter of two."""
    from scorewise import plots

    x_BD = images.examples("test", torch.arange(min(task.shown, images.count("test"))), -1, task.seed)
    panels = task.pictures(x_BD, Draws.of(task.seed, -1, torch.arange(len(x_BD))))
    plots.samples(panels, task.source.shape, folder / "reconstructions.png", "reconstructions", task.columns())
    if task.model.z == 2:
        plots.samples({"mean of q(z|x)": moments_B2D[:, 0]}, (2,), folder / "latents.png", "latents")
