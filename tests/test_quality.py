"""FID and KID against closed forms and torch-fidelity, feature extractors, and the commands that use them."""

import csv
import hashlib
import json
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Outcome
from scipy.linalg import sqrtm
from torch import Tensor, nn

from scorewise.data import Digits, Uniform
from scorewise.data.source import FixedSource, Split
from scorewise.errors import UserError
from scorewise.noise import Draws
from scorewise.quality import (
    ClassifierFeatures,
    Distance,
    ExtractorStore,
    FeatureExtractor,
    InceptionFeatures,
    ReferenceImages,
    describe,
    draw,
    eight_bits,
    fid,
    inception,
    kid,
    mean_colour_distance,
)
from scorewise.tasks.classification import shifted
from scorewise.tracking.metrics_table import MetricsTable, read_metrics
from scorewise.tracking.tensorboard import TensorBoard
from scorewise.tracking.tracker import Label, log_sentences
from scorewise.tracking.wandb_run import WandbRun

Command = Callable[..., Outcome]


def with_moments(n: int, mean_F: Tensor, covariance_FF: Tensor) -> Tensor:
    """Return features whose mean and unbiased covariance are exactly these."""
    z_NF = torch.randn(n, len(mean_F), dtype=torch.float64)
    z_NF -= z_NF.mean(0)
    white_NF = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(z_NF.T)), z_NF.T, upper=False).T
    features_NF: Tensor = mean_F + white_NF @ torch.linalg.cholesky(covariance_FF).T
    return features_NF


def some_gaussians() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    a_FF, b_FF = torch.randn(2, 5, 5, dtype=torch.float64)
    mean_F, other_F = torch.randn(2, 5, dtype=torch.float64)
    eye_FF = 0.3 * torch.eye(5, dtype=torch.float64)
    return (mean_F, a_FF @ a_FF.T + eye_FF), (other_F, b_FF @ b_FF.T + eye_FF)


def test_fid_of_gaussian_features_is_the_closed_form() -> None:
    (m, c), (n, d) = some_gaussians()
    closed = float((m - n).square().sum() + (c + d).trace()) - 2 * float(np.trace(sqrtm((c @ d).numpy())).real)
    assert fid(with_moments(300, m, c), with_moments(700, n, d)) == pytest.approx(closed, rel=1e-9)
    s, t = torch.tensor([0.5, 1.0, 3.0]).double(), torch.tensor([2.0, 0.1, 3.0]).double()
    apart = fid(with_moments(50, s, s.square().diag()), with_moments(60, t, t.square().diag()))
    assert apart == pytest.approx(2 * float((s - t).square().sum()), rel=1e-9)  # (m - n)^2 + (s - t)^2 per feature


def test_fid_of_drawn_features_comes_near_the_closed_form() -> None:
    x, y = torch.randn(100_000, 3).double(), 1.5 * torch.randn(100_000, 3).double() + torch.tensor([1.0, 0.0, 0.0])
    assert fid(x, y) == pytest.approx(1 + 3 * 0.25, rel=0.02)
    assert fid(x, torch.randn(100_000, 3)) < 1e-3


def test_kid_of_features_made_by_hand() -> None:
    """Pairs within the sets are (0 0 / F + 1)^3 = 1 and (1 1 / F + 1)^3, pairs across them 1."""
    assert kid(torch.zeros(3, 1), torch.ones(3, 1), 2, 3, 0)[0] == pytest.approx(1 + 8 - 2)
    only_one = torch.tensor([[1.0, 0.0]]).expand(3, 2)
    assert kid(torch.zeros(3, 2), only_one, 2, 3, 0)[0] == pytest.approx(1 + 1.5**3 - 2)
    ends = torch.tensor([[-1.0], [1.0]])  # the diagonal is left out: the only pair within is (-1 + 1)^3 = 0
    assert kid(ends, torch.zeros(2, 1), 2, 2, 0)[0] == pytest.approx(0 + 1 - 2)


