"""Samples compared with the images of a data set."""

from typing import Any

import torch
from torch import Tensor

from scorewise.data.source import Source, Split
from scorewise.noise import Draws
from scorewise.quality.colour import ColourDistance, mean_colour_distance
from scorewise.quality.distances import Distance, fid, kid
from scorewise.quality.extractor import FeatureExtractor, eight_bits

CHUNK = 2_000
"""Images that are read at a time."""


class Comparison:
    """This is the images of one split with their features, for any samples to be compared with.

    Args:
        extractor: of features.
        source: the data set.
        split: all of whose images are the reference.
        subsets, subset_size: of KID; a subset is at most half of the smaller set.
        seed: of KID's subsets, of the bootstrap, and of the images of `floor` and `pixels`.
    """

    def __init__(
        self, extractor: FeatureExtractor, source: Source, split: Split, subsets: int, subset_size: int, seed: int
    ) -> None:
        self.extractor, self.source, self.split = extractor, source, split
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed
        self.images_RCHW = self._images(split, torch.arange(source.count(split)))
        self.features_RF = extractor.features(self.images_RCHW)
        self.network: dict[str, Any] = {
            "extractor": extractor.name,
            "hash": extractor.hash,
            "num_features": extractor.num_features,
        }

    def _images(self, split: Split, index_B: Tensor) -> Tensor:
        parts = [
            eight_bits(self.source.examples(split, part, -1, self.seed), self.source.shape)
            for part in index_B.split(CHUNK)
        ]
        return torch.cat(parts)

    def of(self, images_BCHW: Tensor, kind: str) -> dict[str, Distance | ColourDistance]:
        """This is fid and kid of images as bytes and, where they are RGB, the distance of their mean colours.

        Args:
            images_BCHW: of the reference's shape.
            kind: what they are, for a report.
        """
        features_BF, against = self.extractor.features(images_BCHW), self.features_RF
        facts: dict[str, Any] = {
            "samples": len(images_BCHW),
            "kind": kind,
            "references": len(against),
            "split": self.split,
        }
        size = max(2, min(self.subset_size, len(features_BF) // 2, len(against) // 2))
        mean, spread = kid(features_BF, against, self.subsets, size, self.seed)
        of_subsets: dict[str, Any] = {"spread": spread, "subsets": self.subsets, "subset_size": size}
        found: dict[str, Distance | ColourDistance] = {
            "fid": Distance("FID", fid(features_BF, against), **facts, **self.network),
            "kid": Distance("KID", mean, **facts, **self.network, **of_subsets),
        }
        if self.source.shape[0] == 3:
            value, error, shift = mean_colour_distance(images_BCHW, self.images_RCHW, self.seed)
            found["mean_colour"] = ColourDistance(value, error, tuple(shift), **facts)
        return found

    def bounded(self, images_BCHW: Tensor, kind: str) -> dict[str, Distance | ColourDistance]:
        """This is `of` of samples, and the same of `floor` and `pixels` under names with _floor and _pixels."""
        count = len(images_BCHW)
        bounds = {"floor": self.floor(count), "pixels": self.pixels(count)}
        return self.of(images_BCHW, kind) | {
            f"{name}_{bound}": found for bound, each in bounds.items() for name, found in each.items()
        }

    def floor(self, count: int) -> dict[str, Distance | ColourDistance]:
        """This is the same of as many real images of another split: what samples of the data's own law would get."""
        other: Split = "train" if self.split != "train" else "test"
        index_B = self._some(other, count)
        return self.of(self._images(other, index_B), f"images of the {other} split")

    def pixels(self, count: int) -> dict[str, Distance | ColourDistance]:
        """This is the same of as many images of independent Gaussian pixels with the data's mean and s.d. per pixel."""
        x_BD = self._images("train", self._some("train", CHUNK)).flatten(1).double() / 127.5 - 1
        draws = Draws.of(self.seed, -1, torch.arange(count)).fork("independent pixels")
        z_BD = draws.normal(x_BD.shape[1], dtype=torch.float64)
        images_BCHW = eight_bits(x_BD.mean(0) + x_BD.std(0) * z_BD, self.source.shape)
        return self.of(images_BCHW, "images of independent Gaussian pixels")

    def _some(self, split: Split, count: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randperm(self.source.count(split), generator=generator)[:count]
