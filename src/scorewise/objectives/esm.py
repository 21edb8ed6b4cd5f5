"""Explicit score matching against a kernel density estimate (Hyvarinen 2005; Vincent 2011, section 3)."""

from typing import Annotated, Any

import torch
from torch import Tensor

from scorewise.capabilities import ClosedFormDensity, ScoreModel
from scorewise.capabilities.roles import Scaled
from scorewise.estimators.kde import KDE, RULES
from scorewise.estimators.kernel import check_bandwidth
from scorewise.noise import Draws
from scorewise.objectives.objective import Objective, score_field, score_gain
from scorewise.ranges import AtLeast, within_ranges


class ESM(Objective[ScoreModel | ClosedFormDensity]):
    """Explicit score matching |s(x) - s_KDE(x)|^2 / 2 at x = example + h z, with a KDE of training examples.

    A KDE has a joint score, so the joint score of the model is fitted, never conditional scores. The optimum is the
    score of the data blurred by h: on a Gaussian of variance v the slope is -1 / (v + h^2). Where the examples are
    those of the KDE, the gradient is in expectation that of DSM with sigma = h (Vincent 2011), with less noise.

    Given as a number, the bandwidth is `noise`, so that the model knows which law it describes and can denoise. A rule
    only gives a number once the data are there, which is after the model was built: then `noise` is 0, the model
    takes the smoothing of the data for all of its noise, and the blur h stays unknown to it (`kde.bandwidth` has it).

    Args:
        bandwidth: h, a positive number in the scale of the data, or silverman, scott or loo, see `KDE`.
        references: how many training examples the KDE is made of.

    Raises:
        ValueError: no such rule, a number that is not positive, or fewer than 2 references.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Score
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import ESM
        >>> model = Score(MLP((2,), (16,)), noise=0.3)
        >>> esm = ESM()
        >>> esm.refer_to(torch.randn(500, 2))
        >>> loss = esm(model, torch.randn(32, 2), Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (ScoreModel, ClosedFormDensity)
    heads = ("score", "mixture")

    @within_ranges
    def __init__(
        self,
        bandwidth: str | float = "silverman",
        references: Annotated[int, AtLeast(2, "a KDE is made of them")] = 2000,
    ) -> None:
        check_bandwidth(bandwidth, RULES)
        self.bandwidth, self.references = bandwidth, references
        self.noise = 0.0 if bandwidth in RULES else float(bandwidth)
        self._kde: KDE | None = None

    @classmethod
    def field_with(cls, head: type, field: str = "auto", **settings: Any) -> str | None:
        """Return the joint field, whatever the head: that is what a KDE has."""
        return "joint"

    @property
    def kde(self) -> KDE:
        """The KDE of the reference examples.

        Raises:
            RuntimeError: there are none yet.
        """
        if self._kde is None:
            raise RuntimeError(
                "objective=esm has no reference examples to make a KDE of: give it training examples first, with "
                "objective.refer_to(x_ND), as the task does on every start"
            )
        return self._kde

    def refer_to(self, x_ND: Tensor) -> None:
        """Make the KDE, of examples smoothed as the data are."""
        self._kde = KDE(x_ND.detach(), self.bandwidth)

    def per_example(self, model: ScoreModel | ClosedFormDensity, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example, shape (B,).

        Raises:
            RuntimeError: `refer_to` was never called.
        """
        self.kde.x_ND = self.kde.x_ND.to(x_BD.device)  # a task sets the references before it moves the model
        z_BD = draws.fork("esm").normal(x_BD.shape[1], dtype=x_BD.dtype)
        blurred_BD = x_BD + self.kde.bandwidth * z_BD
        with torch.no_grad():
            target_BD = self.kde.score(blurred_BD)
        return 0.5 * (score_field(model, "joint")(blurred_BD) - target_BD).square().sum(-1)

    def gain(self, model: Scaled) -> float:
        """Return sigma^2 of the smoothed law, or the variance of the data where that has no noise."""
        return score_gain(model)
