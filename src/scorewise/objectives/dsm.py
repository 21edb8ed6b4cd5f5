"""Denoising score matching (Vincent 2011)."""

from collections.abc import Mapping
from typing import Annotated

from torch import Tensor

from scorewise.capabilities.roles import Scaled
from scorewise.noise import Draws
from scorewise.objectives.objective import FieldModel, FieldObjective
from scorewise.ranges import Between, Positive, within_ranges


class DSM(FieldObjective[FieldModel]):
    """Denoising score matching |s(x + sigma z) + z / sigma|^2 / 2, as the slides have it (the plus sign is right).

    It learns the score of the data blurred once more by sigma: on a Gaussian of variance v the slope is
    -1 / (v + sigma^2). On conditional scores it learns those of the jointly blurred density.

    Args:
        sigma: standard deviation of the perturbation, in the scale of the data.
        sigma_power: p of the loss sigma^p |...|^2 / 2: 0 is Vincent's scale, 2 that of NCSN, 4 that of the published
            code of sliced score matching. `loss_unscaled` is always logged in Vincent's.
        field: joint, conditional or auto.

    Raises:
        ValueError: sigma is not positive, or no such field.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Score
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import DSM
        >>> model = Score(MLP((2,), (16,)), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = DSM(sigma=0.1)(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    @within_ranges
    def __init__(
        self,
        sigma: Annotated[float, Positive("DSM divides by it")],
        sigma_power: Annotated[float, Between(-10, 10)] = 0.0,
        field: str = "auto",
    ) -> None:
        super().__init__(field)
        self.noise = sigma
        self.scale: float = sigma**sigma_power

    def per_example(self, model: FieldModel, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example, shape (B,)."""
        z_BD = self._drawn(x_BD, draws)
        s_BD = self.field_of(model)(x_BD + self.noise * z_BD)
        return self.scale * 0.5 * (s_BD + z_BD / self.noise).square().sum(-1)

    def numbers(self, loss_B: Tensor) -> Mapping[str, Tensor]:
        """Return the loss in Vincent's scale."""
        return {"loss_unscaled": loss_B / self.scale}

    def without_constant(self, loss_B: Tensor, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss in Vincent's scale less |z|^2 / (2 sigma^2), in expectation D / (2 sigma^2), shape (B,).

        In expectation the rest is E[|s|^2 / 2 + tr ds/dx] on the law that the perturbation blurs. The drawn |z|^2 is
        taken rather than D because it takes its noise away too, most of the loss where sigma is small.
        """
        return loss_B / self.scale - 0.5 * (self._drawn(x_BD, draws) / self.noise).square().sum(-1)

    def _drawn(self, x_BD: Tensor, draws: Draws) -> Tensor:
        return draws.fork("dsm").normal(x_BD.shape[1], dtype=x_BD.dtype)

    def gain(self, model: Scaled) -> float:
        """Return sigma^2 over the scale of the loss, which makes the target of order one at every sigma."""
        return self.noise**2 / self.scale
