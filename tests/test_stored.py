"""A stranger's folder is read within limits: nothing hangs, nothing is allocated for sizes that cannot be."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

import scorewise
from scorewise.backbones import MADE
from scorewise.comparison.record import read_record
from scorewise.errors import UserError
from scorewise.store import assemble, import_class
from scorewise.stored import DEPTH, VALUES, Unreadable, read_json, read_yaml, weights_in

RECIPE: dict[str, Any] = {
    "shape": [3],
    "mean": 0.0,
    "std": 1.0,
    "noise": 0.3,
    "backbone": {"_target_": "scorewise.backbones.made.MADE", "hidden": [8], "ordering_seed": 2**40},
    "head": {"_target_": "scorewise.heads.mixture.Mixture", "components": 2},
    "sampler": {"_target_": "scorewise.sampling.ancestral.Exact"},
}


def aliases(levels: int, width: int = 10) -> str:
    lines = [f"a0: &a0 [{', '.join('1' for _ in range(width))}]"]
    lines += [f"a{i}: &a{i} [{', '.join(f'*a{i - 1}' for _ in range(width))}]" for i in range(1, levels)]
    return "\n".join(lines)


HOSTILE = {
    "eleven levels of aliases": aliases(11),
    "an alias of itself": "a: &a [*a]",
    "eight merges": "\n".join(
        ["a0: &a0 {x: 1}", *(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 9))]
    ),
    "a hundred thousand brackets": "[" * 100_000,
    "a hundred thousand closed brackets": "a: " + "[" * 100_000 + "]" * 100_000,
    "deep mappings": "{a: " * (DEPTH + 1) + "1" + "}" * (DEPTH + 1),
    "many values": "a: [" + "1," * VALUES + "1]",
    "an object": "a: !!python/object/apply:os.system [true]",
    "no YAML": "a: [1",
    "large": "#" * 4_000_001,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_yaml_is_refused_in_a_few_words(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(Unreadable) as refused:
        read_yaml(tmp_path / "config.yaml")
    assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match="cannot be read as plain YAML"):
        scorewise.load(tmp_path)
    assert any("config.yaml is damaged" in problem for problem in read_record(tmp_path, "x").problems)


def test_what_a_run_writes_is_read() -> None:
    text = yaml.safe_dump({"a": (shared := [1, 2]), "b": shared, "c": {"d": "<<"}})
    assert "&id" in text, "as configs of runs have it"


def test_a_few_aliases_and_the_text_of_a_merge_are_fine(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: &x [1, 2]\nb: *x\nc: '<<'\n")
    assert read_yaml(tmp_path / "x.yaml") == {"a": [1, 2], "b": [1, 2], "c": "<<"}


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "", "\ud800"], ids=["deep", "open", "empty", "no text"])
def test_damaged_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(Unreadable):
        read_json(tmp_path / "x.json")


def saved(folder: Path, **changes: Any) -> Path:
    model = assemble(RECIPE, import_class)
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": {**RECIPE, **changes}}))
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, folder / "weights.safetensors")
    return folder


def test_weights_are_counted_without_reading_them(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    assert weights_in(folder / "weights.safetensors") == sum(
        value.numel() for value in assemble(RECIPE, import_class).state_dict().values()
    )
    assert scorewise.load(folder).sample(2).shape == (2, 3)


BACKBONE = RECIPE["backbone"]
SIZES: dict[str, tuple[dict[str, Any], str]] = {
    "hidden": ({"backbone": {**BACKBONE, "hidden": [10**9]}}, r"backbone\.hidden=1,000,000,000"),
    "components": ({"head": {**RECIPE["head"], "components": 10**9}}, r"head\.components=1,000,000,000"),
    "shape": ({"shape": [10**9]}, "shape=1,000,000,000"),
    "std 0": ({"std": 0.0}, "std=0.0 of the data is none"),
    "std below": ({"std": -1.0}, "std=-1.0 of the data is none"),
    "std no number": ({"std": float("nan")}, "std=nan of the data is none"),
    "std a text": ({"std": "1"}, "std=1 of the data is none"),
    "noise": ({"noise": -5}, "noise=-5 of the data is none"),
    "mean": ({"mean": float("inf")}, "mean=inf of the data is none"),
}


@pytest.mark.parametrize(("changes", "words"), SIZES.values(), ids=SIZES)
def test_values_that_cannot_be_are_refused_before_anything_is_built(
    changes: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path / "m", **changes)
    monkeypatch.setattr(MADE, "__init__", lambda *_, **__: pytest.fail("it was built"))
    with pytest.raises(UserError, match=words):
        scorewise.load(folder)


@pytest.mark.parametrize("how", ["no number", "flipped", "short", "text", "empty", "a folder"])
def test_damaged_weights(how: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    path = folder / "weights.safetensors"
    whole = path.read_bytes()
    if how == "no number":
        numbers = assemble(RECIPE, import_class).state_dict()
        name = next(name for name, value in numbers.items() if value.is_floating_point())
        save_file({**numbers, name: torch.full_like(numbers[name], float("nan"))}, path)
    elif how == "flipped":
        path.write_bytes(b"\xff" + whole[1:])
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"short": whole[:20], "text": b"x" * 100, "empty": b""}[how])
    with pytest.raises(UserError, match=r"nothing was loaded|holds no weights"):
        scorewise.load(folder)
    shutil.rmtree(folder)
