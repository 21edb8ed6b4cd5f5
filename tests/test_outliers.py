"""Outlier scores: metrics on arrays made by hand, statistics of a known law, and the commands with bad input."""

import csv
import json
import math
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from composition import (
    BLOCKS,
    BLOCKS_AT_EVERY_LEVEL,
    DENSITY,
    ENERGY,
    EVERY_LEVEL,
    HEADS,
    JOINT,
    JOINT_AT_EVERY_LEVEL,
    SCORES,
)
from conftest import Outcome
from PIL import Image
from test_compose import CONF, settled
from test_denoising import KnownGaussian
from torch import Tensor

import scorewise
from scorewise import catalog, outliers
from scorewise.config import choices, outlier_sets
from scorewise.config.build import build
from scorewise.data import Const
from scorewise.errors import UserError
from scorewise.figures.outlier_scores import nested
from scorewise.figures.reproduce import listed
from scorewise.outliers.detection import _of_counts, _ranked
from scorewise.run.given import GivenBatches
from scorewise.run.task import build_task
from scorewise.store import import_class
from scorewise.tasks import Given

Command = Callable[..., Outcome]


def test_detection_on_arrays_made_by_hand() -> None:
    inside, outside = torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.tensor([2.5, 4.0])
    found = outliers.detection(inside, outside)
    assert found["auroc"] == pytest.approx(7 / 8)  # 2.5 is above three of four, 4 above all
    assert found["aupr"] == pytest.approx((1 + 2 / 3) / 2)  # 4, then 2.5 with one of the others before it
    assert found["fpr95"] == pytest.approx(1 / 4)  # both are found from 2.5 on, with the 3 above it
    turned = outliers.detection(outside, inside)
    assert turned["auroc"] == pytest.approx(1 / 8)
    assert turned["fpr95"] == 1
    same = outliers.detection(torch.ones(6), torch.ones(2))
    assert same["auroc"] == pytest.approx(1 / 2)
    assert same["aupr"] == pytest.approx(1 / 4)
    assert same["fpr95"] == 1
    twenty = outliers.detection(torch.full((3,), 0.5), torch.tensor([0.0] + [1.0] * 19))
    assert twenty["fpr95"] == 0, "nineteen of twenty are 95 %"


def test_only_the_order_of_scores_counts() -> None:
    """Library code that takes scores for logits would tie all large ones."""
    inside, outside = torch.randn(50, dtype=torch.float64), 0.5 + torch.randn(40, dtype=torch.float64)
    expected = outliers.detection(inside, outside)
    assert 0.5 < expected["auroc"] < 0.8
    for change in (lambda x: 1e4 + x, lambda x: 1e-9 * x - 5, lambda x: (3 * x).exp()):
        assert outliers.detection(change(inside), change(outside)) == pytest.approx(expected)
    infinite = outliers.detection(torch.tensor([0.0, 1.0]), torch.tensor([torch.inf, 0.5]))
    assert infinite["auroc"] == pytest.approx(3 / 4)
    with pytest.raises(ValueError, match="not a number"):
        outliers.detection(inside, torch.tensor([torch.nan]))


def test_resamples_count_as_the_library_does() -> None:
    for inside, outside in (
        (torch.randn(60), torch.randn(45) + 1),
        (torch.randint(4, (30,)).double(), torch.randint(1, 5, (50,)).double()),
    ):
        target, rank = _ranked(inside, outside)
        counts = torch.zeros(2, int(rank.max()) + 1, dtype=torch.float64)
        counts.index_put_((target, rank), torch.ones(len(rank), dtype=torch.float64), accumulate=True)
        one = _of_counts(counts[:1].flip(1), counts[1:].flip(1), counts[1].flip(0))
        assert {name: float(value) for name, value in one.items()} == pytest.approx(
            outliers.detection(inside, outside), abs=1e-6
        )


def test_an_outlier_that_is_drawn_twice_is_no_tie() -> None:
    """All outliers below all data: AUPR is the mean of k / (k + n) over k = 1 .. n, whatever is drawn."""
    for n in (10, 60, 300):
        scores = torch.arange(2 * n, dtype=torch.float64)
        k = torch.arange(1, n + 1)
        drawn = outliers.replicates(scores[n:], scores[:n], 50, (0, 1))["aupr"]
        torch.testing.assert_close(drawn, (k / (k + n)).mean().double().expand(50), rtol=1e-6, atol=0)


