"""What models can restore images with, and which ways that leaves them."""

from collections.abc import Mapping
from typing import NamedTuple

from scorewise.capabilities import (
    BlockScoreModel,
    ClosedFormDensity,
    ConditionalSampler,
    ConditionalScoreModel,
    NoisyBlockScoreModel,
    NoisyConditionalScoreModel,
    QuantileModel,
    ScoreModel,
)
from scorewise.heads.numerically_normalised import NumericallyNormalised

CORRUPTIONS: Mapping[str, tuple[str, ...]] = {
    "gaussian": ("auto", "parallel", "sequential", "joint"),
    "salt_and_pepper": ("auto", "sequential", "joint"),
}
"""What images suffer, and the ways to restore them from it."""
MASKS = ("known", "blind")
HEADS = "conditional_score, block_score, mixture, gaussian, score or energy"
"""Options of head whose models can restore images."""


class Means(NamedTuple):
    """What the models of a head can restore images with.

    Args:
        ladder: conditional scores at every noise level, contexts nearly clean, of dimensions or of blocks.
        conditional: conditional scores, likewise.
        joint: grad log q, by themselves or by a density that can be differentiated.
        draws: draws of conditionals.
    """

    ladder: bool
    conditional: bool
    joint: bool
    draws: bool

    @classmethod
    def of(cls, head: type) -> "Means":
        """Return the means of a head."""
        ladder = issubclass(head, (NoisyConditionalScoreModel, NoisyBlockScoreModel))
        differentiable = (ScoreModel, ClosedFormDensity, *(() if ladder else (NumericallyNormalised,)))
        return cls(
            ladder,
            conditional=issubclass(head, (ConditionalScoreModel, BlockScoreModel)),
            joint=issubclass(head, differentiable),
            draws=issubclass(head, (ConditionalSampler, QuantileModel)),
        )


def refusal(head: type, corruption: str, mode: str, mask: str) -> str | None:
    """Return why models of a head cannot restore images in such a way, as one sentence, or None where they can."""
    if corruption not in CORRUPTIONS:
        return f"task.corruption={corruption} is none of {', '.join(CORRUPTIONS)}"
    if mode not in CORRUPTIONS[corruption]:
        return f"task.mode={mode} is none of {', '.join(CORRUPTIONS[corruption])}, the ways out of {corruption}"
    if mask not in MASKS:
        return f"task.mask={mask} is none of {', '.join(MASKS)}"
    means, who = Means.of(head), head.__name__
    return _noise_refusal(means, who, mode) if corruption == "gaussian" else _hit_refusal(means, who, mode, mask)


def _noise_refusal(means: Means, who: str, mode: str) -> str | None:
    if mode == "sequential" and not means.ladder:
        return (
            f"task.mode=sequential gives restored pixels as context, and {who} is trained with joint "
            "noise, on noisy ones: use task.mode=parallel, or train objective=csm_annealed"
        )
    if mode == "parallel" and not means.conditional:
        return f"task.mode=parallel needs conditional scores, and {who} has none: use task.mode=joint"
    if mode == "joint" and not means.joint:
        return (
            f"task.mode=joint needs a joint score or a density that can be differentiated, and {who} "
            f"has none: use task.mode={'sequential' if means.ladder else 'auto'} or head={HEADS}"
        )
    if not (means.ladder or means.joint or means.conditional):
        return f"task=denoising needs scores, and {who} has none: use head={HEADS}"
    return None


def _hit_refusal(means: Means, who: str, mode: str, mask: str) -> str | None:
    if mode == "sequential":
        if mask == "blind":
            return "task.mask=blind needs what follows a pixel to judge it: use task.mode=joint"
        return None if means.draws else f"task.mode=sequential needs draws of conditionals, and {who} has none"
    if not means.joint:
        return (
            f"task.corruption=salt_and_pepper in task.mode={mode} needs a joint score or a density that can be "
            f"differentiated, and {who} has none: use head={HEADS}, or task.mode=sequential with a "
            "known mask"
        )
    return None
