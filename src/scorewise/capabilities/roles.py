"""The roles that models play: a capability together with the scale, order and contexts of the model that has it.

Type checkers read these protocols; what a model can do is asked at run time by the capability alone.
"""

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn

from scorewise.capabilities.blocks import BlockScoreModel, NoisyBlockScoreModel
from scorewise.capabilities.protocols import (
    ClosedFormDensity,
    ConditionalEnergyModel,
    ConditionalSampler,
    ConditionalScoreModel,
    ContextStream,
    EnergyModel,
    FlowDensity,
    NoisyConditionalScoreModel,
    NoisyScoreModel,
    NormalisedDensity,
    ProposalModel,
    QuantileModel,
    ScoreModel,
)
from scorewise.ordering import Ordering


class Smoothed(Protocol):
    """Knows the noise in the law that it describes."""

    @property
    def noise(self) -> float:
        """The standard deviation of the Gaussian noise in the law that is modelled (0 for none)."""


class Scaled(Smoothed, Protocol):
    """Has weights, and knows the moments of the data that it describes."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return the weights."""

    @property
    def mean(self) -> Tensor:
        """The mean of the data, one number."""

    @property
    def scale(self) -> Tensor:
        """The standard deviation of the data with their noise, one number."""

    @property
    def dims(self) -> int:
        """D."""

    @property
    def training(self) -> bool:
        """Whether the model is being trained, see `torch.nn.Module.train`."""


class Levelled(Protocol):
    """Knows the ladder of noise levels that it was trained on."""

    @property
    def levels(self) -> tuple[float, ...]:
        """The noise levels, from the largest down to the smallest."""


class Spread(Protocol):
    """Knows how wide the data is."""

    @property
    def std(self) -> float:
        """The standard deviation of the clean data."""


class Contextual(Scaled, Protocol):
    """Gives one context per dimension, which sees only what comes before it in the order."""

    def context(self, x_BD: Tensor) -> Tensor:
        """Return the context of every dimension, shape (B, D, F)."""


class Causal(Contextual, Protocol):
    """Gives its contexts one after the other too, while an example is being drawn."""

    @property
    def ordering(self) -> Ordering:
        """The order in which the dimensions come."""

    def context_stream(self) -> ContextStream:
        """Return the contexts block by block, for sampling."""


class ConditionalScores(Scaled, ConditionalScoreModel, Protocol):
    """A model of conditional scores."""


class ConditionalEnergies(Scaled, ConditionalEnergyModel, Protocol):
    """A model of conditional energies."""


class ClosedForm(Scaled, ClosedFormDensity, Protocol):
    """A model whose conditionals are densities in closed form."""


class JointScore(Scaled, ScoreModel, Protocol):
    """A model of the joint score."""


class Density(Scaled, NormalisedDensity, Protocol):
    """A model of a normalised density."""


class JointEnergy(Scaled, EnergyModel, ScoreModel, Protocol):
    """A model of an energy, and of the joint score that is its negative gradient."""


class JointNoisyScore(Scaled, Levelled, NoisyScoreModel, Protocol):
    """A model of the joint score at every noise level."""


class JointLadder(Spread, NoisyScoreModel, Protocol):
    """The same, as an objective asks it."""


class Pushed(Scaled, FlowDensity, Protocol):
    """A model of what an invertible map makes of normal numbers."""


class CausalScore(Causal, ConditionalScoreModel, Protocol):
    """A causal model of conditional scores."""


class CausalNoisyScore(Causal, NoisyConditionalScoreModel, Protocol):
    """A causal model of conditional scores at every noise level."""


class CausalLadder(CausalNoisyScore, Levelled, Spread, Protocol):
    """The same, with the ladder of its levels."""


class CausalProposal(Causal, ProposalModel, Protocol):
    """A causal model of conditional energies with a proposal."""


class CausalQuantile(Causal, QuantileModel, Protocol):
    """A causal model whose conditionals have quantiles."""


class CausalSampler(Causal, ConditionalSampler, Protocol):
    """A causal model whose conditionals can be drawn from exactly."""


class InBlocks(Scaled, Protocol):
    """Takes its examples in blocks, and gives one context per block, which sees only the blocks before it."""

    @property
    def ordering(self) -> Ordering:
        """The order, with its blocks."""

    def split(self, x_BD: Tensor) -> Tensor:
        """Return examples by blocks, shape (..., K, b), padded with the mean."""

    def join(self, x_BKb: Tensor) -> Tensor:
        """Return blocks as examples, shape (..., D)."""

    def block_context(self, x_BD: Tensor) -> Tensor:
        """Return the context of every block, shape (B, K, F)."""

    def context_stream(self) -> ContextStream:
        """Return the contexts block by block, for sampling."""


class BlockScores(InBlocks, BlockScoreModel, Protocol):
    """A model of scores of blocks."""


class NoisyBlockScores(InBlocks, Levelled, Spread, NoisyBlockScoreModel, Protocol):
    """A model of scores of blocks at every noise level."""
