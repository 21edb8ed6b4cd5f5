"""Columns of a table that belong together, as blocks of a model's order."""

from collections.abc import Sequence

from scorewise.catalog import Config
from scorewise.config.choices import IncompatibleChoice
from scorewise.data.source import Source
from scorewise.data.tabular.source import Tabular
from scorewise.errors import names_of


def names_groups(config: Config) -> bool:
    """Return whether head.block names groups of columns."""
    block = config["head"].get("block")
    return isinstance(block, list | tuple) and any(isinstance(group, list | tuple | str) for group in block)


def put_blocks_of_columns(parts: Config, source: Source) -> None:
    """Replace groups of columns by name in head.block with the order and the sizes of blocks that they make.

    The name of a column that was turned into indicators stands for all of these. A group comes where its first column
    is; columns that are in none are blocks of their own, where they are.

    Args:
        parts: of a recipe: backbone and head, which are changed.
        source: of the rows.

    Raises:
        IncompatibleChoice: no table, no such column, one in two groups, or a backbone without an order to choose.
    """
    if not isinstance(source, Tabular):
        raise IncompatibleChoice(
            f"head.block={parts['head']['block']} names columns, and these data are no table: give sizes of blocks."
        )
    if "ordering" not in parts["backbone"] or "patch" in parts["backbone"]:
        raise IncompatibleChoice("head.block by columns needs a backbone that takes any order of them: backbone=made.")
    if parts["backbone"]["ordering"] != "raster":
        raise IncompatibleChoice(
            f"head.block by columns gives the order, and backbone.ordering={parts['backbone']['ordering']} gives "
            "another: use backbone.ordering=raster."
        )
    groups = [_places(group, source.columns) for group in parts["head"]["block"]]
    taken = [place for group in groups for place in group]
    if twice := sorted({place for place in taken if taken.count(place) > 1}):
        raise IncompatibleChoice(
            f"head.block has {names_of([source.columns[place] for place in twice])} in two groups: name a column once."
        )
    alone = [[place] for place in range(len(source.columns)) if place not in taken]
    blocks = sorted([*groups, *alone])
    parts["backbone"]["ordering"] = [place for block in blocks for place in block]
    parts["head"]["block"] = [len(block) for block in blocks]


def _places(group: str | Sequence[str], columns: Sequence[str]) -> list[int]:
    """Return the places of a group's columns, ascending."""
    places: list[int] = []
    for name in [group] if isinstance(group, str) else [str(one) for one in group]:
        found = [d for d, column in enumerate(columns) if column == name or column.startswith(f"{name}=")]
        if not found:
            raise IncompatibleChoice(
                f"head.block names column {name}, and this table has {names_of(columns)}: give names of columns."
            )
        places += found
    return sorted(places)