def test_the_interval_of_aupr_is_around_it() -> None:
    """The middle of resamples is the number itself, and their spread that of new samples."""
    generator, found = torch.Generator().manual_seed(0), []
    for seed in range(60):
        inside, outside = (torch.randn(40, generator=generator, dtype=torch.float64) + mean for mean in (0, 1))
        drawn = outliers.replicates(inside, outside, 200, (seed, seed + 1))["aupr"]
        found.append((outliers.detection(inside, outside)["aupr"], float(drawn.mean()), float(drawn.std())))
    value, middle, spread = torch.tensor(found, dtype=torch.float64).T
    assert float((middle - value).mean()) == pytest.approx(0, abs=0.005)
    assert float(spread.mean()) == pytest.approx(float(value.std()), rel=0.3)


def test_the_bootstrap_has_the_spread_of_the_theory() -> None:
    """DeLong et al. (1988): the variance of an AUROC is that of its two sums over examples."""
    inside, outside = torch.randn(300, dtype=torch.float64), 1 + torch.randn(200, dtype=torch.float64)
    above = (outside[:, None] > inside).double()
    deviation = (above.mean(1).var() / len(outside) + above.mean(0).var() / len(inside)).sqrt()
    drawn = outliers.replicates(inside, outside, 4000, (0, 1))["auroc"]
    assert float(drawn.std()) == pytest.approx(float(deviation), rel=0.06)
    assert float(drawn.mean()) == pytest.approx(float(above.mean()), abs=float(deviation) / 10)
    again = outliers.replicates(inside, outside, 4000, (0, 1))["auroc"]
    assert torch.equal(drawn, again)
    assert outliers.replicates(inside, outside, 5, (0, 1))["fpr95"].shape == (5,)


@pytest.mark.parametrize(
    ("inside", "outside", "has"),
    [(1, 1, False), (2, 500, False), (500, 9, False), (9, 10, False), (10, 10, True), (11, 300, True)],
)
def test_no_interval_of_few_examples(inside: int, outside: int, has: bool) -> None:
    low, high = torch.arange(float(inside)), 5 + torch.arange(float(outside))
    found = outliers.compare({"a": low}, {"x": {"a": high}, "y": {"a": torch.arange(20.0)}}, "x", 50, 0)
    one = found.estimates["a"]["x"]["auroc"]
    assert one.value == outliers.detection(low, high)["auroc"]
    for estimate in (one, found.estimates["a"]["mean"]["fpr95"]):
        assert estimate.has_interval is has
        assert bool(np.isfinite([estimate.low, estimate.high, estimate.se]).all()) is has
    assert found.estimates["a"]["y"]["aupr"].has_interval is (inside >= 10)


def test_a_survey_of_few_examples_says_that_it_has_no_intervals(command: Command) -> None:
    run = small_run(command)
    limits = ("task=ood", "task.out=[black]", "task.resamples=20")
    for images, has in ((1, False), (3, False), (12, True)):
        tested = command(f"run={run}", *limits, f"task.images={images}", name="eval")
        assert tested.status == 0, tested.err
        beside = run / f"ood-images={images}.json"
        found = json.loads((beside if beside.is_file() else run / "ood.json").read_text())
        assert ("auroc/abs_h/black_low" in found["metrics"]) is has
        assert "auroc/abs_h/black" in found["metrics"]
        assert all(np.isfinite(value) for value in found["metrics"].values())
        assert ("of black: no intervals" in tested.err) is not has
        assert ("abs_h" in str(found.get("data"))) is not has


def test_a_statistic_is_chosen_on_one_set_and_reported_on_the_others() -> None:
    low, high = torch.arange(50.0), 100 + torch.arange(40.0)
    inside = {"a": low, "b": low}
    outside = {"x": {"a": high, "b": low[:40]}, "y": {"a": -high, "b": high}, "z": {"a": low, "b": high}}
    found = outliers.compare(inside, outside, "x", 200, 0)
    assert (found.chosen, found.chosen_on) == ("a", "x")
    assert found.estimates["a"]["x"]["auroc"].value == 1
    assert found.estimates["a"]["mean"]["auroc"].value == pytest.approx((1 + 0 + 0.5) / 3)
    assert found.others is not None
    assert found.others["auroc"].value == pytest.approx(0.25), "not what it was chosen on"
    z = found.estimates["a"]["z"]["auroc"]
    assert z.low < 0.5 < z.high
    # Sets are drawn by themselves, so the mean over two of them, one of which is certain, has half the spread.
    assert found.others["auroc"].se == pytest.approx(z.se / 2)
    assert outliers.compare(inside, outside, "y", 10, 0).chosen == "b"
    assert outliers.compare(inside, {"x": outside["x"]}, "x", 10, 0).others is None
    assert found.tied == []


