"""Variational autoencoders whose encoder may be implicit."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast, final

import torch
from torch import Generator, Tensor, nn

from scorewise.capabilities import ConditionalScoreModel
from scorewise.estimators import Spectral, Stein
from scorewise.heads.model import Model
from scorewise.latent.ais import AIS, Annealed, log_prior
from scorewise.latent.encoders import ENCODERS, AutoregressiveEncoder, Encoder, GaussianEncoder
from scorewise.latent.iwae import iwae
from scorewise.latent.networks import ConvDecoder, ConvTrunk, DenseDecoder, DenseTrunk, Trunk
from scorewise.latent.observations import Bernoulli, GaussianPixels, Observation
from scorewise.latent.pairing import METHODS, encoder_for
from scorewise.latent.score_network import ScoreNetwork
from scorewise.noise import Draws
from scorewise.objectives.objective import Loss, Objective, score_field
from scorewise.trained import Trained

MakeScore = Callable[[int, int], Model]
"""From D of z and the number of features of x to the model of the score of q(z|x)."""
LIKELIHOODS = ("bernoulli", "gaussian")
AT_A_TIME = 1000
"""Images that are decoded in one pass when sampling."""


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


class Part(NamedTuple):
    """What belongs to some of the images that are annealed: their draws, and who is told of progress."""

    draws: Draws
    watch: Callable[[float], None] | None


def surrogate(z: Tensor, s: Tensor) -> Tensor:
    """Return sum_d s_d z_d with a detached score: its expected gradient is that of minus the entropy of z.

    Section 6 of the AR-CSM paper; the derivative of z_d is total, through z_<d.
    """
    return (s.detach() * z).sum(-1)


class VAE(Trained, ABC):
    """P(z) p(x|z) with p(z) = N(0, I), and an encoder q(z|x), explicit or implicit.

    Args:
        shape: of an image.
        z: D, the number of latents.
        method: how the gradient of the encoder's entropy comes about: score (a score network), elbo (in closed form),
            stein or spectral (from the particles of every image).
        encoder: gaussian, implicit, autoregressive, or auto: the one that goes with the method.
        likelihood: bernoulli (black and white) or gaussian.
        log_std: of the Gaussian likelihood, fixed.
        particles: M, latents per image of stein and spectral.
        eta: the ridge of stein.
        eigenvalues: the share of the eigenvalues below which spectral keeps eigenfunctions.
        conditional_hidden: units per latent of the small networks of an autoregressive encoder.
        score: makes the model of the score network; None without one.
        standardise: whether the score network sees standardised latents, see `ScoreNetwork`.

    Raises:
        ValueError: a setting is out of range.
    """

    noise = 0.0

    def __init__(
        self,
        shape: Sequence[int],
        *,
        z: int = 8,
        method: str = "elbo",
        encoder: str = "auto",
        likelihood: str = "bernoulli",
        log_std: float = -0.602,
        particles: int = 16,
        eta: float = 0.001,
        eigenvalues: float = 0.99,
        conditional_hidden: int = 64,
        score: MakeScore | None = None,
        standardise: bool = False,
    ) -> None:
        super().__init__()
        if method not in METHODS:
            raise ValueError(f"latent.method={method} is none of {', '.join(METHODS)}")
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"latent.likelihood={likelihood} is none of {', '.join(LIKELIHOODS)}")
        if (score is None) == (method == "score"):
            raise ValueError("latent.method=score needs a score network, and every other method has none")
        if standardise and score is None:
            raise ValueError(f"latent.standardise is of score networks, and latent.method={method} has none")
        if z < 1 or particles < 1:
            raise ValueError(f"latent.z={z} and latent.particles={particles} must be at least 1")
        self.shape, self.z, self.method = tuple(shape), z, method
        self.observation: Observation = Bernoulli() if likelihood == "bernoulli" else GaussianPixels(log_std)
        self.score = None
        if score is not None:
            trunk = self.score_trunk()
            self.score = ScoreNetwork(trunk, score(z, trunk.width), z if standardise else None)
        conditional = self.score is not None and isinstance(self.score.model, ConditionalScoreModel)
        order = getattr(self.score.model, "ordering", None) if self.score is not None else None
        if order is not None and tuple(order.sequence) != tuple(range(z)):
            raise ValueError(f"the score network's order {order.sequence} is not the one in which encoders draw z")
        self.encoder_name = name = encoder_for(method, conditional) if encoder == "auto" else encoder
        if name not in ENCODERS:
            raise ValueError(f"latent.encoder={name} is none of auto, {', '.join(ENCODERS)}")
        self.encoder: Encoder
        if name == "autoregressive":
            self.encoder = AutoregressiveEncoder(self.encoder_trunk(0), z, conditional_hidden)
        else:
            self.encoder = ENCODERS[name](self.encoder_trunk(z if ENCODERS[name].joins_noise else 0), z)
        self.decoder = self.make_decoder()
        self.estimator: Stein | Spectral | None = None
        if method == "stein":
            self.estimator = Stein(eta=eta)
        if method == "spectral":
            self.estimator = Spectral(share=eigenvalues)
        self.particles = 1 if self.estimator is None else particles

    @abstractmethod
    def encoder_trunk(self, noise: int) -> Trunk:
        """Return the encoder's trunk, which takes so many numbers of noise beside the image."""

    @abstractmethod
    def score_trunk(self) -> Trunk:
        """Return the trunk of the score network."""

    @abstractmethod
    def make_decoder(self) -> nn.Module:
        """Return from latents (..., D) to what the likelihood reads (..., D of x)."""

    @property
    def explicit(self) -> bool:
        """Whether log q(z|x) is known."""
        return self.encoder.explicit

    def latents(self, o_BD: Tensor, count: int, draws: Draws) -> Tensor:
        """Return draws of q(z|x) for observed images, shape (M, B, D)."""
        e_BMD = draws.fork("posterior").normal(count, self.z, dtype=o_BD.dtype)
        return self.encoder.draw(o_BD, e_BMD.transpose(0, 1))

    def encode(self, x_BD: Tensor, count: int = 1, draws: Draws | None = None) -> Tensor:
        """Return draws of q(z|x) for images in [-1, 1], shape (M, B, D); no graph.

        Args:
            x_BD: images, which are observed first (binarised, say).
            count: M.
            draws: of the images; None: new ones.
        """
        draws = Draws(Draws.fresh(len(x_BD)).key_B.to(x_BD.device)) if draws is None else draws
        with torch.no_grad():
            return self.latents(self.observation.observe(x_BD, draws), count, draws)

    def decode(self, z: Tensor) -> Tensor:
        """Return mean images in [-1, 1], shape (..., D of x), of latents (..., D); no graph."""
        with torch.no_grad():
            return self.observation.mean(self.decoder(z))

    def reconstruct(self, x_BD: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the mean image of one draw of q(z|x) per image, shape of x."""
        return self.decode(self.encode(x_BD, 1, draws)[0])

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n mean images of latents from the prior, in [-1, 1], shape (n, D of x): no pixel noise is added."""
        like = next(self.parameters())
        device = like.device if generator is None else generator.device
        z_ND = torch.randn(n, self.z, generator=generator, dtype=like.dtype, device=device).to(like.device)
        return torch.cat([self.decode(part) for part in z_ND.split(AT_A_TIME)])

    def traversal(self, x_D: Tensor, steps: int = 9, reach: float = 2.0, draws: Draws | None = None) -> Tensor:
        """Return mean images along every latent in turn, from -reach to reach, the others as q(z|x) has them.

        Returns:
            shape (D * steps, D of x), one latent after the other.
        """
        z_D = self.encode(x_D[None], 1, draws)[0, 0]
        along = torch.linspace(-reach, reach, steps, dtype=z_D.dtype, device=z_D.device)
        z_DSD = z_D.expand(self.z, steps, -1).clone()
        for d in range(self.z):
            z_DSD[d, :, d] = along
        return self.decode(z_DSD.flatten(0, 1))

    def log_likelihood(self, o_BD: Tensor, z: Tensor) -> Tensor:
        """Return log p(o|z) in nats; z (M, B, D) gives (M, B)."""
        return self.observation.log_prob(o_BD, self.decoder(z))

    def annealed(
        self, ais: AIS, o_BD: Tensor, draws: Draws, rows: int = 512, watch: Callable[[float], None] | None = None
    ) -> Annealed:
        """Return log p(o) of observed images by annealed importance sampling.

        Args:
            ais: how long and with how many chains.
            o_BD: observed images.
            draws: of the images.
            rows: images times chains that are annealed at once; the result does not depend on it.
            watch: is told the share that is done.
        """
        found, size, rough = [], max(1, rows // ais.chains), self._rough(ais)
        for part, some in self._parts(o_BD, draws, size, watch):
            found.append(ais.forward(self._of_chains(part), self.z, some.draws, part.dtype, some.watch, rough(part)))
        return Annealed(*(torch.cat(values) for values in zip(*found, strict=True)))

    def simulated(self, ais: AIS, draws: Draws, rows: int = 512) -> tuple[Tensor, Tensor]:
        """Return log p(o) of images drawn from the model, from below and, by annealing backward, from above; (B,)."""
        like, now = next(self.parameters()), draws.fork("simulated")
        z_BD = now.fork("z").normal(self.z, dtype=like.dtype)
        with torch.no_grad():
            o_BD = self.observation.draw(self.decoder(z_BD), now.fork("o"))
        low_B = self.annealed(ais, o_BD, now, rows).log_marginal_B
        high, size, rough = [], max(1, rows // ais.chains), self._rough(ais)
        for (part, some), z_SD in zip(self._parts(o_BD, now, size, None), z_BD.split(size), strict=True):
            high.append(ais.backward(self._of_chains(part), z_SD, some.draws, rough=rough(part)).log_marginal_B)
        return low_B, torch.cat(high)

    def _parts(
        self, o_BD: Tensor, draws: Draws, size: int, watch: Callable[[float], None] | None
    ) -> Iterator[tuple[Tensor, Part]]:
        for first in range(0, len(o_BD), size):

            def told(share: float, first: int = first) -> None:
                assert watch is not None
                watch(min(1.0, (first + share * size) / len(o_BD)))

            part = slice(first, first + size)
            yield o_BD[part], Part(Draws(draws.key_B[part]), told if watch else None)

    def _of_chains(self, o_BD: Tensor) -> Callable[[Tensor], Tensor]:
        """Return from latents (B, C, D) to log p(o_b | z_bc), shape (B, C), as annealing reads it."""
        return lambda z_BCD: self.observation.log_prob(o_BD[:, None], self.decoder(z_BCD))

    def _rough(self, ais: AIS) -> Callable[[Tensor], Callable[[Tensor], Tensor] | None]:
        """Return from observed images to what `_of_chains` gives, in bfloat16, where annealing asks for that."""
        if not ais.rough:
            return lambda _: None
        decoder = copy.deepcopy(self.decoder).bfloat16()

        def of(o_BD: Tensor) -> Callable[[Tensor], Tensor]:
            o_B1D = o_BD[:, None].bfloat16()
            return lambda z_BCD: self.observation.log_prob(o_B1D, decoder(z_BCD.bfloat16())).to(z_BCD.dtype)

        return of

    def scores(self, o_BD: Tensor, z_MBD: Tensor, field: str = "auto") -> Tensor:
        """Return the estimated score of q(z|x) at its draws, conditional or joint as the method has it; no graph.

        Args:
            o_BD: observed images.
            z_MBD: the draws.
            field: of the score network, see `score_field`.
        """
        if self.estimator is not None:
            return self.estimator.score_at(z_MBD.detach().transpose(0, 1)).transpose(0, 1)
        assert self.score is not None
        with torch.no_grad():
            of_u = score_field(self.score.given(o_BD), field)
            u_MBD = self.score.standardised(z_MBD.detach(), self._centre(o_BD))
            return self.score.unstandardised(torch.stack([of_u(u_BD) for u_BD in u_MBD]))

    def terms(self, o_BD: Tensor, draws: Draws, field: str = "auto") -> Terms:
        """Return what training minimises, for observed images; one draw of every image is decoded.

        Args:
            o_BD: observed images.
            draws: of the images.
            field: of the score network.
        """
        if self.method == "elbo":
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
        """Return the objective of the score network on a fresh draw of q(z|x), which is data to it."""
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
        size = count if self.estimator is None else self.particles
        z_SMBD = self.latents(o_BD, size * max(1, count // size), draws).unflatten(0, (-1, size))
        s_SMBD = torch.stack([self.scores(o_BD, z_MBD, field) for z_MBD in z_SMBD])
        centred_SMBD, s_SMBD = z_SMBD - z_SMBD.mean(1, keepdim=True), s_SMBD - s_SMBD.mean(1, keepdim=True)
        identity_B: Tensor = -(s_SMBD * centred_SMBD).sum((1, -1)).mean(0) / (size - 1) / self.z
        return identity_B

    def iwae(self, o_BD: Tensor, count: int, draws: Draws) -> Tensor:
        """Return the importance-weighted bound of log p(o) from so many draws, nats, shape (B,); no graph.

        Raises:
            ValueError: the encoder has no density.
        """
        if not isinstance(self.encoder, GaussianEncoder):
            raise ValueError(
                "an importance-weighted bound needs the density of the encoder, which is implicit here: use AIS"
            )
        with torch.no_grad():
            q = self.encoder.moments(o_BD)

            def z(first: int, many: int) -> Tensor:
                e_BMD = draws.fork(f"importance {first}").normal(many, self.z, dtype=o_BD.dtype)
                return q.mean_BD + q.log_std_BD.exp() * e_BMD.transpose(0, 1)

            return iwae(lambda z_MBD: self.log_likelihood(o_BD, z_MBD) + log_prior(z_MBD), q.log_prob, z, count)

    def score_parameters(self) -> list[nn.Parameter]:
        """Return what the score network's own optimiser moves."""
        return [] if self.score is None else list(self.score.parameters())

    def generative_parameters(self) -> list[nn.Parameter]:
        """Return what the other optimiser moves: encoder and decoder."""
        return [*self.encoder.parameters(), *self.decoder.parameters()]

    def card(self) -> str:
        """Return the model card: what the model is, in Markdown."""
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"# {type(self).__name__}, {self.z} latents, {type(self.encoder).__name__}\n\n"
            f"A Scorewise variational autoencoder of images of shape {list(self.shape)}, {parameters:,} parameters; "
            f"{self.observation.describe()}; entropy gradient by method={self.method}.\n\n"
            "```python\nimport scorewise\n\n"
            'model = scorewise.load("this/folder")\n'
            "x = model.sample(16)  # mean images in [-1, 1]\nz = model.encode(x)\n```\n\n"
            "`config.yaml` says how it is built; nothing in this folder is executed.\n"
        )


@final
class DenseVAE(VAE):
    """A VAE of fully connected networks, as for MNIST in the code of sliced score matching.

    Args:
        shape: of an image.
        hidden: sizes of the hidden layers of encoder and decoder.
        activation: of both.
        conditional_hidden: units per latent of the small networks of an autoregressive encoder.
        score_hidden: sizes of layers from x to the features that the score network sees; none: x itself.
        score_activation: of those layers.
        settings: see `VAE`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        hidden: Sequence[int] = (256, 256),
        activation: str = "tanh",
        conditional_hidden: int = 64,
        score_hidden: Sequence[int] = (),
        score_activation: str = "tanh",
        **settings: Any,
    ) -> None:
        self.hidden, self.activation = tuple(hidden), activation
        self.score_hidden, self.score_activation = tuple(score_hidden), score_activation
        super().__init__(shape, conditional_hidden=conditional_hidden, **settings)

    def encoder_trunk(self, noise: int) -> Trunk:
        """Return a multilayer perceptron, tanh after every layer."""
        return DenseTrunk(self.shape, self.hidden, self.activation, noise)

    def score_trunk(self) -> Trunk:
        """Return a multilayer perceptron, or x itself."""
        return DenseTrunk(self.shape, self.score_hidden, self.score_activation)

    def make_decoder(self) -> nn.Module:
        """Return a multilayer perceptron."""
        sizes = self.hidden[::-1]
        return DenseDecoder(self.z, sizes, math.prod(self.shape), self.activation, self.observation.bounded)


@final
class ConvVAE(VAE):
    """A VAE of convolutions, as for CelebA in the code of sliced score matching.

    Args:
        shape: of an image; its sides must divide by 2 for every convolution.
        channels: of the encoder's convolutions; the decoder's are the mirror.
        hidden: units of the dense layer after them.
        activation: of encoder and decoder.
        conditional_hidden: units per latent of the small networks of an autoregressive encoder.
        score_activation: of the score network's own convolutions of x.
        settings: see `VAE`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        channels: Sequence[int] = (64, 128, 256, 512),
        hidden: Sequence[int] = (512,),
        activation: str = "relu",
        conditional_hidden: int = 64,
        score_activation: str = "softplus",
        **settings: Any,
    ) -> None:
        self.channels, self.hidden, self.activation = tuple(channels), tuple(hidden), activation
        self.score_activation = score_activation
        super().__init__(shape, conditional_hidden=conditional_hidden, **settings)

    def encoder_trunk(self, noise: int) -> Trunk:
        """Return convolutions and dense layers, noise as one more channel."""
        return ConvTrunk(self.shape, self.channels, self.hidden, self.activation, noise)

    def score_trunk(self) -> Trunk:
        """Return convolutions and dense layers of their own."""
        return ConvTrunk(self.shape, self.channels, self.hidden, self.score_activation)

    def make_decoder(self) -> nn.Module:
        """Return a dense layer and transposed convolutions."""
        return ConvDecoder(self.z, self.channels, self.shape, self.activation, self.observation.bounded)
