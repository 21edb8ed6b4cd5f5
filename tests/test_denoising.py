"""Denoising against closed forms, its refusals, and the commands."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from PIL import Image
from test_compose import settled
from torch import Generator, Tensor, nn

import scorewise
from scorewise import denoising
from scorewise.backbones import MADE
from scorewise.capabilities import ContextStream
from scorewise.config.build import build
from scorewise.config.choices import IncompatibleChoice
from scorewise.data.datamodule import Batch
from scorewise.denoising.filters import median_of_known
from scorewise.errors import UserError
from scorewise.heads import NoisyConditionalScore
from scorewise.heads.streams import FullPassStream
from scorewise.noise import Draws, OfRows, normal_like
from scorewise.ordering import Ordering
from scorewise.run.task import build_task
from scorewise.tasks.denoising import Denoising, psnr, ssim
from scorewise.tasks.prediction import Given
from scorewise.tasks.restoration import Damage, Infilling, Restoration
from scorewise.tasks.restored_images import RestoredImages, output_names, unwritable

Command = Callable[..., Outcome]
SIDE = 6
SHAPE = (1, SIDE, SIDE)


class KnownGaussian(nn.Module):
    """N(mean, covariance) as a density and conditional scores in closed form; dimensions in raster order."""

    def __init__(self, mean_D: Tensor, covariance_DD: Tensor, noise: float) -> None:
        super().__init__()
        self.mean_D, self.factor_DD = mean_D, torch.linalg.cholesky(covariance_DD)
        self.dims, self.noise = len(mean_D), noise
        self.mean, self.scale = mean_D.mean(), covariance_DD.diagonal().mean().sqrt()
        self.ordering = Ordering.named("raster", self.dims)

    def context(self, x_BD: Tensor) -> Tensor:
        e_BD = torch.linalg.solve_triangular(self.factor_DD, (x_BD - self.mean_D).mT, upper=False).mT
        std_D = self.factor_DD.diagonal()
        return torch.stack([x_BD - std_D * e_BD, std_D.expand_as(x_BD)], -1)

    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        return (c_BDF[..., 0] - q_BD) / c_BDF[..., 1].square()

    def conditional_sample(self, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        return c_BDF[..., 0] + c_BDF[..., 1] * normal_like(c_BDF[..., 0], generator)

    def log_prob(self, x_BD: Tensor) -> Tensor:
        c_BDF = self.context(x_BD)
        return -(0.5 * ((x_BD - c_BDF[..., 0]) / c_BDF[..., 1]).square() + c_BDF[..., 1].log()).sum(-1)

    def context_stream(self) -> ContextStream:
        return FullPassStream(self)  # type: ignore[arg-type]


class KnownNoisyGaussian(KnownGaussian):
    """The same with clean contexts and a query at any noise level."""

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        return (c_BDF[..., 0] - q_BD) / (c_BDF[..., 1].square() + sigma_BD.square())


def smooth_field(n: int, std: float = 0.2, reach: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and covariance of a smooth random field on the pixels, and n draws of it."""
    place_PI = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).double()
    apart_PP = (place_PI[:, None] - place_PI).square().sum(-1)
    covariance_PP = std**2 * torch.exp(-apart_PP / (2 * reach**2)) + 1e-4 * torch.eye(SIDE**2)
    mean_P = torch.linspace(-0.3, 0.3, SIDE**2, dtype=torch.float64)
    z_NP = torch.randn(n, SIDE**2, dtype=torch.float64)
    return mean_P, covariance_PP, mean_P + z_NP @ torch.linalg.cholesky(covariance_PP).mT


SIGMA = 0.3


@pytest.fixture
def field(double: None) -> SimpleNamespace:
    mean_P, covariance_PP, x_NP = smooth_field(8)
    noisy_PP = covariance_PP + SIGMA**2 * torch.eye(SIDE**2)
    y_NP = x_NP + SIGMA * torch.randn_like(x_NP)
    return SimpleNamespace(mean=mean_P, clean=covariance_PP, noisy=noisy_PP, x=x_NP, y=y_NP)


