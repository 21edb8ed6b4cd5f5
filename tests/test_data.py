"""Data sets, their splits, batches, and what happens to bad files."""

import gzip
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Outcome

from scorewise.data import TOYS, Cifar10, Digits, FashionMnist, GaussianData, Mixture1d, Mnist, Svhn, Toy2d, Wine
from scorewise.data.datamodule import Batches, ScoreData
from scorewise.data.roots import data_root
from scorewise.errors import UserError


def every(source: Any, split: Any) -> torch.Tensor:
    x_ND: torch.Tensor = source.examples(split, torch.arange(source.count(split)), 0, 0)
    return x_ND


def test_digits() -> None:
    source = Digits()
    splits = [every(source, split) for split in ("train", "val", "test")]
    assert [len(x) for x in splits] == [1297, 200, 300]
    x = torch.cat(splits)
    assert (float(x.min()), float(x.max())) == (-1.0, 1.0)
    assert float(splits[0].mean()) == pytest.approx(source.mean, abs=2e-3)
    assert float(splits[0].std()) == pytest.approx(source.std, abs=2e-3)
    from sklearn.datasets import load_digits

    assert torch.equal((8 * x + 8).sum(1).sort().values.double(), torch.tensor(load_digits().data.sum(1)).sort().values)
    assert source.log_volume == pytest.approx(64 * torch.tensor(8.0).log().item())
    images, classes = load_digits().data.astype("uint8"), load_digits().target
    known = {bytes(image): digit for image, digit in zip(images, classes, strict=True)}
    for split in ("train", "val", "test"):
        digits = [known[bytes(image)] for image in source.raw(split).numpy()]
        assert source.labels(split).tolist() == digits


def test_wine() -> None:
    source = Wine()
    splits = [every(source, split) for split in ("train", "val", "test")]
    assert [x.shape for x in splits] == [(108, 13), (30, 13), (40, 13)]
    torch.testing.assert_close(splits[0].mean(0), torch.zeros(13), rtol=0, atol=1e-5)
    torch.testing.assert_close(splits[0].std(0, correction=0), torch.ones(13), rtol=0, atol=1e-5)
    assert torch.cat(splits).abs().max() < 6
    from sklearn.datasets import load_wine

    table = torch.tensor(load_wine().data)
    mine = torch.cat(splits).double() * source.column_scale + source.column_mean
    torch.testing.assert_close(mine.sort(0).values, table.sort(0).values, rtol=1e-5, atol=1e-4)


def test_a_density_of_wine_is_one_in_its_own_units() -> None:
    """log_volume is what turns a density of standardised columns into one of the columns themselves."""
    source = Wine()
    standard = torch.distributions.Normal(torch.zeros(13).double(), torch.ones(13).double())
    own = torch.distributions.Normal(source.column_mean, source.column_scale)
    raw_ND = source.raw("test")
    x_ND = (raw_ND - source.column_mean) / source.column_scale
    expected = standard.log_prob(x_ND).sum(-1) - source.log_volume
    torch.testing.assert_close(own.log_prob(raw_ND).sum(-1), expected)


def test_wine_through_the_command(command: Callable[..., Outcome]) -> None:
    ended = command("data=wine", "objective=mle", "debug=tiny")
    assert ended.status == 0, ended.err
    metrics = json.loads((ended.run / "summary.json").read_text())["metrics"]
    volume = Wine().log_volume
    assert volume == pytest.approx(float(Wine().column_scale.prod().log()))
    assert metrics["bits_per_dim"] == pytest.approx((metrics["nll"] + volume) / (13 * math.log(2)), abs=1e-4)


@pytest.mark.parametrize("name", TOYS)
def test_toys_have_the_stated_scale(name: str) -> None:
    source = Toy2d(name)
    x = every(source, "test")
    assert x.shape == (10_000, 2)
    assert float(x.std()) == pytest.approx(source.std, rel=0.03)
    assert x.abs().max() < 6
    assert not torch.equal(every(source, "val")[:50], x[:50])


def test_the_mixture_of_the_slides() -> None:
    x = every(Mixture1d(held_out=50_000), "test")[:, 0]
    assert float((x > 0).float().mean()) == pytest.approx(0.6, abs=0.01)
    assert float(x[x > 0].std()) == pytest.approx(0.5, abs=0.01)
    assert float(x[x < 0].std()) == pytest.approx(0.2, abs=0.01)
    assert float(x.var()) == pytest.approx(4.006, rel=0.01)


def test_gaussian_data_with_a_covariance() -> None:
    source = GaussianData(2, covariance=[[2.0, 1.0], [1.0, 1.0]], held_out=50_000)
    assert (torch.cov(every(source, "val").T) - torch.tensor([[2.0, 1.0], [1.0, 1.0]])).abs().max() < 0.05


