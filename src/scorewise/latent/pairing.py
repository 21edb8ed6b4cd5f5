"""Which encoder a way of estimating the entropy's gradient can train."""

from scorewise.capabilities import ConditionalScoreModel
from scorewise.latent.encoders import ENCODERS
from scorewise.objectives.csm import CSM
from scorewise.objectives.objective import FieldObjective, Objective
from scorewise.objectives.sliced import Sliced
from scorewise.objectives.sm import SM

METHODS = ("score", "elbo", "stein", "spectral")
"""A score network, the closed form of a Gaussian, or the scores of particles by a kernel."""
SCORE_OBJECTIVES: tuple[type[Objective], ...] = (CSM, SM, Sliced)
"""What fits the score of a law as it is, without noise of its own, references or chains."""


def field_of(objective: Objective | None) -> str:
    """Return the vector field that an objective fits: conditional, joint or auto."""
    return objective.field if isinstance(objective, FieldObjective) else "auto"


def reads_conditionals(head: type, field: str) -> bool:
    """Return whether a score network of a head, under an objective of a field, gives conditional scores."""
    return issubclass(head, ConditionalScoreModel) and field != "joint"


def method_mismatch(method: str, scored: bool, standardise: bool) -> str | None:
    """Return why a method does not go with a score network or without one, or None where it does.

    Args:
        method: one of `METHODS`.
        scored: whether there is a score network.
        standardise: whether that is to see standardised latents.
    """
    if method not in METHODS:
        return f"latent.method={method} is none of {', '.join(METHODS)}"
    if scored != (method == "score"):
        return "latent.method=score needs a score network, and every other method has none"
    if standardise and not scored:
        return f"latent.standardise is of score networks, and latent.method={method} has none"
    return None


def encoder_for(method: str, conditional: bool) -> str:
    """Return the encoder that encoder=auto stands for.

    Args:
        method: one of `METHODS`.
        conditional: whether the score network has the scores of one-dimensional conditionals.
    """
    if method == "elbo":
        return "gaussian"
    return "autoregressive" if method == "score" and conditional else "implicit"


def mismatch(method: str, encoder: str, conditional: bool) -> str | None:
    """Return why an encoder cannot be trained in a way, as one sentence without an end, or None where it can.

    The gradient of the entropy is - E[sum_d s_d d z_d / d phi] with the joint score s, whatever the encoder. With
    conditional scores it is so only where z_d = f(z_<d, eps_d, x): the terms of log q(z_k | z_<k), k > d, have mean
    zero given eps_<k, and d z_d / d phi must not know eps_k.
    """
    if method not in METHODS:
        return f"latent.method={method} is none of {', '.join(METHODS)}"
    if encoder not in ENCODERS:
        return f"latent.encoder={encoder} is none of auto, {', '.join(ENCODERS)}"
    chosen = ENCODERS[encoder]
    if method == "elbo" and not chosen.explicit:
        return (
            f"latent.method=elbo needs the density of the encoder, and latent.encoder={encoder} has none: use "
            "latent.encoder=gaussian"
        )
    if method == "score" and conditional and not chosen.autoregressive:
        return (
            f"latent.encoder={encoder} mixes the noise of all latents, and with conditional scores its entropy "
            "gradient would be wrong: use latent.encoder=autoregressive, or a joint score, with backbone=mlp"
        )
    return None
