"""Folders of images, packed sets, downloads, and what happens to files that are no images."""

import hashlib
import io
import json
import os
import pickle
import shutil
import struct
import sys
import tarfile
import types
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from PIL import Image
from test_data import every, no_network

from scorewise.data import (
    CelebA,
    Cifar10,
    Cifar10Subset,
    ConstUniform,
    Digits,
    ImageFolder,
    OmniglotSmall,
    Svhn,
    Uniform,
)
from scorewise.data import folder as folders
from scorewise.data.datamodule import ScoreData
from scorewise.data.decoding import Undecodable, decode
from scorewise.data.folder import split_of
from scorewise.errors import UserError, printable


def saved(image: Image.Image, format: str = "PNG", **settings: Any) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, format, **settings)
    file.seek(0)
    return file


def flat(mode: str, colour: Any, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new(mode, size, colour)


def png(width: int, height: int, depth: int, kind: int, rows: bytes) -> bytes:
    """Return a PNG as bytes, which may claim to be larger than it is."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


BROKEN = saved(Image.effect_noise((64, 64), 50)).getvalue()[:-600]


def levels(file: io.BytesIO, channels: int = 3, size: int = 8) -> list[int]:
    """Return the one level per channel of a flat image."""
    pixels = decode(file, size, channels).reshape(channels, -1)
    assert bool((pixels == pixels[:, :1]).all())
    return [int(level) for level in pixels[:, 0]]


# One file.


def test_levels_of_a_pixel_in_every_mode() -> None:
    assert levels(saved(flat("RGB", (10, 20, 30)))) == [10, 20, 30]
    assert levels(saved(flat("RGB", (10, 20, 30))), 1) == [18]  # .299 R + .587 G + .114 B = 18.15
    assert levels(saved(flat("L", 77))) == [77, 77, 77]
    assert levels(saved(flat("1", 1)), 1) == [255]
    assert levels(saved(flat("CMYK", (0, 0, 0, 0)), "TIFF")) == [255, 255, 255]
    assert levels(saved(flat("CMYK", (255, 0, 0, 0)), "TIFF")) == [0, 255, 255]
    assert levels(saved(flat("CMYK", (0, 255, 0, 0)), "JPEG", quality=100))[1] < 3
    assert levels(saved(flat("RGBA", (0, 0, 0, 0)))) == [255, 255, 255]  # transparent: what is behind is white
    assert levels(saved(flat("RGBA", (10, 20, 30, 255)))) == [10, 20, 30]
    assert levels(saved(flat("P", 0), transparency=0), 1) == [255]


def test_sixteen_bits_are_rounded_and_not_cut_off() -> None:
    assert levels(saved(Image.fromarray(np.full((8, 8), 40_000, np.uint16))), 1) == [156]  # 40000 / 257 = 155.6
    assert levels(saved(Image.fromarray(np.full((8, 8), 65_535, np.uint16))), 1) == [255]
    assert levels(io.BytesIO(b"P5 8 8 65535\n" + struct.pack(">H", 40_000) * 64), 1) == [156]
    row = b"\0" + struct.pack(">HHH", 65_535, 40_000, 0) * 8
    assert levels(io.BytesIO(png(8, 8, 16, 2, row * 8))) == [255, 156, 0]


def test_order_of_the_pixels_and_the_part_that_is_kept() -> None:
    sheet = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert decode(saved(Image.fromarray(sheet)), 4, 3).tolist() == sheet.transpose(2, 0, 1).reshape(-1).tolist()
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = np.arange(16).reshape(4, 4)
    assert decode(saved(Image.fromarray(wide)), 4, 1).tolist() == list(range(16))
    checked = (255 * (np.indices((64, 64)).sum(0) % 2)).astype(np.uint8)
    assert decode(saved(Image.fromarray(checked)), 8, 1).tolist() == pytest.approx([127.5] * 64, abs=2), "no aliasing"


def test_turned_upright_as_the_camera_says() -> None:
    sheet = Image.fromarray(np.array([[1, 2], [3, 4]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    assert decode(saved(sheet, exif=exif), 2, 1).tolist() == [3, 1, 4, 2]
    sixteen = Image.fromarray(np.array([[1, 2], [3, 4]], np.uint16) * 257)
    assert decode(saved(sixteen, exif=exif), 2, 1).tolist() == [3, 1, 4, 2]


def test_a_transparent_level_of_sixteen_bits_is_white() -> None:
    sheet = Image.fromarray(np.array([[0, 1], [257, 65_535]], np.uint16))  # 0 and 1 are the same byte
    assert decode(saved(sheet, transparency=0), 2, 1).tolist() == [255, 0, 1, 255]
    assert decode(saved(sheet, transparency=257), 2, 1).tolist() == [0, 0, 255, 255]
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(saved(sheet, transparency=0, exif=exif), 2, 1).tolist() == [1, 255, 255, 0]


def test_lab_images_are_grey_too() -> None:
    """Pillow converts them to RGB alone; without colour, L = 128 is a grey."""
    lab = flat("LAB", (128, 128, 128))
    (grey,), coloured = (levels(saved(lab, "TIFF"), channels) for channels in (1, 3))
    assert max(abs(grey - one) for one in coloured) <= 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no readable image"),
        (b"some text", "no readable image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no readable image"),  # would start another program
        (BROKEN, "damaged"),
        (png(60_000, 60_000, 8, 0, b"\0"), "more than 80 million pixels"),
        (png(9_000, 9_000, 8, 0, b"\0"), "more than 80 million pixels"),
        (saved(flat("RGB", 0, (1, 1))).getvalue(), "smaller than 2 pixels"),
        (saved(flat("F", 0.5), "TIFF").getvalue(), "of numbers without a known range"),
        (saved(flat("I", 70_000), "TIFF").getvalue(), "of numbers without a known range"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_decoded(content: bytes, reason: str) -> None:
    with pytest.raises(Undecodable) as refused:
        decode(io.BytesIO(content), 8, 3)
    assert str(refused.value) == reason


# A folder.


def folder_of(path: Path, count: int, first: int = 0) -> Path:
    """Put flat grey images of different levels into a folder."""
    path.mkdir(parents=True, exist_ok=True)
    for level in range(first, first + count):
        flat("L", level).save(path / f"{level}.png")
    return path


def source(path: Path, **settings: Any) -> ImageFolder:
    return ImageFolder(str(path), **{"size": 8, "channels": 1, "cache": str(path.parent / "cache"), **settings})


def members(one: ImageFolder) -> dict[int, str]:
    """Return the split of every image by its level."""
    return {int(pixels[0]): split for split in ("train", "val", "test") for pixels in one.raw(split)}  # type: ignore[arg-type]


def test_images_of_a_folder(tmp_path: Path) -> None:
    one = source(folder_of(tmp_path / "images", 200), channels=3)
    assert one.shape == (3, 8, 8)
    x = torch.cat([every(one, split) for split in ("train", "val", "test")])
    assert x.shape == (200, 192)
    assert sorted(x[:, 0].tolist()) == pytest.approx([level / 127.5 - 1 for level in range(200)], abs=1e-6)
    assert [one.count(split) for split in ("val", "test")] == pytest.approx([20, 20], abs=12)
    for i, name in enumerate(one.names("test")):
        assert int(one.raw("test")[i, 0]) == int(name.removesuffix(".png"))
    assert one.remarks()["left_out"] == {}


def test_splits_follow_from_the_contents_of_files(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "images", 60)
    before = members(source(images))
    assert set(before.values()) == {"train", "val", "test"}
    folder_of(images / "new", 60, 60)
    (images / "0.png").rename(images / "new" / "renamed.png")
    after = members(source(images))
    assert len(after) == 120
    assert {level: after[level] for level in before} == before
    wider = members(source(images, val=0.5))
    assert {level for level, split in wider.items() if split == "test"} == {
        level for level, split in after.items() if split == "test"
    }
    shutil.copy(images / "1.png", images / "copy of 1.png")
    again = source(images)
    assert sum(again.count(split) for split in ("train", "val", "test")) == 121
    pair = [split for split in ("train", "val", "test") for row in again.raw(split) if int(row[0]) == 1]  # type: ignore[arg-type]
    assert pair == [before[1]] * 2


def test_split_of_a_digest() -> None:
    assert split_of("0" * 64, 0.1, 0.1) == "test"
    assert split_of("2" + "0" * 63, 0.1, 0.1) == "val"  # 2 / 16 = 0.125
    assert split_of("4" + "0" * 63, 0.1, 0.1) == "train"
    assert split_of("f" * 64, 0.0, 1.0) == "test"
    assert split_of("0" * 64, 0.0, 0.0) == "train"


def test_every_file_is_an_image_or_named(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "images", 5)
    odd = os.fsdecode(b"b\xff [red]\n'\".png")
    flat("CMYK", (9, 9, 9, 0)).save(images / "cmyk.jpg")
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(images / "sixteen.png")
    flat("L", 99).save(tmp_path / "odd.png")
    (tmp_path / "odd.png").rename(images / odd)
    (images / "no suffix").write_bytes(saved(flat("L", 98)).getvalue())
    bad = {
        "notes.txt": b"some text",
        "empty.png": b"",
        f"broken{odd}": BROKEN,
        "bomb.png": png(60_000, 60_000, 8, 0, b"\0"),
        "one.png": saved(flat("RGB", 0, (1, 1))).getvalue(),
        "below/deep/.DS_Store": b"\0\0\0\1Bud1",
    }
    for name, content in bad.items():
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(content)
    os.symlink("..", images / "below" / "loop")
    os.symlink("self", images / "self")
    os.symlink("nowhere.png", images / "dangling.png")
    os.symlink(folder_of(tmp_path / "elsewhere", 2, 20), images / "linked")
    os.mkfifo(images / "pipe")
    before = sorted(images.rglob("*"))
    one = source(images)
    with pytest.warns(UserWarning, match="10 of 21 files below") as warned:
        one.raw("train")
    assert one.remarks()["left_out"] == {
        "notes.txt": "no readable image",
        "empty.png": "no readable image",
        "brokenb\\udcff [red]\\n'\".png": "damaged",
        "bomb.png": "more than 80 million pixels",
        "one.png": "smaller than 2 pixels",
        "below/deep/.DS_Store": "no readable image",
        "below/loop": "a folder that is read already",
        "self": "a link to nothing",
        "dangling.png": "a link to nothing",
        "pipe": "no regular file",
    }
    (sentence,) = [str(one.message) for one in warned]
    assert "no readable image: 3 (below/deep/.DS_Store, empty.png, notes.txt); " in sentence
    assert "\n" not in sentence
    assert sorted(members(one)) == [0, 1, 2, 3, 4, 20, 21, 98, 99, 156, 246]
    assert odd in [name for split in ("train", "val", "test") for name in one.names(split)]  # type: ignore[arg-type]
    assert sum(one.remarks()["images"].values()) == 11
    assert sorted(images.rglob("*")) == before, "the folder is only read"


def test_images_are_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = folder_of(tmp_path / "images", 20)
    decoded: list[int] = []

    def counted(*arguments: Any) -> torch.Tensor:
        decoded.append(1)
        return decode(*arguments)

    monkeypatch.setattr(folders, "decode", counted)
    first = members(source(images))
    assert len(decoded) == 20
    assert members(source(images)) == first
    assert len(decoded) == 20, "the second time from the cache"
    (cached,) = (tmp_path / "cache").iterdir()
    flat("L", 200).save(images / "0.png")
    os.utime(images / "0.png", ns=(1, 1))
    assert set(members(source(images))) == {*range(1, 20), 200}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [cached.name], "it takes the old one's place"
    cached.write_bytes(cached.read_bytes()[:500])
    assert set(members(source(images))) == {*range(1, 20), 200}
    assert members(source(images, size=4)) == members(source(images))
    assert len(list((tmp_path / "cache").iterdir())) == 2
    before = len(decoded)
    monkeypatch.setattr(folders, "SETTINGS", "pixels 1")  # those of an earlier release
    source(images).prepare()
    assert len(decoded) == before + 20, "decoded anew where decoding means something else"


def test_a_cache_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "images", 3)
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match="set SCOREWISE_CACHE to a folder"):
        source(images).prepare()


def test_folders_that_will_not_do_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("some text")
    for path, words in (
        ("missing", "missing is not there: give a folder of images."),
        ("empty", "empty is empty: give a folder of images."),
        ("text/notes.txt", "notes.txt is a file: give a folder of images."),
        ("text", "has no image that can be used: no readable image: 1 (notes.txt)."),
    ):
        with pytest.raises(UserError) as refused:
            source(tmp_path / path, cache=str(tmp_path / "cache")).prepare()
        assert str(refused.value).endswith(words)
        assert "\n" not in str(refused.value)
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"path": None}, "data=images needs a folder: data.path="),
        ({"size": 0}, "data.size=0 must be"),
        ({"size": "big"}, "data.size=big must be"),
        ({"channels": 4}, "data.channels=4 must be 1 (grey) or 3 (RGB)"),
        ({"val": -0.1}, "data.val=-0.1 must be a share"),
        ({"val": 0.6, "test": 0.6}, "must be at most 1 together"),
    ],
)
def test_settings_of_a_folder_that_will_not_do(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refused:
        ImageFolder(**{"path": "images", **settings})
    assert words in str(refused.value)


def test_all_images_may_be_test_images_and_then_nothing_trains(tmp_path: Path) -> None:
    one = source(folder_of(tmp_path / "images", 10), val=0, test=1)
    assert (one.count("train"), one.count("val"), one.count("test")) == (0, 0, 10)
    data = ScoreData(one, 64, 0)
    data.setup("test")
    data.setup("predict")
    with pytest.raises(UserError, match="this data has no train and no val examples"):
        data.setup("fit")
    none = source(tmp_path / "images", val=0, test=0)
    with pytest.raises(UserError, match="this data has no test examples"):
        ScoreData(none, 64, 0).setup("predict")


def test_a_folder_through_the_command(command: Callable[..., Outcome], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("SCOREWISE_CACHE", "cache")
    folder_of(tmp_path / "images", 80)
    (tmp_path / "images" / "notes.txt").write_text("some text")
    choice = ("data=images", "data.path=images", "data.size=4", "data.channels=1", "debug=tiny")
    ended = command(*choice, "objective=mle")
    assert ended.status == 0, ended.err
    assert "warning: 1 of 81 files below" in ended.err
    summary = json.loads((ended.run / "summary.json").read_text())
    assert summary["data"]["left_out"] == {"notes.txt": "no readable image"}
    assert sum(summary["data"]["images"].values()) == 80
    tested = command(f"run={ended.run}", name="eval")
    assert tested.status == 0, tested.err
    assert "have changed" not in tested.err
    assert "is finished" in command(*choice, "objective=mle").out
    run = ended.run
    assert command(*choice, "objective=mle", "seed=1").status == 0
    (unfinished,) = (path for path in run.parent.iterdir() if path != run)
    (unfinished / "summary.json").unlink()
    Image.new("L", (4, 4), 77).save(tmp_path / "images" / "one_more.png")
    for words in ((), ("train=false",), ("seed=1",)):
        other = command(*choice, "objective=mle", *words)
        assert other.status == 1
        assert "the images have changed since this run was trained on them" in other.err
    tested = command(f"run={run}", name="eval")
    assert tested.status == 0
    assert "the images have changed since this run was trained on them: the numbers are new" in tested.err
    assert command(*choice, "objective=mle", "rerun=true").status == 0
    assert "is finished" in command(*choice, "objective=mle").out
    refused = command("data=images", "data.path=nowhere", "debug=tiny")
    assert refused.status == 1
    assert refused.err.strip().endswith("nowhere is not there: give a folder of images.")


def test_names_that_cannot_be_shown_are_escaped() -> None:
    assert printable("plain ü.png") == "plain ü.png"
    assert printable("a\nb\x1b\udcff") == "a\\nb\\x1b\\udcff"


def test_every_example_has_a_name() -> None:
    assert Digits().names("val")[:3] == ["0", "1", "2"]
    assert len(Digits().names("val")) == 200
    assert Digits().remarks() == {}


# Images without anything in them.


def test_uniform_images() -> None:
    one = Uniform([3, 8, 8], held_out=500)
    x = every(one, "test")
    assert x.shape == (500, 192)
    level = (x + 1) * 127.5
    assert float((level - level.round()).abs().max()) < 1e-4
    assert (float(level.min().round()), float(level.max().round())) == (0, 255)
    assert float(x.mean()) == pytest.approx(0, abs=0.01)
    assert float(x.std()) == pytest.approx(one.std, abs=0.005)
    assert one.std == pytest.approx(torch.linspace(-1, 1, 256).double().std(correction=0).item(), abs=1e-6)
    assert float(torch.corrcoef(x[:, :2].T)[0, 1]) == pytest.approx(0, abs=0.15)
    assert not torch.equal(every(one, "val"), x)


def test_constant_images() -> None:
    one = ConstUniform([3, 8, 8], held_out=2_000)
    x = every(one, "test")
    assert x.shape == (2_000, 192)
    assert bool((x == x[:, :1]).all())
    assert len(x[:, 0].unique()) > 250
    assert float(x[:, 0].mean()) == pytest.approx(0, abs=0.05)
    assert float(x[:, 0].std()) == pytest.approx(one.std, abs=0.02)


@pytest.mark.parametrize("shape", [[28, 28], "28", 28, [1, 0, 4], [1, 2.5, 4]])
def test_shapes_that_are_no_images(shape: Any) -> None:
    with pytest.raises(UserError, match="must be channels, rows and columns"):
        Uniform(shape)


# Downloads, by torchvision's own way, from a network of the test's.


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def network(monkeypatch: pytest.MonkeyPatch, served: dict[str, bytes]) -> list[str]:
    """Serve addresses by how they end, and return the addresses that were asked for."""
    import urllib.request

    asked: list[str] = []

    class Response(io.BytesIO):
        url = None

        @property
        def length(self) -> int:
            return len(self.getvalue())

    def answer(request: Any, *_: Any, **__: Any) -> Response:
        asked.append(request.full_url)
        return Response(next(content for end, content in served.items() if request.full_url.endswith(end)))

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    return asked


def pixels_for(count: int, seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def cifar_archive(monkeypatch: pytest.MonkeyPatch, per_batch: int, test: int) -> bytes:
    """Return an archive as CIFAR-10's, whose sums torchvision and we are made to expect."""
    from torchvision.datasets import CIFAR10

    def batch(count: int, seed: int) -> bytes:
        pixels = pixels_for(count, seed).reshape(count, -1)
        return pickle.dumps({"data": pixels, "labels": [int(first) % 10 for first in pixels[:, 0]]})

    batches = {f"data_batch_{i}": batch(per_batch, i) for i in range(1, 6)}
    files = {**batches, "test_batch": batch(test, 6), "batches.meta": pickle.dumps({"label_names": ["cat"]})}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    sums = {name: md5_of(content) for name, content in files.items()}
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5_of(packed.getvalue()))
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in batches])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    monkeypatch.setattr(Cifar10, "packed", ((Cifar10.packed[0][0], md5_of(packed.getvalue())),))
    return packed.getvalue()


