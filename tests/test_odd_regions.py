"""Where images are odd: what a model expects there, and p-values of windows that hold whatever the model is."""

import csv
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import scorewise
from scorewise.backbones import MADE, Glow, NoisyMLP, PatchTransformer
from scorewise.data import Digits
from scorewise.denoising import UnknownNoise
from scorewise.heads import (
    ConditionalScore,
    DiscretisedMixture,
    NoisyBlockScore,
    NoisyConditionalScore,
    NoisyScore,
    NormalisingFlow,
)
from scorewise.heads.model import Model
from scorewise.noise import Draws
from scorewise.outliers import OddImages, OddRegions, write_image_page
from scorewise.outliers.odd_regions import DRAWS

NOISE, SHAPE = 0.3, (1, 6, 6)
LEVELS = (2.0, 0.5, NOISE)


class OfGaussian(Model):
    """The scores of N(0, v I) with noise, in closed form."""

    v = 0.7

    def score(self, x_BD: Tensor) -> Tensor:
        return -x_BD / (float(self.v) + float(self.noise) ** 2)


class OfLevels(Model):
    """The same at every noise level."""

    levels = LEVELS

    def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor:
        return x_BD.div(OfGaussian.v + sigma_B.square().unsqueeze(-1)).neg()


def gaussian() -> OfGaussian:
    return OfGaussian(MADE(SHAPE, 1, (4,)), noise=NOISE).double()