def test_statistics_that_cannot_be_told_apart_are_said() -> None:
    low, high = torch.arange(50.0), 100 + torch.arange(40.0)
    found = outliers.compare({"a": low, "b": low, "c": low}, {"x": {"a": high, "b": -high, "c": high}}, "x", 20, 0)
    assert (found.chosen, found.tied) == ("a", ["c"])


@pytest.mark.parametrize("counts", [(0, 3), (3, 0)])
def test_nothing_is_told_from_an_empty_set(counts: tuple[int, int]) -> None:
    inside, outside = (torch.rand(count) for count in counts)
    with pytest.raises(ValueError, match="there must be some of both"):
        outliers.detection(inside, outside)
    with pytest.raises(ValueError, match="there must be some of both"):
        outliers.replicates(inside, outside, 10, (0, 1))


def test_percentiles_on_arrays_made_by_hand() -> None:
    reference = torch.tensor([3.0, 1.0, 2.0, 2.0])
    found = outliers.percentiles(torch.tensor([0.0, 1.0, 2.0, 2.5, 9.0, torch.inf]), reference)
    assert found.tolist() == [0.0, 12.5, 50.0, 75.0, 100.0, 100.0]
    some = torch.cat([reference, torch.tensor([torch.nan, torch.nan])])  # what is no number has no place
    torch.testing.assert_close(outliers.percentiles(torch.tensor([1.0, 9.0]), some).tolist(), [12.5, 100.0])
    assert outliers.percentiles(torch.tensor([torch.nan]), reference).isnan().all()
    assert outliers.percentiles(torch.tensor([1.0]), some[4:]).isnan().all()


def known(dims: int = 5) -> tuple[KnownGaussian, Tensor, Tensor]:
    """Return a correlated Gaussian as a model, its mean and its covariance."""
    factor = torch.tril(0.4 * torch.randn(dims, dims)) + torch.eye(dims)
    mean = torch.linspace(-0.5, 0.5, dims)
    return KnownGaussian(mean, factor @ factor.mT, 0.1), mean, factor @ factor.mT


class Joint(KnownGaussian):
    """The same law by its joint score and an energy."""

    context = None  # type: ignore[assignment]
    conditional_score = None  # type: ignore[assignment]
    log_prob = None  # type: ignore[assignment]

    def score(self, x_BD: Tensor) -> Tensor:
        return -torch.cholesky_solve((x_BD - self.mean_D).mT, self.factor_DD).mT

    def energy(self, x_BD: Tensor) -> Tensor:
        return -0.5 * ((x_BD - self.mean_D) * self.score(x_BD)).sum(-1) + 3


class AtEveryLevel(Joint):
    """The same law by its joint score with any noise on top."""

    levels = (2.0, 0.5, 0.1)

    def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor:
        cov_DD = self.factor_DD @ self.factor_DD.mT + sigma_B[0] ** 2 * torch.eye(len(self.mean_D))
        s_BD: Tensor = -torch.linalg.solve(cov_DD, (x_BD - self.mean_D).mT).mT
        return s_BD


def test_a_profile_has_the_sizes_of_the_scores_at_ten_levels(double: None) -> None:
    model = AtEveryLevel(*known()[1:], 0.1)
    x = torch.randn(6, 5)
    found = outliers.quantities(model, x, ("profile",))["profile"]
    ladder = 2.0 * (0.1 / 2.0) ** (torch.arange(10) / 9)
    for place, sigma in enumerate(ladder):
        torch.testing.assert_close(found[:, place], model.noisy_score(x, sigma.expand(6)).norm(dim=-1).log())


def test_conditional_scores_at_every_level_have_a_profile(double: None) -> None:
    from scorewise.backbones import MADE
    from scorewise.heads import NoisyConditionalScore

    model = NoisyConditionalScore(MADE((3,), 8, (8,), "silu"), levels=(1.0, 0.5, 0.25), hidden=(8,), noise=0.25)
    x = torch.randn(4, 3)
    found = outliers.quantities(model, x, ("profile",))["profile"]
    ends = [model.noisy_conditional_score(x, model.context(x), torch.full_like(x, s)) for s in (1.0, 0.25)]
    torch.testing.assert_close(found[:, [0, -1]], torch.stack([s.norm(dim=-1).log() for s in ends], -1))


def test_distances_of_profiles_by_hand() -> None:
    known_NL = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0], [2.0, 4.0]])
    profiles = outliers.ScoreProfiles(known_NL)
    corners = torch.tensor([0.0, 2.0, 2.0, 8**0.5])  # in standard deviations 1 and 2 of the levels
    torch.testing.assert_close(profiles.distance(known_NL[:1]), corners.mean()[None], atol=1e-4, rtol=0)


