"""What a model can do, as protocols: a capability is having the method.

Conventions, everywhere in Scorewise:

* score: + grad_x log p.  energy: - log p up to a constant.  outlier score: larger means odder.
* A conditional score s_d = d/dx_d log q(x_d | x_<d) is not entry d of the joint score, which also
  holds the terms of every later dimension. They are different capabilities.
* Letters at the end of a name give its axes: B batch, D dimensions (an example, flattened), F features
  per dimension, K mixture components or blocks of dimensions, b dimensions of a block, G quadrature nodes,
  L noise levels, M projections or particles.
* Nats, unless the name says bits. Noise levels are in the scale of the data that the model sees.
"""

from scorewise.capabilities.blocks import BlockEnergyModel, BlockFeatures, BlockScoreModel, NoisyBlockScoreModel
from scorewise.capabilities.completion import CompletesRows
from scorewise.capabilities.folded import FoldedScores
from scorewise.capabilities.plain_names import PLAIN_NAMES
from scorewise.capabilities.protocols import (
    CausalFeatures,
    ClosedFormDensity,
    ConditionalEnergyModel,
    ConditionalSampler,
    ConditionalScoreModel,
    ContextStream,
    DensityGivenContexts,
    DiscreteDensity,
    EnergyModel,
    Features,
    FlowDensity,
    FusedCSMModel,
    FusedNoisyCSMModel,
    GivenCausalFeatures,
    GivenFeatures,
    InitialisedByData,
    InvertibleMap,
    MaskedContexts,
    MaskedFeatures,
    NoisyConditionalScoreModel,
    NoisyFeatures,
    NoisyScoreModel,
    NormalisedDensity,
    NumericalDensity,
    ProposalModel,
    QuantileModel,
    RefusesModels,
    Sampler,
    ScoreModel,
    StreamsFeatures,
    UncheckedDensity,
    Watched,
)
from scorewise.capabilities.rows import CategoryCells, Cells, CellSurprises, RowDensity
from scorewise.capabilities.traces import GradientFeatures, LaplacianFeatures, TracedScoreModel
from scorewise.version import renamed

__all__ = [
    "PLAIN_NAMES",
    "BlockEnergyModel",
    "BlockFeatures",
    "BlockScoreModel",
    "CategoryCells",
    "CausalFeatures",
    "CellSurprises",
    "Cells",
    "ClosedFormDensity",
    "CompletesRows",
    "ConditionalEnergyModel",
    "ConditionalSampler",
    "ConditionalScoreModel",
    "ContextStream",
    "DensityGivenContexts",
    "DiscreteDensity",
    "EnergyModel",
    "Features",
    "FlowDensity",
    "FoldedScores",
    "FusedCSMModel",
    "FusedNoisyCSMModel",
    "GivenCausalFeatures",
    "GivenFeatures",
    "GradientFeatures",
    "InitialisedByData",
    "InvertibleMap",
    "LaplacianFeatures",
    "MaskedContexts",
    "MaskedFeatures",
    "NoisyBlockScoreModel",
    "NoisyConditionalScoreModel",
    "NoisyFeatures",
    "NoisyScoreModel",
    "NormalisedDensity",
    "NumericalDensity",
    "ProposalModel",
    "QuantileModel",
    "RefusesModels",
    "RowDensity",
    "Sampler",
    "ScoreModel",
    "StreamsFeatures",
    "TracedScoreModel",
    "UncheckedDensity",
    "Watched",
]

__getattr__ = renamed(__name__, {"LiftedDensity": "UncheckedDensity"})
