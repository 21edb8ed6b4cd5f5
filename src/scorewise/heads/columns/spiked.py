"""Columns with spikes: single values, zero say, that have a probability, and a law of the rest."""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from scorewise.heads.columns.column_kind import ColumnKind
from scorewise.heads.columns.law import ColumnLaw, Distribution


@final
class Spiked(ColumnLaw):
    """P(x = spike j) = p_j, and p_0 times the law of the rest, with p the softmax of one feature each.

    Args:
        columns: with their spikes; where some have fewer, theirs are filled up.
        rest: the law of what is no spike.
    """

    def __init__(self, columns: Sequence[ColumnKind], rest: ColumnLaw) -> None:
        super().__init__(columns)
        most = max(len(column.spikes) for column in columns)
        self.rest, self.width = rest, 1 + most + rest.width
        self.says = f"probability of single values, {rest.says} of the rest"
        filled = [[*sorted(column.spikes), *[math.nan] * (most - len(column.spikes))] for column in columns]
        self.keep("spikes", filled)

    def usual(self, at_G: Tensor, like: Tensor) -> Tensor:
        """Return what is usual of the rest."""
        return self.rest.usual(at_G, like)

    def _parts(self, c_BGF: Tensor, at_G: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the spikes (G, M), their log-probabilities, that of the rest, and the features of the rest."""
        spike_GM = self.of("spikes", at_G, c_BGF)
        logits_BGS = c_BGF[..., : 1 + spike_GM.shape[-1]]
        there_GS = torch.cat([torch.ones_like(spike_GM[:, :1], dtype=torch.bool), ~spike_GM.isnan()], -1)
        log_p_BGS = logits_BGS.masked_fill(~there_GS, -torch.inf).log_softmax(-1)
        return spike_GM, log_p_BGS[..., 1:], log_p_BGS[..., 0], c_BGF[..., logits_BGS.shape[-1] :]

    def which(self, q_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return which spike a value is, boolean, shape (B, G, M); but for rounding."""
        spike_GM = self.of("spikes", at_G, q_BG)
        slack_GM = 4 * torch.finfo(q_BG.dtype).eps * (1 + spike_GM.abs())
        return (q_BG.unsqueeze(-1) - spike_GM).abs() <= slack_GM

    def has_density(self, q_BG: Tensor, at_G: Tensor) -> Tensor:
        """Return which values are no spike, where the rest has a density."""
        return self.rest.has_density(q_BG, at_G) & ~self.which(q_BG, at_G).any(-1)

    def log_prob(self, q_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the log-probability of a spike, or what the rest has with its share, nats.

        A spike is a value of a discrete rest too; for a density it has no share in it.
        """
        _, log_spike_BGM, log_rest_BG, c_rest = self._parts(c_BGF, at_G)
        is_BGM = self.which(q_BG, at_G)
        spike_BG, density_BG = is_BGM.any(-1), self.rest.has_density(q_BG, at_G)
        rest_BG = torch.where(spike_BG & density_BG, self.usual(at_G, q_BG), q_BG)
        log_f_BG = log_rest_BG + self.rest.log_prob(rest_BG, c_rest, at_G)
        log_p_BG = torch.where(is_BGM, log_spike_BGM, 0).sum(-1)
        log_both_BG = torch.where(density_BG, log_p_BG, torch.logaddexp(log_p_BG, log_f_BG))
        return torch.where(spike_BG, log_both_BG, log_f_BG)

    def distribution(self, q_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Distribution:
        """Return the probabilities of less than the value and of at most that."""
        spike_GM, log_spike_BGM, log_rest_BG, c_rest = self._parts(c_BGF, at_G)
        p_BGM, is_BGM = log_spike_BGM.exp(), self.which(q_BG, at_G)
        rest = self.rest.distribution(q_BG, c_rest, at_G)
        less_BG = torch.where((spike_GM < q_BG.unsqueeze(-1)) & ~is_BGM, p_BGM, 0).sum(-1)
        below_BG = less_BG + log_rest_BG.exp() * rest.below
        at_most_BG = less_BG + torch.where(is_BGM, p_BGM, 0).sum(-1) + log_rest_BG.exp() * rest.at_most
        return Distribution(below_BG.clamp(max=1), at_most_BG.clamp(max=1))

    def quantile(self, u_BG: Tensor, c_BGF: Tensor, at_G: Tensor) -> Tensor:
        """Return the least value with P(y <= value) >= u: a spike, or a quantile of the rest."""
        dtype, c_BGF, u_BG = c_BGF.dtype, c_BGF.double(), u_BG.double()
        spike_GM, log_spike_BGM, log_rest_BG, c_rest = self._parts(c_BGF, at_G)
        share_BG, tiny = log_rest_BG.exp(), torch.finfo(torch.float64).eps
        passed_BG, before_BG, chosen_BG = (
            torch.zeros_like(u_BG),
            torch.zeros_like(u_BG),
            torch.full_like(u_BG, math.nan),
        )
        for spike_G, p_BG in zip(spike_GM.unbind(-1), log_spike_BGM.exp().unbind(-1), strict=True):
            there_G = ~spike_G.isnan()
            at_BG = torch.where(there_G, spike_G, self.usual(at_G, u_BG)).expand_as(u_BG)
            rest = self.rest.distribution(at_BG, c_rest, at_G)
            low_BG, high_BG = before_BG + share_BG * rest.below, before_BG + p_BG + share_BG * rest.at_most
            chosen_BG = torch.where(there_G & (u_BG > low_BG) & (u_BG <= high_BG), at_BG, chosen_BG)
            passed_BG = torch.where(there_G & (u_BG > high_BG), passed_BG + p_BG, passed_BG)
            before_BG = before_BG + p_BG
        left_BG = ((u_BG - passed_BG) / share_BG.clamp(min=tiny)).clamp(tiny, 1 - tiny)
        x_BG = torch.where(chosen_BG.isnan(), self.rest.quantile(left_BG, c_rest, at_G), chosen_BG)
        return x_BG.to(dtype)
