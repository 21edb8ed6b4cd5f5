"""Encoders of VAEs: from an image and noise to latents."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Self, final

import torch
from torch import Tensor, nn

from scorewise.latent.networks import Trunk


class Encoder(nn.Module, ABC):
    """A draw z = g(eps, x) with eps ~ N(0, I).

    Class attributes:
        autoregressive: z_d = f(z_<d, eps_d, x) with an eps_d of its own for every d. Only then is the entropy's
            gradient an expectation of conditional scores.
        explicit: log q(z|x) is known.
        joins_noise: whether its trunk takes the noise as an input beside the image.

    Args:
        trunk: features of the image (and the noise).
        dims: D of z, and as many numbers of noise.
    """

    autoregressive: ClassVar[bool]
    explicit: ClassVar[bool] = False
    joins_noise: ClassVar[bool] = False

    def __init__(self, trunk: Trunk, dims: int) -> None:
        super().__init__()
        self.trunk, self.dims = trunk, dims

    @classmethod
    def of(cls, trunk: Trunk, dims: int, hidden: int) -> Self:
        """Return an encoder; those with networks of their own per latent give them so many hidden units."""
        return cls(trunk, dims)

    @abstractmethod
    def draw(self, o_BD: Tensor, e_MBD: Tensor) -> Tensor:
        """Return M latents of every image, shape (M, B, D); what needs only the image is computed once."""


class Moments(NamedTuple):
    """A Gaussian with independent dimensions."""

    mean_BD: Tensor
    log_std_BD: Tensor

    def log_prob(self, z_MBD: Tensor) -> Tensor:
        """Return its log-density in nats, shape (M, B)."""
        u_MBD = (z_MBD - self.mean_BD) * (-self.log_std_BD).exp()
        return (-0.5 * u_MBD.square() - self.log_std_BD).sum(-1) - 0.5 * z_MBD.shape[-1] * math.log(2 * math.pi)

    def entropy(self) -> Tensor:
        """Return its entropy in nats, shape (B,)."""
        return (self.log_std_BD + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)


@final
class GaussianEncoder(Encoder):
    """A Gaussian q(z|x) = N(mean(x), diag(std(x)^2)).

    Example:
        >>> import torch
        >>> from scorewise.latent import GaussianEncoder
        >>> from scorewise.latent.networks import DenseTrunk
        >>> encoder = GaussianEncoder(DenseTrunk((1, 8, 8), (16,), "tanh"), dims=3)
        >>> o = torch.rand(5, 64)
        >>> z = encoder.draw(o, torch.randn(2, 5, 3))
        >>> encoder.moments(o).log_prob(z).shape
        torch.Size([2, 5])
    """

    autoregressive, explicit = True, True

    def __init__(self, trunk: Trunk, dims: int) -> None:
        super().__init__(trunk, dims)
        self.last = nn.Linear(trunk.width, 2 * dims)

    def moments(self, o_BD: Tensor) -> Moments:
        """Return mean and log of the standard deviation, each (B, D)."""
        return Moments(*self.last(self.trunk(o_BD)).chunk(2, -1))

    def draw(self, o_BD: Tensor, e_MBD: Tensor) -> Tensor:
        """Return mean + std eps."""
        mean_BD, log_std_BD = self.moments(o_BD)
        return mean_BD + log_std_BD.exp() * e_MBD


@final
class ImplicitEncoder(Encoder):
    """A network of image and noise together: every z_d depends on all noise, so only joint scores fit it.

    Example:
        >>> import torch
        >>> from scorewise.latent import ImplicitEncoder
        >>> from scorewise.latent.networks import DenseTrunk
        >>> encoder = ImplicitEncoder(DenseTrunk((1, 8, 8), (16,), "tanh", noise=3), dims=3)
        >>> encoder.draw(torch.rand(5, 64), torch.randn(2, 5, 3)).shape
        torch.Size([2, 5, 3])
    """

    autoregressive, joins_noise = False, True

    def __init__(self, trunk: Trunk, dims: int) -> None:
        super().__init__(trunk, dims)
        self.last = nn.Linear(trunk.width, dims)

    def draw(self, o_BD: Tensor, e_MBD: Tensor) -> Tensor:
        """Return the network's outputs."""
        z_MBD: Tensor = self.last(self.trunk(o_BD, e_MBD))
        return z_MBD


@final
class AutoregressiveEncoder(Encoder):
    """Latents z_d = f_d(z_<d, eps_d, features of x): one small network per dimension, one dimension after the other.

    Args:
        trunk: features of the image.
        dims: D of z.
        hidden: units of each of the small networks.

    Example:
        >>> import torch
        >>> from scorewise.latent import AutoregressiveEncoder
        >>> from scorewise.latent.networks import DenseTrunk
        >>> encoder = AutoregressiveEncoder(DenseTrunk((1, 8, 8), (16,), "tanh"), dims=3, hidden=8)
        >>> encoder.draw(torch.rand(5, 64), torch.randn(2, 5, 3)).shape  # two draws for each of five images
        torch.Size([2, 5, 3])
    """

    autoregressive = True

    def __init__(self, trunk: Trunk, dims: int, hidden: int) -> None:
        super().__init__(trunk, dims)
        self.of_features = nn.Linear(trunk.width, dims * hidden)
        # Row by row the first layer of [eps_d, z_1, ..., z_{d-1}].
        self.of_inputs = nn.ParameterList(
            torch.empty(d + 1, hidden).uniform_(-1, 1) / math.sqrt(d + 1) for d in range(dims)
        )
        self.last = nn.Parameter(torch.empty(dims, hidden).uniform_(-1, 1) / math.sqrt(hidden))
        self.bias = nn.Parameter(torch.zeros(dims))

    @classmethod
    def of(cls, trunk: Trunk, dims: int, hidden: int) -> Self:
        """Return an encoder whose networks have so many hidden units."""
        return cls(trunk, dims, hidden)

    def draw(self, o_BD: Tensor, e_MBD: Tensor) -> Tensor:
        """Return one dimension after the other, each from the ones before and its own noise."""
        of_x_DBH = self.of_features(self.trunk(o_BD)).unflatten(-1, (self.dims, -1)).movedim(-2, 0)
        z: list[Tensor] = []
        for d, weight in enumerate(self.of_inputs):
            inputs = torch.stack([e_MBD[..., d], *z], -1)
            hidden = torch.tanh(of_x_DBH[d] + inputs @ weight)
            z.append(hidden @ self.last[d] + self.bias[d])
        return torch.stack(z, -1)


ENCODERS: dict[str, type[Encoder]] = {
    "gaussian": GaussianEncoder,
    "implicit": ImplicitEncoder,
    "autoregressive": AutoregressiveEncoder,
}