def causal_mean(field: SimpleNamespace, y_ND: Tensor) -> Tensor:
    """Return E[x_d | y_<=d], one dense solve per dimension."""
    columns = []
    for d in range(len(field.mean)):
        weight_d = torch.linalg.solve(field.noisy[: d + 1, : d + 1], field.clean[: d + 1, d])
        columns.append(field.mean[d] + (y_ND[:, : d + 1] - field.mean[: d + 1]) @ weight_d)
    return torch.stack(columns, -1)


def test_parallel_is_the_causal_posterior_mean(field: SimpleNamespace) -> None:
    model = KnownGaussian(field.mean, field.noisy, SIGMA)
    torch.testing.assert_close(denoising.parallel(model, field.y, SIGMA), causal_mean(field, field.y))


def test_joint_is_the_joint_posterior_mean(field: SimpleNamespace) -> None:
    """The gradient of the density holds the terms of later dimensions, which the conditional score lacks."""
    model = KnownGaussian(field.mean, field.noisy, SIGMA)
    expected = field.mean + (field.y - field.mean) @ torch.linalg.solve(field.noisy, field.clean)
    torch.testing.assert_close(denoising.joint(model, field.y, SIGMA), expected)
    assert (expected - causal_mean(field, field.y)).abs().max() > 0.05


def test_sequential_conditions_on_what_is_restored(field: SimpleNamespace) -> None:
    model = KnownNoisyGaussian(field.mean, field.clean, 0.01)
    restored = denoising.sequential(model, field.y, SIGMA)
    for d in (0, 1, 20, SIDE**2 - 1):
        weight_d = torch.linalg.solve(field.clean[:d, :d], field.clean[:d, d])
        mean_N = field.mean[d] + (restored[:, :d] - field.mean[:d]) @ weight_d
        variance = field.clean[d, d] - field.clean[d, :d] @ weight_d
        expected = mean_N + variance / (variance + SIGMA**2) * (field.y[:, d] - mean_N)
        torch.testing.assert_close(restored[:, d], expected, rtol=1e-4, atol=1e-6)


def test_the_final_denoising_of_annealed_samples_is_at_the_smallest_level() -> None:
    made = scorewise.backbones.MADE((4,), width=5, hidden=[8])
    model = scorewise.heads.NoisyConditionalScore(made, levels=[1.0, 0.5, 0.1], noise=0.1)
    x = torch.randn(3, 4)
    s = model.noisy_conditional_score(x, model.context(x), torch.full_like(x, 0.1))
    torch.testing.assert_close(scorewise.sampling.tweedie(model, x), x + 0.1**2 * s.detach())
    torch.testing.assert_close(scorewise.sampling.tweedie(model, x), denoising.parallel(model, x, 0.1))


def test_the_linear_denoisers_are_those_of_the_gaussian_of_the_examples(double: None) -> None:
    _, _, x_NP = smooth_field(300)
    centred = x_NP - x_NP.mean(0)
    clean = centred.mT @ centred / len(x_NP)
    noisy = clean + SIGMA**2 * torch.eye(SIDE**2)
    y = x_NP[:5] + SIGMA * torch.randn(5, SIDE**2)
    field = SimpleNamespace(mean=x_NP.mean(0), clean=clean, noisy=noisy)
    linear = denoising.LinearMMSE(x_NP, SIGMA)
    torch.testing.assert_close(linear.causal(y), causal_mean(field, y))
    torch.testing.assert_close(linear.joint(y), field.mean + (y - field.mean) @ torch.linalg.solve(noisy, clean))
    with pytest.raises(ValueError, match="must be positive"):
        denoising.LinearMMSE(x_NP, 0.0)


def test_infilling_reaches_the_mean_given_everything_known(field: SimpleNamespace) -> None:
    model = KnownGaussian(field.mean, field.noisy, SIGMA)
    lost = torch.zeros(SIDE**2, dtype=torch.bool)
    lost[[0, 7, 8, 21, 35]] = True
    weight = torch.linalg.solve(field.noisy[~lost][:, ~lost], field.noisy[~lost][:, lost])
    expected = field.mean[lost] + (field.x[:, ~lost] - field.mean[~lost]) @ weight
    found = denoising.infill(model, torch.where(lost, 9.0, field.x), (~lost).expand_as(field.x), SHAPE, 150)
    torch.testing.assert_close(found[:, lost], expected, rtol=1e-3, atol=1e-3)
    assert torch.equal(found[:, ~lost], field.x[:, ~lost])


