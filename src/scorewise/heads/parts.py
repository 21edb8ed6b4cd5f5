"""What a model is given beside its network, a sampler and a likelihood, each of which must fit it."""

from collections.abc import Mapping

from scorewise.capabilities.plain_names import named
from scorewise.errors import UserError

PARTS: Mapping[str, str] = {"sampler": "sampling", "likelihood": "likelihood"}
"""Attributes of a model that hold such a part, and the room of the package that the parts are in."""


class Unfit(UserError, ValueError):
    """A part that needs what a model does not have; the message says what that is."""


def refuse_unfit(model: object, name: str, part: object) -> None:
    """Refuse a part of a model that needs what the model does not have.

    Args:
        model: that is given the part.
        name: of the attribute, of `PARTS`.
        part: a sampler or a likelihood, of whatever class; one of a user's own may say nothing of its needs.

    Raises:
        Unfit: the model has none of the capabilities in its `needs`.
    """
    needs: tuple[type, ...] = tuple(getattr(part, "needs", ()))
    if needs and not isinstance(model, needs):
        raise Unfit(
            f"{type(part).__name__} needs a model with {named(needs)}, and {type(model).__name__} has none: "
            f"set model.{name} to another one of scorewise.{PARTS[name]}."
        )
