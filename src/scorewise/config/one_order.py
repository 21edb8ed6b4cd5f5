"""Backbones of any order beside objectives and heads that would read them along one."""

from collections.abc import Mapping
from typing import Any

from scorewise.capabilities import BlockFeatures, MaskedFeatures
from scorewise.catalog import targets
from scorewise.config.choices import IncompatibleChoice, has_any, needs_of
from scorewise.errors import either
from scorewise.store import import_class


def refuse_one_order(objective: Any, head: type, backbone: type, chosen: Mapping[str, str]) -> None:
    """Refuse to train a backbone of any order along a single one.

    Raises:
        IncompatibleChoice: what would, and what to choose instead.
    """
    if has_any(backbone, (MaskedFeatures,)) and not objective.any_order:
        others = [name for name, target in targets("objective").items() if import_class(target).any_order]  # type: ignore[attr-defined]
        raise IncompatibleChoice(
            f"objective={chosen['objective']} would train backbone={chosen['backbone']} along one order alone, and it "
            f"is of any order. Use objective={either(others)}, or backbone=made."
        )
    if has_any(backbone, (MaskedFeatures,)) and BlockFeatures in needs_of(head):
        raise IncompatibleChoice(
            f"head={chosen['head']} would read backbone={chosen['backbone']} along one order alone, and it is of any "
            "order. Use backbone=patch_transformer or made."
        )
