"""Predicting with a finished run: a folder of images restored."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from scorewise.data.datamodule import ScoreData
from scorewise.data.folder import ImageFolder
from scorewise.errors import UserError
from scorewise.evaluation import finished
from scorewise.tasks.denoising import Denoising


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
    """This is where restored images were written, how many, and how many files were left out (a warning says why).

    Images are read as `data=images` reads them, at the size of the model, and nothing is written but restored ones.

    Args:
        config: run and input (folders), output (a folder; None: predictions/ in the run folder), task, trainer, paths.

    Raises:
        UserError: no image can be used, output is in the input folder, or see `finished`.
    """
    done = finished(config)
    task, shape = done.task, done.parts.source.shape
    if not isinstance(task, Denoising):
        raise UserError("predict writes restored images so far: use task=denoising.")
    if shape[-2] != shape[-1]:
        raise UserError(f"this model takes images of {shape[-1]} x {shape[-2]} pixels, and a folder gives square ones.")
    target = Path(config["output"] or done.folder / "predictions" / task.name).absolute()
    if target.resolve().is_relative_to(Path(str(config["input"])).resolve()):
        raise UserError(f"output={target} lies in the folder of the images themselves: give another one.")
    images = ImageFolder(str(config["input"]), shape[-1], shape[0], val=0, test=1, cache=config["paths"]["cache"])
    images.prepare()
    names = output_names(images.names("test"))
    loader = ScoreData(images, int(done.stored["data"]["batch_size"]), int(done.stored["seed"])).predict_dataloader()
    restored = done.trainer.predict(task, loader) or []
    if done.trainer.is_global_zero:
        for name, x_D in zip(names, torch.cat([torch.as_tensor(part) for part in restored]), strict=True):
            write_image(x_D, shape, target / name)
    return target, len(names), len(images.remarks()["left_out"])
