"""Scorewise: score matching, one dimension at a time or all at once."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorewise.backbones import MADE, MLP, ConvNet, Glow, NoisyMLP, PixelCNNPP, Transformer, UNet
    from scorewise.ensemble import Ensemble
    from scorewise.estimators import KDE, Spectral, Stein
    from scorewise.heads import (
        ConditionalEnergy,
        ConditionalScore,
        Cosine,
        DiscretisedMixture,
        Energy,
        Gaussian,
        Mixture,
        NoisyConditionalScore,
        NoisyScore,
        NormalisingFlow,
        Score,
    )
    from scorewise.latent import AIS, ConvVAE, DenseVAE
    from scorewise.likelihood import FlowODE, Quadrature, TailMass
    from scorewise.noise import Draws
    from scorewise.objectives import (
        AEM,
        CSM,
        CSMDSM,
        CSMMLE,
        DSM,
        ESM,
        FDSSM,
        MLE,
        PCD,
        SM,
        SSM,
        SSMVR,
        CSMAnnealed,
        DSMMultiscale,
    )
    from scorewise.ordering import Ordering
    from scorewise.sampling import (
        HMC,
        MALA,
        Annealed,
        AnnealedLangevin,
        AnnealedLangevin1d,
        Exact,
        Flow,
        InverseCDF,
        Langevin,
        Langevin1d,
        Parallel,
        Pushforward,
        Resampling,
        ReverseDiffusion1d,
        tweedie,
    )
    from scorewise.score_density import ScoreDensity
    from scorewise.store import load

__version__ = "0.1.0"

_HOMES = {
    "backbones": ("MADE", "MLP", "ConvNet", "Glow", "NoisyMLP", "PixelCNNPP", "Transformer", "UNet"),
    "ensemble": ("Ensemble",),
    "estimators": ("KDE", "Spectral", "Stein"),
    "heads": (
        "ConditionalEnergy",
        "ConditionalScore",
        "Cosine",
        "DiscretisedMixture",
        "Energy",
        "Gaussian",
        "Mixture",
        "NoisyConditionalScore",
        "NoisyScore",
        "NormalisingFlow",
        "Score",
    ),
    "latent": ("AIS", "ConvVAE", "DenseVAE"),
    "likelihood": ("FlowODE", "Quadrature", "TailMass"),
    "noise": ("Draws",),
    "objectives": (
        "AEM",
        "CSM",
        "CSMAnnealed",
        "CSMDSM",
        "CSMMLE",
        "DSM",
        "DSMMultiscale",
        "ESM",
        "FDSSM",
        "MLE",
        "PCD",
        "SM",
        "SSM",
        "SSMVR",
    ),
    "ordering": ("Ordering",),
    "sampling": (
        "HMC",
        "MALA",
        "AnnealedLangevin",
        "AnnealedLangevin1d",
        "Exact",
        "Annealed",
        "Flow",
        "InverseCDF",
        "Parallel",
        "Pushforward",
        "Langevin",
        "Langevin1d",
        "Resampling",
        "ReverseDiffusion1d",
        "tweedie",
    ),
    "score_density": ("ScoreDensity",),
    "store": ("load",),
}
__all__ = [
    "AEM",
    "AIS",
    "CSM",
    "CSMDSM",
    "CSMMLE",
    "DSM",
    "ESM",
    "FDSSM",
    "HMC",
    "KDE",
    "MADE",
    "MALA",
    "MLE",
    "MLP",
    "PCD",
    "SM",
    "SSM",
    "SSMVR",
    "Annealed",
    "AnnealedLangevin",
    "AnnealedLangevin1d",
    "CSMAnnealed",
    "ConditionalEnergy",
    "ConditionalScore",
    "ConvNet",
    "ConvVAE",
    "Cosine",
    "DSMMultiscale",
    "DenseVAE",
    "DiscretisedMixture",
    "Draws",
    "Energy",
    "Ensemble",
    "Exact",
    "Flow",
    "FlowODE",
    "Gaussian",
    "Glow",
    "InverseCDF",
    "Langevin",
    "Langevin1d",
    "Mixture",
    "NoisyConditionalScore",
    "NoisyMLP",
    "NoisyScore",
    "NormalisingFlow",
    "Ordering",
    "Parallel",
    "PixelCNNPP",
    "Pushforward",
    "Quadrature",
    "Resampling",
    "ReverseDiffusion1d",
    "Score",
    "ScoreDensity",
    "Spectral",
    "Stein",
    "TailMass",
    "Transformer",
    "UNet",
    "load",
    "tweedie",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"scorewise.{home}"), name)
    raise AttributeError(f"module 'scorewise' has no attribute {name!r}")
