"""What every numerical likelihood shares: when it is refused, and what it rests on."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, Any, ClassVar, Generic

import torch
from torch import Tensor
from typing_extensions import TypeVar

from scorewise.capabilities import MaskedContexts
from scorewise.capabilities.roles import Contextual, Scaled
from scorewise.ranges import AtLeast, Between, within_ranges

N = TypeVar("N", bound=Scaled, default=Any)
"""The models that a normaliser is for."""
M = TypeVar("M", bound=Contextual, default=Any)
"""The models that a likelihood normalises."""

Share = Annotated[float, Between(0, 1, "it is a share", without=("low",))]
Values = Annotated[int, AtLeast(1, "1 tests one example")]


class TailMass(ValueError):
    """Conditionals hold more mass outside the range than a likelihood may ignore, or are not resolved at all."""


class Normaliser(ABC, Generic[N]):
    """A rule that has the log-density of models numerically, and knows when it cannot.

    Everything is in full precision, inside `torch.autocast` too.

    Args:
        largest_tail: the mass of a conditional outside the range that is tolerated.
        values: conditionals of held-out examples that a test normalises (examples times dimensions).

    Raises:
        ValueError: a tail that is no share, or fewer than one conditional.
    """

    needs: ClassVar[tuple[type, ...]]

    @within_ranges
    def __init__(
        self,
        largest_tail: Share,
        values: Values,
    ) -> None:
        self.largest_tail, self.values = largest_tail, values

    @abstractmethod
    def describe(self, model: N) -> str:
        """Return how the numbers come about, for people."""

    @abstractmethod
    def why(self, model: N) -> str:
        """Return what a refusal says after the mass: the range, what is wrong and what to do."""

    @abstractmethod
    def unchecked_log_prob(self, model: N, x_BD: Tensor, finer: float = 1) -> tuple[Tensor, Tensor]:
        """Return log q(x) in nats, (B,), and masses outside the range, (B, D) or (B, 1); never refused.

        Args:
            model: that has the density.
            x_BD: examples.
            finer: factor of the nodes or steps.
        """

    @abstractmethod
    def numbers(self, model: N, x_BD: Tensor) -> dict[str, Tensor]:
        """Return what a reported likelihood rests on, per example (B,).

        nll_quadrature_error: |log q| by the nodes or steps against twice as many, nats; others by name.
        """

    def objection(self, model: N, mass: float) -> str:
        """Return why a conditional with a mass outside the range (infinite: undefined) has no likelihood."""
        return f"{_share(mass)} {self.why(model)}"

    def beyond(self, x_BD: Tensor) -> Tensor:
        """Return how many entries of every example are outside the range, shape (B,)."""
        return torch.zeros_like(x_BD[:, 0])

    def log_prob(self, model: N, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,).

        Raises:
            TailMass: a conditional's mass is not inside the range.
        """
        log_q_B, outside_BD = self.unchecked_log_prob(model, x_BD)
        mass_B, worst_B = self.worst(outside_BD)
        self.refuse(model, mass_B, worst_B)
        return log_q_B

    def tell(self, model: N, outside_R: Tensor) -> None:
        """Tell `warned` of conditionals that were drawn from and that `log_prob` would refuse, if it is in force."""
        told = _TOLD.get()
        if told is not None and outside_R.numel():
            mass = float(outside_R.nan_to_num(nan=torch.inf).max())
            if not mass <= self.largest_tail:
                told.append((mass, self.objection(model, mass)))

    def worst(self, outside_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the largest mass outside of every example and its dimension, both (B,); NaN is the largest."""
        mass_B, worst_B = outside_BD.nan_to_num(nan=torch.inf).max(-1)
        return mass_B, worst_B

    def refuse(self, model: N, mass_B: Tensor, worst_B: Tensor) -> None:
        """Refuse conditionals with more mass outside the range than is tolerated.

        Args:
            model: for the sentence.
            mass_B: largest mass outside, of every example.
            worst_B: of which dimension that is.

        Raises:
            TailMass: which dimension, how much, and what to do.
        """
        if not len(mass_B):
            return
        first = int(mass_B.argmax())
        mass = float(mass_B[first])
        if not mass <= self.largest_tail:
            raise TailMass(f"dimension {int(worst_B[first])}: {self.objection(model, mass)}")


class Likelihood(Normaliser[M], ABC, Generic[M]):
    """A rule that normalises one-dimensional conditionals, and knows when it cannot; see `Normaliser`."""

    @abstractmethod
    def of_contexts(self, model: M, x_BD: Tensor, c_BDF: Tensor, finer: float) -> tuple[Tensor, Tensor]:
        """Return log q(x_d | c_d) and the mass of that conditional outside the range (NaN: undefined), both (B, D)."""

    @abstractmethod
    def quantile(self, model: M, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the x_d with q(y_d < x_d | c_d) = u_d, shape (B, D)."""

    def conditional_log_prob(self, model: M, x_BD: Tensor, finer: float = 1) -> tuple[Tensor, Tensor]:
        """Return log q(x_d | x_<d) and the mass of every conditional outside the range, both (B, D); never refused."""
        with torch.autocast(x_BD.device.type, enabled=False):
            return self.of_contexts(model, x_BD, model.context(x_BD), finer)

    def unchecked_log_prob(self, model: M, x_BD: Tensor, finer: float = 1) -> tuple[Tensor, Tensor]:
        """Return log q(x) in nats, (B,), and the mass of every conditional outside the range, (B, D); never refused.

        Of a model of any order it is the density of the equal mixture of its orders, with the largest of their masses,
        of the entries that are present (not NaN).
        """
        if not isinstance(model, MaskedContexts) or not model.any_order:
            log_q_BD, outside_BD = self.conditional_log_prob(model, x_BD, finer)
            return log_q_BD.sum(-1), outside_BD
        found, q_BD, missing_BD = [], model.filled(x_BD), x_BD.isnan()
        with torch.autocast(x_BD.device.type, enabled=False):
            for ordering in model.orderings:
                pair = self.of_contexts(model, q_BD, model.context_along(x_BD, ordering), finer)
                found.append([value_BD.masked_fill(missing_BD, 0) for value_BD in pair])
        log_q_RB = torch.stack([log_q_BD.sum(-1) for log_q_BD, _ in found])
        outside_RBD = torch.stack([outside_BD for _, outside_BD in found]).nan_to_num(nan=torch.inf)
        return torch.logsumexp(log_q_RB, dim=0) - math.log(len(found)), outside_RBD.amax(0)

    def numbers(self, model: M, x_BD: Tensor) -> dict[str, Tensor]:
        """Return what a reported likelihood rests on, per example (B,).

        nll_quadrature_error: |log q| by the nodes or steps against twice as many, nats; nll_tail: largest mass of a
        conditional outside the range; nll_outside: entries of x outside it.
        """
        with torch.no_grad():
            coarse_BD, outside_BD = self.conditional_log_prob(model, x_BD)
            fine_BD, _ = self.conditional_log_prob(model, x_BD, finer=2)
        return {
            "nll_quadrature_error": (coarse_BD - fine_BD).sum(-1).abs(),
            "nll_tail": outside_BD.max(-1).values,
            "nll_outside": self.beyond(x_BD),
        }


_TOLD: ContextVar[list[tuple[float, str]] | None] = ContextVar("told", default=None)


@contextmanager
def warned() -> Iterator[None]:
    """Warn once, afterwards, if a conditional was drawn from whose likelihood would be refused: of the worst one."""
    told: list[tuple[float, str]] = []
    token = _TOLD.set(told)
    try:
        yield
    finally:
        _TOLD.reset(token)
    if told:
        warnings.warn(f"these samples are not of a proper law: {max(told)[1]}.", stacklevel=4)


def _share(mass: float) -> str:
    return f"{100 * mass:.3g} % of a conditional's mass" if mass <= 1 else "a conditional"
