"""The gradient of an encoder's entropy: what training minimises, and scores from particles."""

from collections.abc import Callable
from typing import Annotated, NamedTuple, Protocol, TypedDict, Unpack

from torch import Tensor

from scorewise.estimators import Spectral, Stein
from scorewise.ranges import AtLeast, Between, PositiveNumber


class Terms(NamedTuple):
    """What training minimises, per image, in parts; nats, each (B,).

    Args:
        reconstruction_B: - log p(x|z).
        prior_B: - log p(z).
        minus_entropy_B: - H[q(z|x)] where the encoder is explicit; else the surrogate sum_d s_d z_d with a detached
            score s, whose gradient is that of - H and whose value is not: it is about - D for the true score.
    """

    reconstruction_B: Tensor
    prior_B: Tensor
    minus_entropy_B: Tensor

    def total(self) -> Tensor:
        """Return their sum."""
        return self.reconstruction_B + self.prior_B + self.minus_entropy_B


def surrogate(z: Tensor, s: Tensor) -> Tensor:
    """Return sum_d s_d z_d with a detached score: its expected gradient is that of minus the entropy of z.

    Section 6 of the AR-CSM paper; the derivative of z_d is total, through z_<d.
    """
    return (s.detach() * z).sum(-1)


class ParticleSettings(TypedDict, total=False):
    """How scores are estimated from the particles of every image.

    particles: M, latents per image.
    eta: the ridge of stein.
    eigenvalues: the share of the eigenvalues below which spectral keeps eigenfunctions.
    """

    particles: Annotated[int, AtLeast(2)]
    eta: PositiveNumber
    eigenvalues: Annotated[float, Between(0, 1, without=("low",))]


class ScoresParticles(Protocol):
    """What an estimator has: the scores of the law that particles are from, at the particles."""

    def score_at(self, x: Tensor) -> Tensor:
        """Return the scores, shape of x, each fitted to the particles of its set."""


class ParticleScores:
    """The scores of q(z|x) from the particles of every image.

    Args:
        estimator: that is fitted to the particles of one image.
        count: M, particles per image in training.
    """

    def __init__(self, estimator: ScoresParticles, count: int) -> None:
        self.estimator, self.count = estimator, count

    def at(self, z_MBD: Tensor) -> Tensor:
        """Return the scores at the particles, each fitted to those of its image, shape (M, B, D)."""
        return self.estimator.score_at(z_MBD.detach().transpose(0, 1)).transpose(0, 1)


def particle_scores(method: str, **settings: Unpack[ParticleSettings]) -> ParticleScores | None:
    """Return the scores from particles of a method, stein or spectral; None of a method without particles.

    Raises:
        ValueError: no particle, or a setting of the estimator that is out of range.
    """
    count = settings.get("particles", 16)
    if count < 1:
        raise ValueError(f"latent.particles={count} must be at least 1")
    estimators: dict[str, Callable[[], ScoresParticles]] = {
        "stein": lambda: Stein(eta=settings.get("eta", 0.001)),
        "spectral": lambda: Spectral(share=settings.get("eigenvalues", 0.99)),
    }
    return ParticleScores(estimators[method](), count) if method in estimators else None
