"""Columns of a table as its training rows describe them."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from scorewise.data.tabular.columns import Columns, moments
from scorewise.data.tabular.mixed import MixedColumns, kinds_of, of_codes
from scorewise.data.tabular.selection import Selected
from scorewise.errors import UserError, names_of


def described(
    selected: Selected,
    train_ND: Tensor,
    constant: Collection[str],
    width: int,
    given: Mapping[str, object] | None,
    condition: Sequence[str],
) -> Columns:
    """Return the columns of a table with their means and scales over the training rows, and their kinds.

    Args:
        selected: what was found in the table.
        train_ND: the training rows in the columns that are used, float64.
        constant: the columns that are not used.
        width: how many columns the file has.
        given: kinds of columns by name; None: nobody asks for kinds.
        condition: the columns that are only read.

    Raises:
        UserError: values are not of the kind that is given, or every column is only read.
    """
    codes = {name: values for name, values in (selected.codes or {}).items() if name not in constant}
    categories = {
        column: left
        for column, values in selected.categories.items()
        if (left := tuple(value for value in values if f"{column}={value}" not in constant))
    }
    numeric = tuple(name for name in selected.numeric if name not in constant)
    mean_D, scale_D = moments(train_ND)
    mixed = None
    if given is not None:
        indicators = [f"{column}={value}" for column, values in categories.items() for value in values]
        names = [*numeric, *codes, *indicators]
        kinds = kinds_of(names, train_ND, codes, given)
        only_read = tuple(name for name in names if name in condition or name.partition("=")[0] in condition)
        if len(only_read) == len(names):
            raise UserError(f"data.condition={names_of(condition)} leaves no column to be modelled: name fewer.")
        mixed = MixedColumns(codes, kinds, only_read)
        mean_D, scale_D = torch.where(of_codes(kinds), 0.0, mean_D), torch.where(of_codes(kinds), 1.0, scale_D)
    return Columns(numeric, categories, tuple(mean_D.tolist()), tuple(scale_D.tolist()), selected.index, width, mixed)