def images(count: int, seed: int, side: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return math.sqrt(OfGaussian.v) * torch.randn(count, 1, side, side, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("levels", [False, True])
def test_what_is_expected_is_the_mean_given_the_noisy_image(levels: bool) -> None:
    """E[x | y] = y v / (v + sigma^2) of a Gaussian, averaged over the draws that follow from the image.

    Sigma is that of the law, and of a model of many levels half the spread of ordinary images and twice that, of which
    the mean is taken.
    """
    x, ordinary = images(3, 0), images(5, 1)
    model = OfLevels(MADE(SHAPE, 1, (4,)), noise=NOISE).double() if levels else gaussian()
    found = OddRegions.of(model, x, ordinary)
    std = float(ordinary.std())
    sigmas, which = ([std / 2, 2 * std], "level") if levels else ([NOISE], "law")
    assert LEVELS[-1] <= min(sigmas) <= max(sigmas) < LEVELS[0]
    draws = Draws.of_content(x.flatten(1))
    noise = sum(draws.fork(f"regions {which} {number}").normal(36, dtype=x.dtype) for number in range(DRAWS)) / DRAWS
    each = [(x.flatten(1) + sigma * noise) * OfGaussian.v / (OfGaussian.v + sigma**2) for sigma in sigmas]
    expected = torch.stack(each).mean(0)
    torch.testing.assert_close(found.expected_BCHW.flatten(1), expected, rtol=0, atol=1e-12)


def test_p_values_count_the_ordinary_windows_that_are_as_far_from_what_is_expected() -> None:
    x, ordinary = images(4, 0), images(9, 1)
    found = OddRegions.of(gaussian(), x, ordinary)
    assert found.window == 3
    assert found.p_Bhw.shape == (4, 4, 4)
    others = OddRegions.of(gaussian(), ordinary, x)

    def far(regions: OddRegions, image: int, top: int, left: int) -> float:
        difference = regions.found_BCHW[image] - regions.expected_BCHW[image]
        return float(difference[:, top : top + 3, left : left + 3].square().mean())

    for image in range(4):
        for top, left in ((0, 0), (1, 3), (3, 2)):
            odder = sum(far(others, n, top, left) >= far(found, image, top, left) for n in range(9))
            assert float(found.p_Bhw[image, top, left]) == pytest.approx((1 + odder) / 10, abs=1e-12)


def test_levels_count_in_their_usual_sizes() -> None:
    """Of levels s the error at a pixel is a^2 (x - noise)^2 with a linear filter, each divided by its mean over all."""
    x, ordinary = images(4, 0), images(9, 1)
    model = OfLevels(MADE(SHAPE, 1, (4,)), noise=NOISE).double()
    found = OddRegions.of(model, x, ordinary)
    std = float(ordinary.std())

    def errors(some: Tensor) -> Tensor:
        draws = Draws.of_content(some.flatten(1))
        noise = sum(draws.fork(f"regions level {number}").normal(36, dtype=x.dtype) for number in range(DRAWS)) / DRAWS
        kept = [OfGaussian.v / (OfGaussian.v + sigma**2) for sigma in (std / 2, 2 * std)]
        away = [some.flatten(1) * (1 - k) - k * s * noise for k, s in zip(kept, (std / 2, 2 * std), strict=True)]
        return torch.stack(away).reshape(2, -1, 6, 6).square().unfold(2, 3, 1).unfold(3, 3, 1).mean((-2, -1))

    odd, usual = errors(x), errors(ordinary)
    unit = usual.mean((1, 2, 3), keepdim=True)
    odder = ((usual / unit).sum(0)[None] >= (odd / unit).sum(0)[:, None]).double().sum(1)
    torch.testing.assert_close(found.p_Bhw, (1 + odder) / 10, rtol=0, atol=1e-12)


def test_p_values_of_ordinary_images_are_valid() -> None:
    """P(p <= a) is a, whatever the model: here one that takes the variance for four times what it is."""
    model = gaussian()
    model.v = 3.0
    p = OddRegions.of(model, images(2000, 0), images(99, 1)).p_Bhw
    for a in (0.05, 0.2, 0.5):
        # 2,000 images of four windows that share no pixel, against the same 99: the error is that of these mostly.
        assert float((p <= a).double().mean()) == pytest.approx(a, abs=4 * (a * (1 - a) / 99) ** 0.5 / 2)


def test_an_image_has_the_same_regions_in_whatever_company() -> None:
    x, ordinary = images(130, 0), images(20, 1)
    whole, alone = (OddRegions.of(gaussian(), some, ordinary) for some in (x, x[117:118]))
    torch.testing.assert_close(whole.p_Bhw[117], alone.p_Bhw[0], rtol=0, atol=0)
    torch.testing.assert_close(whole.expected_BCHW[117], alone.expected_BCHW[0], rtol=0, atol=1e-14)
    none = OddRegions.of(gaussian(), x[:0], ordinary)
    assert (none.p_Bhw.shape, none.expected_BCHW.shape) == ((0, 4, 4), (0, 1, 6, 6))


def test_an_ordinary_image_ties_with_itself() -> None:
    """In float32, where a batch of another size sums in another order."""
    digits = Digits()
    ordinary = digits.examples("val", torch.arange(40), -1, 0).view(-1, 1, 8, 8)
    model = scorewise.load("digits")
    whole = OddRegions.of(model, ordinary, ordinary).p_Bhw
    for size in (1, 7):
        torch.testing.assert_close(OddRegions.of(model, ordinary[:size], ordinary).p_Bhw, whole[:size], rtol=0, atol=0)
    assert float(whole.min()) >= 2 / 41, "each is as odd as itself"


def test_a_square_that_is_inverted_is_found() -> None:
    """In nearly all of 60 digits the oddest window is one that shares most of its pixels with the inverted square."""
    digits = Digits()
    x = digits.examples("test", torch.arange(60), -1, 0).view(-1, 1, 8, 8)
    ordinary = digits.examples("val", torch.arange(200), -1, 0).view(-1, 1, 8, 8)
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(0, 6, (60, 2), generator=generator).tolist()
    for image, (top, left) in zip(x, places, strict=True):
        image[:, top : top + 3, left : left + 3] *= -1
    found = OddRegions.of(scorewise.load("digits"), x, ordinary)
    regions = [found.region(i) for i in range(60)]
    near = [abs(one.top - top) + abs(one.left - left) <= 2 for one, (top, left) in zip(regions, places, strict=True)]
    assert sum(near) > 40, sum(near)
    assert float(found.share_B.mean()) > 0.15


def test_of_several_least_p_values_the_one_furthest_beyond_is_called_the_oddest() -> None:
    """By how far, and not by how often as far: where ordinary images hardly differ, next to nothing is far."""
    x, ordinary = images(1, 0), images(9, 1)
    ordinary[:, :, :3] *= 1e-3
    ordinary[:, :, 3:] *= 20.0
    x[:, :, :3], x[:, :, 3:] = 6.0, 80.0
    found = OddRegions.of(gaussian(), x, ordinary)
    assert float(found.p_Bhw[0, 0].max()) == float(found.p_Bhw[0, 3].max()) == 0.1
    assert found.region(0).top == 3


def test_the_map_has_the_window_around_every_pixel() -> None:
    found = OddRegions.of(gaussian(), images(1, 0, 8), images(9, 1, 8))
    drawn = found.map(0)
    assert drawn.shape == (8, 8)
    torch.testing.assert_close(drawn[1:-1, 1:-1], found.p_Bhw[0])
    assert drawn[0, 0] == found.p_Bhw[0, 0, 0]
    assert drawn[-1, 3] == found.p_Bhw[0, -1, 2]


@pytest.mark.parametrize("side", [1, 2, 5, 40])
def test_windows_fit_images_of_any_size(side: int) -> None:
    model = OfGaussian(MADE((1, side, side), 1, (4,)), noise=NOISE).double()
    found = OddRegions.of(model, images(2, 0, side), images(3, 1, side))
    assert found.window == min(side, max(3, side // 6 | 1))
    assert found.map(0).shape == (side, side)
    assert found.region(1).top + found.window <= side


def models() -> list[Model]:
    return [
        ConditionalScore(MADE(SHAPE, 4, (8,)), noise=NOISE, hidden=(8,)),
        NoisyConditionalScore(MADE(SHAPE, 4, (8,)), levels=LEVELS, noise=NOISE, hidden=(8,)),
        NoisyScore(NoisyMLP(SHAPE, 1, (8,)), levels=LEVELS, noise=NOISE),
        NoisyBlockScore(
            PatchTransformer(SHAPE, 8, patch=(3, 3), size=8, blocks=1), levels=LEVELS, noise=NOISE, hidden=8
        ),
        NormalisingFlow(Glow((1, 8, 8), filters=4, steps=1), noise=NOISE),
    ]


@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
def test_every_kind_of_model_that_removes_noise_has_regions(model: Model) -> None:
    x = images(3, 0, model.shape[-1]).float()
    found = OddRegions.of(model.eval(), x, images(5, 1, model.shape[-1]).float())
    assert bool(found.expected_BCHW.isfinite().all())
    assert not found.expected_BCHW.requires_grad
    assert float((found.expected_BCHW - x).abs().max()) > 1e-4


def test_a_model_without_noise_and_no_ordinary_image_are_refused() -> None:
    model = DiscretisedMixture(MADE(SHAPE, 30, (8,)), components=10, levels=17)
    with pytest.raises(UnknownNoise, match="trained without noise"):
        OddRegions.of(model, images(1, 0).float(), images(2, 1).float())
    with pytest.raises(ValueError, match="there are none"):
        OddRegions.of(gaussian(), images(1, 0), images(0, 1))


def test_too_few_ordinary_images_say_nothing_of_small_p_values(tmp_path: Path) -> None:
    nan = torch.full((1,), torch.nan)
    for count, told in ((18, "18 held-out images are too few"), (19, "have p <= .05, 5 % do")):
        regions = OddRegions.of(gaussian(), images(1, 0), images(count, 1))
        odd = OddImages(["a.png"], torch.ones(1), nan, nan, regions)
        odd.write_regions(tmp_path / "regions.csv")
        (row,) = csv.DictReader((tmp_path / "regions.csv").open())
        assert (row["odd_share"] == "") == (count == 18)
        assert told in odd.told(0)


def test_the_table_and_the_page(tmp_path: Path) -> None:
    x = images(3, 0).clamp(-1, 1)
    x[1, :, 2:5, 1:4] = 1.0
    regions = OddRegions.of(gaussian(), x, images(60, 1).clamp(-1, 1))
    nan = torch.full((3,), torch.nan)
    odd = OddImages(["a.png", "<b>.png", "c.png"], torch.tensor([1.0, 3.0, 2.0]), nan, nan, regions)
    odd.write_regions(tmp_path / "regions.csv")
    rows = list(csv.DictReader((tmp_path / "regions.csv").open()))
    assert [row["name"] for row in rows] == ["<b>.png", "c.png", "a.png"]
    one = regions.region(1)
    inside = x[1, 0, one.top : one.top + 3, one.left : one.left + 3]
    assert float(rows[0]["found"]) == pytest.approx(float(inside.mean()) / 2 + 0.5, abs=1e-6)
    assert [int(rows[0][name]) for name in ("top", "left", "size")] == [one.top, one.left, 3]
    write_image_page(odd, tmp_path / "odd.html", most=2)
    page = (tmp_path / "odd.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    assert "&lt;b&gt;.png" in page
    assert "<b>" not in page
    assert "<script" not in page
    assert "nan" not in page.replace("finance", "").lower().split("base64")[0]
    assert "c.png" in page
    assert "a.png" not in page.replace("data:", "")
    assert "lighter than expected" in odd.told(1)


def test_a_name_that_no_page_can_hold_is_escaped(tmp_path: Path) -> None:
    model, x = scorewise.load("digits"), Digits().examples("val", torch.arange(30), -1, 0).view(-1, 1, 8, 8)
    one, regions = torch.ones(1), OddRegions.of(model, x[:1], x[1:])
    write_image_page(OddImages(["bad\udcff<b>.png"], one, one, one, regions), tmp_path / "page.html")
    assert "<h3>bad\\udcff&lt;b&gt;.png</h3>" in (tmp_path / "page.html").read_text()
