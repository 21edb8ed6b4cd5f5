"""How many draws a user asks a model for, and by which generator."""

from operator import index

import torch

from scorewise.heads.examples import Misfit


def count_of(n: object, call: str = "sample({})") -> int:
    """Return how many examples are asked for.

    Args:
        n: how many.
        call: as it was typed, with a place for n.

    Raises:
        Misfit: no whole number of at least 1.
    """
    try:
        if (count := index(n)) >= 1:  # type: ignore[arg-type]
            return count
    except TypeError:
        pass
    raise Misfit(f"{call.format(repr(n))} asks for no number of examples: give a whole number of at least 1.")


def generator_of(generator: object) -> torch.Generator | None:
    """Return the generator of draws as it was given.

    Raises:
        Misfit: it is something else, a seed say.
    """
    if generator is None or isinstance(generator, torch.Generator):
        return generator
    raise Misfit(f"generator={generator!r} is no generator: give torch.Generator().manual_seed(0), say.")