def test_statistics_of_a_known_law(double: None) -> None:
    model, mean, covariance = known()
    law = torch.distributions.MultivariateNormal(mean, covariance)
    x = law.sample((4000,))
    found = outliers.quantities(model, x, ("h", "score_norm", "nll"))
    constant = 0.5 * 5 * math.log(2 * math.pi)  # which KnownGaussian leaves out
    torch.testing.assert_close(found["nll"] + constant, -law.log_prob(x))
    conditional = model.conditional_score(x, model.context(x))
    torch.testing.assert_close(found["h"], conditional.sum(-1))
    torch.testing.assert_close(found["score_norm"], conditional.square().sum(-1).sqrt())
    assert abs(found["h"].mean()) < 4.5 * found["h"].std() / len(x) ** 0.5, "E[h] = 0 under a perfect model"
    joint = Joint(mean, covariance, 0.1)
    of_joint = outliers.quantities(joint, x, ("h", "energy"))
    torch.testing.assert_close(of_joint["h"], -torch.linalg.solve(covariance, (x - mean).mT).sum(0))
    torch.testing.assert_close(
        of_joint["energy"] - 3, -law.log_prob(x) + law.log_prob(mean), msg="- log q up to a constant"
    )
    assert not torch.allclose(of_joint["h"], found["h"]), "joint and conditional scores are different things"
    mean_nll = float(found["nll"].mean())
    scores = outliers.outlier_scores(found, mean_nll)
    torch.testing.assert_close(scores["minus_h"], -found["h"])
    torch.testing.assert_close(scores["abs_h"], found["h"].abs())
    torch.testing.assert_close(scores["typicality"], (found["nll"] - mean_nll).abs())
    assert "typicality" not in outliers.outlier_scores(found, None)


FAR = {"minus_h": (1.0,), "h": (-1.0,)}
"""In which directions a far point is odder; both where it is not said."""


@pytest.mark.parametrize("statistic", outliers.MEANINGS)
def test_a_far_point_is_odder_wherever_a_statistic_claims_a_direction(statistic: str, double: None) -> None:
    mean = torch.zeros(4)
    covariance = 0.5 * torch.eye(4) + 0.1
    kind = {"energy": Joint, "multiscale_norms": AtEveryLevel}.get(statistic, KnownGaussian)
    model = kind(mean, covariance, 0.1)
    near = torch.distributions.MultivariateNormal(mean, covariance).sample((500,))
    wanted = outliers.quantities_behind((statistic,))
    reference = outliers.quantities(model, near, wanted)
    mean_nll = float(reference["nll"].mean()) if "nll" in reference else None
    profiles = outliers.ScoreProfiles(reference["profile"]) if "profile" in reference else None
    for side in FAR.get(statistic, (1.0, -1.0)):
        far = torch.full((1, 4), 6.0 * side)
        far_score = outliers.outlier_scores(outliers.quantities(model, far, wanted), mean_nll, profiles)[statistic]
        assert far_score > outliers.outlier_scores(reference, mean_nll, profiles)[statistic].max()


OF_SCORES = ("minus_h", "h", "abs_h", "score_norm")


@pytest.mark.parametrize("head", HEADS)
def test_statistics_by_head(head: str) -> None:
    has = HEADS[head].has
    expected = (
        *(OF_SCORES if {JOINT, SCORES, BLOCKS} & {*has} else ()),
        *(("nll", "typicality") if DENSITY in has else ()),
        *(("energy",) if ENERGY in has else ()),
        *(("multiscale_norms",) if {EVERY_LEVEL, JOINT_AT_EVERY_LEVEL, BLOCKS_AT_EVERY_LEVEL} & set(has) else ()),
    )
    assert outliers.statistics_of(import_class(catalog.targets("head")[head])) == expected