def test_infilling_in_order_takes_what_comes_before(field: SimpleNamespace) -> None:
    model = KnownGaussian(field.mean, field.noisy, SIGMA)
    known = torch.ones_like(field.x, dtype=torch.bool)
    known[2:, 14] = False
    weight = torch.linalg.solve(field.noisy[:14, :14], field.noisy[:14, 14])
    expected = field.mean[14] + (field.x[2:, :14] - field.mean[:14]) @ weight
    found = denoising.infill_in_order(model, torch.where(known, field.x, 9.0), known, 20_000, Generator())
    torch.testing.assert_close(found[2:, 14], expected, rtol=0, atol=0.02)
    assert torch.equal(found[known], field.x[known])


def test_what_fills_an_image_does_not_depend_on_the_images_beside_it(field: SimpleNamespace) -> None:
    model = KnownGaussian(field.mean, field.noisy, SIGMA)
    known = torch.rand_like(field.x) > 0.2
    known[:1] = True
    draws = Draws.of(0, -1, torch.arange(len(known)))
    whole = denoising.infill_in_order(model, field.x, known, 3, OfRows(draws))
    for part in ([2], [1, 2], [0, 2, 3]):
        found = denoising.infill_in_order(model, field.x[part], known[part], 3, OfRows(Draws(draws.key_B[part])))
        torch.testing.assert_close(found, whole[part])


def test_predict_refuses_to_find_lost_pixels_without_a_joint_score() -> None:
    head = NoisyConditionalScore(MADE((1, 8, 8), 4, (8,)), levels=(1.0, 0.3), hidden=(8,), noise=0.3)
    damage = Damage(corruption="salt_and_pepper")
    restored = RestoredImages(Restoration(head, (1, 8, 8), damage, Infilling(), "sequential"), 0)
    with pytest.raises(UserError, match=r"lacks a joint score .*: train with head=conditional_score, block_score"):
        restored.accept(Given(["a"], torch.zeros(1, 64), []))


def test_salt_and_pepper_is_found_and_filled(double: None) -> None:
    mean, covariance, clean = smooth_field(40, std=0.15)
    noise = 0.05
    model = KnownGaussian(mean, covariance + noise**2 * torch.eye(SIDE**2), noise)
    y, hit = denoising.salt_and_pepper(clean, 0.1, SHAPE, Draws.of(0, -1, torch.arange(40)))
    found = denoising.impulse_mask(model, y, SHAPE, 100, 0.5)
    assert (found & hit).sum() > 0.95 * hit.sum()
    assert (found & ~hit).sum() == 0
    restored = denoising.infill(model, y, ~found, SHAPE, 100)
    of_filter = denoising.median(y, SHAPE)
    assert psnr(restored, clean).mean() > psnr(of_filter, clean).mean() + 5


def test_an_outlier_that_no_filter_suspects_does_not_vouch_for_itself(double: None) -> None:
    """Edges are mirrored, so two pixels in a corner are five of the nine that the median of the corner is of."""
    place = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).double()
    covariance = 0.09 * torch.exp(-torch.cdist(place, place) / 3)
    noise = 0.05
    model = KnownGaussian(torch.zeros(SIDE**2), covariance + noise**2 * torch.eye(SIDE**2), noise)
    y = torch.zeros(1, SIDE**2)
    y[0, :2] = 1.0
    assert denoising.median(y, SHAPE)[0, 0] == 1, "not suspected"
    assert torch.equal(denoising.impulse_mask(model, y, SHAPE, 100, 0.5), y == 1)


