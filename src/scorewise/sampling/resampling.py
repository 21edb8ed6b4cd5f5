"""Sampling-importance-resampling, dimension by dimension."""

from typing import Annotated

import torch
from torch import Generator, Tensor

from scorewise.capabilities import ProposalModel
from scorewise.capabilities.roles import CausalProposal
from scorewise.noise import normal_like, uniform_like
from scorewise.ranges import AtLeast, within_ranges
from scorewise.sampling.ancestral import Ancestral


class Resampling(Ancestral[CausalProposal]):
    """Draws from unnormalised conditionals: of many values from the proposal r, keep one (Rubin 1988).

    A value is kept with probability proportional to exp(-E) / r; the draw is exact as the number of proposals
    grows.

    Args:
        proposals: values per dimension to choose from.

    Raises:
        ValueError: no proposals.

    Example:
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalEnergy
        >>> from scorewise.sampling import Resampling
        >>> model = ConditionalEnergy(MADE((2,), 42, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> model.sampler = Resampling(proposals=20)
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (ProposalModel,)

    @within_ranges
    def __init__(self, proposals: Annotated[int, AtLeast(1, "one of them becomes the draw")] = 100) -> None:
        self.proposals = proposals

    def draw_block(self, model: CausalProposal, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return one of the proposals per context, shape (n, block)."""
        like_MBD = c_BDF.new_empty(1).expand(self.proposals, *c_BDF.shape[:2])
        q_MBD = model.proposal_sample(c_BDF, uniform_like(like_MBD, generator), normal_like(like_MBD, generator))
        log_w_MBD = -model.conditional_energy(q_MBD, c_BDF) - model.proposal_log_prob(q_MBD, c_BDF)
        gumbel_MBD = -torch.log(-torch.log(uniform_like(like_MBD, generator)))
        chosen_1BD = (log_w_MBD + gumbel_MBD).argmax(0, keepdim=True)  # Gumbel-max
        return q_MBD.gather(0, chosen_1BD).squeeze(0)
