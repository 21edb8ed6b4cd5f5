"""Predicting with a finished run: a folder of images restored, or encoded."""

import csv
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from scorewise.data.datamodule import ScoreData
from scorewise.data.folder import ImageFolder
from scorewise.errors import UserError
from scorewise.evaluation import finished
from scorewise.noise import Draws
from scorewise.tasks.denoising import Denoising
from scorewise.tasks.implicit_vae import ImplicitVAE


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


def run(config: dict[str, Any]) -> tuple[Path, int, int]:
    """This is where predictions were written, of how many images, and how many files were left out; warnings say why.

    Images are read as `data=images` reads them, at the size of the model. Denoising writes restored images under their
    inputs' names, a VAE latents.csv and pictures, and nothing else.

    Args:
        config: run and input (folders), output (a folder; None: predictions/ in the run folder), task, trainer, paths.

    Raises:
        UserError: no image can be used, output is in the input folder, or see `finished`.
    """
    done = finished(config)
    task, shape = done.task, done.parts.source.shape
    if not isinstance(task, Denoising | ImplicitVAE):
        raise UserError("predict writes restored images or latents: use task=denoising, or implicit_vae of a VAE.")
    if len(shape) != 3 or shape[-2] != shape[-1]:
        raise UserError(f"this model takes examples of shape {list(shape)}, and a folder gives square images.")
    target = Path(config["output"] or done.folder / "predictions" / task.name).absolute()
    if target.resolve().is_relative_to(Path(str(config["input"])).resolve()):
        raise UserError(f"output={target} lies in the folder of the images themselves: give another one.")
    images = ImageFolder(str(config["input"]), shape[-1], shape[0], val=0, test=1, cache=config["paths"]["cache"])
    images.prepare()
    names = images.names("test")
    written = output_names(names) if isinstance(task, Denoising) else names
    loader = ScoreData(images, int(done.stored["data"]["batch_size"]), int(done.stored["seed"])).predict_dataloader()
    parts = done.trainer.predict(task, loader) or []
    if done.trainer.is_global_zero:
        found = torch.cat([torch.as_tensor(part) for part in parts])
        if isinstance(task, Denoising):
            for name, x_D in zip(written, found, strict=True):
                write_image(x_D, shape, target / name)
        else:
            write_latents(names, found, target / "latents.csv")
            draw_latents(task, images, found, target)
    return target, len(names), len(images.remarks()["left_out"])


def write_latents(names: list[str], moments_B2D: Tensor, path: Path) -> None:
    """This writes mean and standard deviation of every image's latents as a table, one image per row."""
    columns = [f"{what}_{d + 1}" for what in ("mean", "std") for d in range(moments_B2D.shape[-1])]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["name", *columns])
        for name, row in zip(names, moments_B2D.flatten(1).tolist(), strict=True):
            table.writerow([name, *(f"{value:.6g}" for value in row)])


def draw_latents(task: ImplicitVAE, images: ImageFolder, moments_B2D: Tensor, folder: Path) -> None:
    """This draws the first images reconstructed and the first one changed along every latent; a scatter of two."""
    from scorewise import plots

    x_BD = images.examples("test", torch.arange(min(task.shown, images.count("test"))), -1, task.seed)
    panels = task.pictures(x_BD, Draws.of(task.seed, -1, torch.arange(len(x_BD))))
    plots.samples(panels, task.source.shape, folder / "reconstructions.png", "reconstructions", task.columns())
    if task.model.z == 2:
        plots.samples({"mean of q(z|x)": moments_B2D[:, 0]}, (2,), folder / "latents.png", "latents")
