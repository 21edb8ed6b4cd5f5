"""The head of AR-CSM: one small network, shared by all dimensions, from [context, query] to a score."""

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from scorewise.backbones.layers import ActivationName, FirstLayer, activation_named, perceptron, put_knots
from scorewise.heads.examples import of_queries
from scorewise.heads.forms import FORMS, ScoreForm
from scorewise.heads.fused_csm import fused_csm
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.ranges import Count, HiddenSizes, OneOf, within_ranges

SIZES, SIZES_OF_MANY, MANY = (64, 64), (64,), 256
"""Hidden layers unless others are given: of few dimensions, and from so many on, where a step is mostly the head."""


class ConditionalScore(NumericallyNormalised):
    """An autoregressive conditional score model (AR-CSM, section 4.1): ConditionalScoreModel, FusedCSMModel.

    Args:
        backbone: causal features; their width is the size c of a context vector.
        hidden: sizes of the hidden layers of the shared head; None: 64 and 64, from 256 dimensions on one of 64, which
            comes further in the same time (benchmarks/equal_time.py).
        activation: smooth for objectives that differentiate the score in its query.
        form: raw, denoiser, edm or auto (see `forms`).
        context: numbers per context vector; must be the backbone's width.
        init: default, or knots: units of the query with slopes of 1 to 6 per half width of the data whose kinks lie
            anywhere in it, for laws with many narrow modes.
        mean, std, noise: of the data, see `Model`.

    Raises:
        ValueError: unknown activation or form.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalScore
        >>> model = ConditionalScore(MADE((2,), 12, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> model.conditional_score(x, model.context(x)).shape
        torch.Size([5, 2])
    """

    @within_ranges
    def __init__(
        self,
        backbone: nn.Module,
        *,
        hidden: HiddenSizes | None = None,
        activation: ActivationName = "silu",
        form: Annotated[str, OneOf(FORMS)] = "auto",
        context: Count | None = None,
        init: FirstLayer = "default",
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        self.activation, self.compiles = activation, False
        hidden = self.hidden_for(self.dims) if hidden is None else hidden
        self.form = ScoreForm(form, std, noise)
        width = self.backbone.width
        if context is not None and context != width:
            raise ValueError(f"context={context}, but the backbone gives {width} features per dimension")
        self.of_context = nn.Linear(width, hidden[0])
        self.of_query = nn.Parameter(torch.empty(hidden[0]).uniform_(-1, 1))
        self.first = activation_named(activation)
        self.rest = perceptron(hidden, activation)
        self.last = nn.Linear(hidden[-1], 1)
        if init == "knots":
            put_knots(self.of_query, self.of_context.bias)

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "conditional_score" in vars(cls) and "weighted_csm" not in vars(cls):
            cls.weighted_csm = None  # type: ignore[method-assign, assignment]  # ours is the loss of another score

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return the size of a context vector."""
        return int(settings.get("context", 12))

    @staticmethod
    def hidden_for(dims: int | None) -> tuple[int, ...]:
        """Return the sizes of the hidden layers for so many dimensions; None: not known."""
        return SIZES_OF_MANY if dims is not None and dims >= MANY else SIZES

    @of_queries
    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return s_d(c_d, q_d), shape of q; elementwise in q, leading axes of q broadcast (eq. in section 4.1)."""
        u_BD = self.standardise(q_BD)
        h = self.first(self.of_context(c_BDF) + u_BD.unsqueeze(-1) * self.of_query)
        net_BD = self.last(self.rest(h)).squeeze(-1)
        return self.form(net_BD, u_BD) / self.scale

    def compile_csm(self) -> None:
        """Let torch.compile build the pass of `weighted_csm` from now on."""
        self.compiles = True

    def weighted_csm(self, q_BD: Tensor, c_BDF: Tensor, weight_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return sum_b weight_b J_b with J_b = sum_d s_d^2 / 2 + ds_d/dq_d (eq. 5), and J (B,), detached.

        With weights per entry, (B, D), it is their sum over entries, and the value of each of them, (B, D). An entry of
        weight 0, such as a known one in order-agnostic training, is not computed: its value is 0.

        One pass over chunks of rows with hand-written tangents that stores nothing but gradients, in float32 at least
        whatever the autocast. The query is data: no gradient goes to it. A class that changes `conditional_score` loses
        this, unless it brings its own.

        Raises:
            ValueError: gradients are wanted and the activation has no second derivative.
        """
        weights = [self.of_context.weight, self.of_context.bias, self.of_query, *self.rest.parameters()]
        weights += [self.last.weight[0], self.last.bias[0]]
        by_entry = weight_B.ndim == 2
        dtype = torch.promote_types(q_BD.dtype, torch.float32)
        of_net, of_u = self.form.of_net, self.form.of_u
        with torch.autocast(q_BD.device.type, enabled=False):
            scale = self.scale.to(dtype)
            total, loss_BD = fused_csm(
                self.activation,
                self.standardise(q_BD.detach()).to(dtype),
                (weight_B if by_entry else weight_B.unsqueeze(-1)).to(dtype),
                torch.stack([of_net / scale, of_u / scale, of_net / scale**2, of_u / scale**2]),
                c_BDF.to(dtype),
                [weight.to(dtype) for weight in weights],
                skips_zeros=by_entry,
                compiled=self.compiles,
            )
        return total, loss_BD if by_entry else loss_BD.sum(-1)
