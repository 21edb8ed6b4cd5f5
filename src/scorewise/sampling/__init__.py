"""Samplers: rules that draw examples from a model."""

from scorewise.sampling.ancestral import Ancestral, Exact, Langevin1d
from scorewise.sampling.annealed_langevin import AnnealedLangevin
from scorewise.sampling.annealed_langevin_1d import AnnealedLangevin1d
from scorewise.sampling.denoise import tweedie
from scorewise.sampling.hmc import HMC, hmc
from scorewise.sampling.langevin import Langevin, langevin
from scorewise.sampling.mala import MALA, mala
from scorewise.sampling.resampling import Resampling
from scorewise.sampling.reverse_diffusion_1d import ReverseDiffusion1d

__all__ = [
    "HMC",
    "MALA",
    "Ancestral",
    "AnnealedLangevin",
    "AnnealedLangevin1d",
    "Exact",
    "Langevin",
    "Langevin1d",
    "Resampling",
    "ReverseDiffusion1d",
    "hmc",
    "langevin",
    "mala",
    "tweedie",
]
