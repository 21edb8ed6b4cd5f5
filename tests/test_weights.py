"""Weights with a checksum: one flipped bit is noticed wherever they are read, and earlier files have none."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Outcome
from safetensors.torch import load_file, save_file
from test_stored import RECIPE
from torch import Tensor

import scorewise
from scorewise.errors import UserError
from scorewise.quality import ClassifierFeatures
from scorewise.store import assemble, import_class
from scorewise.stored import Unreadable
from scorewise.weights import fill, read_weights, write_weights

Command = Callable[..., Outcome]
KINDS: dict[str, Tensor] = {
    "single": torch.randn(3, 5),
    "double": torch.randn(4, dtype=torch.float64),
    "half": torch.randn(7).to(torch.bfloat16),
    "whole": torch.arange(5),
    "truth": torch.tensor([True, False]),
    "one": torch.tensor(2.5),
    "none": torch.zeros(0, 3),
    "turned": torch.randn(3, 5).T,
}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return set(one) == set(other) and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def test_tensors_of_all_kinds_come_back(tmp_path: Path) -> None:
    write_weights(tmp_path / "w", KINDS)
    assert same(read_weights(tmp_path / "w"), KINDS)
    assert same(load_file(tmp_path / "w"), KINDS)  # an ordinary file of its format


def test_files_without_a_checksum_are_read(tmp_path: Path) -> None:
    plain = {name: value.contiguous() for name, value in KINDS.items()}
    for metadata in (None, {"format": "pt"}):
        save_file(plain, tmp_path / "w", metadata)
        assert same(read_weights(tmp_path / "w"), KINDS)


def test_one_flipped_bit_is_refused_or_no_matter(tmp_path: Path) -> None:
    """All of the header, and of the numbers every third byte; each with another one of its bits."""
    path = tmp_path / "w"
    write_weights(path, KINDS)
    whole = path.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    refused = 0
    for place in [*range(begin), *range(begin, len(whole), 3), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            read = read_weights(path)
        except Unreadable:
            refused += 1
            continue
        assert place < begin, place  # the name of the checksum, blanks
        assert same(read, KINDS), place
    assert refused > 0.9 * (begin + (len(whole) - begin) / 3)


@pytest.mark.parametrize("length", [0, 7, 8, 30, -100, -1])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, length: int) -> None:
    write_weights(tmp_path / "w", KINDS)
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:length])
    with pytest.raises(Unreadable):
        read_weights(tmp_path / "w")


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    for place, words in {
        tmp_path: "Is a directory",
        tmp_path / "w": "No such file",
        tmp_path / "w/w": "No such",
    }.items():
        with pytest.raises(Unreadable, match=words):
            read_weights(place)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    write_weights(tmp_path / "w", assemble({**RECIPE, "shape": [4]}, import_class).state_dict())
    with pytest.raises(Unreadable, match="the weights of another model"):
        fill(assemble(RECIPE, import_class), tmp_path / "w")


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-50] ^= 4
    path.write_bytes(content)


def test_a_flipped_bit_of_a_saved_model_and_of_an_extractor_is_a_sentence(tmp_path: Path) -> None:
    model = assemble(RECIPE, import_class).save(tmp_path / "m")
    assert scorewise.load(model).sample(2).shape == (2, 3)
    damage(model / "weights.safetensors")
    with pytest.raises(UserError, match=r"checksum is another.*nothing was loaded"):
        scorewise.load(model)
    extractor = ClassifierFeatures.random((1, 8, 8)).save(tmp_path / "e", {})
    damage(extractor / "weights.safetensors")
    with pytest.raises(UserError, match="checksum is another"):
        ClassifierFeatures.load(extractor)


def test_every_command_that_reads_weights_notices(command: Command) -> None:
    small = ("objective=mle", "debug=tiny", "data=gaussian", "data.held_out=64")
    run = command(*small).run
    Path("rows.csv").write_text(",".join(f"x_{i}" for i in range(1, 11)) + "\n" + ",".join(["0.5"] * 10) + "\n")
    reading = {
        "train": (*small, "train=false"),
        "eval": (f"run={run}",),
        "sample": (f"run={run}", "n=2"),
        "predict": (f"run={run}", "input=rows.csv"),
    }
    for name, given in reading.items():
        assert command(*given, name=name).status == 0, name
    damage(run / "weights.safetensors")
    for name, given in reading.items():
        ended = command(*given, name=name)
        assert ended.status == 1, name
        assert "their checksum is another" in ended.err, name
        assert len(ended.err.splitlines()) == 1, ended.err
    assert command(*small).status == 0  # shows what was found then
