"""Models whose log-density has no closed form."""

from abc import ABC

import torch
from torch import Tensor

from scorewise.heads.examples import of_examples, of_rows
from scorewise.heads.model import CausalModel, Model
from scorewise.likelihood.likelihood import Likelihood, Normaliser


class WithLikelihood(Model, ABC):
    """A model whose log-density a rule has numerically: NormalisedDensity, UncheckedDensity, NumericalDensity."""

    likelihood: Normaliser | None = None

    def normaliser(self) -> Normaliser:
        """Return the rule that has the log-density.

        Raises:
            ValueError: the model was given none.
        """
        if self.likelihood is None:
            raise ValueError("this model has no likelihood: set model.likelihood to one of scorewise.likelihood first")
        return self.likelihood

    def read(self, x_BD: Tensor) -> Tensor:
        """Return examples as the model reads them."""
        return x_BD

    @of_rows
    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,).

        Raises:
            ValueError: the model has no likelihood, or conditionals that no likelihood can normalise; x is not finite.
        """
        read_BD = self.read(x_BD)
        if not bool(read_BD.isfinite().all()):
            row = int((~read_BD.isfinite()).any(-1).int().argmax())
            raise ValueError(
                f"x is not finite in row {row}: a log-density is of finite numbers, so leave such rows out"
            )
        return self.normaliser().log_prob(self, x_BD)

    @of_rows
    def unchecked_log_prob(self, x_BD: Tensor, finer: float = 1) -> Tensor:
        """Return log q(x) in nats, shape (B,), never refused: early in training much mass may be outside the range.

        Args:
            x_BD: examples.
            finer: factor of the likelihood's nodes or steps.

        Raises:
            ValueError: the model has no likelihood.
        """
        return self.normaliser().unchecked_log_prob(self, x_BD, finer)[0]

    @of_examples
    def quadrature_error(self, x_BD: Tensor) -> Tensor:
        """Return |log q| against twice the nodes or steps of its normaliser, nats, shape (B,)."""
        return self.normaliser().numbers(self, x_BD)["nll_quadrature_error"]


class NumericallyNormalised(WithLikelihood, CausalModel, ABC):
    """A causal model whose conditionals a `Likelihood` normalises numerically: NormalisedDensity, UncheckedDensity."""

    likelihood: Likelihood | None = None

    def normaliser(self) -> Likelihood:
        """Return the likelihood that normalises the conditionals.

        Raises:
            ValueError: the model was given none.
        """
        super().normaliser()
        assert self.likelihood is not None
        return self.likelihood

    def read(self, x_BD: Tensor) -> Tensor:
        """Return examples as the model reads them, of any order with the mean where an entry is missing."""
        return self.filled(x_BD) if self.any_order else x_BD

    def log_prob_given(self, x_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return log q(x_d | c_d) in nats, shape (B, D), never refused and in full precision."""
        with torch.autocast(x_BD.device.type, enabled=False):
            return self.normaliser().of_contexts(self, x_BD, c_BDF, 1)[0]

    def conditional_quantile(self, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the x_d with q(y_d < x_d | c_d) = u_d, shape of u."""
        return self.normaliser().quantile(self, u_BD, c_BDF)
