"""How odd images are, and where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from scorewise.errors import printable
from scorewise.files import write
from scorewise.outliers.odd_regions import OddRegions

DIGITS = 6
"""Of numbers in the table, at least."""


@dataclass(frozen=True)
class OddImages:
    """Images that were looked at by a model, the oddest of some say.

    Args:
        names: of their files.
        score_B: outlier scores, larger means odder.
        p_B: p-values of these, NaN where there are none.
        rate_B: the least false discovery rate at which each is on the list of all images that were judged, NaN where
            there is none.
        regions: where they are odd.

    Example:
        >>> import torch
        >>> import scorewise
        >>> from scorewise.data import Digits
        >>> from scorewise.outliers import OddImages, OddRegions
        >>> x = Digits().examples("val", torch.arange(40), -1, 0).view(-1, 1, 8, 8)
        >>> regions = OddRegions.of(scorewise.load("digits"), x[:2], x[2:])
        >>> OddImages(["a.png", "b.png"], torch.tensor([1.0, 2.0]), torch.ones(2), torch.ones(2), regions).oddest(1)
        [1]
    """

    names: Sequence[str]
    score_B: Tensor
    p_B: Tensor
    rate_B: Tensor
    regions: OddRegions

    def oddest(self, most: int) -> list[int]:
        """Return the places of the images with the largest scores, the oddest first."""
        return [int(place) for place in self.score_B.argsort(descending=True, stable=True)[:most]]

    def write_regions(self, path: Path) -> None:
        """Write a line per image, the oddest first: the share of odd windows, and its oddest window.

        `top` and `left` are the window's first pixel, from 0, at the size of the model; `found` and `expected` its
        means, 0 for black and 1 for white.
        """
        header = ("name", "odd_share", "p_value", "top", "left", "size", "found", "expected")
        shares, size, lines = self.regions.share_B.tolist(), self.regions.window, []
        for place in self.oddest(len(self.names)):
            one = self.regions.region(place)
            numbers = (one.p, one.top, one.left, size, one.found, one.expected)
            share = "" if math.isnan(shares[place]) else shares[place]
            lines.append((printable(self.names[place]), share, *numbers))
        write(path, header, lines, digits=DIGITS)

    def told(self, place: int) -> str:
        """Return why an image is odd, in a sentence or two."""
        one, size, share = self.regions.region(place), self.regions.window, float(self.regions.share_B[place])
        p, rate = float(self.p_B[place]), float(self.rate_B[place])
        judged = "" if math.isnan(p) else f", p-value {p:.3g}"
        listed = "" if math.isnan(rate) else f"; on the list from a false discovery rate of {rate:.3g} on"
        odd = (
            f"{self.regions.ordinary} held-out images are too few to say how many of its windows are odd"
            if math.isnan(share)
            else f"{100 * share:.0f} % of its {size} x {size} windows have p <= .05, 5 % do in ordinary images"
        )
        lighter = "lighter" if one.found > one.expected else "darker"
        where = f"the oddest (p = {one.p:.2g}) is at row {one.top}, column {one.left}, {lighter} than expected"
        score = float(self.score_B[place])
        return f"Outlier score {score:.4g}{judged}{listed}. {odd}; {where}: {one.found:.2f} against {one.expected:.2f}."
