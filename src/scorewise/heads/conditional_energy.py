"""The head of an autoregressive energy machine: one small energy network, shared by all dimensions."""

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from scorewise.backbones.layers import ActivationName, FirstLayer, activation_named, perceptron, put_knots
from scorewise.gradients import Derivatives, gradient_scope
from scorewise.heads.examples import of_queries
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.ranges import AtLeast, Between, Count, HiddenSizes, within_ranges


class ConditionalEnergy(NumericallyNormalised):
    """An autoregressive energy machine (Nash and Durkan 2019): ConditionalEnergyModel, ConditionalScoreModel.

    - log q(u_d | u_<d) + constant = softplus(net(c_d, u_d)) + u_d^2 / 2, never negative. With the confining term
    the normaliser is at most sqrt(2 pi) whatever the network does; the paper has none, and then nothing keeps
    the normaliser finite. The proposal, a mixture of Gaussians, serves to estimate the normaliser and to draw
    samples: it is no part of the energy.

    Args:
        backbone: causal features: `context` of them for the energy, then logits, locations and raw scales of the
            proposal, in standard units.
        hidden: sizes of the hidden layers of the shared energy network.
        activation: smooth for objectives that differentiate the score in its query.
        context: numbers per context vector.
        components: K, Gaussians in the proposal whose parameters are learned.
        confining: adds u^2 / 2 to the energy.
        defensive: weight of one more Gaussian in the proposal, N(0, 1) in standard units (Hesterberg 1995). With
            the confining term no importance weight exp(-E) / r is then above sqrt(2 pi) / defensive, so their
            variance is finite. 0 is the paper's proposal.
        init: default, or knots: units of the query with slopes of 1 to 6 per half width of the data whose kinks lie
            anywhere in it, for laws with many narrow modes.
        mean, std, noise: of the data, see `Model`.

    Raises:
        ValueError: unknown activation, a weight outside [0, 1), or a backbone of another width.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalEnergy
        >>> model = ConditionalEnergy(MADE((2,), 42, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> model.conditional_score(x, model.context(x)).shape
        torch.Size([5, 2])
    """

    SMALLEST_SCALE = 1e-3

    @within_ranges
    def __init__(
        self,
        backbone: nn.Module,
        *,
        hidden: HiddenSizes = (64, 64),
        activation: ActivationName = "silu",
        context: Count = 12,
        components: Annotated[int, AtLeast(1, "the proposal learns them")] = 10,
        confining: bool = True,
        defensive: Annotated[float, Between(0, 1, "it is a weight", without=("high",))] = 0.05,
        init: FirstLayer = "default",
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        width = self.width_needed(context=context, components=components)
        if self.backbone.width != width:
            raise ValueError(
                f"a conditional energy with context={context} and {components} components reads {width} features per "
                f"dimension, the backbone gives {self.backbone.width}"
            )
        self.width, self.confining, self.defensive = context, confining, defensive
        self.of_context = nn.Linear(context, hidden[0])
        self.of_query = nn.Parameter(torch.empty(hidden[0]).uniform_(-1, 1))
        self.first = activation_named(activation)
        self.rest = perceptron(hidden, activation)
        self.last = nn.Linear(hidden[-1], 1)
        if init == "knots":
            put_knots(self.of_query, self.of_context.bias)
        # Equal components never part: the locations start spread over the bulk of the data.
        self.register_buffer("spread", torch.linspace(-1.5, 1.5, components) if components > 1 else torch.zeros(1))
        self.spread: Tensor

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return the size of a context vector and 3 K: logit, location and raw scale of every component."""
        return int(settings.get("context", 12)) + 3 * int(settings.get("components", 10))

    @classmethod
    def derivatives_of(cls, field: str) -> Derivatives:
        """Return one in the head: conditional scores are slopes of the energy; and everywhere for the joint score."""
        return Derivatives(1, 1 if field == "joint" else 0)

    @of_queries
    def conditional_energy(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return E_d(c_d, q_d) = - log q(q_d | c_d) + constant, shape of q; leading axes of q broadcast."""
        u_BD = self.standardise(q_BD)
        h = self.first(self.of_context(c_BDF[..., : self.width]) + u_BD.unsqueeze(-1) * self.of_query)
        e_BD = functional.softplus(self.last(self.rest(h)).squeeze(-1))
        return e_BD + 0.5 * u_BD.square() if self.confining else e_BD

    @of_queries
    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return s_d = - dE_d/dq_d, shape of q; leading axes of q broadcast."""
        keep = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        with gradient_scope(q_BD):
            c_BDF, q_BD = (t.clone() if t.is_inference() else t for t in (c_BDF, q_BD))
            # The context is held fixed even where it comes from the same leaf as the query.
            slope_BD: Tensor = torch.func.grad(lambda q: self.conditional_energy(q, c_BDF).sum())(q_BD)
        return -slope_BD if keep else -slope_BD.detach()

    def _proposal(self, c_BDF: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-weights, locations and scales of the proposal in standard units, shape (B, D, K or K + 1)."""
        logits_BDK, location_BDK, raw_BDK = c_BDF[..., self.width :].chunk(3, dim=-1)
        log_weight_BDK = functional.log_softmax(logits_BDK, dim=-1)
        location_BDK, scale_BDK = location_BDK + self.spread, functional.softplus(raw_BDK) + self.SMALLEST_SCALE
        if self.defensive == 0:
            return log_weight_BDK, location_BDK, scale_BDK
        return (
            functional.pad(log_weight_BDK + math.log1p(-self.defensive), (0, 1), value=math.log(self.defensive)),
            functional.pad(location_BDK, (0, 1), value=0.0),
            functional.pad(scale_BDK, (0, 1), value=1.0),
        )

    def proposal_log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return log r(q_d | c_d), normalised, in the scale of the data, shape of q; leading axes of q broadcast."""
        log_weight_BDK, location_BDK, scale_BDK = self._proposal(c_BDF)
        z_BDK = (self.standardise(q_BD).unsqueeze(-1) - location_BDK) / scale_BDK
        log_f_BDK = -0.5 * z_BDK.square() - scale_BDK.log() - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(log_weight_BDK + log_f_BDK, dim=-1) - self.scale.log()

    def proposal_sample(self, c_BDF: Tensor, uniform_MBD: Tensor, normal_MBD: Tensor) -> Tensor:
        """Return M draws per context from the proposal, shape (M, B, D), a function of the numbers handed in.

        Args:
            c_BDF: contexts.
            uniform_MBD: uniform numbers, which choose the component.
            normal_MBD: standard normal numbers.
        """
        log_weight_BDK, location_BDK, scale_BDK = self._proposal(c_BDF)
        edges_BDK = log_weight_BDK.exp().cumsum(-1)
        k_BDM = torch.searchsorted(edges_BDK, uniform_MBD.movedim(0, -1).contiguous(), right=True)
        k_BDM = k_BDM.clamp(max=edges_BDK.shape[-1] - 1)
        location_MBD = location_BDK.gather(-1, k_BDM).movedim(-1, 0)
        scale_MBD = scale_BDK.gather(-1, k_BDM).movedim(-1, 0)
        return self.mean + self.scale * (location_MBD + scale_MBD * normal_MBD)
