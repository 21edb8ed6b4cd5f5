"""What all tasks share: one bundle, settings in value objects, and nothing that is decided by the class of a task."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from PIL import Image
from torch import Tensor, nn

import scorewise.latent
import scorewise.tasks
from scorewise import catalog
from scorewise.capabilities import Watched
from scorewise.config.grouped import accepted, grouped
from scorewise.data import Wine
from scorewise.run.pictures import shown_progress
from scorewise.sampling import InverseCDF, Langevin, Parallel
from scorewise.store import import_class
from scorewise.tasks import Denoising, DensityEstimation, ImplicitVAE, OODScoring, SampleQuality
from scorewise.tasks.vae_settings import AnnealingSettings

Command = Callable[..., Outcome]
# Classes of a user's own, each the child of one of ours and nothing else.
OwnDensity, OwnDenoising, OwnOutliers, OwnQuality, OwnImplicitVAE = (
    type(name, (parent,), {"__module__": __name__})
    for name, parent in {
        "OwnDensity": DensityEstimation,
        "OwnDenoising": Denoising,
        "OwnOutliers": OODScoring,
        "OwnQuality": SampleQuality,
        "OwnImplicitVAE": ImplicitVAE,
    }.items()
)
FEW = ("trainer.limit_test_batches=1",)
TESTS = {
    "density": ("OwnDensity", "densityestimation.json", ()),
    "denoising": ("OwnDenoising", "denoising-gaussian-parallel.json", ("task.images=8",)),
    "ood": ("OwnOutliers", "ood.json", ("task.images=9", "task.likelihood_images=3", "task.resamples=9")),
    "sample_quality": ("OwnQuality", "sample_quality-*.json", ("task.samples=70", "task.extractor=untrained")),
}
VAE = (
    "experiment=vae_mnist", "debug=tiny", "data=digits", "data.smoothing=0", "latent.method=elbo", "latent.z=2",
    "latent.hidden=[8]", "task.test_size=2", "task.temperatures=4", "task.chains=2", "task.simulated=0",
)  # fmt: skip


def own(name: str) -> str:
    return f"task._target_={__name__}.{name}"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(generator.integers(0, 255, (8, 8)).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_test_of_no_single_images_says_nothing_of_fewer(command: Command) -> None:
    run = command("debug=tiny").run
    quality = ("task=sample_quality", "task.samples=40", "task.extractor=untrained")
    ended = command(f"run={run}", *quality, *FEW, name="eval")
    assert ended.status == 0, ended.err
    assert "held-out numbers are of the first" not in ended.err
    (found,) = run.glob("sample_quality-*.json")
    assert "tested" not in json.loads(found.read_text()).get("data", {})


def test_results_in_the_place_of_others_are_told(command: Command, photos: Path) -> None:
    run = command("debug=tiny").run
    told = "was there with other content, which is gone: output=<another folder> keeps both"

    def said(*words: str, name: str) -> str:
        ended = command(f"run={run}", *words, name=name)
        assert ended.status == 0, ended.err
        return ended.err

    assert told not in said("n=2", name="sample")
    assert told not in said("n=2", name="sample"), "the same again"
    assert f"samples.npz {told}" in said("n=3", name="sample")
    scores = ("task=ood", "task.statistic=abs_h", "task.cells=0")
    assert told not in said(f"input={photos}", *scores, name="predict")
    (photos / "0.png").unlink()
    assert told in said(f"input={photos}", *scores, name="predict")
    assert told not in said(f"input={photos}", *scores, f"output={photos.parent / 'more'}", name="predict")


def test_a_later_test_of_other_settings_stands_beside_the_first(command: Command) -> None:
    run = command("debug=tiny").run
    words = (f"run={run}", "task=denoising", *FEW)

    def did(*more: str) -> str:
        ended = command(*words, *more, name="eval")
        assert ended.status == 0, ended.err
        return ended.err

    first = run / "denoising-gaussian-parallel.json"
    assert "stays" not in did("task.images=8")
    kept = first.read_bytes()
    for _ in range(2):  # the second time in the place of the same
        said = did("task.images=9", "task.shown=3")
        assert (
            "is of other settings (images=8) and stays: these numbers are in denoising-gaussian-parallel-images=9"
            in said
        )
    assert first.read_bytes() == kept
    assert "stays" not in did("task.images=8", "task.shown=2"), "another picture of the same test"
    assert json.loads(first.read_text())["metrics"] == json.loads(kept)["metrics"]
    beside = json.loads((run / "denoising-gaussian-parallel-images=9.json").read_text())
    assert beside["task"]["images"] == 9
    assert (run / "denoising-gaussian-parallel-images=9.png").is_file()
    first.write_text("{")
    assert "stays" not in did("task.images=9"), "what cannot be read is of nobody"


def test_children_of_tasks_test_and_predict_as_their_parents(command: Command, photos: Path) -> None:
    run = command("debug=tiny").run
    for task, (child, file, settings) in TESTS.items():
        found = []
        for which in ((), (own(child),)):
            ended = command(f"run={run}", f"task={task}", *which, *settings, *FEW, name="eval")
            assert ended.status == 0, ended.err
            (path,) = run.glob(file)
            found.append(json.loads(path.read_text()))
            path.unlink()
        assert found[0]["metrics"] == found[1]["metrics"]
        assert found[0]["conventions"] == found[1]["conventions"]
    for task, child, settings in (
        ("denoising", "OwnDenoising", ()),
        ("ood", "OwnOutliers", ("task.statistic=abs_h",)),
    ):
        for folder, which in (("parent", ()), ("child", (own(child),))):
            asked = (f"run={run}", f"input={photos}", "paths.cache=cache", f"output={folder}-{task}")
            ended = command(*asked, f"task={task}", *which, *settings, name="predict")
            assert ended.status == 0, ended.err
        assert written(Path(f"parent-{task}")) == written(Path(f"child-{task}")) != {}


def test_a_child_of_the_vae_task_encodes_as_its_parent(command: Command, photos: Path) -> None:
    run = command(*VAE).run
    for folder, which in (("parent", ()), ("child", (own("OwnImplicitVAE"),))):
        tested = command(f"run={run}", "task=implicit_vae", *which, *VAE[-4:], *FEW, name="eval")
        assert tested.status == 0, tested.err
        (run / "implicit_vae.json").rename(f"{folder}.json")
        asked = (f"run={run}", f"input={photos}", "paths.cache=cache", f"output={folder}")
        ended = command(*asked, "task=implicit_vae", *which, name="predict")
        assert ended.status == 0, ended.err
    metrics = [json.loads(Path(f"{folder}.json").read_text())["metrics"] for folder in ("parent", "child")]
    assert metrics[0] == metrics[1]
    assert written(Path("parent")) == written(Path("child"))
    assert {"latents.csv", "latents.png", "reconstructions.png"} == set(written(Path("child")))


def test_a_child_of_the_density_task_gives_rows_their_log_density(command: Command) -> None:
    run = command("debug=tiny", "data=wine", "objective=mle").run
    rows = Path("rows.csv")
    wine = Wine()
    wine.prepare()
    lines = [wine.columns, *(map(str, row) for row in torch.rand(4, 13).tolist())]
    rows.write_text("\n".join(",".join(line) for line in lines))
    for folder, which in (
        ("default", ()),
        ("parent", ("task=density",)),
        ("child", ("task=density", own("OwnDensity"))),
    ):
        ended = command(f"run={run}", f"input={rows}", f"output={folder}", *which, name="predict")
        assert ended.status == 0, ended.err
        assert len(Path(folder, "densities.csv").read_text().splitlines()) == 5
    assert written(Path("default")) == written(Path("parent")) == written(Path("child"))


# Who tells how far it is.


class Telling:
    """A sampler of a user's own that tells the share that is done."""

    def __init__(self) -> None:
        self.told_to: list[Any] = []

    def watch_with(self, tell: Callable[[float], None] | None) -> None:
        self.told_to.append(tell)