def test_salt_and_pepper_hits_all_channels_of_a_pixel() -> None:
    x = torch.zeros(200, 3 * 25)
    y, hit = denoising.salt_and_pepper(x, 0.1, (3, 5, 5), Draws.of(3, -1, torch.arange(200)))
    planes = y.reshape(200, 3, 25)
    assert torch.equal(planes[:, 0], planes[:, 1])
    assert torch.equal(planes[:, 0], planes[:, 2])
    assert hit.float().mean() == pytest.approx(0.1, abs=0.02)
    assert (y[hit] > 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(y[hit].abs(), torch.ones_like(y[hit]))
    one, _ = denoising.salt_and_pepper(x[:1], 0.1, (3, 5, 5), Draws.of(3, -1, torch.arange(7, 8)))
    assert torch.equal(one[0], y[7])


def test_filters_on_images_made_by_hand() -> None:
    x = -torch.ones(1, 25)
    x[0, 12] = 1.0
    assert torch.equal(denoising.median(x, (1, 5, 5)), -torch.ones(1, 25))
    flat = torch.full((2, 75), 0.25)
    torch.testing.assert_close(denoising.wiener(flat, (3, 5, 5), None)[:, 31:44:25], flat[:, 31:44:25])
    image = torch.arange(25.0).reshape(1, 25) / 25
    window = image.reshape(5, 5)[1:4, 1:4]
    mean, variance = window.mean(), window.var(unbiased=False)
    expected = mean + (1 - 0.01 / variance) * (window[1, 1] - mean)
    torch.testing.assert_close(denoising.wiener(image, (1, 5, 5), 0.1)[0, 12], expected)


def test_medians_of_known_neighbours() -> None:
    x = torch.arange(25.0)[None]
    known = torch.ones(1, 25, dtype=torch.bool)
    known[0, 12] = False
    filled = median_of_known(x, known, (1, 5, 5), 7.0)
    assert filled[0, 12] == 11.0  # the lower of the middle two of 6 7 8 11 13 16 17 18
    assert torch.equal(filled[known], x[known])
    assert (median_of_known(x, ~known & known, (1, 5, 5), 7.0) == 7.0).all()


def test_psnr_and_ssim_on_arrays_made_by_hand() -> None:
    clean = torch.zeros(2, 64)
    off = torch.stack([torch.full((64,), 0.2), torch.zeros(64)])
    torch.testing.assert_close(psnr(off, clean), torch.tensor([20.0, 100.0]))
    image = torch.randn(2, 64).clamp(-1, 1)
    torch.testing.assert_close(ssim(image, image, (1, 8, 8)), torch.ones(2).double())
    flat = torch.full(
        (1, 64), 0.2
    )  # without variance: (2 a b + C) / (a^2 + b^2 + C), C = .01^2, of .6 and .7 in [0, 1]
    found = ssim(flat, 2 * flat, (1, 8, 8))  # a variance is a difference of two numbers: in float64
    torch.testing.assert_close(found, torch.tensor([0.8401 / 0.8501]).double(), rtol=1e-6, atol=0)
    assert ssim(image, image.flip(1), (1, 8, 8)).shape == (2,)
    assert math.isfinite(float(ssim(torch.zeros(1, 784), torch.zeros(1, 784), (1, 28, 28))))


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (("task.mode=sequential",), "is trained with joint noise, on noisy ones: use task.mode=parallel, or train"),
        (("task.mode=parallel", "objective=dsm", "backbone=mlp"), "needs conditional scores, and Score has none: use"),
        (("task.mode=joint", "objective=csm_annealed"), "NoisyConditionalScore has none: use task.mode=sequential"),
        (("task.corruption=salt_and_pepper", "objective=csm_annealed"), "task.mode=sequential with a known mask"),
        (("task.corruption=salt_and_pepper", "task.mode=parallel"), "none of auto, sequential, joint"),
        (("task.corruption=salt_and_pepper", "task.mode=sequential", "task.mask=blind"), "needs what follows a pixel"),
        (
            ("task.corruption=salt_and_pepper", "task.mode=sequential", "objective=dsm", "backbone=mlp"),
            "needs draws of conditionals, and Score has none",
        ),
        (("objective=mle", "head=discretised_mixture", "data.smoothing=0"), "DiscretisedMixture has none: use head="),
        (("task.corruption=blur",), "task.corruption=blur is none of gaussian, salt_and_pepper"),
        (("task.mask=guessed",), "task.mask=guessed is none of known, blind"),
        (
            ("task.mask=blind",),
            "with task.corruption=gaussian: leave it out, or use task.corruption=salt",
        ),
        (("task.share=0.7",), "task.share=0.7 has no effect with task.corruption=gaussian"),
        (
            ("task.corruption=salt_and_pepper", "task.sigma=0.3"),
            "task.sigma=0.3 has no effect with task.corr",
        ),
        (
            ("task.corruption=salt_and_pepper", "task.draws=3"),
            "with task.mode=auto: leave it out, or use task.mode",
        ),
    ],
)
def test_pairs_that_do_not_fit_are_refused_in_one_sentence(choice: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(IncompatibleChoice, match=sentence) as refused:
        settled("task=denoising", *choice)
    assert str(refused.value).count(". ") == 0
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (("task.sigma=0.6",), r"task.sigma=0.6 is not the noise .* which is 0.3\."),
        (("objective=csm_annealed",), "task.sigma must be given, from 0.3 to 1"),
        (("objective=csm_annealed", "task.sigma=0.5", "task.mode=parallel"), "sequential takes its higher levels"),
        (("objective=csm_annealed", "task.sigma=3"), "which is 0.3 to 1"),
        (("data.smoothing=0",), "can remove none: train with data.smoothing"),
        (("data=gaussian", "data.smoothing=0.3"), r"shape \[10\] are no images"),
        (("task.share=1.5",), "task.share=1.5 must be a number above 0 and below 1"),
    ],
)
@pytest.mark.filterwarnings("ignore:data.smoothing=0")
def test_settings_that_do_not_fit_are_refused_in_one_sentence(choice: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_task(config := settled("task=denoising", "debug=tiny", *choice), build(config, 0), 0)


def test_train_eval_and_predict(command: Command) -> None:
    trained = command("debug=tiny", "task=denoising", "task.images=70", "callbacks.progress=false")
    assert trained.status == 0, trained.err
    run = trained.run
    summary = json.loads((run / "summary.json").read_text())
    measured = {f"{quality}_{name}" for quality in ("psnr", "ssim") for name in ("restored", "median", "wiener")}
    assert measured | {f"{name}_se" for name in measured} | {"psnr_corrupted"} <= set(summary["metrics"])
    assert summary["conventions"]["psnr_restored"].endswith("ConditionalScore, mode=parallel")
    assert (run / "denoising-gaussian-parallel.png").is_file()

    asked = (f"run={run}", "task=denoising", "task.corruption=salt_and_pepper", "task.mask=blind", "task.steps=1")
    tested = command(*asked, "task.images=3", name="eval")
    assert tested.status == 0, tested.err
    numbers = json.loads((run / "denoising-salt_and_pepper-blind-joint.json").read_text())
    assert {"wrongly_kept", "psnr_restored", "ssim_restored"} <= set(numbers["metrics"])
    known = command(*asked[:3], "task.mode=sequential", "task.draws=2", "task.images=3", name="eval")
    assert "psnr_neighbours" in known.out

    images = run.parents[2] / "images"
    (images / "more").mkdir(parents=True)
    grey = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    Image.fromarray(grey[0]).save(images / "a.png")
    Image.fromarray(grey[1]).convert("RGB").save(images / "more" / "b.bmp")
    (images / "broken.png").write_bytes((images / "a.png").read_bytes()[:60])
    (images / "notes.txt").write_text("no image")
    before = {path: path.read_bytes() for path in images.rglob("*") if path.is_file()}
    predicted = command(f"run={run}", f"input={images}", "paths.cache=cache", name="predict")
    assert predicted.status == 0, predicted.err
    assert "2 restored, 2 left out" in predicted.out
    assert "broken.png" in predicted.err
    folder = run / "predictions" / "denoising-gaussian-parallel"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) == ["a.png", "more/b.bmp.png"]
    assert "other images" not in predicted.err
    (images.parent / "one").mkdir()
    Image.fromarray(grey[2]).save(images.parent / "one" / "c.png")
    beside = command(f"run={run}", f"input={images.parent / 'one'}", "paths.cache=cache", name="predict")
    assert "denoising-gaussian-parallel has 2 other images, a.png, b.bmp.png, which stay there" in beside.err
    written = torch.from_numpy(np.array(Image.open(folder / "a.png")))
    model = scorewise.load(run)
    x = torch.from_numpy(grey[0]).float().reshape(1, -1) / 127.5 - 1
    expected = denoising.parallel(model, x, model.noise).clamp(-1, 1).reshape(8, 8)
    torch.testing.assert_close(written.float(), (expected + 1) * 127.5, rtol=0, atol=0.51)
    assert {path: path.read_bytes() for path in images.rglob("*") if path.is_file()} == before


