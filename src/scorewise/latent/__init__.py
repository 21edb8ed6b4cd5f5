"""Latent-variable models: VAEs with explicit and implicit encoders, and how their likelihood is estimated."""

from scorewise.latent.ais import AIS, Annealed, log_prior, temperatures
from scorewise.latent.encoders import AutoregressiveEncoder, Encoder, GaussianEncoder, ImplicitEncoder
from scorewise.latent.iwae import iwae
from scorewise.latent.observations import Bernoulli, GaussianPixels, Observation
from scorewise.latent.pairing import METHODS, encoder_for, mismatch
from scorewise.latent.score_network import ScoreNetwork
from scorewise.latent.vae import VAE, ConvVAE, DenseVAE, Terms, surrogate

__all__ = [
    "AIS",
    "METHODS",
    "VAE",
    "Annealed",
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
    "iwae",
    "log_prior",
    "mismatch",
    "surrogate",
    "temperatures",
]
