"""Samples compared with the images of a data set."""

import math
import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from scorewise.data.source import Source, Split
from scorewise.noise import Draws
from scorewise.quality.colour import CHANNELS, ColourDistance, mean_colour_distance
from scorewise.quality.distances import Distance, fid, kid
from scorewise.quality.extractor import FeatureExtractor, eight_bits

CHUNK = 2_000
"""Images that are read at a time."""
SHIFT = "mean of the samples minus mean of the images, in levels of 256"
PIXELS = "images of independent Gaussian pixels"
Distances = dict[str, Distance | ColourDistance]


class ReferenceImages:
    """The images of one split with their features, for any samples to be compared with.

    Nothing is read before it is needed.

    Args:
        extractor: of features.
        source: the data set.
        split: all of whose images are the reference.
        subsets: of KID.
        subset_size: of each; at most half of the smaller set.
        seed: of KID's subsets, of the bootstrap, and of the images of `floor` and `pixels`.

    Example:
        >>> import scorewise
        >>> from scorewise.data import Digits
        >>> from scorewise.quality import ClassifierFeatures, ReferenceImages, eight_bits
        >>> source, extractor = Digits(), ClassifierFeatures.random((1, 8, 8))
        >>> reference = ReferenceImages(extractor, source, "test", subsets=2, subset_size=20)
        >>> x = scorewise.load("digits").sample(100)
        >>> print(reference.of(eight_bits(x.flatten(1), source.shape), "samples")["fid"].facts())
        100 samples against 300 clean 8-bit images of the test split; 64 features of untrained-cnn, hash 47465098
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        source: Source,
        split: Split,
        subsets: int = 100,
        subset_size: int = 1000,
        seed: int = 0,
    ) -> None:
        self.extractor, self.source, self.split = extractor, source, split
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed
        self.other: Split = "train" if split != "train" else "test"

    @cached_property
    def images_RCHW(self) -> Tensor:
        """The images that samples are compared with, as bytes, shape (R, C, H, W)."""
        return self._images(self.split, torch.arange(self.source.count(self.split)))

    @cached_property
    def features_RF(self) -> Tensor:
        """The features of these images, shape (R, F), float64."""
        return self.extractor.features(self.images_RCHW)

    @cached_property
    def _hash(self) -> str:
        return self.extractor.hash

    @property
    def rgb(self) -> bool:
        """Whether the images have colours."""
        return self.source.shape[0] == 3

    def _images(self, split: Split, index_B: Tensor) -> Tensor:
        parts = [
            eight_bits(self.source.examples(split, part, -1, self.seed), self.source.shape)
            for part in index_B.split(CHUNK)
        ]
        return torch.cat(parts)

    def warn_if_few(self, samples: int) -> None:
        """Warn of so few samples that FID says little."""
        if samples <= (features := self.extractor.num_features):
            warnings.warn(
                f"task.samples={samples} is not more than the {features:,} features, so their covariance is singular "
                "and FID says little: use more samples, or look at KID.",
                stacklevel=3,
            )

    def of(self, images_BCHW: Tensor, kind: str) -> Distances:
        """Return fid and kid of images as bytes and, where they are RGB, mean_colour.

        Args:
            images_BCHW: of the reference's shape.
            kind: what they are, for a report.
        """
        count, features_BF, against_RF = len(images_BCHW), self.extractor.features(images_BCHW), self.features_RF
        moments = kid(features_BF, against_RF, self.subsets, self._size(count), self.seed)
        colour = mean_colour_distance(images_BCHW, self.images_RCHW, self.seed) if self.rgb else None
        return self._distances(count, kind, Values(fid(features_BF, against_RF), moments, colour))

    def bounded(self, images_BCHW: Tensor, kind: str) -> Distances:
        """Return `of` of samples, and the same of `floor` and `pixels` under names with _floor and _pixels."""
        count = len(images_BCHW)
        return _together({"": self.of(images_BCHW, kind), "_floor": self.floor(count), "_pixels": self.pixels(count)})

    def conventions(self, count: int, kind: str) -> dict[str, str]:
        """Return what every number of `bounded` of so many samples will depend on, by name."""
        nothing = Values(math.nan, (math.nan, math.nan), (math.nan, math.nan, []) if self.rgb else None)
        kinds = {"": (count, kind), "_floor": (self._others(count), self._floor), "_pixels": (count, PIXELS)}
        found = _together({which: self._distances(n, what, nothing) for which, (n, what) in kinds.items()})
        return {name: one.facts() for name, one in found.items()}

    def floor(self, count: int) -> Distances:
        """Return the same of as many real images of another split: what samples of the data's own law would get."""
        index_B = self._some(self.other, count)
        return self.of(self._images(self.other, index_B), self._floor)

    def pixels(self, count: int) -> Distances:
        """Return the same of as many images of independent Gaussian pixels with the data's mean and s.d. per pixel."""
        x_BD = self._images("train", self._some("train", CHUNK)).flatten(1).double() / 127.5 - 1
        draws = Draws.of(self.seed, -1, torch.arange(count)).fork("independent pixels")
        z_BD = draws.normal(x_BD.shape[1], dtype=torch.float64)
        return self.of(eight_bits(x_BD.mean(0) + x_BD.std(0) * z_BD, self.source.shape), PIXELS)

    @property
    def _floor(self) -> str:
        return f"images of the {self.other} split"

    def _others(self, count: int) -> int:
        return min(count, self.source.count(self.other))

    def _size(self, count: int) -> int:
        return max(2, min(self.subset_size, count // 2, self.source.count(self.split) // 2))

    def _some(self, split: Split, count: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randperm(self.source.count(split), generator=generator)[:count]

    def _distances(self, count: int, kind: str, values: "Values") -> Distances:
        facts: dict[str, Any] = {
            "samples": count,
            "kind": kind,
            "references": self.source.count(self.split),
            "split": self.split,
        }
        network: dict[str, Any] = {
            "extractor": self.extractor.name,
            "hash": self._hash,
            "num_features": self.extractor.num_features,
        }
        of_subsets: dict[str, Any] = {"subsets": self.subsets, "subset_size": self._size(count)}
        mean, spread = values.kid
        found: Distances = {
            "fid": Distance("FID", values.fid, **facts, **network),
            "kid": Distance("KID", mean, **facts, **network, spread=spread, **of_subsets),
        }
        if values.colour is not None:
            value, error, shift = values.colour
            found["mean_colour"] = ColourDistance(value, error, tuple(shift), **facts)
        return found


class Values(NamedTuple):
    """FID, KID with its spread and, of RGB images, the distance of mean colours, its error and the shift."""

    fid: float
    kid: tuple[float, float]
    colour: tuple[float, float, list[float]] | None


def _together(found: dict[str, Distances]) -> Distances:
    return {f"{name}{which}": one for which, each in found.items() for name, one in each.items()}


def metric_values(found: Distances) -> dict[str, float]:
    """Return every number that was found, by the name of its metric."""
    named: dict[str, float] = {}
    for name, one in found.items():
        named |= one.by_metric(name)
    return named


def meanings(texts: Mapping[str, str]) -> dict[str, str]:
    """Return what every one of these `metric_values` means, from what the distances depend on."""
    return {
        **texts,
        **{f"{name}_sd": f"standard deviation over the subsets of {name}, which overlap" for name in texts},
        **{f"shift_{channel}": f"{SHIFT}; {texts.get('mean_colour', '')}" for channel in CHANNELS},
    }
