"""What is kept of the trainings of a figure: read again, added to, and refused in one sentence."""

import json
from pathlib import Path

import pytest

from scorewise.errors import UserError
from scorewise.figures.kept_seeds import KeptSeed, KeptSeeds


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
