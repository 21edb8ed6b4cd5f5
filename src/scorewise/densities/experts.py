"""A mixture of densities of very different kinds, with the weights that held-out rows give them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Generator, Tensor

ROUNDS = 100
PRIOR = 1.0
"""Held-out rows that every expert is taken to have explained beforehand."""
LEAST = 1e-3
"""The weight of an expert that is worth asking."""


class Expert(Protocol):
    """A normalised density that draws rows."""

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x), nats, shape (B,)."""

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n rows, shape (n, D)."""


@dataclass(frozen=True)
class Experts:
    """A mixture of experts whose weights are the same everywhere.

    Args:
        experts: the densities.
        log_weight_M: logarithms of their weights.
    """

    experts: Sequence[Expert]
    log_weight_M: Tensor

    @classmethod
    def weighted(cls, kept: Sequence[Expert], others: Sequence[Expert], held_VD: Tensor) -> Self:
        """Return the mixture that is likeliest for held-out rows with their noise, by EM.

        Every expert keeps the weight of one held-out row, so that it counts where all others are far off.

        Args:
            kept: experts that are in the mixture whatever their weight.
            others: experts that are left out where they weigh too little to be asked.
            held_VD: the held-out rows.
        """
        experts = [*kept, *others]
        log_q_MV = torch.stack([expert.log_prob(held_VD) for expert in experts])
        chosen_M = likeliest_weights(log_q_MV) >= math.log(LEAST)
        chosen_M[: len(kept)] = True
        chosen = [expert for expert, one in zip(experts, chosen_M.tolist(), strict=True) if one]
        return cls(chosen, likeliest_weights(log_q_MV[chosen_M]))

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x), nats, shape (B,)."""
        log_q_MB = torch.stack([expert.log_prob(x_BD) for expert in self.experts])
        return (self.log_weight_M[:, None] + log_q_MB).logsumexp(0)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n rows, shape (n, D), each from an expert of its own choice."""
        chosen_n = torch.multinomial(self.log_weight_M.exp(), n, replacement=True, generator=generator)
        counts = chosen_n.bincount(minlength=len(self.experts)).tolist()
        drawn = [expert.sample(count, generator) for expert, count in zip(self.experts, counts, strict=True) if count]
        return torch.cat(drawn)[torch.randperm(n, generator=generator)]


def likeliest_weights(log_q_MV: Tensor) -> Tensor:
    """Return the logarithms of the weights of M experts that are likeliest for V rows and one row each, shape (M,)."""
    log_weight_M = log_q_MV.new_full((len(log_q_MV),), 1 / len(log_q_MV)).log()
    for _ in range(ROUNDS):
        log_weight_M = ((log_weight_M[:, None] + log_q_MV).softmax(0).sum(1) + PRIOR).log()
        log_weight_M = log_weight_M - log_weight_M.logsumexp(0)
    return log_weight_M
