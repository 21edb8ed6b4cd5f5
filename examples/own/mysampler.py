"""A sampler: Langevin dynamics of one dimension after the other, with steps that become smaller."""

import torch
from torch import Generator, Tensor

from scorewise.capabilities import ConditionalScoreModel
from scorewise.capabilities.roles import CausalScore
from scorewise.noise import normal_like, step_size
from scorewise.sampling import Ancestral


class Cooled(Ancestral[CausalScore]):
    """Steps a from `first` down to `last`, in units of the noise's variance."""

    needs = (ConditionalScoreModel,)

    def __init__(self, steps: int = 50, first: float = 1.0, last: float = 0.01) -> None:
        self.steps, self.first, self.last = steps, first, last

    def draw_block(self, model: CausalScore, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return one draw per context, shape (n, block)."""
        q_BD = model.mean.expand(c_BDF.shape[:2])
        q_BD = q_BD + model.scale * normal_like(q_BD, generator)
        for share in torch.linspace(0, 1, self.steps).tolist():
            a = step_size(self.first ** (1 - share) * self.last**share, model)
            q_BD = q_BD + a * model.conditional_score(q_BD, c_BDF) + (2 * a) ** 0.5 * normal_like(q_BD, generator)
        return q_BD