def test_kid_of_gaussian_features_is_the_closed_form() -> None:
    """With one feature the kernel (x y + 1)^3 compares the first three moments: 3, 3 and 1 times their difference."""
    mean, std = 0.7, 1.2
    x, y = torch.randn(20_000, 1).double(), mean + std * torch.randn(20_000, 1).double()
    second, third = mean**2 + std**2, mean**3 + 3 * mean * std**2
    closed = 3 * mean**2 + 3 * (second - 1) ** 2 + third**2
    with pytest.raises(ValueError, match=r"^subsets of 1 have no distance without bias: take 2 at least$"):
        kid(y, x, 2, 1, 0)
    found, spread = kid(y, x, 40, 500, 0)
    assert found == pytest.approx(closed, rel=0.25)  # of sixth moments, whose estimate is wide
    assert 0 < spread < closed
    assert abs(kid(x, torch.randn(20_000, 1).double(), 40, 500, 0)[0]) < 0.1


def test_torchmetrics_and_torch_fidelity_agree_on_the_same_features() -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    x, y = torch.randn(400, 32).double(), 1.3 * torch.randn(400, 32).double() + 0.2
    statistics = [fid_features_to_statistics(features) for features in (x, y)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert abs(fid(x, y) - theirs) < 1e-3
    assert fid(x, y) == pytest.approx(theirs, rel=1e-9)

    def their_kid(subsets: int, size: int) -> float:
        settings = {"kid_subsets": subsets, "kid_subset_size": size, "rng_seed": 0, "verbose": False}
        return float(kid_features_to_metric(x, y, **settings)["kernel_inception_distance_mean"])

    assert kid(x, y, 1, 400, 0)[0] == pytest.approx(their_kid(1, 400), rel=1e-9)  # whole sets: no choice of a subset
    mean, spread = kid(x, y, 100, 100, 0)
    assert abs(mean - their_kid(100, 100)) < spread / 2


def test_kid_is_a_function_of_its_seed_and_leaves_the_global_generator_alone() -> None:
    x, y = torch.randn(50, 4), torch.randn(60, 4)
    before = torch.random.get_rng_state()
    assert kid(x, y, 5, 20, 3) == kid(x, y, 5, 20, 3) != kid(x, y, 5, 20, 4)
    assert torch.equal(before, torch.random.get_rng_state())


def test_features_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="two of each"):
        fid(torch.randn(1, 3), torch.randn(5, 3))
    with pytest.raises(ValueError, match="not finite"):
        kid(torch.tensor([[1.0], [float("nan")]]), torch.randn(5, 1), 2, 2, 0)


def test_every_level_survives_eight_bits() -> None:
    levels = torch.arange(256)
    assert torch.equal(eight_bits(levels[None] / 127.5 - 1, (1, 16, 16)).flatten().long(), levels)
    assert eight_bits(torch.tensor([[-7.0, 7.0, 0.001]]), (3, 1, 1)).flatten().tolist() == [0, 255, 128]


def test_a_shift_of_all_colours_is_its_own_distance() -> None:
    images = torch.randint(0, 200, (40, 3, 4, 4), dtype=torch.uint8)
    shift = torch.tensor([5, 10, 30], dtype=torch.uint8)[:, None, None]
    value, error, by_channel = mean_colour_distance(images + shift, images, 0)
    assert value == pytest.approx(15)
    assert by_channel == pytest.approx([5, 10, 30])
    assert 0 < error < 15
    assert mean_colour_distance(images, images, 0)[0] == 0


# Comparisons.


class FirstPixels(FeatureExtractor):
    """The first two pixels of the first channel as features."""

    name, num_features = "first-pixels", 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.weight * images_BCHW[:, 0, 0, :2]

    def refusal(self, shape: Any) -> None:
        return None


