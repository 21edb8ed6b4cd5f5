"""Samplers: rules that draw examples from a model."""

from scorewise.sampling.ancestral import Ancestral, Exact, Langevin1d
from scorewise.sampling.annealed import Annealed
from scorewise.sampling.annealed_langevin import AnnealedLangevin
from scorewise.sampling.annealed_langevin_1d import AnnealedLangevin1d
from scorewise.sampling.block_ancestral import BlockAncestral
from scorewise.sampling.blockwise import BlockFlow, BlockLangevin, Blockwise
from scorewise.sampling.denoise import tweedie
from scorewise.sampling.flow import Flow
from scorewise.sampling.hmc import HMC, hmc
from scorewise.sampling.inverse_cdf import InverseCDF
from scorewise.sampling.langevin import Langevin, langevin
from scorewise.sampling.mala import MALA, mala
from scorewise.sampling.parallel import Parallel
from scorewise.sampling.probability_flow import ProbabilityFlow
from scorewise.sampling.pushforward import Pushforward
from scorewise.sampling.resampling import Resampling
from scorewise.sampling.reverse_diffusion_1d import ReverseDiffusion1d

__all__ = [
    "HMC",
    "MALA",
    "Ancestral",
    "Annealed",
    "AnnealedLangevin",
    "AnnealedLangevin1d",
    "BlockAncestral",
    "BlockFlow",
    "BlockLangevin",
    "Blockwise",
    "Exact",
    "Flow",
    "InverseCDF",
    "Langevin",
    "Langevin1d",
    "Parallel",
    "ProbabilityFlow",
    "Pushforward",
    "Resampling",
    "ReverseDiffusion1d",
    "hmc",
    "langevin",
    "mala",
    "tweedie",
]
