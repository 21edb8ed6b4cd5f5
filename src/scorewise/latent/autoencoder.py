"""Variational autoencoders whose encoder may be implicit."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, Unpack, cast

import torch
from torch import Tensor, nn

from scorewise.capabilities import ConditionalScoreModel
from scorewise.heads.model import CausalModel, Model
from scorewise.latent.ais import AIS, AnnealingEstimate, log_prior
from scorewise.latent.annealing import Annealing
from scorewise.latent.encoders import ENCODERS, Encoder, GaussianEncoder
from scorewise.latent.entropy import ParticleSettings, Terms, particle_scores, surrogate
from scorewise.latent.iwae import iwae
from scorewise.latent.latent_model import LatentModel
from scorewise.latent.networks import Trunk
from scorewise.latent.observations import observation_of
from scorewise.latent.pairing import encoder_for, method_mismatch
from scorewise.latent.score_network import ScoreNetwork
from scorewise.noise import Draws
from scorewise.objectives.objective import Loss, Objective, score_field
from scorewise.ranges import Between, Count, PositiveNumber, within_ranges

MakeScore = Callable[[int, int], Model]
"""From D of z and the number of features of x to the model of the score of q(z|x)."""


class VAE(LatentModel, ABC):
    """A model p(z) p(x|z) with p(z) = N(0, I), and an encoder q(z|x), explicit or implicit.

    Args:
        shape: of an image.
        z: D, the number of latents.
        method: how the gradient of the encoder's entropy comes about: score (a score network), elbo (in closed form),
            stein or spectral (from the particles of every image).
        encoder: gaussian, implicit, autoregressive, or auto: the one that goes with the method.
        likelihood: bernoulli (black and white) or gaussian.
        log_std: of the Gaussian likelihood, fixed.
        width: of the noise that dequantises for it; None: 2 / 256, that of runs of 0.1.0.
        conditional_hidden: units per latent of the small networks of an autoregressive encoder.
        score: makes the model of the score network; None without one.
        standardise: whether the score network sees standardised latents, see `ScoreNetwork`.
        of_particles: how scores of particles are estimated, see `ParticleScores`.

    Raises:
        ValueError: a setting is out of range.
    """

    noise = 0.0

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        *,
        z: Count = 8,
        method: str = "elbo",
        encoder: str = "auto",
        likelihood: str = "bernoulli",
        log_std: Annotated[float, Between(-20, 20)] = -0.602,
        width: PositiveNumber | None = None,
        conditional_hidden: Count = 64,
        score: MakeScore | None = None,
        standardise: bool = False,
        **of_particles: Unpack[ParticleSettings],
    ) -> None:
        super().__init__()
        if sentence := method_mismatch(method, score is not None, standardise):
            raise ValueError(sentence)
        if z < 1:
            raise ValueError(f"latent.z={z} must be at least 1")
        self.shape, self.z, self.method = tuple(shape), z, method
        self.dims = math.prod(self.shape)
        self.observation = observation_of(likelihood, log_std, width)
        self.score = self._score_network(score, standardise) if score is not None else None
        conditional = self.score is not None and isinstance(self.score.model, ConditionalScoreModel)
        self.encoder_name = encoder_for(method, conditional) if encoder == "auto" else encoder
        if self.encoder_name not in ENCODERS:
            raise ValueError(f"latent.encoder={encoder} is none of auto, {', '.join(ENCODERS)}")
        kind = ENCODERS[self.encoder_name]
        self.encoder: Encoder = kind.of(self.encoder_trunk(z if kind.joins_noise else 0), z, conditional_hidden)
        self.decoder = self.make_decoder()
        self.of_particles = particle_scores(method, **of_particles)
        self.particles = 1 if self.of_particles is None else self.of_particles.count

    def _score_network(self, make: MakeScore, standardise: bool) -> ScoreNetwork:
        trunk = self.score_trunk()
        network = ScoreNetwork(trunk, make(self.z, trunk.width), self.z if standardise else None)
        if isinstance(network.model, CausalModel) and tuple(network.model.ordering.sequence) != tuple(range(self.z)):
            order = network.model.ordering.sequence
            raise ValueError(f"the score network's order {order} is not the one in which encoders draw z")
        return network

    @abstractmethod
    def encoder_trunk(self, noise: int) -> Trunk:
        """Return the encoder's trunk, which takes so many numbers of noise beside the image."""

    @abstractmethod
    def score_trunk(self) -> Trunk:
        """Return the trunk of the score network."""

    @abstractmethod
    def make_decoder(self) -> nn.Module:
        """Return the decoder, from latents (..., D) to what the likelihood reads, (..., D of x)."""

    @property
    def explicit(self) -> bool:
        """Whether log q(z|x) is known."""
        return self.encoder.explicit

    @property
    def closed_form(self) -> bool:
        """Whether the gradient of the encoder's entropy is that of its closed form, so that no score is estimated."""
        return self.score is None and self.of_particles is None

    def latents(self, o_BD: Tensor, count: int, draws: Draws) -> Tensor:
        """Return draws of q(z|x) for observed images, shape (M, B, D)."""
        e_BMD = draws.fork("posterior").normal(count, self.z, dtype=o_BD.dtype)
        return self.encoder.draw(o_BD, e_BMD.transpose(0, 1))

    def log_likelihood(self, o_BD: Tensor, z: Tensor) -> Tensor:
        """Return log p(o|z) in nats; z (M, B, D) gives (M, B)."""
        return self.observation.log_prob(o_BD, self.decoder(z))

    def annealed(
        self, ais: AIS, o_BD: Tensor, draws: Draws, rows: int = 512, watch: Callable[[float], None] | None = None
    ) -> AnnealingEstimate:
        """Return log p(o) of observed images by annealed importance sampling.

        Args:
            ais: how long and with how many chains.
            o_BD: observed images.
            draws: of the images.
            rows: images times chains that are annealed at once; the result does not depend on it.
            watch: is told the share that is done.
        """
        return Annealing(self.decoder, self.observation, ais, rows).forward(o_BD, self.z, draws, watch)

    def simulated(self, ais: AIS, draws: Draws, rows: int = 512) -> tuple[Tensor, Tensor]:
        """Return log p(o) of images drawn from the model, from below and, by annealing backward, from above; (B,)."""
        like, now = next(self.parameters()), draws.fork("simulated")
        z_BD = now.fork("z").normal(self.z, dtype=like.dtype)
        with torch.no_grad():
            o_BD = self.observation.draw(self.decoder(z_BD), now.fork("o"))
        annealing = Annealing(self.decoder, self.observation, ais, rows)
        low_B = annealing.forward(o_BD, self.z, now).log_marginal_B
        return low_B, annealing.backward(o_BD, z_BD, now).log_marginal_B

    def scores(self, o_BD: Tensor, z_MBD: Tensor, field: str = "auto") -> Tensor:
        """Return the estimated score of q(z|x) at its draws, conditional or joint, without gradients.

        Args:
            o_BD: observed images.
            z_MBD: the draws.
            field: of the score network, see `score_field`.
        """
        if self.of_particles is not None:
            return self.of_particles.at(z_MBD)
        assert self.score is not None
        with torch.no_grad():
            of_u = score_field(self.score.given(o_BD), field)
            u_MBD = self.score.standardised(z_MBD.detach(), self._centre(o_BD))
            return self.score.unstandardised(torch.stack([of_u(u_BD) for u_BD in u_MBD]))

    def terms(self, o_BD: Tensor, draws: Draws, field: str = "auto") -> Terms:
        """Return the terms that training minimises, for observed images; one draw of every image is decoded.

        Args:
            o_BD: observed images.
            draws: of the images.
            field: of the score network.
        """
        if self.closed_form:
            q = cast(GaussianEncoder, self.encoder).moments(o_BD)
            e_BD = draws.fork("posterior").normal(1, self.z, dtype=o_BD.dtype)[:, 0]
            std_BD = q.log_std_BD.exp()
            cross_B = -log_prior(q.mean_BD) + 0.5 * std_BD.square().sum(-1)
            z_BD = q.mean_BD + std_BD * e_BD
            return Terms(-self.log_likelihood(o_BD, z_BD), cross_B, -q.entropy())
        z_MBD = self.latents(o_BD, self.particles, draws)
        return Terms(
            -self.log_likelihood(o_BD, z_MBD[0]),
            -log_prior(z_MBD).mean(0),
            surrogate(z_MBD, self.scores(o_BD, z_MBD, field)).mean(0),
        )

    def score_loss(self, objective: Objective, o_BD: Tensor, draws: Draws) -> Loss:
        """Return the loss of the score network on a fresh draw of q(z|x), which is data to it."""
        assert self.score is not None
        with torch.no_grad():
            z_BD, centre_BD = self.latents(o_BD, 1, draws)[0], self._centre(o_BD)
            if self.training:
                self.score.watch(z_BD, centre_BD)
            u_BD = self.score.standardised(z_BD, centre_BD)
        return objective(self.score.given(o_BD), u_BD, draws.fork("objective"))

    def _centre(self, o_BD: Tensor) -> Tensor:
        """Return the encoder's output for no noise, shape (B, D), or zero where nothing is standardised."""
        if self.score is None or not self.score.standardises:
            return o_BD.new_zeros(())
        return self.encoder.draw(o_BD, o_BD.new_zeros(1, len(o_BD), self.z))[0]

    @torch.no_grad()
    def identity(self, o_BD: Tensor, count: int, draws: Draws, field: str = "auto") -> Tensor:
        """Return - E[sum_d s_d (z_d - E z_d)] / D over draws of q(z|x), per image (B,): 1 for the true score.

        Near 0, the entropy has no say in training, and the encoder collapses to a point (Stein's identity). Particles
        see their own scores in sets of as many as training takes: with more of them stein and spectral know more, and
        since these are fitted to the very draws, 1 does not show that they are right.
        """
        size = count if self.of_particles is None else self.particles
        z_SMBD = self.latents(o_BD, size * max(1, count // size), draws).unflatten(0, (-1, size))
        s_SMBD = torch.stack([self.scores(o_BD, z_MBD, field) for z_MBD in z_SMBD])
        centred_SMBD, s_SMBD = z_SMBD - z_SMBD.mean(1, keepdim=True), s_SMBD - s_SMBD.mean(1, keepdim=True)
        identity_B: Tensor = -(s_SMBD * centred_SMBD).sum((1, -1)).mean(0) / (size - 1) / self.z
        return identity_B

    def iwae(self, o_BD: Tensor, count: int, draws: Draws) -> Tensor:
        """Return the importance-weighted bound of log p(o) from so many draws, nats, shape (B,); without gradients.

        Raises:
            ValueError: the encoder has no density.
        """
        if not self.explicit:
            raise ValueError(
                "an importance-weighted bound needs the density of the encoder, which is implicit here: use AIS"
            )
        with torch.no_grad():
            q = cast(GaussianEncoder, self.encoder).moments(o_BD)

            def z(first: int, many: int) -> Tensor:
                e_BMD = draws.fork(f"importance {first}").normal(many, self.z, dtype=o_BD.dtype)
                return q.mean_BD + q.log_std_BD.exp() * e_BMD.transpose(0, 1)

            return iwae(lambda z_MBD: self.log_likelihood(o_BD, z_MBD) + log_prior(z_MBD), q.log_prob, z, count)

    def score_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the score network, which has an optimiser of its own."""
        return [] if self.score is None else list(self.score.parameters())

    def generative_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of encoder and decoder, which the other optimiser moves."""
        return [*self.encoder.parameters(), *self.decoder.parameters()]

    def description(self) -> str:
        """Return what the model is, of what and how large, a sentence."""
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"A Scorewise variational autoencoder of images of shape {list(self.shape)}, {parameters:,} parameters; "
            f"{self.observation.describe()}; entropy gradient by method={self.method}."
        )
