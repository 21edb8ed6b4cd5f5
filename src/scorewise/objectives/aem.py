"""Importance-sampled maximum likelihood (Nash and Durkan 2019)."""

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from scorewise.capabilities import ProposalModel
from scorewise.capabilities.roles import CausalProposal
from scorewise.noise import Draws
from scorewise.objectives.conditional import ConditionalObjective
from scorewise.ranges import AtLeast, within_ranges


class AEM(ConditionalObjective[CausalProposal]):
    """Importance-sampled maximum likelihood (Autoregressive Energy Machines, section 3).

    The loss is - sum_d log p_hat(x_d | x_<d) + log r(x_d | x_<d), nats.

    log p_hat = - E(x_d) - log Z_hat with Z_hat the mean importance weight w = exp(-E(q)) / r(q) of draws q from
    the proposal r. Draws and their log r are detached there, so the proposal learns from log r(x_d) alone. There
    is no warm-up in which only the proposal learns.

    E[log Z_hat] <= log Z, so the estimated log-likelihood is biased upward: by Var(w) / (2 S Z^2) per
    dimension, to first order in 1 / S.

    Args:
        samples: S, proposal draws per dimension in training.
        held_out_samples: S for held-out examples; state it with every result.

    Raises:
        ValueError: a number of samples below 1.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalEnergy
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import AEM
        >>> model = ConditionalEnergy(MADE((2,), 42, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = AEM()(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (ProposalModel,)
    heads = ("conditional_energy",)

    @within_ranges
    def __init__(
        self,
        samples: Annotated[int, AtLeast(1, "the normaliser is a mean over samples")] = 20,
        held_out_samples: Annotated[int, AtLeast(1, "the normaliser is a mean over samples")] = 100,
    ) -> None:
        self.samples, self.held_out_samples = samples, held_out_samples

    @classmethod
    def field_with(cls, head: type, field: str = "auto", **settings: Any) -> str | None:
        """Return None: the loss holds no scores."""
        return None

    def per_dimension(self, model: CausalProposal, x_BD: Tensor, c_BDF: Tensor, draws: Draws) -> Tensor:
        """Return - log p_hat(x_d | c_d) - log r(x_d | c_d) of every dimension, shape (B, D)."""
        return -log_p_hat(model, x_BD, c_BDF, draws, self.samples) - model.proposal_log_prob(x_BD, c_BDF)

    def held_out_per_dimension(self, model: CausalProposal, x_BD: Tensor, c_BDF: Tensor, draws: Draws) -> Tensor:
        """Return - log p_hat(x_d | c_d) in nats, shape (B, D): too small by the bias at `held_out_samples`."""
        return -log_p_hat(model, x_BD, c_BDF, draws, self.held_out_samples)


def log_p_hat(model: ProposalModel, x_BD: Tensor, c_BDF: Tensor, draws: Draws, samples: int) -> Tensor:
    """Return the importance-sampled log-density of every dimension given its context, shape (B, D), nats."""
    draws, shape = draws.fork("aem"), (samples, x_BD.shape[1])
    uniform_MBD = draws.fork("component").uniform(*shape, dtype=x_BD.dtype).movedim(1, 0)
    normal_MBD = draws.fork("value").normal(*shape, dtype=x_BD.dtype).movedim(1, 0)
    with torch.no_grad():
        q_MBD = model.proposal_sample(c_BDF, uniform_MBD, normal_MBD)
        log_r_MBD = model.proposal_log_prob(q_MBD, c_BDF)
    log_w_MBD = -model.conditional_energy(q_MBD, c_BDF) - log_r_MBD
    log_z_BD = torch.logsumexp(log_w_MBD, dim=0) - math.log(samples)
    return -model.conditional_energy(x_BD, c_BDF) - log_z_BD
