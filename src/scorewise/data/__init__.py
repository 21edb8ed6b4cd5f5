"""Data sets. The Lightning side is in `datamodule`, so that importing this imports no Lightning."""

from scorewise.data.celeba import CelebA
from scorewise.data.folder import ImageFolder
from scorewise.data.images import Cifar10, Digits, FashionMnist, Mnist, Svhn
from scorewise.data.laws import GaussianMixtureLaw
from scorewise.data.packed import Cifar10Subset, OmniglotSmall
from scorewise.data.source import FixedSource, Labelled, SampledSource, Source, Split, split_at_random
from scorewise.data.synthetic import TOYS, GaussianData, Mixture1d, Toy2d
from scorewise.data.tables import Table, Wine
from scorewise.data.tabular.columns import Columns
from scorewise.data.uniform import Const, ConstUniform, Uniform

__all__ = [
    "TOYS",
    "CelebA",
    "Cifar10",
    "Cifar10Subset",
    "Columns",
    "Const",
    "ConstUniform",
    "Digits",
    "FashionMnist",
    "FixedSource",
    "GaussianData",
    "GaussianMixtureLaw",
    "ImageFolder",
    "Labelled",
    "Mixture1d",
    "Mnist",
    "OmniglotSmall",
    "SampledSource",
    "Source",
    "Split",
    "Svhn",
    "Table",
    "Toy2d",
    "Uniform",
    "Wine",
    "split_at_random",
]
