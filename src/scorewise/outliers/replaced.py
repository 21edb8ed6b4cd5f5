"""Every cell of a row given all others, from a joint density alone: by a sum over what could stand there."""

import math
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

NODES, STEP = 96, 0.2
"""Values that stand for a column, at least, and how far apart they are near its median at most, in smoothings."""
BEYOND = 6.0
"""How far the nodes reach beyond the data, in standard deviations of the smoothing."""
BATCH = 100_000


class JointDensity(Protocol):
    """A normalised density of rows."""

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x), nats, shape (B,)."""


@dataclass(frozen=True)
class Nodes:
    """Values of every column, evenly spaced on the scale asinh((x - median) / width).

    Args:
        value_DG: the values, ascending.
        log_gap_DG: logarithms of what each of them stands for.
    """

    value_DG: Tensor
    log_gap_DG: Tensor

    @classmethod
    def of(cls, x_ND: Tensor, smoothing: float, narrowest: float | None = None) -> Self:
        """Return the nodes of the columns of some rows.

        Args:
            x_ND: the rows.
            smoothing: beyond which they reach.
            narrowest: standard deviation of what is to be resolved; None: the smoothing.
        """
        middle_D = x_ND.median(0).values
        low_D, high_D = x_ND.amin(0) - BEYOND * smoothing, x_ND.amax(0) + BEYOND * smoothing
        first_D, last_D = (low_D - middle_D).asinh(), (high_D - middle_D).asinh()
        span = float((last_D - first_D).max())
        count = max(NODES, 1 + math.ceil(span / (STEP * (smoothing if narrowest is None else narrowest))))
        share_G = torch.linspace(0, 1, count, dtype=x_ND.dtype)
        value_DG = middle_D[:, None] + (first_D[:, None] + (last_D - first_D)[:, None] * share_G).sinh()
        inner_DG = (value_DG[:, 2:] - value_DG[:, :-2]) / 2
        ends = ((value_DG[:, 1:2] - value_DG[:, :1]) / 2, (value_DG[:, -1:] - value_DG[:, -2:-1]) / 2)
        return cls(value_DG, torch.cat([ends[0], inner_DG, ends[1]], 1).log())


@dataclass(frozen=True)
class ReplacedCells:
    """The conditional law of every cell as probabilities of nodes: Cells.

    Args:
        found_BD: the rows.
        log_prob_BD: log-densities of what was found.
        nodes: of the columns.
        up_to_BDG: the probability of a node and all before it.
    """

    found_BD: Tensor
    log_prob_BD: Tensor
    nodes: Nodes
    up_to_BDG: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, density: JointDensity, x_BD: Tensor, nodes: Nodes) -> Self:
        """Return what a joint density says of the cells of some rows, without missing ones."""
        count, dims = x_BD.shape
        log_q_B, many = density.log_prob(x_BD), nodes.value_DG.shape[1]
        log_p_BDG = x_BD.new_empty(count, dims, many)
        at_once = max(1, BATCH // many)
        for d in range(dims):
            for first in range(0, count, at_once):
                tried_bGD = x_BD[first : first + at_once, None].repeat(1, many, 1)
                tried_bGD[..., d] = nodes.value_DG[d]
                log_q_bG = density.log_prob(tried_bGD.flatten(0, 1)).unflatten(0, (-1, many))
                log_p_BDG[first : first + at_once, d] = log_q_bG + nodes.log_gap_DG[d]
        log_total_BD = log_p_BDG.logsumexp(-1)
        up_to_BDG = (log_p_BDG - log_total_BD[..., None]).exp().cumsum(-1)
        return cls(x_BD, log_q_B[:, None] - log_total_BD, nodes, up_to_BDG)

    @property
    def below_BD(self) -> Tensor:
        """The probability of less than what was found."""
        value_DG, columns = self.nodes.value_DG, range(self.found_BD.shape[1])
        found = [torch.searchsorted(value_DG[d], self.found_BD[:, d].contiguous()) for d in columns]
        (low_BD, high_BD), (p_low_BD, p_high_BD) = self._around(torch.stack(found, 1))
        return p_low_BD + (p_high_BD - p_low_BD) * ((self.found_BD - low_BD) / (high_BD - low_BD)).clamp(0, 1)

    @property
    def at_most_BD(self) -> Tensor:
        """The same: no value has a mass."""
        return self.below_BD

    def quantile(self, u: float) -> Tensor:
        """Return the u-quantile of every cell, shape (B, D)."""
        (low_BD, high_BD), (p_low_BD, p_high_BD) = self._around((self._middle() < u).sum(-1))
        return low_BD + (high_BD - low_BD) * ((u - p_low_BD) / (p_high_BD - p_low_BD).clamp(min=1e-12)).clamp(0, 1)

    def _around(self, right_BD: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return the values of a node's left neighbour and its own, and the distribution function at both."""
        right_BD1 = right_BD.clamp(1, self.nodes.value_DG.shape[1] - 1)[..., None]
        value_BDG, middle_BDG = self.nodes.value_DG.expand(len(right_BD), -1, -1), self._middle()
        (low, high), (p_low, p_high) = (
            (of_BDG.gather(-1, right_BD1 - 1)[..., 0], of_BDG.gather(-1, right_BD1)[..., 0])
            for of_BDG in (value_BDG, middle_BDG)
        )
        return (low, high), (p_low, p_high)

    def _middle(self) -> Tensor:
        """Return the distribution function at the nodes: half of a node's own probability counts."""
        before_BDG = torch.cat([torch.zeros_like(self.up_to_BDG[..., :1]), self.up_to_BDG[..., :-1]], -1)
        return 0.5 * (before_BDG + self.up_to_BDG)