def test_the_sums_are_torchvisions() -> None:
    from torchvision.datasets import CIFAR10, SVHN

    assert Cifar10.packed == ((CIFAR10.filename, CIFAR10.tgz_md5),)
    assert Svhn.packed == tuple((SVHN.split_list[split][1], SVHN.split_list[split][2]) for split in ("train", "test"))


def labels_follow_their_images(source: Any) -> None:
    """In the files made here an image's class is its first pixel modulo ten."""
    for split in ("train", "val", "test"):
        assert torch.equal(source.labels(split), source.raw(split)[:, 0].long() % 10)


def test_cifar10_is_downloaded_unpacked_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = cifar_archive(monkeypatch, 4, 5)
    asked = network(monkeypatch, {"cifar-10-python.tar.gz": archive})
    monkeypatch.setattr(Cifar10, "held_out", 3)
    one = Cifar10(str(tmp_path / "data"), str(tmp_path / "cache"))
    assert [one.count(split) for split in ("train", "val", "test")] == [17, 3, 5]
    assert set(asked) == {"https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"}
    assert one.raw("test").tolist() == pixels_for(5, 6).reshape(5, -1).tolist()
    labels_follow_their_images(one)
    no_network(monkeypatch)
    again = Cifar10(str(tmp_path / "data"), str(tmp_path / "cache"))
    assert torch.equal(every(again, "train"), every(one, "train"))
    assert not (tmp_path / "data").exists(), "the data root is only read"