def test_training_examples_are_new_in_every_epoch_and_held_out_ones_are_not() -> None:
    source, index = Toy2d("rings"), torch.arange(5)
    assert not torch.equal(source.examples("train", index, 0, 0), source.examples("train", index, 1, 0))
    assert torch.equal(source.examples("val", index, 0, 0), source.examples("val", index, 1, 7))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> torch.Tensor:
        batches = Batches(Digits(), "train", 64, seed)
        batches.set_epoch(epoch)
        return torch.cat([batch.index_B for batch in batches])

    assert torch.equal(order(0, 1), order(0, 1))
    assert not torch.equal(order(0, 1), order(0, 2))
    assert not torch.equal(order(0, 1), order(1, 1))
    assert len(order(0, 0).unique()) == 20 * 64


def test_a_loader_continues_where_its_state_was_saved() -> None:
    batches = Batches(Digits(), "train", 64, 0)
    batches.set_epoch(3)
    whole = [batch.index_B for batch in batches]
    stream = iter(batches)
    for _ in range(7):
        next(stream)
    again = Batches(Digits(), "train", 64, 0)
    again.load_state_dict(batches.state_dict())
    again.set_epoch(3)
    assert all(torch.equal(a.index_B, b) for a, b in zip(again, whole[7:], strict=True))
    assert len(list(again)) == 20, "the next epoch is whole again"


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_every_example_once(world_size: int) -> None:
    for split in ("train", "val"):
        parts = [list(Batches(Digits(), split, 66, 0, rank, world_size)) for rank in range(world_size)]
        alone = list(Batches(Digits(), split, 66, 0))
        for i, batch in enumerate(alone):
            together = torch.cat([part[i].index_B for part in parts])
            assert torch.equal(together.sort().values, batch.index_B.sort().values)


def test_batch_sizes_must_fit() -> None:
    with pytest.raises(UserError, match="does not fit 1297"):
        ScoreData(Digits(), 5000, 0).setup()


# Files.


def fake_mnist(root: Path) -> None:
    """Put files of the right names and wrong contents below a root."""
    for path, _ in Mnist.packed:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(gzip.compress(b"not really"))


def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import urllib.request

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.mark.parametrize("source", [Mnist, FashionMnist, Cifar10, Svhn])
def test_no_files_and_no_network(source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_network(monkeypatch)
    with pytest.raises(UserError) as refused:
        source(str(tmp_path / "data"), str(tmp_path / "cache")).prepare()
    sentence = str(refused.value)
    assert str(tmp_path / "data") in sentence
    assert source.packed[0][0] in sentence
    assert "data=digits" in sentence
    assert "\n" not in sentence
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_download_names_the_file(tmp_path: Path) -> None:
    fake_mnist(tmp_path / "data")
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz is damaged"):
        Mnist(str(tmp_path / "data"), str(tmp_path / "cache")).prepare()


def test_a_truncated_unpacked_file_names_the_file(tmp_path: Path) -> None:
    for path in Mnist.unpacked:
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / path).write_bytes(b"\x00\x00\x08\x03\x00\x00")
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.*damaged"):
        Mnist(str(tmp_path / "data"), str(tmp_path / "cache")).read()


def test_where_data_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOREWISE_DATA", str(tmp_path))
    assert data_root(None) == tmp_path
    assert data_root("/elsewhere") == Path("/elsewhere")
    monkeypatch.delenv("SCOREWISE_DATA")
    monkeypatch.chdir(tmp_path)
    assert data_root(None) == tmp_path / "data"


def real_root(source: Any) -> Path:
    root = Path(os.environ.get("SCOREWISE_DATA", "data")).absolute()
    if not (root / source.packed[0][0]).is_file():
        pytest.skip(f"{source.packed[0][0]} is not below {root}: set SCOREWISE_DATA to test with the real files")
    return root


COUNTS = {Mnist: [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949], FashionMnist: [6000] * 10}
FIRST = {Mnist: [7, 2, 1], FashionMnist: [9, 2, 1]}
"""How often each class is among the 60,000, and the first three of the test images."""


@pytest.mark.parametrize("source", [Mnist, FashionMnist])
def test_the_real_files(source: Any, tmp_path: Path) -> None:
    root = real_root(source)
    data = source(str(root), str(tmp_path))
    before = sorted(str(path) for path in root.rglob("*"))
    train = every(data, "train")
    assert (data.count("train"), data.count("val"), data.count("test")) == (55_000, 5_000, 10_000)
    assert float(train.mean()) == pytest.approx(source.mean, abs=1e-3)
    assert float(train.std()) == pytest.approx(source.std, abs=1e-3)
    assert torch.cat([data.labels(split) for split in ("train", "val")]).bincount().tolist() == COUNTS[source]
    assert data.labels("test")[:3].tolist() == FIRST[source]
    assert sorted(str(path) for path in root.rglob("*")) == before, "the data root is only read"
    assert [path.name for path in tmp_path.iterdir()] == [source.name]
    source("/nowhere", str(tmp_path)).prepare()  # the cache is enough
    images = tmp_path / source.unpacked[0]
    shutil.copy(tmp_path / source.name / source.unpacked[0], images.parent.mkdir(parents=True) or images)
    cached = tmp_path / source.name / source.unpacked[0]
    cached.write_bytes(cached.read_bytes()[:1000])
    with pytest.raises(UserError, match="is damaged"):
        source(str(root), str(tmp_path)).read()
