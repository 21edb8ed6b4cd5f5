"""The family N(centre, variance I) with two unknowns, as whatever an objective may need of a model."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from scorewise.likelihood import BlockFlowODE


class Family(nn.Module):
    """N(centre, variance I) as an objective sees it before it is fitted."""

    noise = 0.0

    def __init__(self, centre: float, variance: float) -> None:
        super().__init__()
        self.centre, self.variance = nn.Parameter(torch.tensor(centre)), nn.Parameter(torch.tensor(variance))
        self.mean, self.scale = torch.tensor(0.0), torch.tensor(2.0)  # of the data, roughly: where chains start

    def pull(self, x: Tensor, more: Tensor | float = 0.0) -> Tensor:
        """Return the score of the law with this much more variance, shape of x; elementwise."""
        return -(x - self.centre) / (self.variance + more)

    def depth(self, x: Tensor) -> Tensor:
        """Return minus the log-density without its normaliser, shape of x; elementwise."""
        return (x - self.centre).square() / (2 * self.variance)


class Joint(Family):
    """The family as a ScoreModel."""

    def score(self, x_BD: Tensor) -> Tensor:
        return self.pull(x_BD)


class NoisyJoint(Family):
    """The family as a NoisyScoreModel; the variance is that of the clean law."""

    def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor:
        return self.pull(x_BD, sigma_B[:, None].square())


class Energies(Family):
    """The family as an EnergyModel."""

    def energy(self, x_BD: Tensor) -> Tensor:
        return self.depth(x_BD).sum(-1)


class Density(Family):
    """The family as a NormalisedDensity."""

    def log_prob(self, x_BD: Tensor) -> Tensor:
        return -(self.depth(x_BD) + 0.5 * (2 * math.pi * self.variance).log()).sum(-1)


class Causal(Family):
    """What all that have conditionals share: a context, which independent dimensions need not read."""

    def context(self, x_BD: Tensor) -> Tensor:
        return torch.zeros(*x_BD.shape, 1)


class Conditionals(Causal):
    """The family as a ConditionalScoreModel."""

    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        return self.pull(q_BD)


class DenseConditionals(Density, Conditionals):
    """The family as a ConditionalScoreModel with a likelihood."""


class NoisyConditionals(Causal):
    """The family as a NoisyConditionalScoreModel; the variance is that of the clean law."""

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        return self.pull(q_BD, sigma_BD.square())


class InBlocks(Family):
    """What all that have blocks share: blocks of `size` dimensions as they lie, with a context that nobody reads."""

    size = 2

    def split(self, x_BD: Tensor) -> Tensor:
        x_BKb: Tensor = x_BD.unflatten(-1, (-1, self.size))
        return x_BKb

    def join(self, x_BKb: Tensor) -> Tensor:
        return x_BKb.flatten(-2)

    def block_context(self, x_BD: Tensor) -> Tensor:
        return torch.zeros(len(x_BD), x_BD.shape[1] // self.size, 1)


class Blocks(InBlocks):
    """The family as a BlockScoreModel."""

    def block_score(self, q_BKb: Tensor, c_BKF: Tensor) -> Tensor:
        return self.pull(q_BKb)


class NoisyBlocks(InBlocks):
    """The family as a NoisyBlockScoreModel; the variance is that of the clean law."""

    def noisy_block_score(self, q_BKb: Tensor, c_BKF: Tensor, sigma_BK: Tensor) -> Tensor:
        return self.pull(q_BKb, sigma_BK.unsqueeze(-1).square())


class FlowingBlocks(NoisyBlocks):
    """The same with a ladder of levels, from so far above the data that their width does not matter there."""

    levels, std = (100.0, 0.4), 1.5

    def unchecked_log_prob(self, x_BD: Tensor, finer: float = 1) -> Tensor:
        model: Any = self
        return BlockFlowODE(steps=30, in_training=1.0).unchecked_log_prob(model, x_BD, finer)[0]


class Machine(Causal):
    """The family as a ProposalModel; the proposal is N(0, scale^2) and has nothing to learn."""

    def conditional_energy(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        return self.depth(q_BD)

    def proposal_log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        return -0.5 * (q_BD / self.scale).square() - (math.sqrt(2 * math.pi) * self.scale).log()

    def proposal_sample(self, c_BDF: Tensor, uniform_MBD: Tensor, normal_MBD: Tensor) -> Tensor:
        return self.scale * normal_MBD