def test_noise_is_that_of_the_example_and_its_set() -> None:
    examiner = outliers.Examiner(known()[0], 0.5, 3, 10)
    x, index = torch.zeros(6, 5), torch.arange(6)
    one = examiner.noisy(x, index, "a")
    assert torch.equal(one[4:], examiner.noisy(x[4:], index[4:], "a"))
    assert not torch.equal(one, examiner.noisy(x, index, "b"))
    assert float(examiner.noisy(torch.zeros(2000, 5), torch.arange(2000), "a").std()) == pytest.approx(0.5, rel=0.03)
    assert torch.equal(outliers.Examiner(known()[0], 0.0, 3, 10).noisy(x + 1, index, "a"), x + 1)


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (("task.out=[]",), "task.out is empty: name at least one data option to compare with"),
        (("task.out=uniform",), "task.out=uniform must be a list of data options: task.out=[uniform] say."),
        (("task.out=[unifrom]",), "task.out: unifrom is no option of data: use black, celeba"),
        (("task.out=[{path:photos}]",), "task.out: None is no option of data"),
        (("task.out=[{data:uniform,name:mean}]",), "task.out: mean cannot be the name of a set"),
        (("task.out=[{data:uniform,name:a_low}]",), "task.out: a_low cannot be the name of a set"),
        (("task.out=[uniform,uniform]",), "task.out names uniform twice"),
        (("task.out=[mnist]",), "mnist has examples of shape [1, 28, 28], and this model takes [1, 8, 8]"),
        (("task.out=[celeba]",), "task.out: celeba cannot be had in the shape [1, 8, 8]: data.size=8 is none of"),
        (
            ("data=wine", "task.out=[uniform]"),
            "task.out: uniform cannot be had as rows of 13 numbers (data.shape",
        ),
        (("task.out=[{data:images,pth:photos}]",), "task.out: pth is no setting of images: there are path, size"),
        (("task.out=[{data:uniform,batch_size:3}]",), "task.out: batch_size is no setting of uniform"),
        (("task.out=[{data:uniform,held_out:two}]",), "data.held_out=two must be a whole number"),
        (("task.out=[{data:black,value:2}]",), "data.value=2 must be a level from -1 (black) to 1 (white)"),
        (("task.choose_on=mnist",), "task.choose_on=mnist is none of the outlier sets uniform, const_uniform, black"),
        (("task.statistic=energy",), "task.statistic=energy is none of those of ConditionalScore: minus_h, h"),
        (("task.noise=-1",), "task.noise=-1 must be a number of at least 0 or null: it is a standard deviation"),
        (("task.images=0",), "task.images=0 must be a whole number of at least 1"),
        (("task.resamples=0",), "task.resamples=0 must be a whole number of at least 1"),
        (("task.likelihood_images=1.5",), "task.likelihood_images=1.5 must be a whole number of at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(choice: tuple[str, ...], sentence: str) -> None:
    def built() -> None:
        config = settled("task=ood", "debug=tiny", *choice)
        build_task(config, build(config, 0), 0)

    with pytest.raises(UserError) as refused:
        built()
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_sets_take_the_shape_of_the_data(tmp_path: Path) -> None:
    paths = {"data": None, "cache": str(tmp_path)}
    Image.new("L", (9, 5), 200).save(tmp_path / "grey.png")
    entries = ["uniform", "black", {"data": "black", "value": 1.0, "name": "white"}, "omniglot_small"]
    entries.append({"data": "images", "path": str(tmp_path)})
    found = outlier_sets.outside_sources(entries, (1, 12, 12), paths)
    assert {name: source.shape for name, source in found.items()} == dict.fromkeys(
        ("uniform", "black", "white", "omniglot_small", "images"), (1, 12, 12)
    )
    index = torch.arange(2)
    assert (found["black"].examples("test", index, -1, 0) == -1).all()
    assert (found["white"].examples("test", index, -1, 0) == 1).all()
    assert found["images"].count("test") == 1, "all images of a folder are compared with"
    assert outlier_sets.outside_sources(["gaussian"], (13,), paths)["gaussian"].shape == (13,)


def test_constant_images_are_of_a_level() -> None:
    for value, level in ((-1.0, 0), (0.0, 128), (0.5, 191), (1.0, 255)):
        x = Const(value, (1, 2, 2)).examples("train", torch.arange(3), 0, 0)
        torch.testing.assert_close(x, torch.full((3, 4), level / 127.5 - 1))


def small_run(command: Command, *words: str) -> Path:
    ended = command("debug=tiny", "callbacks.progress=false", *words)
    assert ended.status == 0, ended.err
    return ended.run


def bomb() -> bytes:
    """Return a PNG of a few bytes that claims to be 30,000 pixels wide and high."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with images in every mode that is used, and files that are not."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    levels = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    Image.fromarray(levels[0]).save(folder / "b.png")
    Image.fromarray(levels[1]).save(folder / "more" / "a.png")
    Image.fromarray(np.stack([levels[2]] * 4, -1), mode="CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(levels[3].astype(np.uint16) * 257).save(folder / "sixteen.png")
    (folder / "broken.png").write_bytes((folder / "b.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("no image")
    Image.new("L", (1, 1)).save(folder / "dot.png")
    (folder / "bomb.png").write_bytes(bomb())
    return folder


LEFT_OUT = {"broken.png", "notes.txt", "dot.png", "bomb.png"}


@pytest.mark.pictures
def test_train_eval_and_predict_images(command: Command, photos: Path) -> None:
    # After a few steps conditionals may still be as wide as they like.
    wide = ("likelihood=quadrature", "likelihood.largest_tail=1")
    run = small_run(command, "task=ood", "task.likelihood_images=10", "task.resamples=50", *wide)
    summary = json.loads((run / "summary.json").read_text())
    metrics = summary["metrics"]
    sets = ("uniform", "const_uniform", "black", "mean")
    statistics = (*OF_SCORES, "nll", "typicality")
    for metric in outliers.METRICS:
        for statistic in statistics:
            for label in sets:
                name = f"{metric}/{statistic}/{label}"
                assert 0 <= metrics[f"{name}_low"] <= metrics[f"{name}_high"] <= 1
                assert 0 <= metrics[name] <= 1
                if metric == "auroc":
                    assert metrics[f"{name}_low"] - 1e-6 <= metrics[name] <= metrics[f"{name}_high"] + 1e-6
    assert metrics["auroc/minus_h/black"] + metrics["auroc/h/black"] == pytest.approx(1, abs=1e-5)
    chosen = summary["conventions"]["chosen"].partition(",")[0]
    assert chosen == max(statistics, key=lambda name: metrics[f"auroc/{name}/uniform"])
    assert "auroc/chosen/uniform" not in metrics
    others = [metrics[f"auroc/chosen/{label}"] for label in ("const_uniform", "black")]
    assert metrics["auroc/chosen/others"] == pytest.approx(sum(others) / 2, abs=1e-6)
    picture = np.asarray(Image.open(run / "ood.png").convert("L"))
    assert picture.std() > 5, "an empty picture"

    out = f"task.out=[black,{{data:images,path:{photos}}}]"
    tested = command(
        f"run={run}", "task=ood", out, "task.noise=0", "task.images=20", "task.likelihood_images=4", name="eval"
    )
    assert tested.status == 0, tested.err
    found = json.loads((run / "ood.json").read_text())
    assert set(found["data"]["images"]["left_out"]) == LEFT_OUT
    assert "4 of 8 files" in tested.err
    assert 0 <= found["metrics"]["auroc/chosen/images"] <= 1
    shown = " ".join(tested.out.split())
    assert "auroc: area under the ROC curve, outliers positive" in shown

    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    asked = (f"run={run}", "task=ood", f"input={photos}", "paths.cache=cache", "task.statistic=abs_h")
    predicted = command(*asked, name="predict")
    assert predicted.status == 0, predicted.err
    assert "4 scored by abs_h, 4 left out" in predicted.out
    assert all(name in predicted.err for name in LEFT_OUT)
    with (run / "predictions" / "outliers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["b.png", "cmyk.jpg", "more/a.png", "sixteen.png"]
    assert list(rows[0]) == ["name", "outlier_score", "percentile", "p_value", "false_discovery_rate"]
    model = scorewise.load(run)
    x = torch.from_numpy(np.array(Image.open(photos / "b.png"))).float().reshape(1, -1) / 127.5 - 1
    (batch,) = GivenBatches.by_name(Given(["b.png"], x, []), 1)
    noisy = outliers.Examiner(model, model.noise, 0, 1).noisy(x, batch.index_B, "predict")
    s = model.conditional_score(noisy, model.context(noisy))
    assert float(rows[0]["outlier_score"]) == pytest.approx(abs(float(s.sum())), rel=1e-4)
    assert all(0 <= float(row["percentile"]) <= 100 for row in rows)
    assert all(0 < float(row["p_value"]) <= float(row["false_discovery_rate"]) <= 1 for row in rows)
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == before
    with (run / "predictions" / "regions.csv").open() as file:
        regions = list(csv.DictReader(file))
    by_score = sorted(rows, key=lambda row: -float(row["outlier_score"]))
    assert [row["name"] for row in regions] == [row["name"] for row in by_score]
    assert (run / "predictions" / "outliers.html").read_text().count("data:image/png") == 3 * 4
    assert str(run / "predictions" / "outliers.html") in predicted.out.replace("\n", "")
    unexplained = command(*asked, "task.cells=0", name="predict")
    assert "outliers.html" not in unexplained.out
    assert {path.name for path in (run / "predictions").iterdir()} == {"outliers.csv"}, "nothing of an earlier call"

    (photos / "new.png").write_bytes((photos / "b.png").read_bytes())
    again = command(*asked, "output=elsewhere", "task.cells=0", name="predict")
    assert "5 scored by abs_h" in again.out
    assert [path.name for path in Path("elsewhere").iterdir()] == ["outliers.csv"]
    with open("elsewhere/outliers.csv") as file:
        grown = {row["name"]: row for row in csv.DictReader(file)}
    of_itself = ("name", "outlier_score", "percentile", "p_value")
    assert all(grown[row["name"]][key] == row[key] for row in rows for key in of_itself), "another changes no score"

    default = command(*asked[:-1], "task.likelihood_images=4", name="predict")
    assert "scored by typicality" in default.out
    picked = command(
        *asked[:-1], "task.likelihood_images=4", "task.choose_on=uniform", "task.images=30", name="predict"
    )
    assert picked.status == 0, picked.err
    assert any(f"scored by {statistic}" in picked.out for statistic in statistics)


def test_predict_a_table(command: Command, tmp_path: Path) -> None:
    run = small_run(command, "data=wine", "objective=mle")
    source = choices.build_source(settled("data=wine"))
    x = source.raw("test")[:5]  # type: ignore[attr-defined]
    far = x[0].clone()
    far[3] *= 20
    table = tmp_path / "mine.csv"
    lines = [",".join(map(repr, row)) for row in [*x.tolist(), far.tolist(), [1e300] * 13]]
    table.write_text("\n".join([",".join(source.columns), *lines, "1,2", ""]))
    asked = (f"run={run}", "task=ood", f"input={table}")
    ended = command(*asked, "task.statistic=nll", "task.noise=0", name="predict")
    assert ended.status == 0, ended.err
    assert "6 scored by nll, 2 left out" in ended.out
    assert "2 of 8 rows of" in ended.err
    with (run / "predictions" / "outliers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    model = scorewise.load(run)
    expected = -model.log_prob(source.examples("test", torch.arange(5), -1, 0))
    found = torch.tensor([float(row["outlier_score"]) for row in rows])
    torch.testing.assert_close(found[:5], expected.detach(), rtol=1e-4, atol=1e-4)
    assert rows[5]["percentile"] == "100"
    held_out = source.count("val")
    assert float(rows[5]["p_value"]) == pytest.approx(1 / (held_out + 1), abs=1e-6)
    short = tmp_path / "short.csv"
    short.write_text(",".join(source.columns[1:]) + "\n")
    for given, sentence in (
        ("short.csv", "has no column alcohol, which the model was trained on"),
        (str(tmp_path), "is a folder: give a table"),
        ("nothing.csv", "nothing.csv is not there: give a table"),
    ):
        refused = command(*asked[:-1], f"input={given}", name="predict")
        assert refused.status == 1
        assert sentence in refused.err
        assert len(refused.err.strip().splitlines()) == 1


def test_predict_refuses_what_it_cannot_use(command: Command, tmp_path: Path) -> None:
    run = small_run(command)
    (tmp_path / "empty").mkdir()
    (tmp_path / "useless").mkdir()
    (tmp_path / "useless" / "notes.txt").write_text("no image")
    for arguments, sentence in (
        (("input=empty",), "empty is empty: give a folder of images"),
        (("input=nowhere",), "nowhere is not there: give a folder of images"),
        (("input=useless",), "has no image that can be used: no readable image: 1 (notes.txt)"),
        (("input=empty", "output=empty/scores"), "lies in the folder of the images themselves"),
        (("input=useless", "task.choose_on=mnist"), "task.choose_on=mnist is none of the outlier sets uniform"),
        (("input=useless", "task=density"), "use task=denoising or task=ood"),
    ):
        ended = command(f"run={run}", "task=ood", *arguments, "paths.cache=cache", name="predict")
        assert ended.status == 1
        assert sentence in ended.err
        assert len(ended.err.strip().splitlines()) == 1
    assert not (run / "predictions").exists()


def test_sets_that_are_not_there_stop_a_run_before_it_trains(command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run = small_run(command)
    for out, sentence in (
        ("null", "task.out is empty: name at least one data option"),
        ("[{data:images,path:empty}]", "empty is empty: give a folder of images"),
        (
            "[{data:uniform,held_out:0}]",
            "data.held_out=0 must be a whole number of at least 2",
        ),
    ):
        ended = command("debug=tiny", "name=other", "task=ood", f"task.out={out}")
        assert ended.status == 1
        assert sentence in ended.err
        assert not list(tmp_path.glob("debug_runs/other/*/checkpoints/*.ckpt"))
        tested = command(f"run={run}", "task=ood", f"task.out={out}", name="eval")
        assert tested.status == 1
        assert sentence in tested.err
    assert not (run / "ood.json").exists()
    assert json.loads((run / "summary.json").read_text())["finished"]


def test_a_likelihood_that_is_refused_leaves_the_other_statistics(command: Command) -> None:
    words = ("likelihood=quadrature", "likelihood.low=-0.1", "likelihood.high=0.1", "task.resamples=20")
    with warnings.catch_warnings(record=True):
        ended = command("task=ood", "debug=tiny", "task.out=[uniform]", "task.likelihood_images=4", *words)
    assert ended.status == 0, ended.err
    assert "nll and typicality are not reported" in ended.err
    metrics = json.loads((ended.run / "summary.json").read_text())["metrics"]
    assert "auroc/abs_h/uniform" in metrics
    assert not [name for name in metrics if "nll" in name or "typicality" in name or "chosen" in name]
    (ended.folder / "photos").mkdir()
    Image.new("L", (8, 8)).save(ended.folder / "photos" / "a.png")
    asked = (f"run={ended.run}", "task=ood", "input=photos", "paths.cache=cache", "task.likelihood_images=4")
    refused = command(*asked, name="predict")
    assert refused.status == 1
    assert "task.statistic=typicality needs a likelihood" in refused.err
    assert command(*asked, "task.statistic=abs_h", name="predict").status == 0


@pytest.mark.parametrize(
    ("words", "statistics"),
    [
        (("objective=mle", "head=discretised_mixture", "data.smoothing=0"), {"nll", "typicality"}),
        (("objective=dsm", "backbone=mlp"), set(OF_SCORES)),
        (("objective=pcd", "backbone=mlp", "objective.steps=2"), {*OF_SCORES, "energy"}),
        (("objective=csm_annealed", "objective.levels=3"), {*OF_SCORES, "nll", "typicality", "multiscale_norms"}),
        (
            ("objective=mle", "backbone=glow", "backbone.filters=4", "backbone.steps=1"),
            {*OF_SCORES, "nll", "typicality"},
        ),
    ],
)
def test_every_kind_of_model(
    words: tuple[str, ...], statistics: set[str], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scorewise.run.training.draw_report", lambda *_: None)  # drawing takes longer than the model
    monkeypatch.setattr("scorewise.run.training.draw_samples", lambda *_: None)
    limits = ("task.out=[black,uniform]", "task.images=20", "task.likelihood_images=4", "task.resamples=20")
    ended = command("debug=tiny", "task=ood", *words, *limits)
    assert ended.status == 0, ended.err
    metrics = json.loads((ended.run / "summary.json").read_text())["metrics"]
    rows = {name.split("/")[1] for name in metrics}
    assert rows == {*statistics, "chosen"}
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize(
    ("words", "statistic"),
    [
        (("objective=dsm_multiscale", "backbone=noisy_mlp"), "multiscale_norms"),
        (("objective=csm_annealed", "objective.levels=3"), "multiscale_norms"),
        (("objective=mle",), "typicality"),
        (("objective=dsm", "backbone=mlp"), "abs_h"),
    ],
)
def test_the_statistic_where_none_is_named(
    words: tuple[str, ...], statistic: str, command: Command, photos: Path
) -> None:
    run = small_run(command, "test=false", *words)
    ended = command(f"run={run}", "task=ood", f"input={photos}", "paths.cache=cache", name="predict")
    assert ended.status == 0, ended.err
    assert f"scored by {statistic}" in ended.out


def test_annealed_models_are_looked_at_with_their_smallest_noise(command: Command) -> None:
    config = settled("objective=csm_annealed", "task=ood", "debug=tiny")
    task: Any = build_task(config, build(config, 0), 0)
    assert task.noise == pytest.approx(task.model.levels[-1])
    config = settled("objective=dsm", "objective.sigma=0.4", "task=ood", "debug=tiny")
    task = build_task(config, build(config, 0), 0)
    assert task.noise == pytest.approx(0.5)


@pytest.mark.parametrize(("figure", "budget"), [("table1", "gpu"), ("table1_small", "cpu"), ("table1_small", "gpu")])
def test_the_trainings_of_table_1_compose(figure: str, budget: str) -> None:
    settings = yaml.safe_load((CONF / f"figure/{figure}.yaml").read_text())
    trainings = list(listed(settings, settings["budgets"][budget]))
    shapes = {}
    for asked in trainings:
        config = settled(*asked.overrides)
        shapes[asked.name.partition("/")[0]] = choices.build_source(config).shape
    for inside, out in settings["budgets"][budget]["settings"]["out"].items():
        sets = outlier_sets.outside_sources(out, shapes[inside], {"data": None, "cache": None})
        assert {source.shape for source in sets.values()} == {shapes[inside]}
        assert "black" in sets, "where one-sided statistics fail"
    assert len(trainings) == 4 * len(shapes) * settings["budgets"][budget]["seeds"]


def test_numbers_of_the_figure_by_metric_statistic_and_set() -> None:
    flat = {"auroc/h/black": 0.2, "auroc/h/black_low": 0.1, "auroc/h/black_high": 0.3, "auroc/h/black_se": 0.05}
    assert nested(flat) == {"auroc": {"h": {"black": [0.2, 0.1, 0.3]}}}
