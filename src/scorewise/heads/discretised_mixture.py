"""Conditionals that are mixtures of logistics on a grid of levels (Salimans et al. 2017)."""

import math
from typing import Annotated, Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from scorewise.heads.examples import of_examples
from scorewise.heads.logistics import logistic_parts, spread_locations
from scorewise.heads.model import CausalModel
from scorewise.noise import uniform_like
from scorewise.ranges import AtLeast, Count, within_ranges


class DiscretisedMixture(CausalModel):
    """P(level of x_d | x_<d) = sum_k w_k (F_k(upper end) - F_k(lower end)): DiscreteDensity, QuantileModel.

    The levels are evenly spaced from -1 to 1 and their cells as wide as the distance between them; the first and the
    last cell are open-ended (eq. 2 of the paper), so the probabilities sum to one exactly. `log_prob` is that of the
    levels divided by the volume of the cells, a density that is constant in every cell: -log2 P per dimension is then
    its `bits_per_dim` in units of the levels. Channels are coupled by the causal features, which see the earlier
    channels of a pixel and may change everything about a mixture; the paper's coefficients, which shift its locations
    linearly, are not needed and would tie the head to one backbone.

    Args:
        backbone: causal features of width 3 K: logits, locations and log-scales, in standard units.
        components: K, logistics per conditional.
        levels: 256 for 8-bit pixels.
        mean, std, noise: of the data, see `Model`; noise must be 0.

    Raises:
        ValueError: noise in the law, fewer than 2 levels, or a backbone of another width.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import DiscretisedMixture
        >>> model = DiscretisedMixture(MADE((2,), 30, (16,)), components=10, levels=17)
        >>> x = torch.tensor([[-1.0, 0.5]])
        >>> model.log_prob(x).shape
        torch.Size([1])
    """

    @within_ranges
    def __init__(
        self,
        backbone: nn.Module,
        *,
        components: Count = 10,
        levels: Annotated[int, AtLeast(2, "the ends are -1 and 1")] = 256,
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        if self.backbone.width != 3 * components:
            raise ValueError(
                f"a mixture of {components} logistics reads {3 * components} features per dimension, "
                f"the backbone gives {backbone.width}"
            )
        if noise > 0:
            raise ValueError(f"a discretised mixture is of the levels themselves, and the law has noise {noise:g}")
        self.levels, self.spacing = levels, 2 / (levels - 1)
        self.register_buffer("spread", spread_locations(components))
        self.spread: Tensor

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return 3 K: logit, location and log-scale of every component."""
        return 3 * int(settings.get("components", 10))

    def level_of(self, x_BD: Tensor) -> Tensor:
        """Return the nearest level, whole numbers from 0 to levels - 1; what is beyond the ends belongs to them."""
        return ((x_BD + 1) / self.spacing).round().clamp(0, self.levels - 1)

    def value_of(self, level_BD: Tensor) -> Tensor:
        """Return the value of a level, from -1 to 1."""
        return level_BD * self.spacing - 1

    def _upper_end(self, level_BD: Tensor, location_BDK: Tensor, log_scale_BDK: Tensor) -> tuple[Tensor, Tensor]:
        """Return where the upper end of a cell lies and how wide the cell is, in scales of every component."""
        inverse_BDK = torch.exp(-log_scale_BDK)
        end_BD1 = self.standardise(self.value_of(level_BD + 0.5)).unsqueeze(-1)
        return (end_BD1 - location_BDK) * inverse_BDK, (self.spacing / self.scale) * inverse_BDK

    def level_log_prob(self, level_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return log P(level | c) in nats, shape of the levels."""
        log_weight_BDK, location_BDK, log_scale_BDK = logistic_parts(c_BDF.to(level_BD.dtype), self.spread)
        upper_BDK, width_BDK = self._upper_end(level_BD, location_BDK, log_scale_BDK)
        log_below_BDK, log_above_BDK = functional.logsigmoid(upper_BDK), functional.logsigmoid(width_BDK - upper_BDK)
        # F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)), without cancellation however far out or narrow the cell is.
        log_cell_BDK = log_below_BDK + log_above_BDK + torch.log(-torch.expm1(-width_BDK))
        first_BD1, last_BD1 = (level_BD == 0).unsqueeze(-1), (level_BD == self.levels - 1).unsqueeze(-1)
        log_cell_BDK = torch.where(first_BD1, log_below_BDK, torch.where(last_BD1, log_above_BDK, log_cell_BDK))
        return torch.logsumexp(log_weight_BDK + log_cell_BDK, dim=-1)

    @of_examples
    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,): log P of the levels of x minus the log-volume of their cells."""
        return self.rows_log_prob(x_BD, self.log_prob_given)

    def log_prob_given(self, x_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return log q(x_d | c_d) in nats, shape of x."""
        return self.level_log_prob(self.level_of(x_BD), c_BDF) - math.log(self.spacing)

    def conditional_quantile(self, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the value of the first level with P(levels up to it | c) > u, shape of u; found by bisection."""
        log_weight_BDK, location_BDK, log_scale_BDK = logistic_parts(c_BDF.to(u_BD.dtype), self.spread)
        low_BD, high_BD = torch.zeros_like(u_BD), torch.full_like(u_BD, self.levels - 1)
        for _ in range((self.levels - 1).bit_length()):
            middle_BD = ((low_BD + high_BD) / 2).floor()
            upper_BDK, _ = self._upper_end(middle_BD, location_BDK, log_scale_BDK)
            beyond_BD = (log_weight_BDK.exp() * upper_BDK.sigmoid()).sum(-1) <= u_BD
            low_BD = torch.where(beyond_BD, middle_BD + 1, low_BD).clamp(max=self.levels - 1)
            high_BD = torch.where(beyond_BD, high_BD, middle_BD)
        return self.value_of(low_BD)

    def conditional_sample(self, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return an exact draw per context, shape (B, D): the quantile of a uniform number."""
        return self.conditional_quantile(uniform_like(c_BDF[..., 0], generator), c_BDF)
