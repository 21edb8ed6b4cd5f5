"""Composite score matching with a short calibration by maximum likelihood at the end."""

from typing import Annotated, Protocol

from torch import Tensor

from scorewise.capabilities import ConditionalScoreModel, NormalisedDensity
from scorewise.capabilities.roles import Scaled
from scorewise.noise import Draws
from scorewise.objectives.csm import CSM
from scorewise.objectives.mle import MLE
from scorewise.objectives.objective import Loss, Objective
from scorewise.ranges import Between, within_ranges


class CalibratedModel(ConditionalScoreModel, NormalisedDensity, Protocol):
    """Has conditional scores and the density that they are normalised to."""


class CSMMLE(Objective[CalibratedModel]):
    """CSM (eq. 5 of Autoregressive Score Matching), then exact maximum likelihood for the last steps.

    CSM does not see the relative weight of separated modes; the likelihood of the same model does. Held-out examples
    are always ranked by their negative log-likelihood, nats.

    Args:
        share: of the steps, the last ones, that are maximum likelihood.

    Raises:
        ValueError: a share outside [0, 1].

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalScore
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import CSMMLE
        >>> model = ConditionalScore(MADE((2,), 12, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = CSMMLE(share=0.2)(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (ConditionalScoreModel,)
    heads = ("conditional_score",)
    derivatives = 1
    any_order = True
    ranks_by_likelihood = True

    @within_ranges
    def __init__(self, share: Annotated[float, Between(0, 1, "it is a share of the steps")] = 0.2) -> None:
        self.share = share
        self.phases: dict[bool, Objective] = {False: CSM(), True: MLE()}
        self.calibrating = share == 1

    def progress(self, done: float) -> None:
        """Change over to maximum likelihood when only the last share of a run is left."""
        self.calibrating = done >= 1 - self.share

    def __call__(self, model: CalibratedModel, x_BD: Tensor, draws: Draws, weight_B: Tensor | None = None) -> Loss:
        """Return the loss of a batch by the objective in force."""
        return self.phases[self.calibrating](model, x_BD, draws, weight_B)

    def per_example(self, model: CalibratedModel, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return J_CSM or - log q(x) of every example, shape (B,)."""
        return self.phases[self.calibrating].per_example(model, x_BD, draws)

    def held_out(self, model: CalibratedModel, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return - log q(x) of every example in nats, shape (B,)."""
        return self.phases[True].held_out(model, x_BD, draws)

    def gain(self, model: Scaled) -> float:
        """Return the gain of the objective in force."""
        return self.phases[self.calibrating].gain(model)
