"""Samplers: rules that draw examples from a model."""

from scorewise.sampling.ancestral import Ancestral, Exact, Langevin1d
from scorewise.sampling.denoise import tweedie
from scorewise.sampling.langevin import Langevin, langevin

__all__ = ["Ancestral", "Exact", "Langevin", "Langevin1d", "langevin", "tweedie"]
