"""Drawing from a trained model: synthetic rows of a table in its own units, or images."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorewise.capabilities import BlockScoreModel, CompletesRows, ConditionalScoreModel, ScoreModel
from scorewise.config.choices import own_classes
from scorewise.config.settings import OfSampling, refuse_of_command, refuse_unread
from scorewise.data.tabular.columns import Columns
from scorewise.errors import UserError
from scorewise.files import make_folder, put_bytes, refuse_outside, refuse_unwritable, write
from scorewise.heads.trained import Trained
from scorewise.run.replaced import told_if_replaced
from scorewise.run.stopping import stoppable
from scorewise.sampling.denoise import tweedie
from scorewise.store import load, local_folder

SHOWN = 64
"""Images in the picture."""


def synthesise(config: dict[str, Any]) -> list[Path]:
    """Draw from a finished run and return the files that it wrote; the data set is not read.

    Args:
        config: run (a folder), classes (a user's own that its model is of), n, seed, denoise, output (a folder; None:
            samples/ in the run folder).

    Raises:
        UserError: a number that is none, or what `load` refuses.
    """
    refuse_unread(config, OfSampling)
    refuse_of_command(config, OfSampling)
    folder = local_folder(config["run"])
    target = Path(config["output"] or folder / "samples").absolute()
    if not config["output"]:
        refuse_outside(folder, target)
    model: Trained = load(folder, own_classes(config))
    refuse_unwritable(target)
    if isinstance(model, CompletesRows) and bool(model.only_read().any()):
        raise UserError(
            "this model only reads some columns and draws the others given them: predict with task=impute, of a table "
            "in which the others are blank."
        )
    with stoppable("nothing was written, and the same command starts again"):
        x_ND = model.sample(config["n"], torch.Generator().manual_seed(config["seed"])).flatten(1)
        if config["denoise"]:
            x_ND = _denoised(model, x_ND)
    make_folder(target)
    if len(model.shape) == 3:
        return _images(x_ND, model.shape, target)
    if "columns" in model.recipe:
        columns = Columns.of(model.recipe["columns"])
    else:
        dims = x_ND.shape[1]
        columns = Columns(tuple(f"x_{d}" for d in range(1, dims + 1)), {}, (0.0,) * dims, (1.0,) * dims)
    with told_if_replaced(target / "samples.csv"):
        write(target / "samples.csv", columns.header, columns.cells(x_ND))
    return [target / "samples.csv"]


def _denoised(model: Trained, x_ND: Tensor) -> Tensor:
    if not model.noise:
        raise UserError("denoise=true takes the noise of a smoothed law away, and this model has none: denoise=false.")
    if not issubclass(type(model), (BlockScoreModel, ConditionalScoreModel, ScoreModel)):
        raise UserError(f"denoise=true: {type(model).__name__} has no score to denoise with.")
    return tweedie(model, x_ND)


def _images(x_ND: Tensor, shape: tuple[int, ...], target: Path) -> list[Path]:
    """Write images in [-1, 1] as an array (n, channels, height, width), and draw the first of them."""
    from scorewise import plots

    packed = io.BytesIO()
    np.savez_compressed(packed, images=x_ND.float().reshape(-1, *shape).numpy())
    with told_if_replaced(target / "samples.npz"):
        put_bytes(target / "samples.npz", packed.getbuffer())
    plots.samples({f"{min(SHOWN, len(x_ND))} of {len(x_ND)} samples": x_ND[:SHOWN]}, shape, target / "samples.png", "")
    return [target / "samples.npz", target / "samples.png"]
