"""Where images are odd: windows of pixels that are further from what a model expected than they usually are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, cast

import torch
from torch import Tensor
from torch.nn import functional

from scorewise.capabilities import NoisyBlockScoreModel, NoisyConditionalScoreModel, NoisyScoreModel
from scorewise.capabilities.roles import Levelled, Smoothed
from scorewise.denoising import denoise
from scorewise.noise import Draws
from scorewise.outliers.statistics import scores_given

DRAWS = 4
"""Of noise, over which what is expected is averaged."""
DETAILS = (0.5, 2.0)
"""The noises that are added where a model knows many levels, in standard deviations of ordinary images.

Of little noise a model restores what is there, fine detail apart; of much it says what belongs there.
"""
BATCH = 100
ROUNDING = 1e-5
"""Part by which the same image differs from itself in a batch of another size: what is that close ties."""
USUAL = 0.05
"""The share of windows that is counted as odd in ordinary images."""


class Region(NamedTuple):
    """The oddest window of an image.

    Args:
        top, left: of its first pixel, from 0.
        p: its p-value.
        found, expected: means over its pixels and channels, in [0, 1] of images in [-1, 1].
    """

    top: int
    left: int
    p: float
    found: float
    expected: float


@dataclass(frozen=True)
class OddRegions:
    """How surely every window of some images is odd, beside what a model expected there.

    Noise is added and removed again by the scores, E[x | x + sigma z] = x + sigma z + sigma^2 s (Tweedie's formula),
    the mean over four draws; by a model that knows many levels at two of them. How far what was found is from that, in
    mean square over a window, of several levels the mean of each in its usual size, is compared with the same window
    of ordinary images: p = (1 + #{ordinary >= found}) / (N + 1). Of a new ordinary image P(p <= a) <= a, however bad
    the model, where it was not trained on these N.

    Args:
        found_BCHW: the images, in [-1, 1].
        expected_BCHW: by the model, the mean over the levels.
        p_Bhw: of every window, by its first pixel.
        excess_Bhw: its mean square less the mean of ordinary images there, both in the usual size.
        window: pixels along a side.
        ordinary: images that these are compared with; no p-value is below 1 / (1 + ordinary).

    Example:
        >>> import torch
        >>> import scorewise
        >>> from scorewise.data import Digits
        >>> from scorewise.outliers import OddRegions
        >>> digits = Digits()
        >>> ordinary, images = (digits.examples(split, torch.arange(50), -1, 0) for split in ("val", "test"))
        >>> images = images.view(-1, 1, 8, 8)
        >>> images[0, :, 2:5, 2:5] *= -1  # inverted
        >>> found = OddRegions.of(scorewise.load("digits"), images, ordinary.view(-1, 1, 8, 8))
        >>> found.window, found.region(0)[:2]
        (3, (2, 2))
    """

    found_BCHW: Tensor
    expected_BCHW: Tensor
    p_Bhw: Tensor
    excess_Bhw: Tensor
    window: int
    ordinary: int

    @classmethod
    def of(cls, model: Smoothed, x_BCHW: Tensor, ordinary_NCHW: Tensor) -> Self:
        """Return what a model finds in images, compared with ordinary ones that it was not trained on.

        Raises:
            UnknownNoise: the model was trained without noise.
            ValueError: no image to compare with.
        """
        if not len(ordinary_NCHW):
            raise ValueError("odd regions need ordinary images to compare with, and there are none")
        sigmas = _levels(model, float(ordinary_NCHW.std()))
        side = min(*x_BCHW.shape[-2:], max(3, x_BCHW.shape[-1] // 6 | 1))
        expected_LBCHW, expected_LNCHW = (_expected(model, one, sigmas) for one in (x_BCHW, ordinary_NCHW))
        odd_LBhw = _of_windows(x_BCHW - expected_LBCHW, side)
        usual_LNhw = _of_windows(ordinary_NCHW - expected_LNCHW, side)
        tiny = torch.finfo(torch.float64).tiny
        unit_L111 = usual_LNhw.mean((1, 2, 3), keepdim=True).clamp(min=tiny)  # one number: windows are compared as such
        odd_Bhw, usual_Nhw = ((far / unit_L111).mean(0) for far in (odd_LBhw, usual_LNhw))
        ordered_hwN = usual_Nhw.permute(1, 2, 0).sort(-1).values.contiguous()
        below_hwB = torch.searchsorted(ordered_hwN, (odd_Bhw * (1 - ROUNDING)).permute(1, 2, 0).contiguous())
        count = len(ordinary_NCHW)
        p_Bhw = ((1 + count - below_hwB).double() / (count + 1)).permute(2, 0, 1)
        excess_Bhw = odd_Bhw - usual_Nhw.mean(0)
        return cls(x_BCHW, expected_LBCHW.mean(0), p_Bhw, excess_Bhw, side, count)

    @property
    def share_B(self) -> Tensor:
        """The share of windows with p <= .05, about .05 in ordinary images; NaN: too few of these for such p-values."""
        share_B = (self.p_Bhw <= USUAL).double().mean((-2, -1))
        return share_B if USUAL * (self.ordinary + 1) >= 1 else torch.full_like(share_B, torch.nan)

    def region(self, image: int) -> Region:
        """Return the window with the least p-value; of several, the one furthest beyond ordinary images."""
        p_hw = self.p_Bhw[image]
        place = int(self.excess_Bhw[image].masked_fill(p_hw > p_hw.min(), -torch.inf).argmax())
        top, left = divmod(place, p_hw.shape[1])
        inside = (..., slice(top, top + self.window), slice(left, left + self.window))
        found, expected = (
            float(x_BCHW[image][inside].double().mean()) / 2 + 0.5 for x_BCHW in (self.found_BCHW, self.expected_BCHW)
        )
        return Region(top, left, float(p_hw[top, left]), found, expected)

    def map(self, image: int) -> Tensor:
        """Return for every pixel the p-value of the window around it, at a border of the nearest, shape (H, W)."""
        before = (self.window - 1) // 2
        after = self.window - 1 - before
        p_11hw = self.p_Bhw[image][None, None]
        return functional.pad(p_11hw, (before, after, before, after), mode="replicate")[0, 0]


def _levels(model: Smoothed, std: float) -> Sequence[float | None]:
    """Return the noises to add; None: that of the law of a model that knows no other."""
    if not isinstance(model, NoisyScoreModel | NoisyConditionalScoreModel | NoisyBlockScoreModel):
        return [None]
    levels = cast(Levelled, model).levels
    return sorted({min(max(detail * std, levels[-1]), levels[0]) for detail in DETAILS})


@torch.no_grad()
def _expected(model: Smoothed, x_BCHW: Tensor, sigmas: Sequence[float | None]) -> Tensor:
    """Return what a model expects of images at every level, by noise that follows from each image, (L, B, C, H, W)."""
    parts = [[_expected_of(model, x_BD, sigma) for x_BD in x_BCHW.flatten(1).split(BATCH)] for sigma in sigmas]
    return torch.stack([torch.cat(of_level) for of_level in parts]).reshape(len(sigmas), *x_BCHW.shape)


def _expected_of(model: Smoothed, x_BD: Tensor, sigma: float | None) -> Tensor:
    draws, total_BD = Draws.of_content(x_BD), torch.zeros_like(x_BD)
    for number in range(DRAWS):
        of_law, of_level = (
            draws.fork(f"regions {what} {number}").normal(x_BD.shape[1], dtype=x_BD.dtype) for what in ("law", "level")
        )
        y_BD = x_BD + model.noise * of_law
        if sigma is None:
            total_BD += denoise(model, y_BD)
        else:
            q_BD = x_BD + sigma * of_level
            total_BD += q_BD + sigma**2 * scores_given(model, y_BD)(q_BD, q_BD.new_full((len(q_BD),), sigma))
    return total_BD / DRAWS


def _of_windows(difference_LBCHW: Tensor, side: int) -> Tensor:
    """Return the mean square over windows and channels, float64, shape (L, B, h, w)."""
    square_X1HW = difference_LBCHW.double().square().mean(2, keepdim=True).flatten(0, 1)
    of_windows_Xhw = functional.avg_pool2d(square_X1HW, side, stride=1)[:, 0]
    return of_windows_Xhw.reshape(*difference_LBCHW.shape[:2], *of_windows_Xhw.shape[1:])
