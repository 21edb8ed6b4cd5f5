"""The head of AR-CSM with noise levels: from [context, query, level] to a score."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorewise.backbones.layers import ActivationName, FirstLayer, activation_named, perceptron, put_knots
from scorewise.backbones.tangents import TANGENTS
from scorewise.heads.examples import of_queries
from scorewise.heads.fused_csm import fused_csm
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.ranges import Count, HiddenSizes, within_ranges


class NoisyConditionalScore(NumericallyNormalised):
    """Conditional scores at every noise level: FusedNoisyCSMModel, ConditionalScoreModel, FoldedScores.

    In EDM form (Karras et al. 2022, eq. 7, as a score): with y = q - mean and r = sigma^2 + std^2,
    s = std / (sigma sqrt r) net(y / sqrt r, c, log sigma) - y / r. The context sees the smallest level only (AR-CSM,
    section 4.2).

    Args:
        backbone: causal features; their width is the size c of a context vector.
        hidden: sizes of the hidden layers of the shared head.
        activation: smooth for objectives that differentiate the score in its query.
        context: numbers per context vector; must be the backbone's width.
        levels: the ladder, from the largest down to the smallest.
        init: default, or knots: units of the query with slopes of 1 to 6 per half width of the data whose kinks lie
            anywhere in it, for laws with many narrow modes.
        mean, std, noise: of the data, see `Model`; noise is the smallest level.

    Raises:
        ValueError: no levels, or an unknown activation.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> level = torch.full((5, 2), 0.5)
        >>> model.noisy_conditional_score(x, model.context(x), level).shape
        torch.Size([5, 2])
    """

    @within_ranges
    def __init__(
        self,
        backbone: nn.Module,
        *,
        levels: Sequence[float],
        hidden: HiddenSizes = (64, 64, 64),
        activation: ActivationName = "silu",
        context: Count | None = None,
        init: FirstLayer = "default",
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        if not levels or min(levels) <= 0:
            raise ValueError(f"levels={list(levels)} must be positive noise levels, at least one")
        width = self.backbone.width
        if context is not None and context != width:
            raise ValueError(f"context={context}, but the backbone gives {width} features per dimension")
        self.levels, self.std = tuple(levels), std
        self.middle = 0.5 * (math.log(levels[0]) + math.log(levels[-1]))
        self.half_range = max(0.5 * (math.log(levels[0]) - math.log(levels[-1])), 1.0)
        self.of_context = nn.Linear(width, hidden[0])
        self.of_query = nn.Parameter(torch.empty(hidden[0]).uniform_(-1, 1))
        self.of_level = nn.Parameter(torch.empty(hidden[0]).uniform_(-1, 1))
        self.activation, self.compiles = activation, False
        self.first = activation_named(activation)
        self.rest = perceptron(hidden, activation)
        self.last = nn.Linear(hidden[-1], 1)
        if init == "knots":
            put_knots(self.of_query, self.of_context.bias)

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "noisy_conditional_score" in vars(cls) and "folded" not in vars(cls):
            cls.folded = None  # type: ignore[method-assign, assignment]  # ours are the parts of another score
        if "noisy_conditional_score" in vars(cls) and "weighted_noisy_csm" not in vars(cls):
            cls.weighted_noisy_csm = None  # type: ignore[method-assign, assignment]  # and the loss of another score

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return the size of a context vector."""
        return int(settings.get("context", 16))

    @of_queries
    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        """Return s_d(c_d, q_d, sigma_d), shape of q; elementwise in q and sigma, leading axes of q broadcast."""
        y_BD, sigma_BD = q_BD - self.mean, torch.as_tensor(sigma_BD).to(q_BD)
        r_BD = sigma_BD.square() + self.std**2
        level_BD = (sigma_BD.log() - self.middle) / self.half_range
        h = self.of_context(c_BDF) + (y_BD / r_BD.sqrt()).unsqueeze(-1) * self.of_query
        h = self.first(h + level_BD.unsqueeze(-1) * self.of_level)
        net_BD: Tensor = self.last(self.rest(h)).squeeze(-1)
        return self.std / (sigma_BD * r_BD.sqrt()) * net_BD - y_BD / r_BD

    @of_queries
    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the conditional score of the law with the smallest noise, shape of q."""
        return self.noisy_conditional_score(q_BD, c_BDF, torch.full_like(q_BD, self.levels[-1]))

    def compile_csm(self) -> None:
        """Let torch.compile build the pass of `weighted_noisy_csm` from now on."""
        self.compiles = True

    def weighted_noisy_csm(
        self, q_MBD: Tensor, c_BDF: Tensor, sigma_MBD: Tensor, weight_MBD: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted sum over entries of s_d^2 / 2 + ds_d/dq_d, and the value of each, detached, (M, B, D).

        Entries are M queries, each at its level, per context. Of a model of any order one of weight 0, a known one, is
        not computed: its value is 0. One pass over chunks of rows, as `ConditionalScore.weighted_csm`, with the level
        as one more number of the context.

        Raises:
            ValueError: gradients are wanted and the activation has no second derivative.
        """
        of_context_HF = torch.cat([self.of_context.weight, self.of_level.unsqueeze(-1)], -1)
        weights = [of_context_HF, self.of_context.bias, self.of_query, *self.rest.parameters()]
        weights += [self.last.weight[0], self.last.bias[0]]
        dtype = torch.promote_types(q_MBD.dtype, torch.float32)
        with torch.autocast(q_MBD.device.type, enabled=False):
            y_MBD, sigma_MBD = q_MBD.detach().to(dtype) - self.mean, sigma_MBD.to(dtype)
            r_MBD = sigma_MBD.square() + self.std**2
            root_MBD = r_MBD.sqrt()
            to_net_MBD = self.std / (sigma_MBD * root_MBD)
            level_MBD1 = ((sigma_MBD.log() - self.middle) / self.half_range).unsqueeze(-1)
            return fused_csm(
                self.activation,
                y_MBD / root_MBD,
                weight_MBD.to(dtype),
                torch.stack([to_net_MBD, -1 / root_MBD, to_net_MBD / root_MBD, -1 / r_MBD], -1),
                torch.cat([c_BDF.to(dtype).expand(*q_MBD.shape, -1), level_MBD1], -1),
                [weight.to(dtype) for weight in weights],
                skips_zeros=self.any_order,
                compiled=self.compiles,
            )

    def folded(self, c_BDF: Tensor) -> Tensor:
        """Return what the first layer has of contexts, shape (..., H)."""
        folded_BDH: Tensor = self.of_context(c_BDF)
        return folded_BDH

    def folded_score(self, q_BD: Tensor, folded_BDH: Tensor, level: float) -> Tensor:
        """Return s_d at one level from what `folded` has of contexts, shape of q; no gradient of anything but q."""
        to_net, to_query, to_y = self._scales(level)
        y_BD = q_BD - self.mean
        h = torch.addcmul(self._of_level(folded_BDH, level), (to_query * y_BD).unsqueeze(-1), self.of_query)
        net_BD: Tensor = self.last(self.rest(self.first(h))).squeeze(-1)
        return to_net * net_BD - to_y * y_BD

    def folded_slope(self, q_BD: Tensor, folded_BDH: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Return s_d at one level and ds_d/dq_d, both of the shape of q, by tangents; see `folded_score`."""
        tangent, linear = TANGENTS[self.activation], functional.linear
        to_net, to_query, to_y = self._scales(level)
        y_BD = q_BD - self.mean
        a = torch.addcmul(self._of_level(folded_BDH, level), (to_query * y_BD).unsqueeze(-1), self.of_query)
        h, slope = tangent(a)
        t = slope.mul_(to_query * self.of_query)
        middle = list(self.rest.parameters())
        for weight, bias in zip(middle[::2], middle[1::2], strict=True):
            h, slope = tangent(linear(h, weight, bias))
            t = slope.mul_(linear(t, weight))
        net_BD, dnet_BD = self.last(h).squeeze(-1), linear(t, self.last.weight).squeeze(-1)
        return to_net * net_BD - to_y * y_BD, to_net * dnet_BD - to_y

    def _scales(self, level: float) -> tuple[float, float, float]:
        """Return what the network, its query and y are multiplied with in the score, see the class."""
        r = level**2 + self.std**2
        return self.std / (level * math.sqrt(r)), 1 / math.sqrt(r), 1 / r

    def _of_level(self, folded_BDH: Tensor, level: float) -> Tensor:
        return folded_BDH + (math.log(level) - self.middle) / self.half_range * self.of_level
