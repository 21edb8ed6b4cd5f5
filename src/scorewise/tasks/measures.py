"""Held-out numbers per example that a model and its data allow: what there is, is decided once."""

import math
from abc import ABC, abstractmethod
from typing import Any, cast

import torch
from torch import Tensor

from scorewise.capabilities import (
    BlockScoreModel,
    ClosedFormDensity,
    CompletesRows,
    ConditionalScoreModel,
    DiscreteDensity,
    FlowDensity,
    NormalisedDensity,
    ScoreModel,
)
from scorewise.capabilities.roles import BlockScores, ConditionalScores
from scorewise.data.laws import GaussianMixtureLaw
from scorewise.data.source import Source
from scorewise.heads.model import CausalModel, Model
from scorewise.noise import Draws
from scorewise.objectives.csm import CSM
from scorewise.objectives.objective import score_field

INTERVAL = (0.05, 0.95)
"""Ends of the central interval of 90 %, as probabilities."""
EXACT_DENSITIES = (ClosedFormDensity, DiscreteDensity, FlowDensity)
"""Densities that need no numerical normaliser."""


def bits_per_dim(nats_B: Tensor, dims: int, log_volume: float) -> Tensor:
    """Return a negative log-density in bits per dimension, in the data's own units.

    Args:
        nats_B: - log q(x) in the scale that models see.
        dims: D.
        log_volume: log |d own units / d model scale| of one example, nats.
    """
    return (nats_B + log_volume) / (dims * math.log(2))


def modelled_dims(model: object, source: Source) -> int:
    """Return how many entries of an example the model has laws of: all but those that it only reads."""
    return source.dims - (int(model.only_read().sum()) if isinstance(model, CompletesRows) else 0)


class Measure(ABC):
    """Numbers per example that can be compared between objectives.

    Attributes:
        names: of the numbers.
    """

    names: tuple[str, ...]

    @abstractmethod
    def of(self, x_BD: Tensor) -> dict[str, Tensor]:
        """Return the numbers of smoothed examples by name, each (B,)."""


class ExactLikelihood(Measure):
    """The negative log-likelihood, nats, and the same in bits per dimension.

    Args:
        model: with a normalised density.
        source: of the examples.
    """

    names = ("nll", "bits_per_dim")

    def __init__(self, model: NormalisedDensity, source: Source) -> None:
        self.model, self.source = model, source

    def of(self, x_BD: Tensor) -> dict[str, Tensor]:
        """Return nll and bits_per_dim, in full precision inside `torch.autocast` too."""
        with torch.autocast(x_BD.device.type, enabled=False):
            nll_B = -self.model.log_prob(x_BD)
        dims = modelled_dims(self.model, self.source)
        return {"nll": nll_B, "bits_per_dim": bits_per_dim(nll_B, dims, self.source.log_volume)}


class IntervalCoverage(Measure):
    """The share of a row's numbers that are inside the central 90 % of their law.

    The law is given all other observed cells, or, where some columns are only read, given these.

    Args:
        model: of incomplete rows.
    """

    names = ("coverage_90",)

    def __init__(self, model: CompletesRows) -> None:
        self.model = model

    def of(self, x_BD: Tensor) -> dict[str, Tensor]:
        """Return coverage_90, NaN for rows without a number that is modelled; nothing where no column has numbers."""
        given_D = self.model.only_read()
        cells = self.model.cells(x_BD, torch.ones_like(given_D) if not bool(given_D.any()) else given_D)
        low_BD, high_BD = (cells.quantile(u) for u in INTERVAL)
        numbers_D = cells.ordered_D & ~given_D
        if not bool(numbers_D.any()):
            return {}
        counts_BD = ~x_BD.isnan() & numbers_D
        inside_BD = (low_BD <= x_BD) & (x_BD <= high_BD) & counts_BD
        return {"coverage_90": inside_BD.sum(-1) / counts_BD.sum(-1)}


class FisherError(Measure):
    """The distance |s - s*|^2 / 2 of a model's scores from those of a known law, joint or conditional as they are.

    Conditional scores are of the model's own blocks, of one dimension where it has no others.

    Args:
        model: with conditional scores, of dimensions or of blocks, or a joint score.
        law: of the clean data.
        smoothing: standard deviation of the noise that the examples have.
    """

    names = ("fisher_error",)

    def __init__(self, model: Model, law: GaussianMixtureLaw, smoothing: float) -> None:
        self.model, self.clean = model, law
        self.law = law.smoothed(smoothing) if smoothing else law
        conditional = isinstance(model, ConditionalScoreModel | BlockScoreModel)
        self.order = cast(CausalModel, model).ordering if conditional else None

    def of(self, x_BD: Tensor) -> dict[str, Tensor]:
        """Return fisher_error."""
        return {"fisher_error": self.against(self.law, x_BD)}

    def against(self, law: GaussianMixtureLaw, x_BD: Tensor) -> Tensor:
        """Return the distance from the scores of a law at the examples, shape (B,)."""
        with torch.no_grad():
            s_BD = score_field(self.model)(x_BD).double().cpu()
        x_cpu_BD = x_BD.cpu()
        true_BD = law.score(x_cpu_BD) if self.order is None else law.block_score(x_cpu_BD, self.order)
        return (0.5 * (s_BD - true_BD).square().sum(-1)).to(x_BD.device)


class CompositeScores(Measure):
    """Composite score matching (eq. 5 of the AR-CSM paper), by which models with conditional scores are compared.

    That of blocks of several dimensions is another number, block_csm: its constant of the data depends on the blocks,
    so that it compares models of the same blocks only, with exact traces.

    Args:
        model: with conditional scores, of dimensions or of blocks.
    """

    def __init__(self, model: ConditionalScores | BlockScores) -> None:
        self.model, self.csm = model, CSM()
        several = not isinstance(model, ConditionalScoreModel) and bool(model.ordering.sizes)
        self.names = ("block_csm" if several else "csm",)

    @classmethod
    def of_model(cls, model: Model) -> "CompositeScores | None":
        """Return the measure of a model that has such scores; None of another one."""
        return cls(cast(Any, model)) if isinstance(model, ConditionalScoreModel | BlockScoreModel) else None

    def of(self, x_BD: Tensor) -> dict[str, Tensor]:
        """Return csm or block_csm; the loss draws nothing."""
        unused = Draws.of(0, 0, torch.arange(len(x_BD), device=x_BD.device))
        with torch.no_grad():
            return {self.names[0]: self.csm.held_out(self.model, x_BD, unused)}


def exact_likelihood(model: Model, source: Source) -> ExactLikelihood | None:
    """Return the likelihood of a model that has its density exactly; None of another one."""
    return ExactLikelihood(cast(NormalisedDensity, model), source) if isinstance(model, EXACT_DENSITIES) else None


def fisher_error(model: Model, source: Source, smoothing: float) -> FisherError | None:
    """Return the distance from the scores of the data's law; None where there is no law, or the model has no score."""
    if source.law is None or not isinstance(model, ScoreModel | ConditionalScoreModel | BlockScoreModel):
        return None
    return FisherError(model, source.law, smoothing)