class Colours(FixedSource):
    """30 training, 10 validation and 20 test images of random bytes."""

    shape, mean, std = (3, 2, 2), 0.0, 1.0
    offset = units_per_step = 127.5

    def read(self) -> dict[Split, Tensor]:
        bytes_ND = torch.randint(0, 256, (60, 12), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        return {"train": bytes_ND[:30], "val": bytes_ND[30:40], "test": bytes_ND[40:]}


def test_a_comparison_is_with_all_images_of_its_split() -> None:
    source = Colours()
    comparison = ReferenceImages(FirstPixels(), source, "test", subsets=3, subset_size=1000, seed=0)
    images = source.raw("train")[:8].reshape(8, 3, 2, 2)
    found = comparison.bounded(images, "images")
    test = source.raw("test")[:, :2].double()
    assert found["fid"].value == pytest.approx(fid(images[:, 0, 0].double(), test))
    one = found["kid"]
    assert isinstance(one, Distance)
    assert (one.samples, one.references, one.split, one.subset_size) == (8, 20, "test", 4)
    assert one.hash == FirstPixels().hash
    assert {f"{name}{bound}" for name in ("fid", "kid", "mean_colour") for bound in ("", "_floor", "_pixels")} == set(
        found
    )
    assert found["fid_floor"].samples == found["fid_pixels"].samples == 8
    assert "of the train split against 20" in str(found["fid_floor"])
    assert comparison.conventions(8, "images") == {name: one.facts() for name, one in found.items()}
    assert "(means" not in str(found["mean_colour"].facts())
    everything = ReferenceImages(FirstPixels(), source, "test", 3, 1000, 0).of(
        source.raw("test").reshape(20, 3, 2, 2), "images"
    )
    assert everything["fid"].value == pytest.approx(0, abs=1e-6)
    assert everything["mean_colour"].value == 0


def test_independent_pixels_have_the_means_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Digits()
    comparison = ReferenceImages(FirstPixels(), source, "test", 2, 10, 0)
    seen: list[Tensor] = []

    def see(images_BCHW: Tensor, kind: str) -> dict[str, Any]:
        assert kind == "images of independent Gaussian pixels"
        seen.append(images_BCHW)
        return {}

    monkeypatch.setattr(comparison, "of", see)
    comparison.pixels(4_000)
    x_ND = seen[0].flatten(1).double()
    data_ND = eight_bits(source.examples("train", torch.arange(1297), -1, 0), source.shape).flatten(1).double()
    inner = data_ND.mean(0).sub(127.5).abs() < 60  # where clamping changes little
    assert inner.sum() > 10
    assert (x_ND.mean(0) - data_ND.mean(0))[inner].abs().max() < 12
    assert torch.corrcoef(x_ND[:, inner].T).fill_diagonal_(0).abs().max() < 0.1


def test_a_distance_says_everything_that_it_depends_on() -> None:
    text = str(
        Distance("KID", 0.01234, 2000, "samples", 10_000, "test", "classifier-mnist", "1a2b3c4d", 64, 5e-4, 100, 1000)
    )
    assert text == (
        "KID 0.01234 (s.d. 0.0005): 2,000 samples against 10,000 clean 8-bit images of the test split; 64 features of "
        "classifier-mnist, hash 1a2b3c4d; mean over 100 subsets of 1,000"
    )


# Samples.


class Counting:
    """A model whose samples are the first numbers of the generator that it is given."""

    def __init__(self, noise: float = 0.0) -> None:
        self.mean, self.dims, self.noise, self.sampler = torch.zeros(()), 2, noise, None

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, 2, generator=generator)

    def context(self, x_BD: Tensor) -> Tensor:
        return x_BD[..., None]

    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        return -q_BD


def test_samples_do_not_depend_on_the_number_of_processes() -> None:
    alone = draw(Counting(), 10, 4, 0, denoise=False)
    for world_size in (2, 3, 4):
        parts = [draw(Counting(), 10, 4, 0, False, rank, world_size) for rank in range(world_size)]
        assert torch.equal(torch.stack(parts).sum(0), alone)
    assert not parts[3].any(), "there are three chunks"
    assert not torch.equal(draw(Counting(), 10, 4, 1, denoise=False), alone)


def test_samples_are_denoised_where_their_law_is_smoothed() -> None:
    x_BD = draw(Counting(0.5), 250, 250, 0, denoise=False)
    torch.testing.assert_close(draw(Counting(0.5), 250, 250, 0, denoise=True), 0.75 * x_BD)
    assert torch.equal(draw(Counting(), 250, 250, 0, denoise=True), x_BD)
    assert "denoised by x + sigma^2 s(x), sigma 0.5" in describe(Counting(0.5), True)
    assert "not denoised" in describe(Counting(0.5), False)
    assert "clean images" in describe(Counting(), True)


def test_samples_that_are_not_finite_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Counting()
    monkeypatch.setattr(model, "sample", lambda *_: torch.tensor([[1.0, float("inf")], [0.0, 0.0]]))
    with pytest.raises(UserError, match="1 of 2 samples by NoneType are not finite"):
        draw(model, 2, 2, 0, denoise=False)


# Feature extractors.