def test_two_images_never_go_to_one_file() -> None:
    assert output_names(["a.jpg", "b/a.PNG"]) == ["a.jpg.png", "b/a.PNG"]
    with pytest.raises(UserError, match=r"would be written as a\.jpg\.png"):
        output_names(["a.jpg", "a.jpg.png"])


def test_images_that_cannot_be_written_cost_no_others(command: Command, tmp_path: Path) -> None:
    long, accents = "x" * 252, "\u00fc" * 126  # 256 bytes with .png, both
    assert unwritable(["x" * 251, f"{'y' * 251}.png", f"more/{accents[1:]}", "a", "a.png.png/b", "B.PNG/x"]) == []
    lost = [long, f"more/{accents}", "a"]
    assert [one.name for one in unwritable([*lost, "a.png/b/c.png"])] == lost
    run = command("debug=tiny", "callbacks.progress=false").run
    (tmp_path / "images" / "a.png").mkdir(parents=True)
    picture = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    for name in ("good.png", long, "a", "a.png/b.png"):
        picture.save(tmp_path / "images" / name, format="PNG")
    asked = (f"run={run}", "input=images", "output=out", "paths.cache=cache")
    predicted = command(*asked, name="predict")
    assert predicted.status == 0, predicted.err
    assert "2 of 4 images are not written: " in predicted.err
    assert f"({long}); " in predicted.err
    assert "a folder of the input has the name that its file would have: 1 (a)" in predicted.err
    assert "2 restored, 2 left out" in predicted.out
    written = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()}
    assert written == {"good.png", "a.png/b.png"}
    for name in ("good.png", "a", "a.png/b.png"):
        (tmp_path / "images" / name).unlink()
    refused = command(*asked, name="predict")
    assert refused.status == 1
    assert refused.err.startswith("no image of the input can be written: too long a name with .png behind it")