def test_whoever_can_be_watched_is() -> None:
    telling = Telling()
    with shown_progress(telling):
        assert callable(telling.told_to[0])
    assert telling.told_to[1:] == [None], "nobody watches when it is over"
    with shown_progress(None), shown_progress(nn.Linear(1, 1)):
        pass
    child = type("Child", (InverseCDF,), {})
    for sampler in (InverseCDF(), Parallel(), child()):
        assert isinstance(sampler, Watched)
        shares: list[float] = []
        sampler.watch_with(shares.append)
        assert sampler.watch == shares.append  # type: ignore[attr-defined]
    assert not isinstance(Langevin(), Watched)


def test_a_task_that_fails_is_watched_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    telling = Telling()
    said: list[str] = []

    @contextmanager
    def progress(what: str) -> Iterator[Callable[[float], None]]:
        said.append(what)
        yield lambda _: None

    monkeypatch.setattr("scorewise.run.pictures.console.progress", progress)
    with pytest.raises(KeyError), shown_progress(telling, "annealing"):
        raise KeyError
    assert said == ["annealing"]
    assert telling.told_to[-1] is None


# Settings.


@pytest.mark.parametrize("group", ["task", "latent"])
def test_every_flat_setting_of_an_option_is_one_of_its_class(group: str) -> None:
    for name, option in catalog.options(group).items():
        known = accepted(import_class(option["_target_"])) | {"monitor"}
        assert set(option) - {"_target_"} <= known, name