def test_the_untrained_extractor_is_the_same_for_everybody() -> None:
    one = ClassifierFeatures.random((3, 8, 8))
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(7)
    other = ClassifierFeatures.random((3, 8, 8))
    assert one.hash == other.hash
    assert len(one.hash) == 8
    images = torch.randint(0, 256, (7, 3, 8, 8), dtype=torch.uint8)
    features = one.features(images, batch=2)
    assert features.dtype == torch.float64
    torch.testing.assert_close(features, one(images).double(), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        other.hidden.weight[0, 0] += 1
    assert one.hash != other.hash
    assert not any(parameter.requires_grad for parameter in one.parameters())


def test_an_extractor_is_saved_and_loaded(tmp_path: Path) -> None:
    store = ExtractorStore(tmp_path / "features")
    assert store.newest("digits") is None
    one = ClassifierFeatures.random((1, 8, 8))
    folder = store.put("digits", one, {"seed": 0})
    again = store.newest("digits")
    assert again is not None
    assert (again.hash, again.name, again.num_features) == (one.hash, one.name, 64)
    assert store.newest("digit") is None
    torch.set_default_dtype(torch.float64)
    assert ClassifierFeatures.load(folder).hash == one.hash
    assert store.take(str(folder), Digits()).hash == one.hash
    with pytest.raises(UserError, match=r"made for images of shape \[1, 8, 8\], and these have \[3, 8, 8\]: give"):
        store.take(str(folder), Uniform([3, 8, 8]))
    with pytest.raises(UserError, match=r"has no labels, .* use task\.extractor=inception, untrained, or the folder"):
        store.take(None, Uniform([3, 8, 8]))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "hash": "00000000"}))
    with pytest.raises(UserError, match=r"have hash \w{8}, and its config\.yaml says 00000000"):
        store.newest("digits")
    (folder / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="no feature extractor that can be read"):
        ClassifierFeatures.load(folder)
    with pytest.raises(UserError, match="no feature extractor that can be read"):
        ClassifierFeatures.load(tmp_path)
    (folder / "config.yaml").write_text("hash: 1")
    with pytest.raises(UserError, match="is no feature extractor, or a damaged one"):
        ClassifierFeatures.load(folder)


def test_images_are_shifted_with_their_edges_repeated() -> None:
    images = torch.arange(2 * 3 * 16 * 20).reshape(2, 3, 16, 20)
    assert torch.equal(shifted(images, 0, Draws.of(0, 0, torch.arange(2))), images)
    moved = shifted(images.expand(2, 3, 16, 20), 2, Draws.of(0, 0, torch.arange(2)))
    by = (Draws.of(0, 0, torch.arange(2)).fork("shift").uniform(2) * 5).long() - 2
    for image, found, (down, right) in zip(images, moved, by.tolist(), strict=True):
        for row, column in ((0, 0), (7, 9), (15, 19)):
            source = min(max(row + down, 0), 15), min(max(column + right, 0), 19)
            assert torch.equal(found[:, row, column], image[:, source[0], source[1]])
    many = (Draws.of(0, 0, torch.arange(5_000)).fork("shift").uniform(2) * 5).long() - 2
    assert torch.bincount((many + 2).flatten()).min() > 1_800


