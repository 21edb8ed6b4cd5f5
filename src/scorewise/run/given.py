"""What a user gives a finished run: images of a folder, or rows of a table."""

import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from scorewise.data.datamodule import Batch
from scorewise.data.folder import ImageFolder
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.data.tables import Table
from scorewise.data.tabular.columns import Columns
from scorewise.data.tabular.file import Dialect
from scorewise.data.tabular.rows import read_table
from scorewise.data.tabular.source import Tabular
from scorewise.errors import UserError, printable
from scorewise.run.evaluation import Finished
from scorewise.store import read_config, refuse_unknown

BATCH = 100


def write_image(x_D: Tensor, shape: tuple[int, ...], path: Path) -> None:
    """Write an image in [-1, 1], shape (channels * height * width,), as an 8-bit PNG."""
    levels = ((x_D.detach().cpu().double().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    planes = levels.reshape(shape).permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(planes[..., 0] if shape[0] == 1 else planes).save(path, format="PNG")


def output_names(names: list[str]) -> list[str]:
    """Return where restored images go, below the output folder: as their inputs, with .png behind what has none.

    Raises:
        UserError: two images would go to one file.
    """
    written = [name if name.lower().endswith(".png") else f"{name}.png" for name in names]
    if twice := sorted({name for name in written if written.count(name) > 1}):
        raise UserError(f"two images of the input would be written as {twice[0]}: rename one of them.")
    return written


def takes_rows(folder: Path) -> bool:
    """Return whether the examples of a run are rows of a table, and not images."""
    stored = read_config(folder, refuse_unknown)
    return "task" in stored and "latent" not in stored and len(stored["model"]["shape"]) != 3


def folder_of_images(done: Finished, config: dict[str, Any], target: Path) -> ImageFolder:
    """Return the images of the input, read as `data=images` reads them, at the size of the model."""
    shape = done.parts.source.shape
    if shape[-2] != shape[-1]:
        raise UserError(f"this model takes images of {shape[-1]} x {shape[-2]} pixels, and a folder gives square ones.")
    if target.resolve().is_relative_to(Path(str(config["input"])).resolve()):
        raise UserError(f"output={target} lies in the folder of the images themselves: give another one.")
    images = ImageFolder(str(config["input"]), shape[-1], shape[0], val=0, test=1, cache=config["paths"]["cache"])
    images.prepare()
    return images


class GivenRows(NamedTuple):
    """Rows of a user's table that can be used.

    Args:
        numbers: of every row, from 1.
        id_column: the name of the column that names them, or nothing.
        ids: what that says, for every row, or nothing.
        x_ND: in the scale of the model.
        left_out: the other rows, with the reason.
    """

    numbers: list[int]
    id_column: tuple[str, ...]
    ids: Sequence[tuple[str, ...]]
    x_ND: Tensor
    left_out: list[Skipped]


def rows_of_table(path: Path, done: Finished, config: dict[str, Any]) -> GivenRows:
    """Return the rows of a user's table in the columns of the model."""
    source = done.parts.source
    flat = Columns(source.columns, {}, (0.0,) * source.dims, (1.0,) * source.dims, width=source.dims)
    dialect = source.dialect if isinstance(source, Table) else Dialect()
    if not isinstance(config.get("header"), bool | None):
        raise UserError(f"header={config['header']} must be true, false or null.")
    given = {name: value for name in ("header", "decimal", "encoding") if (value := config.get(name)) is not None}
    table = read_table(
        path, source.table if isinstance(source, Tabular) else flat, replace(dialect, prefix="", **given)
    )
    x_ND = source.scaled(table.raw_ND).to(torch.get_default_dtype())
    fine_N = x_ND.isfinite().all(-1)
    far = [Skipped(f"row {number}", "too large a number") for number in table.number_N[~fine_N].tolist()]
    left_out = table.skipped + far
    if not bool(fine_N.any()):
        raise UserError(f"{printable(str(path))} has no row that can be used: {reasons_of(left_out)}.")
    if left_out:
        warnings.warn(
            f"{len(left_out)} of {table.total} rows of {path} are left out: {reasons_of(left_out)}.", stacklevel=2
        )
    places = fine_N.nonzero()[:, 0].tolist()
    ids = [(table.ids[i],) if table.id_column is not None else () for i in places]
    id_column = () if table.id_column is None else (table.id_column or "index",)
    return GivenRows(table.number_N[fine_N].tolist(), id_column, ids, x_ND[fine_N], left_out)


class Named:
    """A loader of examples whose noise follows from their names, so that adding others changes no score.

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