def test_svhn_is_downloaded_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    served, listed = {}, {}
    for seed, (split, count) in enumerate((("train", 9), ("test", 4))):
        file = io.BytesIO()
        pixels = pixels_for(count, seed)
        classes = (pixels[:, 0, 0, 0] - 1) % 10 + 1  # the file says 10 for a zero
        savemat(file, {"X": pixels.transpose(2, 3, 1, 0), "y": classes[:, None]})
        served[f"{split}_32x32.mat"] = file.getvalue()
        listed[split] = [*SVHN.split_list[split][:2], md5_of(file.getvalue())]
    monkeypatch.setattr(SVHN, "split_list", listed)
    monkeypatch.setattr(Svhn, "packed", tuple((name, md5_of(content)) for name, content in served.items()))
    monkeypatch.setattr(Svhn, "held_out", 2)
    asked = network(monkeypatch, served)
    one = Svhn(str(tmp_path / "data"), str(tmp_path / "cache"))
    assert [one.count(split) for split in ("train", "val", "test")] == [7, 2, 4]
    assert len(set(asked)) == 2
    assert one.raw("test").tolist() == pixels_for(4, 1).reshape(4, -1).tolist()
    labels_follow_their_images(one)
    no_network(monkeypatch)
    again = Svhn(str(tmp_path / "data"), str(tmp_path / "cache"))
    assert torch.equal(every(again, "train"), every(one, "train"))
    from_root = Svhn(str(tmp_path / "cache" / "svhn"), str(tmp_path / "other"))
    assert torch.equal(every(from_root, "train"), every(one, "train"))
    (tmp_path / "cache" / "svhn" / "test_32x32.mat").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"test_32x32\.mat is damaged"):
        Svhn(str(tmp_path / "cache" / "svhn"), str(tmp_path / "third")).prepare()
    with pytest.raises(UserError, match=r"test_32x32\.mat.* is damaged"):
        Svhn(str(tmp_path / "data"), str(tmp_path / "cache")).read()


