"""What a model can do, as protocols: a capability is having the method."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Generator, Tensor

from scorewise.ordering import Ordering


@runtime_checkable
class Features(Protocol):
    """Turns an example into one feature vector that may see all of it."""

    def features(self, u_BD: Tensor) -> Tensor: ...


@runtime_checkable
class CausalFeatures(Protocol):
    """Turns an example into features per dimension; row d sees only what comes before d in the order."""

    def causal_features(self, u_BD: Tensor) -> Tensor: ...


@runtime_checkable
class MaskedFeatures(Protocol):
    """Turns the known part of an example into features per dimension; what is not known is not read, it may be NaN.

    Those of some dimensions only where `dims` names them.
    """

    def masked_features(self, u_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor: ...


@runtime_checkable
class GivenFeatures(Protocol):
    """Turns an example and features of something else, y, into one feature vector."""

    def features_given(self, u_BD: Tensor, y_BF: Tensor) -> Tensor: ...


@runtime_checkable
class GivenCausalFeatures(Protocol):
    """Turns an example and features of something else, y, into features per dimension; every row sees all of y."""

    def causal_features_given(self, u_BD: Tensor, y_BF: Tensor) -> Tensor: ...


@runtime_checkable
class NoisyFeatures(Protocol):
    """Turns an example and its noise level into features per dimension; every row may see the whole example."""

    def noisy_features(self, u_BD: Tensor, log_sigma_B: Tensor) -> Tensor: ...


@runtime_checkable
class InvertibleMap(Protocol):
    """Turns an example into as many numbers, which should be normal, and log |det dz/du|; and back."""

    def to_normal(self, u_BD: Tensor) -> tuple[Tensor, Tensor]: ...

    def from_normal(self, z_BD: Tensor) -> Tensor: ...


@runtime_checkable
class ScoreModel(Protocol):
    """Has the joint score grad_x log q(x)."""

    def score(self, x_BD: Tensor) -> Tensor: ...


@runtime_checkable
class NoisyScoreModel(Protocol):
    """Has the joint score of the law at every noise level of a ladder."""

    def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor: ...


@runtime_checkable
class EnergyModel(Protocol):
    """Has an energy - log q(x) + constant."""

    def energy(self, x_BD: Tensor) -> Tensor: ...


@runtime_checkable
class ConditionalScoreModel(Protocol):
    """Has the scores of the one-dimensional conditionals; elementwise in the query."""

    def context(self, x_BD: Tensor) -> Tensor: ...

    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor: ...


@runtime_checkable
class MaskedContexts(Protocol):
    """Has the context of a dimension from any known part of an example, where `any_order` says so.

    The likelihood is of the equal mixture of its `orderings`. `filled` puts some number, which nobody reads, where an
    entry is missing (NaN).
    """

    @property
    def any_order(self) -> bool: ...

    @property
    def orderings(self) -> tuple[Ordering, ...]: ...

    def context_along(self, x_BD: Tensor, ordering: Ordering) -> Tensor: ...

    def masked_context(self, x_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor: ...

    def filled(self, x_BD: Tensor) -> Tensor: ...


@runtime_checkable
class FusedCSMModel(ConditionalScoreModel, Protocol):
    """Has the weighted sum of s_d^2 / 2 + ds_d/dq_d and its value per example, with gradients from one pass.

    Weights are per example (B,) or per entry (B, D), and so are the values. `compile_csm` has torch.compile build it.
    """

    def weighted_csm(self, q_BD: Tensor, c_BDF: Tensor, weight_B: Tensor) -> tuple[Tensor, Tensor]: ...

    def compile_csm(self) -> None: ...


@runtime_checkable
class NoisyConditionalScoreModel(Protocol):
    """Has the scores of the one-dimensional conditionals, the query at any noise level of a ladder.

    The context is always at the smallest level.
    """

    def context(self, x_BD: Tensor) -> Tensor: ...

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor: ...


@runtime_checkable
class FusedNoisyCSMModel(NoisyConditionalScoreModel, Protocol):
    """Has the weighted sum of s_d^2 / 2 + ds_d/dq_d over M queries per context, each at a level, in one pass.

    And the value of each, detached. Weights are per entry (M, B, D). `compile_csm` as in `FusedCSMModel`.
    """

    def weighted_noisy_csm(
        self, q_MBD: Tensor, c_BDF: Tensor, sigma_MBD: Tensor, weight_MBD: Tensor
    ) -> tuple[Tensor, Tensor]: ...

    def compile_csm(self) -> None: ...


@runtime_checkable
class ConditionalEnergyModel(Protocol):
    """Has unnormalised conditionals - log q(x_d | x_<d) + constant(x_<d); elementwise in the query."""

    def context(self, x_BD: Tensor) -> Tensor: ...

    def conditional_energy(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor: ...


@runtime_checkable
class ProposalModel(Protocol):
    """Has conditional energies and a normalised proposal close to their density."""

    def context(self, x_BD: Tensor) -> Tensor: ...

    def conditional_energy(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor: ...

    def proposal_log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor: ...

    def proposal_sample(self, c_BDF: Tensor, uniform_MBD: Tensor, normal_MBD: Tensor) -> Tensor: ...


@runtime_checkable
class NormalisedDensity(Protocol):
    """Has a normalised log-density, nats per example."""

    def log_prob(self, x_BD: Tensor) -> Tensor: ...


@runtime_checkable
class NumericalDensity(Protocol):
    """Has a log-density whose normaliser is a sum over nodes or steps."""

    def log_prob(self, x_BD: Tensor) -> Tensor: ...

    def quadrature_error(self, x_BD: Tensor) -> Tensor: ...


@runtime_checkable
class UncheckedDensity(Protocol):
    """Has a log-density by a numerical normaliser, which may be refused before a model is trained."""

    def log_prob(self, x_BD: Tensor) -> Tensor: ...

    def unchecked_log_prob(self, x_BD: Tensor, finer: float = 1) -> Tensor: ...


@runtime_checkable
class DensityGivenContexts(Protocol):
    """Has log q(x_d | c_d) by a numerical normaliser or as probabilities of levels; never refused."""

    def log_prob(self, x_BD: Tensor) -> Tensor: ...

    def log_prob_given(self, x_BD: Tensor, c_BDF: Tensor) -> Tensor: ...


@runtime_checkable
class ClosedFormDensity(Protocol):
    """Has its normalised conditionals in closed form, which can be differentiated as often as one likes."""

    def log_prob(self, x_BD: Tensor) -> Tensor: ...

    def conditional_log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor: ...


@runtime_checkable
class FlowDensity(Protocol):
    """Has the density of what an invertible map makes of normal numbers."""

    def log_prob(self, x_BD: Tensor) -> Tensor: ...

    def example_of(self, z_BD: Tensor) -> Tensor: ...


@runtime_checkable
class DiscreteDensity(Protocol):
    """Has probabilities of levels, as a density that is constant around every level: it has no score.

    The law must be that of the levels themselves, without noise.
    """

    def log_prob(self, x_BD: Tensor) -> Tensor: ...

    def level_log_prob(self, level_BD: Tensor, c_BDF: Tensor) -> Tensor: ...


@runtime_checkable
class QuantileModel(Protocol):
    """Has the x_d with q(y_d < x_d | x_<d) = u_d."""

    def conditional_quantile(self, u_BD: Tensor, c_BDF: Tensor) -> Tensor: ...


@runtime_checkable
class ConditionalSampler(Protocol):
    """Draws one dimension exactly from its conditional, given the context of that dimension."""

    def conditional_sample(self, c_BDF: Tensor, generator: Generator | None) -> Tensor: ...


@runtime_checkable
class Sampler(Protocol):
    """Draws examples from the model."""

    def sample(self, n: int, generator: Generator | None = None) -> Tensor: ...


@runtime_checkable
class ContextStream(Protocol):
    """Gives contexts block by block in the model's order: one trunk pass for the whole example at most.

    `start` returns the context of the first block, `push` takes the values of the block just drawn and
    returns the context of the next one (the last push returns an empty block).
    """

    def start(self, n: int) -> Tensor: ...

    def push(self, x_block: Tensor) -> Tensor: ...


@runtime_checkable
class StreamsFeatures(Protocol):
    """A backbone that can give its causal features as a stream."""

    def feature_stream(self) -> ContextStream: ...


@runtime_checkable
class InitialisedByData(Protocol):
    """A backbone that can set its scales from a batch of data in standard units, before training."""

    def initialise(self, u_BD: Tensor) -> None: ...


@runtime_checkable
class Watched(Protocol):
    """Something that takes long, and tells the share that is done to whoever watches; None: nobody does."""

    def watch_with(self, tell: Callable[[float], None] | None) -> None: ...


@runtime_checkable
class RefusesModels(Protocol):
    """A task that has no use for models of some heads, and says so before they are built."""

    @classmethod
    def refusal(cls, head: type, **settings: Any) -> str | None: ...
