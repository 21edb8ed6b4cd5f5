"""Data sets. The Lightning side is in `datamodule`, so that importing this imports no Lightning."""

from scorewise.data.images import Cifar10, Digits, FashionMnist, Mnist
from scorewise.data.laws import GaussianMixtureLaw
from scorewise.data.source import FixedSource, SampledSource, Source
from scorewise.data.synthetic import TOYS, GaussianData, Mixture1d, Toy2d
from scorewise.data.tables import Wine

__all__ = [
    "TOYS",
    "Cifar10",
    "Digits",
    "FashionMnist",
    "FixedSource",
    "GaussianData",
    "GaussianMixtureLaw",
    "Mixture1d",
    "Mnist",
    "SampledSource",
    "Source",
    "Toy2d",
    "Wine",
]
