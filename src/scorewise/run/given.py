"""What a user gives a finished run: images of a folder, or rows of a table."""

import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorewise.data.datamodule import Batch
from scorewise.data.folder import ImageFolder
from scorewise.data.skipped import Skipped, reasons_of
from scorewise.data.tables import Table
from scorewise.data.tabular.columns import TOO_LARGE, Columns, computable
from scorewise.data.tabular.file import Dialect
from scorewise.data.tabular.rows import read_table
from scorewise.data.tabular.source import Tabular
from scorewise.errors import UserError, printable
from scorewise.run.evaluation import Finished
from scorewise.store import read_config, refuse_unknown
from scorewise.tasks.prediction import Given


class GivenFolder(ImageFolder):
    """The folder of images that predict is given, by another name than the one of training."""

    setting = "input"


def takes_rows(folder: Path, classes: Sequence[type] = ()) -> bool:
    """Return whether the examples of a run are rows of a table, and not images.

    Args:
        folder: of the run.
        classes: a user's own that it was trained with.
    """
    stored = read_config(folder, partial(refuse_unknown, classes=classes))
    return "task" in stored and "latent" not in stored and len(stored["model"]["shape"]) != 3


def images_of_folder(done: Finished, config: dict[str, Any], target: Path) -> Given:
    """Return the images of the input, read as `data=images` reads them, at the size of the model.

    Raises:
        UserError: there is no image, what is written would lie among them, or the model takes none that are square.
    """
    shape = done.parts.source.shape
    if shape[-2] != shape[-1]:
        raise UserError(f"this model takes images of {shape[-1]} x {shape[-2]} pixels, and a folder gives square ones.")
    if target.resolve().is_relative_to(Path(str(config["input"])).resolve()):
        raise UserError(f"output={target} lies in the folder of the images themselves: give another one.")
    images = GivenFolder(str(config["input"]), shape[-1], shape[0], val=0, test=1, cache=config["paths"]["cache"])
    images.prepare()
    x_ND = images.examples("test", torch.arange(images.count("test")), -1, 0)
    left_out = [Skipped(name, reason) for name, reason in images.remarks()["left_out"].items()]
    return Given(images.names("test"), x_ND, left_out)


def rows_of_table(done: Finished, config: dict[str, Any]) -> Given:
    """Return the rows of the input, a table, in the columns of the model.

    Raises:
        UserError: no row can be used, or a setting of the table is wrong.
    """
    path, source = Path(str(config["input"])).expanduser(), done.parts.source
    flat = Columns(source.columns, {}, (0.0,) * source.dims, (1.0,) * source.dims, width=source.dims)
    dialect = source.dialect if isinstance(source, Table) else Dialect()
    given = {name: value for name in ("header", "decimal", "encoding") if (value := config.get(name)) is not None}
    table = read_table(
        path, source.table if isinstance(source, Tabular) else flat, replace(dialect, prefix="", **given)
    )
    scaled_ND = source.scaled(table.raw_ND)
    x_ND, fine_N = scaled_ND.to(torch.get_default_dtype()), computable(scaled_ND)
    far = [Skipped(f"row {number}", TOO_LARGE) for number in table.number_N[~fine_N].tolist()]
    left_out = table.skipped + far
    if not bool(fine_N.any()):
        raise UserError(f"{printable(str(path))} has no row that can be used: {reasons_of(left_out)}.")
    if left_out:
        warnings.warn(
            f"{len(left_out)} of {table.total} rows of {path} are left out: {reasons_of(left_out)}.", stacklevel=2
        )
    if isinstance(source, Tabular):
        _tell_of_new_categories(path, source.table, table.raw_ND[fine_N])
    places = fine_N.nonzero()[:, 0].tolist()
    ids = [(table.ids[i],) if table.id_column is not None else () for i in places]
    id_column = () if table.id_column is None else (table.id_column or "index",)
    names = [str(number) for number in table.number_N[fine_N].tolist()]
    return Given(names, x_ND[fine_N], left_out, id_column, ids, table.raw_ND[fine_N])


def _tell_of_new_categories(path: Path, columns: Columns, raw_ND: Tensor) -> None:
    """Warn of rows with a category that training did not have."""
    new, read = columns.unknown(raw_ND), () if columns.mixed is None else columns.mixed.given
    for what, some in (
        ("counts as all but impossible", [name for name in new if name not in read]),
        ("says no more there than that it is none of those", [name for name in new if name in read]),
    ):
        if some:
            counts = ", ".join(f"{printable(name)} {new[name]}" for name in some)
            warnings.warn(
                f"rows of {printable(str(path))} with a category that training did not have, which {what}, by column: "
                f"{counts}.",
                stacklevel=3,
            )


class GivenBatches:
    """A loader of a user's examples, in their order.

    Args:
        x_ND: the examples, clean.
        index_N: numbers that their noise follows from.
        size: examples per batch.
    """

    def __init__(self, x_ND: Tensor, index_N: Tensor, size: int) -> None:
        self.x_ND, self.index_N, self.size = x_ND, index_N, size

    @classmethod
    def by_place(cls, given: Given, size: int) -> "GivenBatches":
        """Return examples whose noise follows from their places."""
        return cls(given.x_ND, torch.arange(len(given.x_ND)), size)

    @classmethod
    def by_name(cls, given: Given, size: int) -> "GivenBatches":
        """Return examples whose noise follows from their names, so that adding others changes nothing."""
        numbers = [zlib.crc32(name.encode(errors="surrogateescape")) for name in given.names]
        return cls(given.x_ND, torch.tensor(numbers), size)

    def __len__(self) -> int:
        return -(-len(self.x_ND) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        for x_BD, index_B in zip(self.x_ND.split(self.size), self.index_N.split(self.size), strict=True):
            yield Batch(x_BD, index_B, torch.full_like(index_B, -1))
