"""What has no number is left out loudly: examples without a finite number, weights, pictures and whole results."""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from torch import Tensor

from scorewise.data import Table
from scorewise.objectives import MLE
from scorewise.tasks.held_out import HeldOutNumber, finite_metrics, without_number

Command = Callable[..., Outcome]
QUICK = (
    "experiment=table", "backbone.hidden=[8]", "trainer.max_steps=12", "callbacks.samples=4",
    "callbacks.progress=false",
)  # fmt: skip
NAN, INF = math.nan, math.inf


def table(path: Path, rows: int = 120) -> Path:
    x = np.random.default_rng(0).normal(size=(rows, 3)).round(4)
    np.savetxt(path, x, delimiter=",", header="a,b,c", comments="", fmt="%.4f")
    return path


def splits(path: Path) -> dict[Any, list[int]]:
    """Return the numbers of the rows of every split, which follow from the values alone."""
    source = Table(str(path))
    return {split: [int(name) for name in source.names(split)] for split in ("train", "val", "test")}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "mean", "missing"),
    [
        ([1.0, 2.0, 3.0], 2.0, []),
        ([1.0, NAN, 3.0], 2.0, [11]),
        ([INF, 2.0, 3.0], 2.5, [10]),
        ([-INF, 2.0, NAN], 2.0, [10, 12]),
        ([NAN, NAN, INF], NAN, [10, 11, 12]),
        ([1e300, 1.0, 1.0], 1.0, [10]),  # no number of float32
    ],
)
def test_a_mean_is_of_those_with_a_number_and_the_others_are_known(
    values: list[float], mean: float, missing: list[int]
) -> None:
    number = HeldOutNumber(torch.device("cpu"))
    number.add(torch.tensor(values[:1], dtype=torch.float64), torch.tensor([10]))
    number.add(torch.tensor(values[1:], dtype=torch.float64), torch.tensor([11, 12]))
    assert number.missing() == missing
    assert len(number.values()) == 3
    assert number.finite().mean().item() == pytest.approx(mean, nan_ok=True)
    if missing:
        names = [f"{place}.png" for place in range(13)]
        said = without_number(missing, 3, "test example", names)
        assert said.startswith(f"{len(missing)} of 3 test examples ({missing[0]}.png")
    assert without_number([-1], 3, "test example", []) == "1 of 3 test examples"


def test_numbers_are_in_the_order_of_their_places_whoever_collected_them() -> None:
    """Processes collect every second example each; a bootstrap draws by position."""
    number, pairs = (HeldOutNumber(torch.device("cpu")) for _ in range(2))
    for places in ([0, 2, 4], [1, 3]):
        number.add(torch.tensor([10.0 * place if place != 3 else NAN for place in places]), torch.tensor(places))
        pairs.add(torch.tensor([[place, -place] for place in places]).float(), torch.tensor(places))
    assert number.values().nan_to_num(30.0).tolist() == [0.0, 10.0, 20.0, 30.0, 40.0]
    assert number.missing() == [3]
    assert pairs.values()[:, 1].tolist() == [0.0, -1.0, -2.0, -3.0, -4.0]
    nowhere = HeldOutNumber(torch.device("cpu"))
    nowhere.add(torch.tensor([3.0, 1.0, 2.0]), None)
    assert nowhere.values().tolist() == [3.0, 1.0, 2.0]


