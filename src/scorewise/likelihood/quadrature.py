"""Normalised likelihood of autoregressive models whose conditionals have no closed form."""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from scorewise.capabilities import ConditionalEnergyModel, ConditionalScoreModel
from scorewise.capabilities.roles import ConditionalEnergies, ConditionalScores, Scaled
from scorewise.likelihood.conditionals import Conditionals
from scorewise.likelihood.likelihood import Likelihood, Share, Values
from scorewise.likelihood.panels import Panels
from scorewise.likelihood.recomputed import recomputed
from scorewise.likelihood.refinement import HALVINGS, Found, refined
from scorewise.ranges import AtLeast, Count, Position, within_ranges

Normalisable = ConditionalScores | ConditionalEnergies
"""The models whose conditionals a quadrature normalises."""

AT_ONCE = 2**15
"""Evaluations of a head per chunk: the memory of a likelihood, forwards and backwards."""


class Quadrature(Likelihood[Normalisable]):
    """Likelihood log q(x) = sum_d E_d(x_d) - log int exp E_d by composite Gauss-Legendre quadrature.

    E_d is the antiderivative of the conditional score, or minus the conditional energy. The range belongs to the model:
    outside it E_d continues with the slope of the edge (0 for energies) and a curvature of - 1 / tau^2, tau the noise
    of the law, or the scale of the data where there is none.

    Args:
        low, high: the range, in the scale of the data; the data's own and six noise levels, say.
        panels: of `order` nodes; None: as wide as two noise levels (half a standard deviation of data without noise).
        order: nodes per panel.
        largest_tail: the mass of a conditional outside the range that is tolerated.
        in_training: share of the panels where gradients are wanted, which cost three times as much.
        values: conditionals of held-out examples that a test normalises (examples times dimensions).

    Raises:
        ValueError: an empty range, or settings that are no quadrature rule.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalScore
        >>> from scorewise.likelihood import Quadrature
        >>> model = ConditionalScore(MADE((2,), 12, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> model.likelihood = Quadrature(-8, 8)
        >>> model.log_prob(x).shape
        torch.Size([5])
    """

    needs = (ConditionalScoreModel, ConditionalEnergyModel)

    @within_ranges
    def __init__(
        self,
        low: Position,
        high: Position,
        panels: Count | None = None,
        order: Annotated[int, AtLeast(2)] = 8,
        largest_tail: Share = 1e-4,
        in_training: Share = 0.35,
        values: Values = 2_000_000,
    ) -> None:
        if low is None or high is None or not low < high:
            raise ValueError(f"likelihood.low={low} must be below likelihood.high={high}: the range of the data")
        self.low, self.high, self.panels, self.order = float(low), float(high), panels, order
        super().__init__(largest_tail, values)
        self.in_training = in_training
        Panels(self.low, self.high - self.low, 1 if panels is None else panels, order)

    def rule(self, model: Normalisable, finer: float = 1) -> Panels:
        """Return the panels for a model, `finer` times as many."""
        tau = _tail_width(model)
        count = self.panels or max(4, math.ceil((self.high - self.low) / (2 * tau if model.noise > 0 else tau / 2)))
        low = torch.tensor(self.low, dtype=torch.float64, device=model.mean.device)
        return Panels(low, self.high - self.low, max(1, math.ceil(count * finer - 1e-9)), self.order)

    def nodes(self, model: Normalisable) -> int:
        """Return G, the nodes per conditional."""
        return self.rule(model).count * self.order

    def describe(self, model: Normalisable) -> str:
        """Return the nodes and the range."""
        return f"by quadrature on {self.nodes(model)} nodes in [{self.low:g}, {self.high:g}]"

    def conditionals(self, model: Normalisable, c_RF: Tensor, finer: float = 1) -> Conditionals:
        """Return the normalised conditionals of R contexts, by `finer` times the panels."""
        panels, tau = self.rule(model, finer), _tail_width(model)
        if isinstance(model, ConditionalEnergyModel):
            return Conditionals.of_log_density(panels, lambda q: -_rows(model.conditional_energy, q, c_RF), tau)
        return Conditionals.of_score(panels, lambda q: _rows(model.conditional_score, q, c_RF), tau)

    def of_contexts(self, model: Normalisable, x_BD: Tensor, c_BDF: Tensor, finer: float) -> tuple[Tensor, Tensor]:
        """Return log q(x_d | c_d), differentiable at bounded memory, and the mass outside the range, both (B, D).

        Panels are halved for the conditionals that need it, but not in training, nor where fewer panels are asked for.
        """
        c_RF, x_R = c_BDF.flatten(0, 1), x_BD.flatten()
        graph = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()

        def rule(rows_R: Tensor | None, finer: float, before_R: Tensor | None) -> Found:
            here_RF, y_R = (c_RF, x_R) if rows_R is None else (c_RF[rows_R], x_R[rows_R])
            log_q_R, outside_R, doubt_R = self._log_q(model, y_R, here_RF, finer, graph)
            return Found(log_q_R, outside_R, doubt_R, _difference(log_q_R.detach(), before_R))

        training = graph and model.training
        if training or finer < 1:
            finer = finer * self.in_training if training else finer
            log_q_R, outside_R, _ = self._log_q(model, x_R, c_RF, finer, graph)
        else:
            log_q_R, outside_R = refined(rule, finer)
        return log_q_R.reshape(x_BD.shape).to(x_BD.dtype), outside_R.reshape(x_BD.shape)

    def _log_q(
        self, model: Normalisable, x_R: Tensor, c_RF: Tensor, finer: float, graph: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return log q(x | c), the mass outside the range and the doubt, in chunks of bounded memory."""
        chunk = self.chunk(model, finer)
        parts: list[tuple[Tensor, ...]] = []
        weights = [one for one in model.parameters() if one.requires_grad]

        def of_rows(x_r: Tensor, c_rF: Tensor) -> tuple[Tensor, ...]:
            return self._of_rows(model, x_r, c_rF, finer)

        for rows in zip(x_R.split(chunk), c_RF.split(chunk), strict=True):
            parts.append(
                recomputed(of_rows, rows, weights) if graph else tuple(part.detach() for part in of_rows(*rows))
            )
        log_q_R, outside_R, doubt_R = (torch.cat(part) for part in zip(*parts, strict=True))
        return log_q_R, outside_R.detach(), doubt_R.detach()

    def chunk(self, model: Normalisable, finer: float) -> int:
        """Return how many conditionals are normalised at once, which bounds the memory."""
        return max(1, AT_ONCE // self.rule(model, finer).count // self.order)

    def _of_rows(self, model: Normalisable, x_R: Tensor, c_RF: Tensor, finer: float) -> tuple[Tensor, Tensor, Tensor]:
        law = self.conditionals(model, c_RF, finer)
        if isinstance(model, ConditionalEnergyModel):
            inside_R = x_R.clamp(self.low, self.high)
            energy_R = -model.conditional_energy(inside_R, c_RF).to(torch.float64) + law.tail(x_R.to(torch.float64))
            return energy_R - law.log_z_R, law.outside(), law.doubt(x_R)
        return law.log_density(x_R), law.outside(), law.doubt(x_R)

    def why(self, model: Normalisable) -> str:
        """Return why conditionals with much mass outside the range have no likelihood."""
        return (
            f"lies outside [{self.low:g}, {self.high:g}] (likelihood.largest_tail={self.largest_tail:g}), where its "
            "score does not decay: train it longer, with more noise or with head.form=edm, or widen likelihood.low "
            "and likelihood.high"
        )

    def objection(self, model: Normalisable, mass: float) -> str:
        """Return why a conditional has no likelihood: it is not resolved, or holds such a mass outside the range."""
        if math.isfinite(mass):
            return super().objection(model, mass)
        return (
            f"a conditional is not resolved by {2**HALVINGS} times the panels of likelihood.panels="
            f"{self.rule(model).count}: its score changes too fast or is not a number, so this model has no likelihood "
            "to report; train it longer, with more noise, or give more likelihood.panels"
        )

    def beyond(self, x_BD: Tensor) -> Tensor:
        """Return how many entries of every example are outside the range, shape (B,)."""
        return ((x_BD < self.low) | (x_BD > self.high)).sum(-1)

    def cdf(self, model: Normalisable, x_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return q(y_d < x_d | c_d), (B, D): with the contexts of x itself the probability integral transform."""

        def below(law: Conditionals, x_R: Tensor, before_R: Tensor | None) -> Found:
            share_R = law.cdf(x_R)
            return Found(share_R, law.outside(), law.doubt(None), _difference(share_R, before_R))

        return self._of_laws(model, below, x_BD, c_BDF, 1)[0]

    def quantile(self, model: Normalisable, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the x_d with q(y_d < x_d | c_d) = u_d, shape (B, D).

        By 0.7 times the panels of the likelihood: a draw needs 1e-3 of a noise level, not 1e-5 nats.
        """

        def drawn(law: Conditionals, u_R: Tensor, before_R: Tensor | None) -> Found:
            share_R = None if before_R is None else law.cdf(before_R)
            return Found(law.quantile(u_R), law.outside(), law.doubt(None), _difference(u_R, share_R))

        x_BD, outside_R = self._of_laws(model, drawn, u_BD, c_BDF, 0.7)
        self.tell(model, outside_R)
        return x_BD

    def _of_laws(
        self,
        model: Normalisable,
        say: Callable[[Conditionals, Tensor, Tensor | None], Found],
        value_BD: Tensor,
        c_BDF: Tensor,
        finer: float,
    ) -> tuple[Tensor, Tensor]:
        """Return what refined conditionals say of values, shape (B, D), and their mass outside the range, (R,)."""
        c_RF, value_R = c_BDF.flatten(0, 1), value_BD.flatten()

        def rule(rows_R: Tensor | None, finer: float, before_R: Tensor | None) -> Found:
            here_RF, here_R = (c_RF, value_R) if rows_R is None else (c_RF[rows_R], value_R[rows_R])
            chunk = self.chunk(model, finer)
            befores = [None] * len(here_R) if before_R is None else before_R.split(chunk)
            rows = zip(here_RF.split(chunk), here_R.split(chunk), befores, strict=False)
            if not len(here_R):  # a split of nothing has no part to join
                return Found(here_R, here_R, here_R, here_R)
            parts = [say(self.conditionals(model, c_rF, finer), v_r, before_r) for c_rF, v_r, before_r in rows]
            return Found(*(torch.cat(part) for part in zip(*parts, strict=True)))

        with torch.no_grad(), torch.autocast(c_BDF.device.type, enabled=False):
            found_R, outside_R = refined(rule, finer)
        return found_R.reshape(value_BD.shape).to(c_BDF.dtype), outside_R


def _difference(one_R: Tensor, other_R: Tensor | None) -> Tensor:
    return torch.zeros_like(one_R) if other_R is None else (one_R - other_R).abs()


def _rows(head: Callable[[Tensor, Tensor], Tensor], q_GR: Tensor, c_RF: Tensor) -> Tensor:
    """Return a head's output for queries (G, R) or (G, 1) at the contexts of R rows, shape (G, R)."""
    value_GR: Tensor = head(q_GR.to(c_RF.dtype), c_RF)
    return value_GR.expand(-1, len(c_RF))


def _tail_width(model: Scaled) -> float:
    """Return tau: the noise of the law, or the scale of the data where there is none."""
    return float(model.noise) if model.noise > 0 else float(model.scale)
