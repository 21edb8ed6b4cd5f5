"""Columns of several kinds: choices that do not fit them, refused in one sentence."""

from typing import Any

from scorewise.capabilities import CompletesRows
from scorewise.catalog import Config, option_name
from scorewise.config.choices import IncompatibleChoice, class_of, has_any
from scorewise.errors import UserError
from scorewise.heads.model import Model
from scorewise.objectives.objective import Objective


def refuse_scores_of_probabilities(config: Config) -> None:
    """Refuse an objective that fits scores where a head has probabilities beside densities.

    Raises:
        IncompatibleChoice: what was chosen, and what to choose instead.
    """
    head, objective = class_of(config, "head", Model), class_of(config, "objective", Objective)
    settings: dict[str, Any] = {key: value for key, value in config["objective"].items() if key != "_target_"}
    field: str | None = objective.field_with(head, **settings)  # type: ignore[attr-defined]
    if has_any(head, (CompletesRows,)) and field is not None:
        raise IncompatibleChoice(
            f"head={option_name('head', config['head']['_target_'])} has probabilities beside densities, and they have "
            f"no scores, which objective={option_name('objective', config['objective']['_target_'])} fits. "
            "Use objective=mle."
        )


def refuse_kinds(config: Config, has_kinds: bool, takes_kinds: bool) -> None:
    """Refuse columns of several kinds where the head has no laws for them, and the reverse.

    Args:
        config: settled.
        has_kinds: whether the data say kinds.
        takes_kinds: whether the head has a law per kind.

    Raises:
        UserError: one is there without the other, or noise that categories cannot have.
    """
    head = option_name("head", config["head"]["_target_"])
    if takes_kinds and not has_kinds:
        raise UserError(f"head={head} has a law per kind of column, and these data say no kinds: use data.kinds=auto.")
    if has_kinds and not takes_kinds:
        raise UserError(
            f"data.kinds gives columns of several kinds, and head={head} has one law for all: use head=by_column."
        )
    if has_kinds and float(config["data"]["smoothing"]) > 0:
        raise UserError(
            f"data.smoothing={config['data']['smoothing']} is noise on every column, and categories take none: use "
            "data.smoothing=0; head.floor smooths the laws of numbers."
        )
