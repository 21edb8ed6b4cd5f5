"""Models of conditionals without a closed form, normalised numerically."""

from abc import ABC

from torch import Tensor, nn

from scorewise.heads.model import CausalModel
from scorewise.likelihood.likelihood import Likelihood


class LiftedModel(CausalModel, ABC):
    """A model of conditionals without a closed form; a likelihood lifts it to a NormalisedDensity."""

    def __init__(self, backbone: nn.Module, *, mean: float = 0.0, std: float = 1.0, noise: float = 0.0) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        self.likelihood: Likelihood | None = None

    def lifted(self) -> Likelihood:
        """Return the likelihood.

        Raises:
            ValueError: the model was given none.
        """
        if self.likelihood is None:
            raise ValueError("this model has no likelihood: set model.likelihood to one of scorewise.likelihood first")
        return self.likelihood

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,).

        Raises:
            ValueError: the model has no likelihood, or conditionals that no likelihood can normalise; x is not finite.
        """
        if not bool(x_BD.isfinite().all()):
            row = int((~x_BD.isfinite()).any(-1).int().argmax())
            raise ValueError(
                f"x is not finite in row {row}: a log-density is of finite numbers, so leave such rows out"
            )
        return self.lifted().log_prob(self, x_BD)

    def unchecked_log_prob(self, x_BD: Tensor, finer: float = 1) -> Tensor:
        """Return log q(x), shape (B,), as far as training has come, when it may not be a likelihood to report yet.

        It takes so many times the nodes or steps of the likelihood.
        """
        return self.lifted().conditional_log_prob(self, x_BD, finer)[0].sum(-1)

    def quadrature_error(self, x_BD: Tensor) -> Tensor:
        """Return |log q| against twice the nodes or steps of its normaliser, nats, shape (B,)."""
        return self.lifted().numbers(self, x_BD)["nll_quadrature_error"]

    def conditional_quantile(self, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the x_d with q(y_d < x_d | c_d) = u_d, shape of u."""
        return self.lifted().quantile(self, u_BD, c_BDF)
