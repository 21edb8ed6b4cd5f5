"""Held-out likelihoods that a numerical normaliser gives, and whether they may be reported."""

import torch
from torch import Tensor
from torchmetrics import CatMetric

from scorewise.data.source import Source
from scorewise.heads.model import Model
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.likelihood.likelihood import Normaliser, TailMass
from scorewise.tasks.glimpse import CONDITIONALS, Glimpse, first_examples
from scorewise.tasks.measures import Measure, bits_per_dim

ERROR_OF = 32
"""Of how many examples the error of a quadrature is measured: it costs three likelihoods."""
TIMES = 10
"""Points of a validation curve."""
ERRORS = ("nll_quadrature_error", "nll_trace_error")
NAMES = ("nll", "bits_per_dim", *ERRORS, "nll_tail", "nll_outside")


class QuadratureCurve(Measure):
    """The likelihood of a model that has it by a numerical normaliser, for validation.

    Args:
        model: of conditionals.
        likelihood: that normalises them.
        source: of the examples.
    """

    names = ("nll", "bits_per_dim")

    def __init__(self, model: WithLikelihood, likelihood: Normaliser, source: Source) -> None:
        self.model, self.likelihood, self.source = model, likelihood, source

    @classmethod
    def glimpses(cls, model: Model, source: Source) -> list[Glimpse]:
        """Return the one glimpse of a model that has such a likelihood; none of another one."""
        if not isinstance(model, WithLikelihood) or model.likelihood is None:
            return []
        few = first_examples(CONDITIONALS, source.dims)
        return [Glimpse(cls(model, model.likelihood, source), few, TIMES)]

    def of(self, x_BD: Tensor) -> dict[str, Tensor]:
        """Return nll and bits_per_dim; NaN where too much mass is outside the range for a likelihood."""
        with torch.no_grad():
            log_q_B, outside_BD = self.likelihood.unchecked_log_prob(self.model, x_BD)
        mass_B, _ = self.likelihood.worst(outside_BD)
        nll_B = (-log_q_B).where(mass_B <= self.likelihood.largest_tail, torch.nan)
        return {"nll": nll_B, "bits_per_dim": bits_per_dim(nll_B, self.source.dims, self.source.log_volume)}


class QuadratureLikelihood:
    """The likelihood of the first held-out examples of one test, with what it rests on.

    Args:
        model: of conditionals.
        likelihood: that normalises them, and says of how many conditionals.
        source: of the examples.
    """

    def __init__(self, model: WithLikelihood, likelihood: Normaliser, source: Source) -> None:
        self.model, self.likelihood, self.source = model, likelihood, source
        self.forget()

    @classmethod
    def of_model(cls, model: Model, source: Source) -> "QuadratureLikelihood | None":
        """Return the likelihood of a model that has one by a numerical normaliser; None of another one."""
        if not isinstance(model, WithLikelihood) or model.likelihood is None:
            return None
        return cls(model, model.likelihood, source)

    def forget(self) -> None:
        """Forget an earlier test."""
        self.worst = CatMetric()

    def of(self, x_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Return the numbers of a batch of smoothed examples, of the first ones, as many as the likelihood is allowed.

        Args:
            x_BD: the examples.
            index_B: their places in the split, ascending.
        """
        x_BD = x_BD[: int((index_B < max(1, self.likelihood.values // self.source.dims)).sum())]
        if not len(x_BD):
            return {}
        found: dict[str, Tensor] = {}
        with torch.no_grad():
            log_q_B, outside_BD = self.likelihood.unchecked_log_prob(self.model, x_BD)
            if few := min(len(x_BD), int((index_B < ERROR_OF).sum())):
                numbers = self.likelihood.numbers(self.model, x_BD[:few])
                found = {name: numbers[name] for name in ERRORS if name in numbers}
        mass_B, worst_B = self.likelihood.worst(outside_BD)
        self.worst.to(x_BD.device).update(worst_B)
        nll_B = -log_q_B
        bits_B = bits_per_dim(nll_B, self.source.dims, self.source.log_volume)
        outside_B = self.likelihood.beyond(x_BD)
        return {**found, "nll_tail": mass_B, "nll_outside": outside_B, "nll": nll_B, "bits_per_dim": bits_B}

    def refusal(self, tail_N: Tensor) -> str | None:
        """Return why the likelihood of the test may not be reported, or None where it may.

        All processes come to the same end, since each looks at the examples of all.

        Args:
            tail_N: nll_tail of the examples of all processes.
        """
        worst_N = torch.as_tensor(self.worst.compute()).reshape(-1)
        try:
            # What is not a number has no likelihood, and is left out of its mean.
            self.likelihood.refuse(self.model, tail_N.nan_to_num(nan=0.0), worst_N)
        except TailMass as error:
            return str(error)
        return None
