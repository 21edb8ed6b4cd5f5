"""Latent-variable models: VAEs with explicit and implicit encoders, and how their likelihood is estimated."""

from scorewise.latent.ais import AIS, AnnealingEstimate, log_prior, temperatures
from scorewise.latent.autoencoder import VAE
from scorewise.latent.encoders import AutoregressiveEncoder, Encoder, GaussianEncoder, ImplicitEncoder
from scorewise.latent.entropy import Terms, surrogate
from scorewise.latent.iwae import iwae
from scorewise.latent.observations import Bernoulli, GaussianPixels, Observation
from scorewise.latent.pairing import METHODS, SCORE_OBJECTIVES, encoder_for, field_of, mismatch, reads_conditionals
from scorewise.latent.score_network import ScoreNetwork
from scorewise.latent.vae import ConvVAE, DenseVAE
from scorewise.version import renamed

__all__ = [
    "AIS",
    "METHODS",
    "SCORE_OBJECTIVES",
    "VAE",
    "AnnealingEstimate",
    "AutoregressiveEncoder",
    "Bernoulli",
    "ConvVAE",
    "DenseVAE",
    "Encoder",
    "GaussianEncoder",
    "GaussianPixels",
    "ImplicitEncoder",
    "Observation",
    "ScoreNetwork",
    "Terms",
    "encoder_for",
    "field_of",
    "iwae",
    "log_prior",
    "mismatch",
    "reads_conditionals",
    "surrogate",
    "temperatures",
]

__getattr__ = renamed(__name__, {"Annealed": "AnnealingEstimate"})
