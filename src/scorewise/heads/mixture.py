"""Conditionals that are mixtures of logistics: the tractable baseline with many modes per dimension."""

from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from scorewise.heads.examples import of_queries, of_rows
from scorewise.heads.logistics import logistic_parts, spread_locations
from scorewise.heads.model import CausalModel
from scorewise.noise import uniform_like
from scorewise.ranges import Count, within_ranges


class Mixture(CausalModel):
    """A product of logistic-mixture conditionals: NormalisedDensity, ConditionalScoreModel, ConditionalSampler.

    Args:
        backbone: causal features of width 3 K: logits, locations and log-scales, in standard units.
        components: K, logistics per conditional.
        mean, std, noise: of the data, see `Model`.

    Raises:
        ValueError: the backbone's width is not 3 K.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import Mixture
        >>> model = Mixture(MADE((2,), 30, (16,), "silu"), components=10, noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> model.log_prob(x).shape
        torch.Size([5])
    """

    tells_runs_apart = True

    @within_ranges
    def __init__(
        self, backbone: nn.Module, *, components: Count = 10, mean: float = 0.0, std: float = 1.0, noise: float = 0.0
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        if self.backbone.width != 3 * components:
            raise ValueError(
                f"a mixture of {components} logistics reads {3 * components} features per dimension, "
                f"the backbone gives {backbone.width}"
            )
        self.register_buffer("spread", spread_locations(components))
        self.spread: Tensor

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return 3 K: logit, location and log-scale of every component."""
        return 3 * int(settings.get("components", 10))

    def _parts(self, c_BDF: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return logistic_parts(c_BDF, self.spread)

    def conditional_log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return log q(q_d | c_d), shape of q: log f = -z - 2 softplus(-z) - log b, even in z."""
        log_weight_BDK, location_BDK, log_scale_BDK = self._parts(c_BDF)
        z_BDK = (self.standardise(q_BD).unsqueeze(-1) - location_BDK) * torch.exp(-log_scale_BDK)
        log_f_BDK = z_BDK - 2 * functional.softplus(z_BDK) - log_scale_BDK
        return torch.logsumexp(log_weight_BDK + log_f_BDK, dim=-1) - self.scale.log()

    @of_queries
    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return d/dq log q(q | c), shape of q: responsibilities times - tanh(z/2) / b."""
        log_weight_BDK, location_BDK, log_scale_BDK = self._parts(c_BDF)
        z_BDK = (self.standardise(q_BD).unsqueeze(-1) - location_BDK) * torch.exp(-log_scale_BDK)
        log_f_BDK = z_BDK - 2 * functional.softplus(z_BDK) - log_scale_BDK
        share_BDK = torch.softmax(log_weight_BDK + log_f_BDK, dim=-1)
        return (share_BDK * -torch.tanh(z_BDK / 2) * torch.exp(-log_scale_BDK)).sum(-1) / self.scale

    @of_rows
    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,)."""
        return self.rows_log_prob(x_BD, self.conditional_log_prob)

    def conditional_sample(self, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return an exact draw per context, shape (B, D): choose a component, invert its distribution function."""
        log_weight_BDK, location_BDK, log_scale_BDK = self._parts(c_BDF)
        u_BDK = uniform_like(log_weight_BDK, generator)
        k_BD1 = (log_weight_BDK - torch.log(-torch.log(u_BDK))).argmax(-1, keepdim=True)  # Gumbel-max
        location_BD = location_BDK.gather(-1, k_BD1).squeeze(-1)
        u_BD = uniform_like(location_BD, generator)
        scale_BD = log_scale_BDK.gather(-1, k_BD1).squeeze(-1).exp()
        tiny = torch.finfo(c_BDF.dtype).eps
        return self.mean + self.scale * (location_BD + scale_BD * torch.logit(u_BD, eps=tiny))