def test_predict_refuses_what_it_cannot_use(command: Command, tmp_path: Path) -> None:
    run = command("debug=tiny", "callbacks.progress=false").run
    (tmp_path / "images").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no image")
    for arguments, sentence in (
        (("input=nowhere",), f"input={tmp_path}/nowhere is not there: give a folder of images"),
        (("input=text/notes.txt",), f"input={tmp_path}/text/notes.txt is a file: give a folder of images"),
        (("input=text",), f"input={tmp_path}/text has no image that can be used"),
        (("input=images",), f"input={tmp_path}/images is empty"),
        (("input=images", "output=images/restored"), "lies in the folder of the images themselves"),
        (("input=images", "task=density"), "use task=denoising"),
    ):
        ended = command(f"run={run}", *arguments, "paths.cache=cache", name="predict")
        assert ended.status == 1
        assert sentence in ended.err
        assert len(ended.err.strip().splitlines()) == 1
    assert not (run / "predictions").exists()


def test_several_processes_restore_the_first_images_between_them() -> None:
    """Each has every second image of the split, and five are wanted."""
    taken: list[int] = []
    x = torch.rand(8, 64)
    task: Any = SimpleNamespace(
        images=5,
        seed=0,
        source=SimpleNamespace(shape=(1, 8, 8)),
        restoration=SimpleNamespace(
            observe=lambda x_BD, _: SimpleNamespace(shares={}, images={"corrupted": x_BD, "restored": x_BD})
        ),
        collect=lambda name, _, index_B: taken.extend(index_B.tolist()) if name == "psnr_restored" else None,
        _show=lambda _: None,
    )
    for rank in range(2):
        places = torch.arange(rank, 8, 2)
        for some in places.split(3):
            Denoising.test_step(task, Batch(x[some], some, torch.full_like(some, -1)), 0)
    assert sorted(taken) == [0, 1, 2, 3, 4]
