"""How a sentence to the user names a capability."""

from scorewise.capabilities.blocks import BlockEnergyModel, BlockFeatures, BlockScoreModel, NoisyBlockScoreModel
from scorewise.capabilities.completion import CompletesRows
from scorewise.capabilities.protocols import (
    CausalFeatures,
    ClosedFormDensity,
    ConditionalEnergyModel,
    ConditionalSampler,
    ConditionalScoreModel,
    DiscreteDensity,
    EnergyModel,
    Features,
    FlowDensity,
    GivenCausalFeatures,
    GivenFeatures,
    InvertibleMap,
    MaskedFeatures,
    NoisyConditionalScoreModel,
    NoisyFeatures,
    NoisyScoreModel,
    NormalisedDensity,
    ProposalModel,
    QuantileModel,
    ScoreModel,
)

PLAIN_NAMES: dict[type, str] = {
    Features: "features of the whole example",
    CausalFeatures: "causal features",
    BlockFeatures: "features of blocks",
    MaskedFeatures: "features of any known part",
    GivenFeatures: "features of latents and an image",
    GivenCausalFeatures: "causal features of latents given an image",
    NoisyFeatures: "noise-conditional features",
    InvertibleMap: "an invertible map",
    ScoreModel: "a joint score",
    NoisyScoreModel: "a joint score at every noise level",
    NoisyConditionalScoreModel: "conditional scores at every noise level",
    BlockEnergyModel: "energies of blocks",
    BlockScoreModel: "scores of blocks",
    NoisyBlockScoreModel: "scores of blocks at every noise level",
    ConditionalEnergyModel: "conditional energies",
    ProposalModel: "conditional energies and a proposal",
    ClosedFormDensity: "a density in closed form",
    FlowDensity: "an invertible map from normal numbers",
    DiscreteDensity: "probabilities of levels",
    QuantileModel: "quantiles of its conditionals",
    EnergyModel: "an energy",
    ConditionalScoreModel: "conditional scores",
    NormalisedDensity: "a normalised density",
    CompletesRows: "a density of incomplete rows",
    ConditionalSampler: "exact draws from its conditionals",
}
"""How a sentence to the user names a capability."""


def named(needs: tuple[type, ...]) -> str:
    """Return capabilities in plain words, of which one is needed; those of a user's own by the name of their class."""
    return " or ".join(PLAIN_NAMES.get(need, need.__name__) for need in needs)
