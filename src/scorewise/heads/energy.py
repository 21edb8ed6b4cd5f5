"""A scalar energy, with its score."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from scorewise.capabilities import Features, GradientFeatures, LaplacianFeatures
from scorewise.gradients import Derivatives, exact_trace, score_of_log_density
from scorewise.heads.examples import in_type_of, of_examples
from scorewise.heads.model import Model


class Energy(Model):
    """An energy-based model: EnergyModel, and ScoreModel through its gradient.

    Args:
        backbone: features of the whole example; smooth.
        confining: adds |u|^2 / 2, so that the model starts as a Gaussian and its density can be normalised
            when the network grows slower than that.
        mean, std, noise: of the data, see `Model`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Energy
        >>> model = Energy(MLP((2,), (16,)), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> model.energy(x).shape, model.score(x).shape
        (torch.Size([5]), torch.Size([5, 2]))
    """

    needs = (Features,)
    tells_runs_apart = True
    by_hand: ClassVar[bool] = True
    """Whether `score` may follow from the layers of the backbone; not in a class that changes `energy`."""

    def __init__(
        self, backbone: nn.Module, *, confining: bool = True, mean: float = 0.0, std: float = 1.0, noise: float = 0.0
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        self.confining = confining
        self.last = nn.Linear(self.backbone.width, 1, bias=False)  # an energy is defined up to a constant

    @classmethod
    def derivatives_of(cls, field: str) -> Derivatives:
        """Return one everywhere: the score is a gradient."""
        return Derivatives(1, 1)

    @of_examples
    def energy(self, x_BD: Tensor) -> Tensor:
        """Return E(x) = - log q(x) + constant, shape (B,)."""
        u_BD = self.standardise(x_BD)
        net_B: Tensor = self.last(self.backbone.features(u_BD)).squeeze(-1)
        return net_B + 0.5 * u_BD.square().sum(-1) if self.confining else net_B

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "energy" in vars(cls):
            cls.by_hand = False
        if {"energy", "score"} & set(vars(cls)) and "traced_score" not in vars(cls):
            cls.traced_score = None  # type: ignore[method-assign, assignment]  # ours is that of another energy

    @of_examples
    def score(self, x_BD: Tensor) -> Tensor:
        """Return - grad_x E(x), shape of x, without automatic differentiation where the backbone has gradients."""
        if not (self.by_hand and isinstance(self.backbone, GradientFeatures)):
            return score_of_log_density(lambda x: -self.energy(x), x_BD)
        with torch.autocast(x_BD.device.type, enabled=False):  # half precision loses the loss
            u_BD = self.standardise(x_BD)
            gradient_BD = self.backbone.features_gradient(u_BD, self.last.weight[0])
            return -(gradient_BD + u_BD if self.confining else gradient_BD) / self.scale

    def traced_score(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the score (B, D) and the trace of its Jacobian, - the Laplacian of E, (B,).

        From one forward pass where the backbone carries Laplacians along, else by a backward pass per dimension.
        """
        if not isinstance(self.backbone, LaplacianFeatures):
            return exact_trace(self.score, x_BD)
        with torch.autocast(x_BD.device.type, enabled=False):
            u_BD, weight_F = self.standardise(in_type_of(self, x_BD)), self.last.weight[0]
            _, gradient_DBF, laplacian_BF = self.backbone.laplacian_features(u_BD)
            gradient_BD, laplacian_B = (gradient_DBF @ weight_F).t(), laplacian_BF @ weight_F
            if self.confining:
                gradient_BD, laplacian_B = gradient_BD + u_BD, laplacian_B + self.dims
            return -gradient_BD / self.scale, -laplacian_B / self.scale**2
