"""What is kept of the trainings of a figure: read again, added to, and refused in one sentence."""

import json
from pathlib import Path

import pytest

from scorewise.errors import UserError
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.kept_seeds import KeptSeed, KeptSeeds, NotKept
from scorewise.quality import ClassifierFeatures, ExtractorStore
from scorewise.run.folder import RunFolder


def seed(number: int, identity: str, **measured: float) -> KeptSeed:
    return KeptSeed("a", number, {"identity": identity, "steps": 3}, measured)


def test_seeds_are_added(tmp_path: Path) -> None:
    path = tmp_path / "below" / "figure.jsonl"
    assert KeptSeeds(path).of("1234") is None
    KeptSeeds(path).add([seed(0, "1234", fid=1.5)])
    KeptSeeds(path).add([seed(0, "1234", nats=2.5), seed(1, "5678", fid=3.5)])
    kept = KeptSeeds(path)
    assert kept.of("1234") == seed(0, "1234", fid=1.5, nats=2.5)
    assert kept.of("5678") == seed(1, "5678", fid=3.5)
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "line", ["{", "[]", "{}", json.dumps({"training": "a", "seed": 0, "summary": {}, "measured": {}})]
)
def test_a_line_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "figure.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=r"figure.jsonl, line 1, is no kept training \(.*\): remove the line"):
        KeptSeeds(tmp_path / "figure.jsonl")


def test_what_was_not_kept_is_said_and_can_be_forgotten(tmp_path: Path) -> None:
    kept = KeptSeeds(tmp_path / "figure.jsonl")
    kept.add([seed(0, "1234", fid=1.5), seed(1, "5678", fid=3.5)])
    line = kept.of("1234")
    assert line is not None
    with pytest.raises(NotKept, match="a seed=0: what is asked of it was not kept") as missing:
        _ = FinishedRun(0, RunFolder(tmp_path / "nowhere", "1234"), {}, line).path
    kept.forget(missing.value.kept)
    assert kept.of("1234") is None
    assert kept.of("5678") is not None
    kept.add([seed(0, "1234", fid=2.5)])
    assert KeptSeeds(kept.path).of("1234") == seed(0, "1234", fid=2.5)


def test_images_are_judged_by_the_classifier_that_is_kept(tmp_path: Path) -> None:
    kept, config = KeptSeeds(tmp_path / "figure.jsonl"), {"data": {"_target_": "scorewise.data.Digits"}}
    one, other = (ClassifierFeatures.random((1, 8, 8), number) for number in range(2))
    ExtractorStore(kept.features).put("digits", one, {})
    ExtractorStore(tmp_path / "figures/figure-cpu/features").put("digits", other, {})
    folder = RunFolder(tmp_path / "figures/figure-cpu/a/1234", "1234")
    fresh = tmp_path / "fresh"
    assert FinishedRun(0, folder, config, features=fresh).extractor(None).hash == other.hash, "not trained again"
    assert ExtractorStore(fresh).newest("digits").hash == other.hash  # type: ignore[union-attr]
    assert FinishedRun(0, folder, config, features=kept.features).extractor(None).hash == one.hash
    assert FinishedRun(0, folder, config).extractor(None).hash == other.hash != one.hash
