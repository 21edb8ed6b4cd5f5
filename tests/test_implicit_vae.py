"""task=implicit_vae: the six methods by command, what is refused, resuming, testing again and predicting."""

import csv
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Outcome
from PIL import Image
from safetensors.torch import load_file
from test_compose import config_of, settled

import scorewise
from scorewise import catalog
from scorewise.config.build import build
from scorewise.config.identity import identity, what_counts
from scorewise.config.settle import settle
from scorewise.errors import UserError
from scorewise.noise import Draws
from scorewise.run.task import build_task
from scorewise.tasks.implicit_vae import ImplicitVAE

Command = Callable[..., Outcome]

MNIST = ("experiment=vae_mnist",)
SMALL = (
    "experiment=vae_mnist", "data=digits", "data.smoothing=0", "data.batch_size=64", "data.epochs=2",
    "latent.z=2", "latent.hidden=[16]", "latent.particles=4", "backbone.hidden=[16]", "callbacks.progress=false",
    "callbacks.samples=4", "task.test_size=6", "task.temperatures=10", "task.chains=3", "task.simulated=4",
    "task.checked=2", "task.importance=20", "trainer.limit_test_batches=1", "trainer.limit_val_batches=1",
)  # fmt: skip
METHODS = {
    "csm": ("objective=csm", "backbone=made"),
    "ssm_ar": ("objective=ssm_vr", "backbone=made"),
    "ssm": ("objective=ssm_vr", "backbone=mlp"),
    "elbo": ("latent.method=elbo",),
    "stein": ("latent.method=stein",),
    "spectral": ("latent.method=spectral",),
}
BRIEF = ("data.batch_size=128", "trainer.max_steps=12", "task.val_size=4", "task.val_temperatures=5")
"""An epoch of ten steps, and two more."""
ENCODER = {
    "csm": "autoregressive",
    "ssm_ar": "autoregressive",
    "ssm": "implicit",
    "elbo": "gaussian",
    "stein": "implicit",
    "spectral": "implicit",
}


def test_validation_images_are_annealed_beyond_the_first_batch(command: Command) -> None:
    few = (*SMALL, "latent.method=elbo", "data.batch_size=16", "trainer.max_steps=2", "test=false")
    words = (*few, "task.val_temperatures=3", "trainer.limit_val_batches=3", "+trainer.val_check_interval=2")
    found = {}
    for size in (16, 40, 500):
        ended = command(*words, f"task.val_size={size}", f"hydra.run.dir=of{size}")
        assert ended.status == 0, ended.err
        with (ended.folder / f"of{size}/metrics.csv").open() as file:
            found[size] = [row["val/ais"] for row in csv.DictReader(file) if row["val/ais"]]
    assert len({tuple(rows) for rows in found.values()}) == 3, "the first batch, two and a half, and all that there are"


@pytest.mark.pictures
@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_and_is_tested(method: str, command: Command) -> None:
    ended = command(*SMALL, *METHODS[method], *BRIEF)
    assert ended.status == 0, ended.err
    summary = json.loads((ended.run / "summary.json").read_text())
    assert summary["steps"] == 12, "the score network's steps are no iterations"
    stored = yaml.safe_load((ended.run / "config.yaml").read_text())
    assert stored["latent"]["encoder"] == ENCODER[method]
    found = summary["metrics"]
    explicit = method == "elbo"
    expected = {"reconstruction", "prior", "ais", "ais_acceptance", "ais_float64_shift", "simulated_gap"}
    assert expected <= set(found)
    assert ("iwae" in found) == ("neg_elbo" in found) == explicit
    assert set(found) - {name for name in found if name.endswith("_se")} <= set(summary["conventions"])
    header = (ended.run / "metrics.csv").read_text().splitlines()[0].split(",")
    assert ("train/surrogate_not_an_elbo" in header) == (not explicit)
    assert ("train/neg_elbo" in header) == explicit
    assert ("train/score_loss" in header) == (method in ("csm", "ssm_ar", "ssm"))
    assert {"val/reconstruction", "val/prior", "val/ais"} <= set(header)
    assert not any("elbo" in name for name in header if not explicit and "not_an_elbo" not in name)
    for picture in ("implicit_vae.png", "implicit_vae-points.png", "samples.png", "curves.png"):
        assert np.asarray(Image.open(ended.run / picture).convert("L")).std() > 5, picture
    vae = scorewise.load(ended.run)
    assert vae.sample(3).shape == (3, 1, 8, 8)
    assert vae.encode(torch.zeros(2, 64), 5).shape == (5, 2, 2)
    again = command(*SMALL, *METHODS[method], *BRIEF)
    assert "is finished" in again.out


