"""What a decoder's outputs say about an image: the likelihoods of VAEs."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn import functional

from scorewise.noise import Draws

LIKELIHOODS = ("bernoulli", "gaussian")
FORMER_WIDTH = 2 / 256
"""Width of the noise that dequantised 8-bit pixels in 0.1.0, whose stored configs hold none."""


class Observation(ABC):
    """The law p(x | z) given the outputs of a decoder, and what of an image it is a law of.

    Class attributes:
        bounded: whether the decoder's outputs are in [-1, 1], by a tanh.
    """

    bounded: ClassVar[bool]

    @abstractmethod
    def observe(self, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return what the model is a law of, from images in [-1, 1], drawn anew with the draws; shape of x."""

    @abstractmethod
    def log_prob(self, o_BD: Tensor, out_BD: Tensor) -> Tensor:
        """Return log p(o | out) in nats, summed over the last axis; leading axes of both broadcast."""

    @abstractmethod
    def mean(self, out_BD: Tensor) -> Tensor:
        """Return the mean image in [-1, 1], shape of the outputs."""

    @abstractmethod
    def draw(self, out_BD: Tensor, draws: Draws) -> Tensor:
        """Return a simulated observation, shape of the outputs."""

    @abstractmethod
    def describe(self) -> str:
        """Return the law, for people."""


@final
class Bernoulli(Observation):
    """Pixels 0 and 1 with logits; a grey level is the probability of a 1, redrawn every time.

    Example:
        >>> import torch
        >>> from scorewise.latent import Bernoulli
        >>> from scorewise.noise import Draws
        >>> Bernoulli().observe(torch.tensor([[-1.0, 1.0]]), Draws.fresh(1))  # black and white stay what they are
        tensor([[0., 1.]])
        >>> Bernoulli().mean(torch.zeros(1, 2))
        tensor([[0., 0.]])
    """

    bounded = False

    def observe(self, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the image in black and white."""
        return (draws.fork("binarise").uniform(x_BD.shape[-1], dtype=x_BD.dtype) < 0.5 * (x_BD + 1)).to(x_BD.dtype)

    def log_prob(self, o_BD: Tensor, out_BD: Tensor) -> Tensor:
        """Return sum_d o_d l_d - log(1 + exp l_d)."""
        return (o_BD * out_BD).sum(-1) - functional.softplus(out_BD).sum(-1)

    def mean(self, out_BD: Tensor) -> Tensor:
        """Return twice the probability of white, less one."""
        return 2 * torch.sigmoid(out_BD) - 1

    def draw(self, out_BD: Tensor, draws: Draws) -> Tensor:
        """Return a black and white image."""
        return (draws.uniform(out_BD.shape[-1], dtype=out_BD.dtype) < torch.sigmoid(out_BD)).to(out_BD.dtype)

    def describe(self) -> str:
        """Return the law, for people."""
        return "images binarised at random, anew in every epoch (held-out: one draw per image), Bernoulli likelihood"


@final
class GaussianPixels(Observation):
    """N(mean, std^2 I) around the decoder's outputs, of images dequantised by uniform noise.

    Args:
        log_std: its logarithm, fixed (-0.602 in the code of sliced score matching).
        width: of the uniform noise: how far apart the levels of a pixel are; 2 / 255 for 8-bit pixels in [-1, 1].

    Raises:
        ValueError: a number that is no standard deviation of pixels.

    Example:
        >>> import torch
        >>> from scorewise.latent import GaussianPixels
        >>> pixels = GaussianPixels(log_std=0.0)
        >>> pixels.log_prob(torch.zeros(1, 2), torch.zeros(1, 2))  # - log(2 pi)
        tensor([-1.8379])
    """

    bounded = True

    def __init__(self, log_std: float = -0.602, width: float = 2 / 255) -> None:
        if not -20 <= log_std <= 20:
            raise ValueError(f"the log of the standard deviation, latent.log_std={log_std}, must be from -20 to 20")
        self.log_std, self.width = log_std, width

    def observe(self, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the dequantised image."""
        u_BD = draws.fork("dequantise").uniform(x_BD.shape[-1], dtype=x_BD.dtype)
        return x_BD + self.width * (u_BD - 0.5)

    def log_prob(self, o_BD: Tensor, out_BD: Tensor) -> Tensor:
        """Return log N(o; out, std^2 I)."""
        constant = out_BD.shape[-1] * (self.log_std + 0.5 * math.log(2 * math.pi))
        return -0.5 * (o_BD - out_BD).square().sum(-1) * math.exp(-2 * self.log_std) - constant

    def mean(self, out_BD: Tensor) -> Tensor:
        """Return the outputs."""
        return out_BD

    def draw(self, out_BD: Tensor, draws: Draws) -> Tensor:
        """Return the mean with noise."""
        return out_BD + math.exp(self.log_std) * draws.normal(out_BD.shape[-1], dtype=out_BD.dtype)

    def describe(self) -> str:
        """Return the law, for people."""
        return f"images dequantised uniformly, Gaussian likelihood of standard deviation {math.exp(self.log_std):.3g}"


def observation_of(likelihood: str, log_std: float, width: float | None = None) -> Observation:
    """Return the law that a name stands for.

    Args:
        likelihood: bernoulli or gaussian.
        log_std: of the Gaussian one.
        width: of the noise that dequantises for the Gaussian one; None: that of runs of 0.1.0.

    Raises:
        ValueError: no such name, or a number that is no standard deviation of pixels.
    """
    if likelihood not in LIKELIHOODS:
        raise ValueError(f"latent.likelihood={likelihood} is none of {', '.join(LIKELIHOODS)}")
    return (
        Bernoulli() if likelihood == "bernoulli" else GaussianPixels(log_std, FORMER_WIDTH if width is None else width)
    )