@dataclass(frozen=True)
class Inner:
    """A value object."""

    width: int = 3
    height: float | None = None

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width={self.width}")


class Outer:
    """A class that takes one."""

    def __init__(self, bundle: Any, *, inner: Inner = Inner(), depth: int = 1) -> None:
        self.bundle, self.inner, self.depth = bundle, inner, depth


def test_flat_settings_are_put_into_value_objects() -> None:
    assert accepted(Outer) == {"bundle", "width", "height", "depth"}
    made = Outer(0, **grouped(Outer, {"width": 5, "depth": 2}))
    assert (made.inner, made.depth) == (Inner(5), 2)
    assert grouped(Outer, {}) == {"inner": Inner()}
    child = type("Child", (Outer,), {})
    assert grouped(child, {"height": 1.5}) == {"inner": Inner(height=1.5)}
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        Outer(0, **grouped(Outer, {"colour": 1}))
    with pytest.raises(ValueError, match="width=0"):
        grouped(Outer, {"width": 0})


def test_annealing_is_what_the_flat_settings_say() -> None:
    settings = grouped(ImplicitVAE, {"acceptance": 0.7, "growth": 1.1, "rows": 3, "score_lr": 0.1})
    annealing = settings["annealing"]
    assert annealing == AnnealingSettings(acceptance=0.7, growth=1.1, rows=3)
    assert (annealing.ais().target, annealing.ais().factor) == (0.7, 1.1)
    assert settings["score_lr"] == 0.1


@pytest.mark.parametrize("package", [scorewise.tasks, scorewise.latent], ids=lambda package: package.__name__)
def test_no_constructor_takes_more_than_ten(package: Any) -> None:
    classes = [one for name in package.__all__ if isinstance(one := getattr(package, name), type)]
    classes = [one for one in classes if not issubclass(one, Exception)]
    assert len(classes) > 5
    for one in classes:
        taken = [each for each in signature(one).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        assert len(taken) <= 10, one


def test_what_a_task_says_of_its_test_is_empty_before_it(command: Command) -> None:
    from test_compose import settled

    from scorewise.config.build import build
    from scorewise.run.task import build_task

    config = settled("task=ood", "debug=tiny")
    task = build_task(config, build(config, 0), 0)
    report = task.found()
    assert not any(vars(report).values())
    assert task.prediction is not None
    assert task.watched is None


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (("head=cosine", "objective=mle"), {"model", "val_loss", "val_means"}),
        (("task=denoising",), {"model", "val_loss"}),
        (("task=ood",), {"model", "val_loss"}),
        (("experiment=vae_mnist", "latent.z=3"), {"model"}),
    ],
)
def test_checkpoints_hold_the_model_once(words: tuple[str, ...], known: set[str]) -> None:
    """As release 0.1.0 saved it: plain objects of a task that know its model are no part of it."""
    from test_compose import settled

    from scorewise.config.build import build
    from scorewise.run.task import build_task

    config = settled(*words)
    parts = build(config, 0)
    task = build_task(config, parts, 0)
    assert {name for name, _ in task.named_children()} | {"val_means"} == known | {"val_means"}
    assert {key.partition(".")[0] for key in task.state_dict()} <= known
    assert len([key for key in task.state_dict() if key.startswith("model.")]) == len(parts.model.state_dict())


def test_a_batch_that_is_given_keeps_names_and_places() -> None:
    from scorewise.run.given import GivenBatches
    from scorewise.tasks import Given

    x_ND: Tensor = torch.arange(10.0).reshape(5, 2)
    given = Given(list("abcde"), x_ND, [])
    by_place = list(GivenBatches.by_place(given, 2))
    assert [batch.index_B.tolist() for batch in by_place] == [[0, 1], [2, 3], [4]]
    assert len(GivenBatches.by_place(given, 2)) == 3
    (one,) = GivenBatches.by_name(given, 5)
    (other,) = GivenBatches.by_name(Given(list("edcba"), x_ND.flip(0), []), 5)
    assert torch.equal(one.index_B, other.index_B.flip(0))
    assert set(one.epoch_B.tolist()) == {-1}
