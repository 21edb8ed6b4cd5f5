"""Heads: a head on a backbone is a model."""

from scorewise.heads.block_energy import BlockEnergy
from scorewise.heads.block_model import BlockModel
from scorewise.heads.block_score import BlockScore
from scorewise.heads.by_column import ByColumn
from scorewise.heads.conditional_energy import ConditionalEnergy
from scorewise.heads.conditional_score import ConditionalScore
from scorewise.heads.cosine import Cosine
from scorewise.heads.discretised_mixture import DiscretisedMixture
from scorewise.heads.energy import Energy
from scorewise.heads.flow import NormalisingFlow
from scorewise.heads.gaussian import Gaussian
from scorewise.heads.mixture import Mixture
from scorewise.heads.model import CausalModel, Model
from scorewise.heads.noisy_block_score import NoisyBlockScore
from scorewise.heads.noisy_conditional_score import NoisyConditionalScore
from scorewise.heads.noisy_score import NoisyScore
from scorewise.heads.score import Score

__all__ = [
    "BlockEnergy",
    "BlockModel",
    "BlockScore",
    "ByColumn",
    "CausalModel",
    "ConditionalEnergy",
    "ConditionalScore",
    "Cosine",
    "DiscretisedMixture",
    "Energy",
    "Gaussian",
    "Mixture",
    "Model",
    "NoisyBlockScore",
    "NoisyConditionalScore",
    "NoisyScore",
    "NormalisingFlow",
    "Score",
]