def face(number: int) -> bytes:
    """Return a picture of CelebA's size whose middle 140 pixels have two halves; PNG, whatever the name says."""
    picture = np.full((218, 178, 3), 255, np.uint8)
    picture[39:179, 19:159] = (number, 50, 100)
    picture[39:179, 89:159, 0] = 200
    return saved(Image.fromarray(picture)).getvalue()


def celeba_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Return the files of a CelebA of seven pictures, whose sums torchvision is made to expect."""
    from torchvision.datasets import CelebA as Torchvisions

    names = [f"{i:06d}.jpg" for i in range(1, 8)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for i, name in enumerate(names):
            archive.writestr(f"img_align_celeba/{name}", face(10 * i))
    table = "7\na b\n" + "".join(f"{name} 1 -1\n" for name in names)
    partition = "".join(f"{name} {split}\n" for name, split in zip(names, (0, 0, 0, 1, 1, 2, 2), strict=True))
    files = {name: table.encode() for *_, name in Torchvisions.file_list}
    files["img_align_celeba.zip"] = packed.getvalue()
    files["list_eval_partition.txt"] = partition.encode()
    files["identity_CelebA.txt"] = "".join(f"{name} 1\n" for name in names).encode()
    listed = [(key, md5_of(files[name]), name) for key, _, name in Torchvisions.file_list]
    monkeypatch.setattr(Torchvisions, "file_list", listed)
    return files


def gdown(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], refuses: str = "") -> list[str]:
    """Return gdown as a test has it, which refuses one file; and what it was asked for."""
    asked: list[str] = []

    def download(id: str, output: str, **_: Any) -> None:
        asked.append(Path(output).name)
        if asked[-1] == refuses:
            raise Exception("Too many users have viewed or downloaded this file recently.\nPlease try again later.")
        Path(output).write_bytes(files[asked[-1]])

    module = types.ModuleType("gdown")
    module.download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gdown", module)
    return asked


@pytest.mark.filterwarnings("ignore:the images of CelebA")
def test_celeba_is_downloaded_cropped_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = celeba_files(monkeypatch)
    asked = gdown(monkeypatch, files)
    places = (str(tmp_path / "data"), str(tmp_path / "cache"))
    one = CelebA(*places)
    assert one.shape == (3, 32, 32)
    assert [one.count(split) for split in ("train", "val", "test")] == [3, 2, 2]
    assert len(asked) == 6
    image = one.raw("val")[0].reshape(3, 32, 32)
    assert image[1:, :, :].unique().tolist() == [50, 100], "nothing of the frame is left"
    assert image[0, :, :15].unique().tolist() == [30]
    assert image[0, :, 17:].unique().tolist() == [200]
    shutil.rmtree(tmp_path / "cache" / "celeba")
    assert torch.equal(every(CelebA(*places), "test"), every(one, "test")), "the decoded pixels are enough"
    for name, content in files.items():  # by hand, as the message says
        (tmp_path / "data" / "celeba").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "celeba" / name).write_bytes(content)
    monkeypatch.setitem(sys.modules, "gdown", types.ModuleType("gdown"))
    larger = CelebA(*places, size=64)
    assert larger.raw("val")[0].reshape(3, 64, 64)[0, :, :31].unique().tolist() == [30]
    with zipfile.ZipFile(tmp_path / "data" / "celeba" / "img_align_celeba.zip") as archive:
        archive.extractall(tmp_path / "data" / "celeba")
    unpacked = CelebA(places[0], str(tmp_path / "other"))
    assert torch.equal(every(unpacked, "train"), every(one, "train"))
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["celeba-32.pt"], "nothing is copied"
    (tmp_path / "data" / "celeba" / "img_align_celeba" / "000003.jpg").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"celeba is damaged \(cannot identify image file .*000003.jpg"):
        CelebA(places[0], str(tmp_path / "third")).prepare()


def test_celeba_by_hand_where_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = gdown(monkeypatch, celeba_files(monkeypatch), refuses="list_bbox_celeba.txt")
    with pytest.raises(UserError) as refused:
        CelebA(str(tmp_path / "data"), str(tmp_path / "cache")).prepare()
    sentence = str(refused.value)
    assert "(Too many users have viewed or downloaded this file recently. Please try again later.)" in sentence
    for words in ("https://mmlab", "img_align_celeba.zip", "list_eval_partition.txt", f"into {tmp_path}/data/celeba"):
        assert words in sentence
    assert "pip install" not in sentence
    assert "\n" not in sentence
    with pytest.raises(UserError):
        CelebA(str(tmp_path / "data"), str(tmp_path / "cache")).prepare()
    assert asked.count("img_align_celeba.zip") == 1, "what was downloaded is kept"


def test_celeba_without_gdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gdown", None)
    with pytest.raises(UserError, match=r"\(gdown is not installed\): pip install gdown and try again, or by hand: "):
        CelebA(str(tmp_path / "data"), str(tmp_path / "cache")).prepare()
    with pytest.raises(UserError, match=r"data\.size=48 is none of CelebA's"):
        CelebA(size=48)


# Packed sets.


def real_root(path: str) -> Path:
    root = Path(os.environ.get("SCOREWISE_DATA", "data")).absolute()
    if not (root / path).is_file():
        pytest.skip(f"{path} is not below {root}: set SCOREWISE_DATA to test with the real files")
    return root


def test_the_subset_of_cifar10(tmp_path: Path) -> None:
    root = real_root("cifar10_subset/train_images.png")
    one = Cifar10Subset(str(root), str(tmp_path))
    assert [one.count(split) for split in ("train", "val", "test")] == [3_600, 400, 1_000]
    test = one.raw("test")
    assert [int(test[0].reshape(3, 32, 32)[channel, 0, 0]) for channel in range(3)] == [158, 112, 49]
    assert test[0].reshape(3, 32, 32)[0, 0, :3].tolist() == [158, 159, 165]
    channels = test.double().reshape(-1, 3, 1024)
    assert (channels.mean((0, 2)) / 255).tolist() == pytest.approx([0.4967, 0.4867, 0.4510], abs=1e-4)
    fitting = torch.cat([one.raw("train"), one.raw("val")])
    first = [row[:3].tolist() for row in fitting if row[:3].tolist() == [59, 43, 50]]
    assert len(first) == 1, "the first image of CIFAR-10"
    x = fitting.double() / 127.5 - 1
    assert (float(x.mean()), float(x.std())) == pytest.approx((one.mean, one.std), abs=1e-4)
    assert not list(tmp_path.iterdir())


def test_the_classes_of_the_subset_of_cifar10(tmp_path: Path) -> None:
    one = Cifar10Subset(str(real_root("cifar10_subset/train_labels.npy")), str(tmp_path))
    assert one.labels("test").bincount().tolist() == [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]
    fitting = torch.cat([one.labels(split) for split in ("train", "val")])
    assert fitting.bincount().tolist() == [396, 366, 420, 384, 422, 393, 414, 385, 407, 413]
    first = [i for i, row in enumerate(one.raw("train")) if row[:3].tolist() == [59, 43, 50]]
    assert [int(one.labels("train")[i]) for i in first] == [6] * len(first), "the first image of CIFAR-10 is a frog"
    assert int(one.labels("test")[0]) == 3, "its first test image is a cat"


def test_classes_of_the_subset_that_are_not_there(tmp_path: Path) -> None:
    root = real_root("cifar10_subset/train_images.png")
    (tmp_path / "cifar10_subset").mkdir()
    for path, _ in Cifar10Subset.sheets.values():
        (tmp_path / path).symlink_to(root / path)
    with pytest.raises(UserError, match=r"put cifar10_subset/train_labels\.npy below"):
        Cifar10Subset(str(tmp_path), str(tmp_path)).labels("train")
    (tmp_path / "cifar10_subset/train_labels.npy").write_bytes(b"not really")
    with pytest.raises(UserError, match=r"train_labels\.npy is damaged"):
        Cifar10Subset(str(tmp_path), str(tmp_path)).labels("train")


def test_the_subset_from_the_whole_of_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = cifar_archive(monkeypatch, 801, 1_001)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cifar-10-python.tar.gz").write_bytes(archive)
    one = Cifar10Subset(str(tmp_path / "data"), str(tmp_path / "cache"))
    assert [one.count(split) for split in ("train", "val", "test")] == [3_600, 400, 1_000]
    assert one.raw("test").tolist() == pixels_for(1_001, 6).reshape(-1, 3072)[:1_000].tolist()
    labels_follow_their_images(one)
    no_network(monkeypatch)
    with pytest.raises(UserError) as refused:
        Cifar10Subset(str(tmp_path / "nothing"), str(tmp_path / "empty")).prepare()
    assert "data=cifar10_subset needs cifar10_subset/train_images.png and" in str(refused.value)
    (tmp_path / "data" / "cifar10_subset").mkdir()
    for path, _ in Cifar10Subset.sheets.values():
        (tmp_path / "data" / path).write_bytes(b"not really")
    with pytest.raises(UserError, match=r"train_images\.png is damaged"):
        one.read()


def test_omniglot(tmp_path: Path) -> None:
    root = real_root("omniglot/images_background_small1.zip")
    one = OmniglotSmall(str(root), str(tmp_path), size=105)
    assert [one.count(split) for split in ("train", "val", "test")] == [16 * 242, 2 * 242, 2 * 242]
    assert one.raw("val").unique().tolist() == [0, 255]
    assert float((one.raw("val") > 0).float().mean()) < 0.1, "ink is white"
    small = OmniglotSmall(str(root), str(tmp_path))
    x = every(small, "train")
    assert x.shape == (3_872, 784)
    assert (float(x.mean()), float(x.std())) == pytest.approx((small.mean, small.std), abs=1e-3)
    assert not list(tmp_path.iterdir())


def test_omniglot_is_downloaded_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = {}
    for i, (name, alphabets) in enumerate((("one.zip", ("Greek", "Korean")), ("two.zip", ("Greek", "Tagalog")))):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for alphabet in alphabets:
                for person in (1, 16, 17, 19, 20):
                    paper = flat("1", 0 if alphabet == "Greek" else 1, (105, 105))
                    archive.writestr(f"set{i}/{alphabet}/character01/9_{person:02d}.png", saved(paper).getvalue())
        served[name] = packed.getvalue()
    monkeypatch.setattr(OmniglotSmall, "archives", tuple((name, md5_of(content)) for name, content in served.items()))
    asked = network(monkeypatch, served)
    one = OmniglotSmall(str(tmp_path / "data"), str(tmp_path / "cache"))
    assert [one.count(split) for split in ("train", "val", "test")] == [6, 3, 6], "Greek is taken once"
    assert sorted(one.raw("val")[:, 0].tolist()) == [0, 0, 255]
    assert asked[-1] == "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/two.zip"
    no_network(monkeypatch)
    OmniglotSmall(str(tmp_path / "data"), str(tmp_path / "cache")).prepare()
    with pytest.raises(UserError, match=r"put omniglot/one\.zip and omniglot/two\.zip of github"):
        OmniglotSmall(str(tmp_path / "data"), str(tmp_path / "other")).prepare()
    with pytest.raises(UserError, match=r"data\.size=200 must be"):
        OmniglotSmall(size=200)


def test_a_small_folder_takes_smaller_steps(tmp_path: Path) -> None:
    one = source(folder_of(tmp_path / "images", 12), val=0, test=0)
    assert one.count("train") == 12
    for most, taken in ((64, 8), (24, 12), (13, 6), (12, 12), (3, 3)):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert one.batch_size(most) == taken
        said = f"a folder of 12 training images takes steps of {taken} instead of data.batch_size={most}."
        assert [str(warned.message) for warned in told] == ([said] if taken < most else [])
