"""Maximum likelihood."""

from typing import Any

import torch
from torch import Tensor

from scorewise.capabilities import ClosedFormDensity, NormalisedDensity, UncheckedDensity
from scorewise.noise import Draws
from scorewise.objectives.any_order import of_any_order
from scorewise.objectives.conditional import ConditionalObjective


class MLE(ConditionalObjective[Any]):
    """The negative log-likelihood in nats.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import Mixture
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import MLE
        >>> model = Mixture(MADE((2,), 30, (16,), "silu"), components=10, noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = MLE()(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (NormalisedDensity,)
    heads = ("mixture", "flow")
    ranks_by_likelihood = True

    @classmethod
    def field_with(cls, head: type, field: str = "auto", **settings: Any) -> str | None:
        """Return None: the loss holds no scores."""
        return None

    def per_dimension(self, model: Any, x_BD: Tensor, c_BDF: Tensor, draws: Draws) -> Tensor:
        """Return - log q(x_d | c_d) of every dimension, shape (B, D)."""
        closed = isinstance(model, ClosedFormDensity)
        log_q_BD: Tensor = (model.conditional_log_prob if closed else model.log_prob_given)(x_BD, c_BDF)
        return -log_q_BD

    def per_example(self, model: NormalisedDensity, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return - log q(x) of every example, shape (B,), never refused: early in training it need not be a law yet."""
        return super().per_example(model, x_BD, draws) if of_any_order(model) else -_unchecked(model, x_BD)

    def held_out(self, model: NormalisedDensity, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return - log q(x) of every example, shape (B,), also early in training, where `log_prob` may be refused.

        Of a model of any order it is the mean over orders, estimated; its likelihood is that of its mixture.
        """
        with torch.no_grad(), torch.autocast(x_BD.device.type, enabled=False):
            return super().held_out(model, x_BD, draws) if of_any_order(model) else -_unchecked(model, x_BD)


def _unchecked(model: NormalisedDensity, x_BD: Tensor) -> Tensor:
    log_q_B: Tensor = (model.unchecked_log_prob if isinstance(model, UncheckedDensity) else model.log_prob)(x_BD)
    return log_q_B
