"""A normalising flow: the density of what an invertible map makes of normal numbers."""

import math

from torch import Tensor, nn

from scorewise.capabilities import InvertibleMap
from scorewise.gradients import Derivatives, score_of_log_density
from scorewise.heads.examples import of_examples
from scorewise.heads.model import Model


class NormalisingFlow(Model):
    """A flow log q(x) = log N(z; 0, I) + log |det dz/dx|: FlowDensity, NormalisedDensity, and ScoreModel.

    Args:
        backbone: an invertible map in standard units.
        mean, std, noise: of the data, see `Model`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import Glow
        >>> from scorewise.heads import NormalisingFlow
        >>> model = NormalisingFlow(Glow((1, 4, 4), levels=1, steps=1, filters=8, init="default"), noise=0.3)
        >>> model.log_prob(torch.randn(5, 16)).shape
        torch.Size([5])
    """

    needs = (InvertibleMap,)

    def __init__(self, backbone: nn.Module, *, mean: float = 0.0, std: float = 1.0, noise: float = 0.0) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)

    @classmethod
    def derivatives_of(cls, field: str) -> Derivatives:
        """Return one everywhere: the score is a gradient."""
        return Derivatives(1, 1)

    @of_examples
    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,)."""
        z_BD, log_det_B = self.backbone.to_normal(self.standardise(x_BD))
        log_normal_B = -0.5 * z_BD.square().sum(-1) - 0.5 * self.dims * math.log(2 * math.pi)
        log_q_B: Tensor = log_normal_B + log_det_B - self.dims * self.scale.log()
        return log_q_B

    def example_of(self, z_BD: Tensor) -> Tensor:
        """Return what normal numbers become, shape (B, D), in the scale of the data."""
        x_BD: Tensor = self.mean + self.scale * self.backbone.from_normal(z_BD)
        return x_BD

    @of_examples
    def score(self, x_BD: Tensor) -> Tensor:
        """Return grad_x log q(x), shape of x."""
        return score_of_log_density(self.log_prob, x_BD)
