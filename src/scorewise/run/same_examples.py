"""Whether a user's examples are still those that a run was trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scorewise.catalog import Config
from scorewise.data.folder import ImageFolder
from scorewise.data.source import Source
from scorewise.data.tables import Table
from scorewise.data.tabular.columns import refuse_another_table
from scorewise.data.tabular.source import Tabular
from scorewise.errors import UserError
from scorewise.store import read_config

CONTENTS = "contents"
"""Where the recipe of a run's model has the fingerprint of its examples."""


def with_contents(recipe: Config, source: Source) -> Config:
    """Return the recipe of a model with what tells the examples that it is trained on, where they can change."""
    contents = source.contents()
    return recipe if contents is None else {**recipe, CONTENTS: contents}


def other_examples(trained: Mapping[str, Any], source: Source) -> bool:
    """Return whether a data set has other examples than those that a model was trained on.

    Args:
        trained: recipe of the model; those of earlier releases do not say.
        source: the data set now.
    """
    return CONTENTS in trained and trained[CONTENTS] != source.contents()


def refuse_other_rows(trained: Mapping[str, Any], recipe: Mapping[str, Any], source: Source) -> None:
    """Refuse a table that has changed since a model was trained on it.

    Args:
        trained: recipe of the model.
        recipe: the one that its config gives now.
        source: the data set now.

    Raises:
        UserError: it has changed.
    """
    refuse_another_table(trained, recipe)
    if isinstance(source, Tabular) and other_examples(trained, source):
        raise UserError(
            "the table has changed since this run was trained on it (how often its columns have each category, or lack "
            "a cell): put the old one back, or train again with rerun=true."
        )


def refuse_others(folder: Path, recipe: Mapping[str, Any], source: Source) -> None:
    """Refuse a table or a folder of images that has changed since a run began.

    Args:
        folder: of the run.
        recipe: of its model, with the columns of the table now.
        source: the data set now.

    Raises:
        UserError: it has changed.
    """
    trained = read_config(folder, lambda *_: None)["model"]
    refuse_other_rows(trained, recipe, source)
    if other_examples(trained, source):
        raise UserError(
            "the images have changed since this run was trained on them (files were added, removed or changed): put "
            "the old ones back, or train again with rerun=true."
        )


def refuse_others_if_there(folder: Path, source: Source) -> None:
    """Refuse the same for a finished run, which can be shown where the table or the folder is gone.

    Raises:
        UserError: it has changed.
    """
    if isinstance(source, Table | ImageFolder) and source.path.exists():
        refuse_others(folder, {"columns": source.table.plain()} if isinstance(source, Table) else {}, source)