def test_only_finite_metrics_are_reported() -> None:
    with pytest.warns(UserWarning, match="no finite number: b, c, d"):
        assert finite_metrics({"a": 1.0, "b": INF, "c": NAN, "d": -INF}) == {"a": 1.0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert finite_metrics({"a": 1.0, "huge": 1e300}) == {"a": 1.0, "huge": 1e300}


def spoilt(monkeypatch: pytest.MonkeyPatch, value: float, spoil: Callable[[Tensor], Tensor]) -> None:
    """Let the objective's held-out loss be a value where an example asks for it."""
    honest = MLE.held_out

    def held_out(self: Any, model: Any, x_BD: Tensor, draws: Any) -> Tensor:
        return honest(self, model, x_BD, draws).masked_fill(spoil(x_BD), value)

    monkeypatch.setattr(MLE, "held_out", held_out)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_run_says_which_test_rows_have_no_number(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    path = table(tmp_path / "t.csv")
    far = Table(str(path)).scaled(Table(str(path)).raw("test"))[3].float()
    spoilt(monkeypatch, value, lambda x_BD: (x_BD - far).abs().amax(-1) < 0.5)
    spoilt_rows = command(*QUICK, f"data.path={path}", "data.smoothing=0.01")
    assert spoilt_rows.status == 0, spoilt_rows.err
    summary = json.loads((spoilt_rows.run / "summary.json").read_text())
    row, total = splits(path)["test"][3], len(splits(path)["test"])
    assert math.isfinite(summary["metrics"]["loss"])
    count = int(summary["metrics"]["loss_without_number"])
    said = summary["data"]["without_number"]["loss"]
    assert said.startswith(f"{count} of {total} test rows (")
    assert str(row) in said
    assert f"loss of {count} of {total} test rows" in spoilt_rows.err
    assert not {"NaN", "Infinity"} & set((spoilt_rows.run / "summary.json").read_text().replace(",", " ").split())


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_weights_without_a_finite_mean_are_never_the_best(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    path = table(tmp_path / "t.csv")
    spoilt(monkeypatch, value, lambda x_BD: torch.arange(len(x_BD)) == 0)
    run = command(*QUICK, f"data.path={path}", "callbacks.patience=50", "test=false")
    assert run.status == 0, run.err
    assert not (run.run / "checkpoints" / "best.ckpt").exists()
    assert run.err.count("val/loss of 1 of ") == 1
    assert f"row{'s'} (" in run.err
    assert "weights are not kept as the best ones" in run.err


def test_no_picture_loses_a_finished_run(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("no\nink")

    for name in ("samples", "table", "histograms", "curves"):
        monkeypatch.setattr(f"scorewise.plots.{name}", fail)
    path = table(tmp_path / "t.csv")
    ended = command(*QUICK, f"data.path={path}", "callbacks.sample_every_n_epochs=1")
    assert ended.status == 0, ended.err
    assert json.loads((ended.run / "summary.json").read_text())["finished"]
    for name in ("samples.png", "curves.png"):
        assert f"the picture {name} could not be drawn (no)" in ended.err
        assert not (ended.run / name).exists()
    tested = command(
        f"run={ended.run}", "task=ood", f"task.out=[{{data:table,path:{path}}}]", "task.images=12", name="eval"
    )
    assert tested.status == 0, tested.err
    assert "the picture ood.png could not be drawn (no)" in tested.err
    assert json.loads((ended.run / "ood.json").read_text())["metrics"]


@pytest.mark.draws
@pytest.mark.parametrize(
    ("value", "usable"),
    [("1e300", False), ("-1e300", False), ("1.7e308", False), ("1e39", False), ("1e36", True), ("5", True)],
)
def test_one_rule_says_which_rows_can_be_used(command: Command, tmp_path: Path, value: str, usable: bool) -> None:
    """The last row is held out: it is in a split of its own hash, so one of some columns is taken that lies in test."""
    x = np.random.default_rng(1).normal(size=(100, 3)).round(4)
    path, new = tmp_path / "t.csv", tmp_path / "new.csv"
    lines = [",".join(map(str, row)) for row in x.tolist()]
    for last in range(50):
        path.write_text("\n".join(["a,b,c", *lines, f"{last / 100},{value},0"]) + "\n")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            source = Table(str(path))
            numbers = source.names("train")
        if "101" not in numbers:
            break
    held_out = {*source.names("val"), *source.names("test")}
    assert ("101" in held_out) is usable
    assert source.remarks()["left_out"] == ({} if usable else {"too large a number": 1})
    assert any("too large a number: 1 (row 101)" in str(one.message) for one in said) is not usable
    assert all(
        bool(source.examples(split, torch.arange(source.count(split)), -1, 0).isfinite().all())
        for split in ("train", "val", "test")
    )  # type: ignore[arg-type]
    trained = command(*QUICK, f"data.path={path}")
    assert trained.status == 0, trained.err
    new.write_text("\n".join(["a,b,c", *lines[:9], f"0,{value},0"]) + "\n")
    given = command(f"run={trained.run}", f"input={new}", name="predict")
    assert ("1 of 10 rows of" in given.err and "too large a number: 1 (row 10)" in given.err) is not usable
    assert (trained.run / "samples.png").is_file()


@pytest.mark.parametrize("value", ["3.4e38", "-3e38", "3e38"])
def test_a_far_row_is_told_of_wherever_it_is_held_out(command: Command, tmp_path: Path, value: str) -> None:
    x = np.random.default_rng(1).normal(size=(100, 3)).round(4)
    path = tmp_path / "t.csv"
    for last in range(50):
        lines = [*(",".join(map(str, row)) for row in x.tolist()), f"{last / 100},{value},0"]
        path.write_text("\n".join(["a,b,c", *lines]) + "\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            numbers = splits(path)
        if 101 not in numbers["train"] + numbers["val"]:
            break
    ended = command(*QUICK, f"data.path={path}")
    assert ended.status == 0, ended.err
    summary = json.loads((ended.run / "summary.json").read_text())
    if 101 in numbers["test"]:
        assert summary["metrics"]["nll_without_number"] == 1
        assert summary["data"]["without_number"]["nll"].startswith(f"1 of {len(numbers['test'])} test rows (101)")
        assert "nll of 1 of" in ended.err
    else:
        assert summary["data"]["left_out"] == {"too large a number": 1}
    assert abs(summary["metrics"]["nll"]) < 1e3
