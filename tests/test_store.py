"""Loading executes nothing, and says what it refuses."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import scorewise
from scorewise.backbones import MADE
from scorewise.errors import UserError
from scorewise.store import assemble, import_class, load

RECIPE: dict[str, Any] = {
    "shape": [4],
    "mean": 0.1,
    "std": 1.2,
    "noise": 0.3,
    "backbone": {"_target_": "scorewise.backbones.made.MADE", "hidden": [8]},
    "head": {"_target_": "scorewise.heads.mixture.Mixture", "components": 3},
    "sampler": {"_target_": "scorewise.sampling.ancestral.Exact"},
}


class MyMADE(MADE):
    """A user's own backbone."""


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder: Path = assemble(RECIPE, import_class).save(tmp_path / "model")
    return folder


def rewrite(folder: Path, change: Any) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    change(config)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def test_a_saved_model_comes_back(saved: Path) -> None:
    torch.manual_seed(0)
    model = scorewise.load(saved)
    x = torch.randn(3, 4)
    again = scorewise.load(model.save(saved.parent / "again"))
    assert not model.training
    torch.testing.assert_close(model.log_prob(x), again.log_prob(x), rtol=0, atol=0)
    c = model.context(x)
    torch.testing.assert_close(model.conditional_score(x, c), again.conditional_score(x, c), rtol=0, atol=0)
    one, two = (m.sample(5, generator=torch.Generator().manual_seed(1)) for m in (model, again))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert "scorewise.load" in (saved / "README.md").read_text()
    assert sorted(file.name for file in saved.iterdir()) == ["README.md", "config.yaml", "weights.safetensors"]


@pytest.mark.parametrize(
    "target",
    ["os.system", "builtins.eval", "torch.hub.load", "torch.optim.swa_utils.torch.hub.load", "scorewise.store.load"],
)
@pytest.mark.parametrize("place", ["model.backbone", "model.sampler", "callbacks.0"])
def test_strange_targets_are_refused_by_name(saved: Path, target: str, place: str, monkeypatch: Any) -> None:
    def change(config: dict[str, Any]) -> None:
        if place == "callbacks.0":
            config["callbacks"] = [{"_target_": target, "_args_": ["touch scorewise-was-here"]}]
        else:
            config["model"][place.split(".")[1]] = {"_target_": target}

    rewrite(saved, change)
    with pytest.raises(UserError) as refused:
        load(saved)
    assert target in str(refused.value)
    assert "\n" not in str(refused.value)


def test_resolvers_are_refused(saved: Path) -> None:
    rewrite(saved, lambda config: config["model"].update(mean="${oc.env:HOME}"))
    with pytest.raises(UserError, match="interpolation"):
        load(saved)


def test_yaml_objects_are_refused(saved: Path) -> None:
    (saved / "config.yaml").write_text("model: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match="plain YAML"):
        load(saved)


@pytest.mark.parametrize("address", ["https://example.org/model", "s3://bucket/model", "file:///model"])
def test_addresses_are_refused(address: str) -> None:
    with pytest.raises(UserError, match="is an address"):
        load(address)


@pytest.mark.parametrize("given", [None, 5, ["runs/one"]])
def test_what_is_no_path_is_refused(given: Any) -> None:
    with pytest.raises(UserError, match="is no path: give the folder of a run or of a saved model"):
        scorewise.load(given)


def test_a_run_is_loaded_without_its_task(saved: Path) -> None:
    """Nor with Lightning, which tests/test_light_core.py takes away."""
    rewrite(saved, lambda config: config.update(task={"_target_": "scorewise.tasks.density.Nowhere"}))
    assert len(load(saved).sample(2)) == 2


class Evil:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('executed')",))


def test_pickled_weights_are_not_loaded(saved: Path) -> None:
    (saved / "weights.safetensors").unlink()
    (saved / "weights.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=r"pickled weights .* are not loaded"):
        load(saved)


def test_a_pickle_in_disguise_is_damaged_weights(saved: Path) -> None:
    (saved / "weights.safetensors").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="damaged"):
        load(saved)


def test_damage_is_one_sentence(saved: Path) -> None:
    whole = (saved / "weights.safetensors").read_bytes()
    (saved / "weights.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        load(saved)
    (saved / "weights.safetensors").write_bytes(whole)
    rewrite(saved, lambda config: config["model"]["head"].update(components=5))
    with pytest.raises(UserError, match="does not fit"):
        load(saved)
    rewrite(saved, lambda config: config["model"]["head"].update(colour="red"))
    with pytest.raises(UserError, match="cannot be built"):
        load(saved)
    (saved / "config.yaml").write_text("- 1\n")
    with pytest.raises(UserError, match="not a Scorewise config"):
        load(saved)
    (saved / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"no config\.yaml"):
        load(saved)
    with pytest.raises(UserError, match="not a folder"):
        load(saved / "nothing")


def test_a_users_own_class_is_handed_in(tmp_path: Path) -> None:
    name = f"{MyMADE.__module__}.{MyMADE.__qualname__}"
    recipe = {**RECIPE, "backbone": {**RECIPE["backbone"], "_target_": name}}
    folder = assemble(recipe, lambda target: MyMADE if target == name else import_class(target)).save(tmp_path)
    with pytest.raises(UserError, match="classes="):
        load(folder)
    assert isinstance(load(folder, classes=[MyMADE]).backbone, MyMADE)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model["backbone"].pop("_target_"),
        lambda model: model.pop("backbone"),
        lambda model: model.update(backbone="x"),
        lambda model: model["backbone"].update(hidden=[-5]),
        lambda model: model.update(head={"_target_": "scorewise.data.images.Cifar10"}),
        lambda model: model["head"].update(_target_=["os.system"]),
        lambda model: model["head"].update(_target_={"a": "os.system"}),
    ],
)
def test_broken_recipes_are_one_sentence(saved: Path, change: Any) -> None:
    rewrite(saved, lambda config: change(config["model"]))
    with pytest.raises(UserError) as refused:
        load(saved)
    assert "\n" not in str(refused.value)
