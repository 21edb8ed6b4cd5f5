"""What a model said of its own data: read while all that it follows from is the same, and made anew where it is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Outcome
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.data import GaussianData as Source
from scorewise.heads import Gaussian
from scorewise.outliers import Examiner, KeptSurveys
from scorewise.run import prediction


class Counting(Examiner):
    """Looks at examples, and counts the batches."""

    looked = 0

    def look(self, *arguments: Any) -> dict[str, Tensor]:
        Counting.looked += 1
        return super().look(*arguments)


@pytest.fixture
def model(double: None) -> Gaussian:
    return Gaussian(MADE((2,), 2, (4,))).eval()


def surveyed(folder: Path, model: Gaussian, about: str = "a", noise: float = 0.0, **data: Any) -> tuple[Tensor, bool]:
    """Return nll of the first 30 held-out examples, and whether the model had to look at them."""
    source = Source(**{"dims": 2, "held_out": 50, **data})
    Counting.looked = 0
    found = KeptSurveys(folder, about).survey(Counting(model, noise, 0, 100), source, "val", ["nll"], 30)
    return found["nll"], Counting.looked > 0


def test_a_survey_tells_the_share_that_is_done(tmp_path: Path, model: Gaussian) -> None:
    told: list[float] = []
    examiner, source = Examiner(model, 0.0, 0, 100), Source(dims=2, held_out=250)
    for _ in range(2):
        KeptSurveys(tmp_path, "a").survey(examiner, source, "val", ["nll"], 250, tell=told.append)
    assert told == pytest.approx([1 / 3, 2 / 3, 1])  # and nothing where it was kept


def test_a_survey_is_made_once(tmp_path: Path, model: Gaussian) -> None:
    first, looked = surveyed(tmp_path / "surveys", model)
    assert looked
    x_BD = Source(dims=2, held_out=50).examples("val", torch.arange(30), -1, 0)
    torch.testing.assert_close(first, -model.log_prob(x_BD))
    again, looked = surveyed(tmp_path / "surveys", model)
    assert not looked
    assert torch.equal(first, again)
    assert again.dtype == torch.float64


def test_numbers_that_are_not_finite_are_kept_too(tmp_path: Path, model: Gaussian) -> None:
    with torch.no_grad():
        model.mean.fill_(float("nan"))
    first, _ = surveyed(tmp_path, model)
    again, looked = surveyed(tmp_path, model)
    assert not looked
    torch.testing.assert_close(first, again, equal_nan=True)
    assert first.isnan().all()


def test_what_it_follows_from_makes_another(tmp_path: Path, model: Gaussian) -> None:
    surveyed(tmp_path, model)
    for changed in ({"about": "b"}, {"noise": 0.1}, {"correlation": 0.3}, {"std": 2.0}):
        assert surveyed(tmp_path, model, **changed)[1], changed
        assert not surveyed(tmp_path, model, **changed)[1], changed
    with torch.no_grad():
        next(iter(model.parameters())).view(-1)[0] += 1e-12
    assert surveyed(tmp_path, model)[1]


def test_damaged_files_and_folders_that_cannot_be_written_keep_nothing(tmp_path: Path, model: Gaussian) -> None:
    first, _ = surveyed(tmp_path, model)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    for damaged in (b"", whole[:100], b"[]", whole[:-1] + bytes([whole[-1] ^ 1])):
        kept.write_bytes(damaged)
        again, looked = surveyed(tmp_path, model)
        assert looked
        assert torch.equal(first, again)
    (tmp_path / "file").touch()
    assert surveyed(tmp_path / "file" / "below", model)[1]


@pytest.mark.parametrize(
    ("said", "kept"),
    [({}, True), ({"modified": False}, True), ({"modified": True}, False), ({"modified": None}, False)],
)
def test_predict_keeps_what_percentiles_refer_to(
    command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, said: dict[str, bool | None], kept: bool
) -> None:
    """What changed code says is not kept: it has no name that could stand for it, as an installed package has."""
    monkeypatch.setattr(prediction, "code_version", lambda: {"scorewise": "1", **said})
    (Path("table.csv")).write_text("a,b\n" + "".join(f"{i % 7},{(i * i) % 11}\n" for i in range(80)))
    trained = command(
        "debug=tiny", "data=table", "data.path=table.csv", "backbone=made", "objective=mle", "head=gaussian"
    )
    assert trained.status == 0, trained.err
    run = trained.run
    asked = (f"run={run}", "input=table.csv", "task=ood", "paths.cache=cache")
    first = command(*asked, name="predict")
    assert first.status == 0, first.err
    written = (run / "predictions/outliers.csv").read_text()
    assert len(list(run.glob("surveys/*.safetensors"))) == int(kept)
    monkeypatch.setattr(Examiner, "survey", None if kept else Examiner.survey)
    again = command(*asked, name="predict")
    assert again.status == 0, again.err
    assert (run / "predictions/outliers.csv").read_text() == written
