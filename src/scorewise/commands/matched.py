"""Which scores a loss matches: losses of other scores have other minima, so a smaller one need not be a better one."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from scorewise.capabilities import MaskedContexts
from scorewise.catalog import Config, option_name, targets
from scorewise.config.build import build
from scorewise.config.choices import class_of
from scorewise.errors import UserError, either
from scorewise.objectives.objective import Objective
from scorewise.ordering import Ordering
from scorewise.ranges import is_whole
from scorewise.store import import_class

OF_SCORES = ("backbone", "head")
"""Groups whose settings, or whose choice, may say which scores a model has."""


def refuse_other_scores(first: Config, others: Iterable[tuple[str, Config]]) -> None:
    """Refuse settings of a study that change which scores the loss matches, unless it is a likelihood.

    The least loss of scores of conditionals is -1/2 sum_d E[(d_d log p(x_d | x_<d))^2]: it depends on the order and on
    the blocks.

    Args:
        first: the settled config of one trial.
        others: those of trials that differ from it in one setting each, beside its name; settings that change the
            scores only together are not found.

    Raises:
        UserError: the setting, or a model cannot be built.
    """
    objective = class_of(first, "objective", Objective)
    if objective.ranks_by_likelihood:  # type: ignore[attr-defined]
        return
    matched: object = None
    for name, config in others:
        if name.partition(".")[0] not in OF_SCORES:
            continue
        matched = matched or _scores_of(first)
        if _scores_of(config) != matched:
            ranked = [one for one, target in targets("objective").items() if _ranks(target)]
            raise UserError(
                f"study.space.{name} changes which scores objective="
                f"{option_name('objective', first['objective']['_target_'])} matches (joint ones, or in what order and "
                "blocks of the dimensions), so that trials could not be compared by its loss: sweep over it and "
                f"compare nll, or use objective={either(ranked)}, which rank by it."
            )


def refuse_other_examples(space: Iterable[str], trainer: Mapping[str, Any]) -> None:
    """Refuse batches of several sizes where validation takes so many batches: trials would be judged on other examples.

    Raises:
        UserError: the setting.
    """
    few = trainer.get("limit_val_batches")
    if "data.batch_size" in space and is_whole(few, 1):
        raise UserError(
            f"study.space.data.batch_size changes how many examples trainer.limit_val_batches={few} validates on, so "
            "that trials could not be compared: give a share of them, trainer.limit_val_batches=0.5 say, or null."
        )


def _ranks(target: str) -> bool:
    return bool(getattr(import_class(target), "ranks_by_likelihood", False))


def _scores_of(config: Config) -> object:
    """Return which scores the loss of a config matches: joint, of conditionals in any order, or of which blocks."""
    settings = {key: value for key, value in config["objective"].items() if key != "_target_"}
    head, objective = class_of(config, "head"), class_of(config, "objective", Objective)
    field = objective.field_with(head, **settings)  # type: ignore[attr-defined]
    if field != "conditional":
        return str(field)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the trials say it
        model = build(config, int(config["seed"])).model
    if isinstance(model, MaskedContexts) and model.any_order:
        return "any order"
    ordering: Ordering | None = getattr(model, "ordering", None)
    return "as they lie" if ordering is None else [set(block) for block in ordering.blocks]