@pytest.fixture
def without_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    def refuse(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path / "features"


def test_inception_without_its_weights_is_one_sentence(without_weights: Path) -> None:
    with pytest.raises(UserError) as refused:
        ExtractorStore(without_weights).take("inception", Digits())
    sentence = str(refused.value)
    assert "could not be downloaded (URLError): put weights-inception-2015-12-05-6726825d.pth, from https" in sentence
    assert f"into {without_weights} or " in sentence
    without_weights.mkdir(exist_ok=True)
    (without_weights / "weights-inception-2015-12-05-6726825d.pth").write_bytes(b"something else")
    with pytest.raises(UserError, match=r"is not torch-fidelity's file \(its sha256 begins with \w{8}, not 6726825d\)"):
        ExtractorStore(without_weights).take("inception", Digits())


def test_inception_is_torch_fidelitys(without_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights that are drawn here, because the published ones cannot be in a repository."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    kept: dict[str, Any] = {}
    with monkeypatch.context() as patch:
        patch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: kept)
        patch.setattr(theirs.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        random = theirs.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    without_weights.mkdir()
    file = without_weights / "weights-inception-2015-12-05-6726825d.pth"
    torch.save(random.state_dict(), file)
    prefix = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(inception, "_prefix", lambda _: prefix)
    extractor = ExtractorStore(without_weights).take("inception", Digits())
    assert isinstance(extractor, InceptionFeatures)
    images = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    grey = extractor.features(images)
    assert grey.shape == (2, 2048)
    torch.testing.assert_close(grey, random(images.repeat(1, 3, 1, 1))[0].double())
    assert "takes grey or RGB images, and these have 4 channels" in str(extractor.refusal((4, 8, 8)))
    torch.save({"network": SimpleNamespace()}, file)
    prefix = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    with pytest.raises(UserError, match="cannot be read"):
        InceptionFeatures(file)


# Commands.


@pytest.fixture
def cached(tmp_path: Path) -> str:
    return f"paths.cache={tmp_path / 'cache'}"


def test_the_features_command(command: Command, cached: str) -> None:
    asked = ("data=digits", "data.epochs=4", cached)
    ended = command(*asked, name="features")
    assert ended.status == 0, ended.err
    accuracy = float(ended.out.split("held-out accuracy: ")[1].split(" %")[0])
    assert accuracy > 90
    (folder,) = (ended.folder / "cache/features").iterdir()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["extractor"]["accuracy"] == pytest.approx(accuracy / 100, abs=6e-4)
    assert (config["data"], config["seed"], config["epochs"], config["test_images"]) == ("digits", 0, 4, 300)
    assert folder.name == f"digits-{config['hash']}"
    assert str(ended.folder) not in (folder / "config.yaml").read_text()
    extractor = ClassifierFeatures.load(folder)
    source = Digits()
    images = eight_bits(source.examples("test", torch.arange(300), -1, 0), source.shape)
    right = extractor.logits(images).argmax(1) == source.labels("test")
    assert float(right.float().mean()) == pytest.approx(config["extractor"]["accuracy"], abs=1e-4)
    train = eight_bits(source.examples("train", torch.arange(1297), -1, 0), source.shape)
    features = extractor.features(train)
    assert features.mean(0).abs().max() < 0.5
    assert (features.std(0) - 1).abs().max() < 0.5
    assert command(*asked, name="features").status == 0
    assert [path.name for path in (ended.folder / "cache/features").iterdir()] == [folder.name], "the same weights"
    assert command(*asked, "seed=1", name="features").status == 0
    some = command(*asked, "seed=2", "trainer.limit_test_batches=1", name="features")
    assert " % of 64 test images" in some.out
    assert len(list((ended.folder / "cache/features").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("data=wine",),
            "data=wine has no labels that a classifier could learn: use data=cifar10,",
        ),
        (("trainer.devices=2",), "trains on one device: use trainer=cpu or trainer=gpu."),
        (("extractor.channels=0",), "extractor.channels=0 must be a whole number of at least 1."),
        (("extractor.chanels=2",), "extractor.chanels is no setting of extractor; did you mean channels?"),
    ],
)
def test_what_the_features_command_refuses(command: Command, arguments: tuple[str, ...], sentence: str) -> None:
    ended = command(*arguments, name="features")
    assert ended.status == 1
    assert sentence in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_train_and_eval(command: Command, cached: str) -> None:
    quality = ("task=sample_quality", "task.samples=90", "task.subsets=4", "task.shown=4", cached)
    missing = command("debug=tiny", *quality, "callbacks.progress=false")
    assert missing.status == 1
    assert "there is no feature extractor for digits in" in missing.err
    assert "make features DATA=digits" in missing.err
    assert len(missing.err.strip().splitlines()) == 1
    assert command("data=digits", "data.epochs=1", cached, name="features").status == 0
    trained = command("debug=tiny", *quality, "callbacks.progress=false")
    assert trained.status == 0, trained.err
    run = trained.run
    (extractor,) = (trained.folder / "cache/features").iterdir()
    hash_ = extractor.name.removeprefix("digits-")
    summary = json.loads((run / "summary.json").read_text())
    facts = f"against 300 clean 8-bit images of the test split; 64 features of classifier-digits, hash {hash_}"
    samples = "90 samples (denoised by x + sigma^2 s(x), sigma 0.3, clamped, in 8 bits)"
    each = ("fid{}", "kid{}", "kid{}_sd")
    numbers = {name.format(which) for name in each for which in ("", "_floor", "_pixels")}
    assert numbers == set(summary["metrics"]) == set(summary["conventions"])
    assert summary["conventions"]["fid"] == f"{samples} {facts}"
    assert summary["conventions"]["kid"] == f"{samples} {facts}; mean over 4 subsets of 45"
    assert summary["conventions"]["fid_floor"] == f"90 images of the train split {facts}"
    with (run / "metrics.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert last["test/fid/what it is"] == summary["conventions"]["fid"]
    assert float(last["test/fid"]) == pytest.approx(summary["metrics"]["fid"])
    assert (run / f"sample_quality-90-test-{hash_}.png").is_file()
    for file_name in ("config.yaml", "summary.json"):
        assert str(trained.folder) not in (run / file_name).read_text()

    tested = command(f"run={run}", *quality, name="eval")
    assert tested.status == 0, tested.err
    written = (run / f"sample_quality-90-test-{hash_}.json").read_text()
    found = json.loads(written)
    assert found["metrics"] == summary["metrics"], "the same samples again"
    assert found["conventions"] == summary["conventions"]
    assert str(trained.folder) not in written
    assert f"hash {hash_}" in " ".join(tested.out.replace("│", " ").split())
    noisy = command(f"run={run}", *quality, "task.denoise=false", "task.extractor=untrained", name="eval")
    assert "not denoised" in " ".join(noisy.out.replace("│", " ").split())
    few = command(f"run={run}", *quality[:1], "task.samples=10", f"task.extractor={extractor}", name="eval")
    assert "task.samples=10 is not more than the 64 features" in few.err
    for arguments, sentence in (
        (("task.split=all",), "task.split=all is none of train, val, test."),
        (("task.samples=1",), "task.samples=1 must be a whole number of at least 4."),
        (("task.extractor=nowhere",), "nowhere holds no feature extractor that can be read"),
    ):
        refused = command(f"run={run}", "task=sample_quality", *arguments, name="eval")
        assert refused.status == 1
        assert sentence in refused.err
        assert len(refused.err.strip().splitlines()) == 1


def test_sentences_reach_every_logger(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    label = Label("a", "b", "c", "d", (), {})
    table, board = MetricsTable(tmp_path / "metrics.csv"), TensorBoard(tmp_path / "board", label)
    wandb = WandbRun(tmp_path, label, "project", None, "offline")
    wandb.run = SimpleNamespace(summary={})
    board.begin(0)
    table.log_metrics({"test/fid": 3.5}, 7)
    log_sentences([table, board, wandb], {"test/fid": "of 9 samples, 4 of them odd"}, 7)
    table.write()
    board.end(0)
    assert "3.5" in (tmp_path / "metrics.csv").read_text()
    assert "of 9 samples, 4 of them odd" in (tmp_path / "metrics.csv").read_text()
    assert read_metrics(tmp_path / "metrics.csv") == {"test/fid": [(7, 3.5)]}
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    (written,) = events.Tensors("test/fid/what it is/text_summary")
    assert b"of 9 samples" in written.tensor_proto.string_val[0]
    assert wandb.run.summary == {"test/fid/what it is": "of 9 samples, 4 of them odd"}


@pytest.mark.slow
def test_two_processes_find_what_one_does(command: Command) -> None:
    run = command("debug=tiny", "callbacks.progress=false").run
    asked = ["task=sample_quality", "task.extractor=untrained", "task.samples=130", "task.batch=50", f"run={run}"]
    assert command(*asked, name="eval").status == 0
    (file,) = run.glob("sample_quality-*.json")
    alone = json.loads(file.read_text())
    file.unlink()
    script = Path(__file__).parents[1] / "src" / "eval.py"
    two = [sys.executable, str(script), *asked, "trainer.devices=2", "trainer.strategy=ddp_fork"]
    ended = subprocess.run(two, cwd=run, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    together = json.loads(file.read_text())
    assert together["conventions"] == alone["conventions"]
    assert together["metrics"] == pytest.approx(alone["metrics"], rel=1e-6)


def test_examples_that_are_no_images_have_no_sample_quality(command: Command, cached: str) -> None:
    ended = command("debug=tiny", "data=gaussian", "task=sample_quality", cached)
    assert ended.status == 1
    assert "examples of shape [10] are no images" in ended.err
