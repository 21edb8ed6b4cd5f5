"""Models of images with latents, as a user has them: images encoded and decoded, and drawn."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Generator, Tensor, nn

from scorewise.heads.draws_asked import count_of, generator_of
from scorewise.heads.examples import Examples, Misfit
from scorewise.heads.trained import Trained
from scorewise.latent.encoders import Encoder
from scorewise.latent.observations import Observation
from scorewise.noise import Draws

AT_A_TIME = 1000
"""Images that are decoded in one pass when sampling."""


class LatentModel(Trained, ABC):
    """An encoder q(z|x) and a decoder of z, which has the law N(0, I).

    Attributes:
        z: D, the number of latents.
        dims: D of x.
        observation: the likelihood.
        encoder: from images to draws of latents.
        decoder: from latents (..., D) to what the likelihood reads, (..., D of x).
    """

    tags = ("score-matching", "variational-autoencoder")
    z: int
    dims: int
    observation: Observation
    encoder: Encoder
    decoder: nn.Module

    @abstractmethod
    def latents(self, o_BD: Tensor, count: int, draws: Draws) -> Tensor:
        """Return draws of q(z|x) for observed images, shape (M, B, D)."""

    @property
    def usage(self) -> str:
        """Lines of Python for its card."""
        return "x = model.sample(16)  # mean images in [-1, 1]\nz = model.encode(x)"

    @property
    def like(self) -> Tensor:
        """A number of the model, of its type and on its device."""
        return next(self.parameters())

    def headline(self) -> str:
        """Return the class, how many latents it has, and the class of its encoder."""
        return f"{type(self).__name__}, {self.z} latents, {type(self.encoder).__name__}"

    def encode(self, x_BD: Any, count: int = 1, draws: Draws | None = None) -> Tensor:
        """Return draws of q(z|x) for images in [-1, 1], shape (M, B, D of z); without gradients.

        Args:
            x_BD: images, which are observed first (binarised, say); as arrays or tensors, flat or in their shape.
            count: M.
            draws: of the images; None: new ones.

        Raises:
            Misfit: x is no such images, or count no number of draws.
        """
        images, count = Examples.of(self, x_BD), count_of(count, "encode(count={})")
        x_BD = images.rows_BD
        draws = Draws(Draws.fresh(len(x_BD)).key_B.to(x_BD.device)) if draws is None else draws
        with torch.no_grad():
            z_MBD = self.latents(self.observation.observe(x_BD, draws), count, draws)
        return z_MBD.reshape(count, *images.leading, self.z)

    def decode(self, z: Any) -> Tensor:
        """Return mean images in [-1, 1], shape (..., D of x), of latents (..., D); without gradients.

        Raises:
            Misfit: z has no D numbers.
        """
        try:
            z = torch.as_tensor(z).to(self.like)
        except (TypeError, ValueError, RuntimeError) as error:
            raise Misfit(f"z is of type {type(z).__name__}: give latents as numbers, (..., {self.z}).") from error
        if not z.ndim or z.shape[-1] != self.z:
            raise Misfit(f"z has shape {list(z.shape)}, and this model takes latents (..., {self.z}).")
        with torch.no_grad():
            return self.observation.mean(self.decoder(z))

    def reconstruct(self, x_BD: Any, draws: Draws | None = None) -> Tensor:
        """Return the mean image of one draw of q(z|x) per image, shape of x."""
        images = Examples.of(self, x_BD)
        return images.answer(self.decode(self.encode(images.rows_BD, 1, draws)[0]))

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n mean images of latents from the prior, in [-1, 1], shape (n, *shape): no pixel noise is added.

        Raises:
            Misfit: n is no number of images, or generator no generator.
        """
        n, generator, like = count_of(n), generator_of(generator), self.like
        device = like.device if generator is None else generator.device
        z_ND = torch.randn(n, self.z, generator=generator, dtype=like.dtype, device=device).to(like.device)
        return torch.cat([self.decode(part) for part in z_ND.split(AT_A_TIME)]).reshape(n, *self.shape)

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
