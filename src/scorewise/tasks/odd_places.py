"""Where the oddest images of a folder are odd: `regions.csv` and a page."""

import warnings
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from scorewise.data.source import Source
from scorewise.denoising import UnknownNoise
from scorewise.heads.model import Model
from scorewise.outliers import OddImages, OddRegions, write_image_page
from scorewise.tasks.prediction import Given

ORDINARY = 400
"""Held-out images that places are compared with, at most."""


@final
class OddPlaces:
    """The places where the oddest images are odd, beside held-out images of the data.

    Args:
        model: of the images.
        source: that it was trained on.
        most: images that are explained.
        seed: of the examples.
    """

    def __init__(self, model: Model, source: Source, most: int, seed: int) -> None:
        self.model, self.source, self.most, self.seed = model, source, most, seed

    def write(self, given: Given, score_N: Tensor, p_N: Tensor, rate_N: Tensor, folder: Path) -> None:
        """Write `regions.csv` and `outliers.html` of the oddest images; a warning says why there are none.

        Args:
            given: all images that were judged.
            score_N: their outlier scores.
            p_N: their p-values, NaN where there are none.
            rate_N: their false discovery rates, or NaN.
            folder: where the files go.
        """
        if not self.most or not len(given.names):
            return
        if not (count := min(self.source.count("val"), ORDINARY)):
            warnings.warn("where images are odd is not told: the data keep no validation images.", stacklevel=2)
            return
        places = score_N.argsort(descending=True, stable=True)[: self.most]
        oddest = given.some(places.tolist())
        like, shape = self.model.like, tuple(self.source.shape)
        ordinary_ND = self.source.examples("val", torch.arange(count), -1, self.seed).to(like)
        x_BD = oddest.x_ND.to(like)
        try:
            found = OddRegions.of(self.model, x_BD.reshape(-1, *shape), ordinary_ND.reshape(-1, *shape))
        except UnknownNoise as error:
            warnings.warn(f"where images are odd is not told: {str(error).partition(' and can')[0]}.", stacklevel=2)
            return
        odd = OddImages(oddest.called(), score_N[places], p_N[places], rate_N[places], found)
        odd.write_regions(folder / "regions.csv")
        write_image_page(odd, folder / "outliers.html")
