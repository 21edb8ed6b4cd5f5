"""A vector field for the joint score."""

from typing import Annotated

from torch import Tensor, nn

from scorewise.capabilities import Features
from scorewise.heads.examples import of_examples
from scorewise.heads.forms import FORMS, ScoreForm
from scorewise.heads.model import Model
from scorewise.ranges import OneOf, within_ranges


class Score(Model):
    """A free vector field for grad_x log q(x): ScoreModel. It need not be the gradient of anything.

    Args:
        backbone: features of the whole example.
        form: raw, denoiser, edm or auto (see `forms`).
        mean, std, noise: of the data, see `Model`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Score
        >>> model = Score(MLP((2,), (16,)), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> model.score(x).shape
        torch.Size([5, 2])
    """

    needs = (Features,)

    @within_ranges
    def __init__(
        self,
        backbone: nn.Module,
        *,
        form: Annotated[str, OneOf(FORMS)] = "auto",
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        self.form = ScoreForm(form, std, noise)
        self.last = nn.Linear(self.backbone.width, self.dims)

    @of_examples
    def score(self, x_BD: Tensor) -> Tensor:
        """Return the joint score, shape of x."""
        u_BD = self.standardise(x_BD)
        return self.form(self.last(self.backbone.features(u_BD)), u_BD) / self.scale