def weights_after(command: Command, *overrides: str) -> dict[str, torch.Tensor]:
    ended = command(*SMALL, *overrides, "test=false")
    assert ended.status == 0, ended.err
    newest = max(ended.folder.glob("*runs/*/*/weights.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    return load_file(newest)


def test_a_step_moves_every_part_and_lr_moves_its_own(command: Command) -> None:
    config = settle(config_of(*SMALL))
    start = build(config, 0).model.state_dict()
    after = weights_after(command, "trainer.max_steps=1", "optim.lr=1e-3", "task.score_lr=1e-12")
    moved = {name: float((after[name] - start[name]).abs().max()) for name in after if after[name].is_floating_point()}
    scores = {name: by for name, by in moved.items() if name.startswith("score.")}
    assert max(scores.values()) < 1e-9
    assert all(by > 0 for name, by in moved.items() if name.startswith(("encoder.", "decoder.")))


@pytest.mark.parametrize("kill_at", [3, 21])
def test_a_stopped_run_ends_as_if_nothing_had_happened(
    command: Command, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    """Two optimisers, their schedules, and draws that depend on (seed, epoch, index): the same weights to the bit."""
    settings = (*SMALL, "trainer.max_steps=24", "callbacks.save_every_n_steps=2", "test=false", "optim.schedule=cosine")

    class Killed(BaseException):
        pass

    original = ImplicitVAE.training_step

    def training_step(self: Any, batch: Any, batch_idx: int) -> None:
        if self.global_step == kill_at:
            raise Killed
        original(self, batch, batch_idx)

    whole = command(*settings, "hydra.run.dir=whole")
    assert whole.status == 0, whole.err
    with monkeypatch.context() as patch:
        patch.setattr(ImplicitVAE, "training_step", training_step)
        with pytest.raises(Killed):
            command(*settings, "hydra.run.dir=parts")
    resumed = command(*settings, "hydra.run.dir=parts")
    assert resumed.status == 0, resumed.err
    assert "resuming:" in resumed.out
    one, two = (load_file(whole.folder / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert (whole.folder / "whole/metrics.csv").read_text() == (whole.folder / "parts/metrics.csv").read_text()


def test_averaged_weights_are_those_that_are_kept(command: Command) -> None:
    plain = weights_after(command, "trainer.max_steps=10")
    averaged = weights_after(command, "trainer.max_steps=10", "optim.ema_decay=0.99")
    assert any(not torch.equal(plain[name], averaged[name]) for name in plain)


def test_a_finished_run_is_tested_with_other_settings_of_ais(command: Command) -> None:
    ended = command(*SMALL, "latent.method=elbo", "trainer.max_steps=4")
    assert ended.status == 0, ended.err
    few = ("task.temperatures=20", "task.chains=2", "task.test_size=3", "task.simulated=0", "task.checked=0")
    tested = command(f"run={ended.run}", "task=implicit_vae", *few, name="eval")
    assert tested.status == 0, tested.err
    found = json.loads((ended.run / "implicit_vae.json").read_text())
    assert "20 temperatures x 2 chains" in found["conventions"]["ais"]
    assert "simulated_gap" not in found["metrics"]
    judged = command(
        f"run={ended.run}", *few, "task=implicit_vae", "task.samples=70", "task.features=untrained", name="eval"
    )
    assert judged.status == 0, judged.err
    (beside,) = ended.run.glob("implicit_vae-*.json")
    found = json.loads(beside.read_text())
    assert found["metrics"]["fid"] > found["metrics"]["fid_floor"] > 0
    assert "70 samples (mean images of latents from the prior" in found["conventions"]["fid"]
    assert found["conventions"]["kid_sd"].startswith("standard deviation over the subsets")
    same = command(f"run={ended.run}", "trainer.limit_test_batches=1", name="eval")
    assert same.status == 0, same.err
    other = command(f"run={ended.run}", "task=denoising", name="eval")
    assert "is a run of task=implicit_vae, which no other task can use" in other.err
    density = command("data=digits", "debug=tiny", "hydra.run.dir=density", "objective=mle")
    assert density.status == 0, density.err
    refused = command("run=density", "task=implicit_vae", name="eval")
    assert refused.status == 1
    assert "tests runs that it has trained, and this run is of another task" in refused.err


def test_a_loss_that_is_not_finite_is_one_sentence(command: Command) -> None:
    ended = command(*SMALL, "latent.method=elbo", "optim.lr=1e6", "trainer.max_steps=20")
    assert ended.status == 1
    assert "became" in ended.err
    assert "try a smaller optim.lr" in ended.err


def test_latents_of_a_users_images(command: Command, tmp_path: Path) -> None:
    ended = command(*SMALL, "trainer.max_steps=10", "test=false")
    assert ended.status == 0, ended.err
    folder = tmp_path / "mine/more"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(generator.integers(0, 255, (20, 20)).astype(np.uint8)).save(folder / f"{i}.png")
    (folder / "note.png").write_text("no image")
    predicted = command(f"run={ended.run}", "input=mine", "task=implicit_vae", name="predict")
    assert predicted.status == 0, predicted.err
    assert "5 encoded, 1 left out" in predicted.out
    out = ended.run / "predictions/implicit_vae"
    with (out / "latents.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["name"] for row in rows) == [f"more/{i}.png" for i in range(5)]
    assert set(rows[0]) == {"name", "mean_1", "mean_2", "std_1", "std_2"}
    assert all(float(row["std_1"]) > 0 for row in rows)
    assert sorted(path.name for path in out.iterdir()) == ["latents.csv", "latents.png", "reconstructions.png"]
    vae = scorewise.load(ended.run)
    source = scorewise.data.ImageFolder(str(folder.parent), 8, 1, val=0, test=1)
    source.prepare()
    x_BD = source.examples("test", torch.arange(5), -1, 0)
    numbers = [zlib.crc32(row["name"].encode()) for row in rows]  # draws are of an image, whatever lies beside it
    z_MBD = vae.encode(x_BD, 64, Draws.of(0, -1, torch.tensor(numbers)))
    assert [row["name"] for row in rows] == source.names("test")
    assert float(rows[3]["mean_2"]) == pytest.approx(float(z_MBD.mean(0)[3, 1]), rel=1e-4, abs=1e-5)
    denoised = command(f"run={ended.run}", "input=mine", name="predict")
    assert denoised.status == 1
    assert "is a run of task=implicit_vae" in denoised.err


def test_faces_of_64_pixels_train(command: Command, tmp_path: Path) -> None:
    """The convolutional networks on synthetic RGB images 64 x 64, two steps of CSM and of Stein."""
    (tmp_path / "faces").mkdir()
    generator = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(generator.integers(0, 255, (64, 64, 3)).astype(np.uint8)).save(tmp_path / f"faces/{i}.png")
    shared = (
        "experiment=vae_celeba", "data=images", f"data.path={tmp_path}/faces", "data.size=64", "data.channels=3",
        "data.val=0.2", "data.test=0.2", "data.smoothing=0", "data.batch_size=2", "latent.channels=[4,4,8,8]",
        "latent.hidden=[16]", "latent.z=3", "backbone.hidden=[16]", "latent.particles=2", "trainer.max_steps=2",
        "task.temperatures=3", "task.chains=2", "task.simulated=2", "task.checked=1", "callbacks.progress=false",
    )  # fmt: skip
    for method in ("csm", "stein"):
        ended = command(*shared, *METHODS[method], f"hydra.run.dir={method}")
        assert ended.status == 0, ended.err
        found = json.loads((tmp_path / method / "summary.json").read_text())["metrics"]
        assert np.isfinite(found["ais"])
        assert scorewise.load(tmp_path / method).sample(2).shape == (2, 3, 64, 64)


# What composes


@pytest.mark.parametrize("method", METHODS)
def test_methods_compose_with_the_encoder_that_fits(method: str) -> None:
    config = settled(*MNIST, *METHODS[method])
    assert config["latent"]["encoder"] == ENCODER[method]
    unused = method in ("elbo", "stein", "spectral")
    assert (config["objective"] == catalog.NONE) == (config["backbone"] == catalog.NONE) == unused
    assert config["sampler"] == config["likelihood"] == catalog.NONE
    vae: Any = build({**config, "latent": {**config["latent"], "z": 3}}, 0).model
    assert vae.encoder.autoregressive == (ENCODER[method] != "implicit")


def test_celeba_composes_at_its_published_sizes() -> None:
    config = settled("experiment=vae_celeba")
    vae: Any = build(config, 0).model
    assert vae.z == 32
    assert vae.shape == (3, 64, 64)
    assert [c.weight.shape[0] for c in vae.encoder.trunk.convolutions] == [64, 128, 256, 512]
    assert config["optim"]["lr"] == 1e-4


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (
            ("latent.encoder=implicit",),
            "latent.encoder=implicit mixes the noise of all latents, and with conditional scores its entropy gradient "
            "would be wrong: use latent.encoder=autoregressive, or a joint score, with backbone=mlp.",
        ),
        (
            ("objective=ssm_vr", "latent.encoder=implicit"),
            "latent.encoder=implicit mixes the noise of all latents",
        ),
        (("latent.method=elbo", "latent.encoder=implicit"), "latent.method=elbo needs the density of the encoder"),
        (("latent.method=flow",), "latent.method=flow is none of score, elbo, stein, spectral."),
        (("latent.encoder=flow",), "latent.encoder=flow is none of auto, gaussian, implicit, autoregressive."),
        (
            ("backbone=mlp",),
            "objective=csm needs a backbone with causal features or features of blocks; backbone=mlp has none.",
        ),
        (("backbone=transformer",), "task=implicit_vae needs a backbone with features of latents and an image or"),
        (("objective=mle",), "task=implicit_vae needs an objective that fits a score as it is; objective=mle does"),
        (("objective=csm_annealed",), "task=implicit_vae needs an objective that fits a score as it is"),
        (("objective=dsm",), "task=implicit_vae needs an objective that fits a score as it is"),
        (
            ("objective=ssm_vr", "backbone=mlp", "backbone.activation=relu"),
            "objective=ssm_vr with head=score differentiates twice, and backbone.activation=relu has no second",
        ),
        (
            ("head=conditional_score", "head.activation=relu"),
            "objective=csm with head=conditional_score differentiates",
        ),
        (("backbone.ordering=reverse",), "backbone.ordering=reverse is not the order in which the encoder draws z"),
        (("data=toy2d", "data.smoothing=0"), "task=implicit_vae needs images in [-1, 1]; data=toy2d has none."),
        (("data.smoothing=0.3",), "task=implicit_vae is a model of images without noise"),
        (("trainer.devices=2",), "task=implicit_vae trains in one process"),
        (("trainer.precision=bf16-mixed",), "task=implicit_vae trains in full precision"),
        (("+trainer.accumulate_grad_batches=2",), "task=implicit_vae takes its steps itself, one per batch, and"),
        (("callbacks.patience=3",), "task=implicit_vae has no held-out number to stop by"),
        (("latent.z=0",), "latent.z=0 must be a whole number of at least 1."),
        (("latent.particles=1",), "latent.particles=1 must be a whole number of at least 2."),
        (("latent.eta=abc",), "latent.eta=abc must be a positive number."),
        (("latent.hidden=[]",), "latent.hidden=[] must be a list of positive whole numbers"),
        (("task.temperatures=1",), "task.temperatures=1 must be a whole number of at least 2."),
        (("task.step=abc",), "task.step=abc must be a number."),
        (("task.test_size=0",), "task.test_size=0 must be a whole number of at least 1 or null."),
    ],
)
def test_what_does_not_fit_is_one_sentence(choice: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        settled(*MNIST, *choice)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (("latent.likelihood=poisson",), "latent.likelihood=poisson is none of bernoulli, gaussian"),
        (("latent=conv",), "need images whose sides divide by 16"),
        (("latent.method=stein", "latent.eta=-1"), "latent.eta=-1 must be a positive number"),
        (("latent.activation=step",), "activation=step is none of"),
    ],
)
def test_models_that_cannot_be_built_are_one_sentence(choice: tuple[str, ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build(settled(*MNIST, *choice), 0)


def test_tasks_that_cannot_be_built_are_one_sentence() -> None:
    for choice, words in (
        (("task.acceptance=2.0",), "the acceptance rate 2.0 must be between"),
        (("task.step=0.9",), "the leapfrog step 0.9 must be positive, and from"),
        (("task.score_lr=-1.0",), "task.score_lr=-1.0 must be a positive number or null"),
        (("task.monitor=val/ais",), "task.monitor=val/ais cannot choose among weights"),
        (("task.growth=0.5",), "the factor 0.5 of the step"),
    ):
        with pytest.raises(UserError, match=words):
            build_task(config := settled(*MNIST, *choice), build(config, 0), 0)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("latent.score_hidden=abc",), "latent.score_hidden=abc must be a list of positive whole numbers"),
        (("latent.score_hidden=[-3]",), "latent.score_hidden=[-3] must be a list"),
        (("latent.score_hidden=null",), "latent.score_hidden=null must be a list"),
        (("head=cosine",), "head=cosine needs the range of its data (head.low), and latents have none"),
        (("trainer.compile=true",), "which task=implicit_vae does not take: use trainer.compile=false"),
    ],
)
def test_what_no_vae_can_use_is_one_sentence(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        settled(*MNIST, *words)


def test_a_standard_deviation_that_is_none_is_refused_before_training() -> None:
    with pytest.raises(UserError, match="must be a number of at least -20 and at most 20"):
        settled(*MNIST, "latent.likelihood=gaussian", "latent.log_std=-400")


def test_the_task_itself_refuses_a_wrong_pairing() -> None:
    """Also where no configuration has checked it before."""
    config = settled(*MNIST, "latent.z=3")
    parts = build({**config, "latent": {**config["latent"], "encoder": "implicit"}}, 0)
    with pytest.raises(UserError, match="its entropy gradient would be wrong"):
        build_task(config, parts, 0)


def test_latents_belong_to_vaes_alone(command: Command) -> None:
    assert "latent" not in settled("data=digits")
    for word in ("latent.z=16", "latent=conv"):
        ended = command("data=digits", word)
        assert ended.status == 1
        assert "is of task=implicit_vae alone, and another task is chosen" in ended.err
    assert "latent.zz is no setting of latent" in command("task=implicit_vae", "latent.zz=16").err


def test_identities_count_latents_of_vaes_and_no_others() -> None:
    """Those of existing runs are as docs/benchmarks names them."""
    two_layers = ("head=conditional_score", "head.hidden=[64,64]")  # the default of its day
    assert identity(settled("experiment=csm_mnist", *two_layers)) == "93409720"
    assert identity(settled("experiment=gaussian_mnist")) == "4ddf4ca6"
    assert identity(settled("experiment=cosine_mnist")) == "4c5968f4"
    one = settled(*MNIST)
    assert what_counts(one)["latent"]["z"] == 8
    for other in ("latent.z=16", "latent.hidden=[64,64]", "objective=ssm_vr", "task.score_lr=0.01"):
        assert identity(settled(*MNIST, other)) != identity(one)
    elbo = settled(*MNIST, "latent.method=elbo")
    assert identity(settled(*MNIST, "latent.method=elbo", *METHODS["ssm"])) == identity(elbo), "unused"
    auto = settled(*MNIST, "latent.encoder=autoregressive")
    assert identity(auto) == identity(one)


def test_rmsprop_is_torchs() -> None:
    parameter, twin = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    ours = scorewise.tasks.Optimisation(algorithm="rmsprop", lr=0.01).optimizer([parameter])
    theirs = torch.optim.RMSprop([twin], lr=0.01, alpha=0.99)
    for optimizer, one in ((ours, parameter), (theirs, twin)):
        for _ in range(3):
            optimizer.zero_grad()
            one.square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(parameter, twin)
