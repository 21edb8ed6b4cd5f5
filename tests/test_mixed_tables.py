"""Tables with columns of several kinds and missing cells: what is read, and every command on them."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from test_compose import settled

import scorewise
from scorewise.config import compatibility
from scorewise.config.build import build
from scorewise.data import Table
from scorewise.data.tabular.columns import Columns
from scorewise.errors import UserError
from scorewise.run.task import build_task

Command = Callable[..., Outcome]
HEADER = ("age", "income", "region", "kids", "rain", "smoker", "member")
SMALL = ("backbone.hidden=[16,16]", "trainer.max_epochs=2", "head.components=2")


def people(path: Path, n: int = 400, missing: float = 0.1) -> Path:
    """Write a table with a column of every kind, some of whose cells are blank."""
    g = np.random.default_rng(0)
    age, kids = g.integers(18, 80, n), g.poisson(1.5, n)
    columns: list[list[Any]] = [
        age.tolist(),
        np.exp(9 + 0.02 * age + 0.4 * g.normal(size=n)).round(2).tolist(),
        g.choice(["north", "south", "east"], n, p=[0.5, 0.3, 0.2]).tolist(),
        kids.tolist(),
        np.where(g.random(n) < 0.4, 0, g.exponential(2, n)).round(4).tolist(),
        np.where(g.random(n) < 0.3, "yes", "no").tolist(),
        g.integers(0, 2, n).tolist(),
    ]
    gap = g.random((n, len(columns))) < missing
    gap[gap.all(1)] = False
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(["" if gap[i, d] else column[i] for d, column in enumerate(columns)] for i in range(n))
    return path


def lines_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return people(tmp_path / "people.csv")


def test_text_becomes_codes_and_blank_cells_are_missing(table: Path) -> None:
    source = Table(str(table), kinds="auto")
    assert source.columns == ("age", "income", "kids", "rain", "member", "region", "smoker")
    assert source.table.header == source.columns
    rows = torch.cat([source.raw(split) for split in ("train", "val", "test")])
    assert len(rows) == 400, "no row is left out"
    assert 0.07 < float(rows.isnan().double().mean()) < 0.13
    written = lines_of(table)
    split = source.names("train")
    cells = source.table.cells(source.examples("train", torch.arange(len(split)), 0, 0))
    for number, row in list(zip(split, cells, strict=True))[:50]:
        found = dict(zip(source.columns, row, strict=True))
        given = written[int(number) - 1]
        assert {name: str(found[name]) for name in ("age", "region", "kids", "smoker", "member")} == {
            name: given[name] for name in ("age", "region", "kids", "smoker", "member")
        }
        assert (found["rain"] == "") == (given["rain"] == "")
    x = source.examples("train", torch.arange(200), 0, 0)
    assert {*x[:, 5][~x[:, 5].isnan()].tolist()} == {0.0, 1.0, 2.0}, "codes are not standardised"
    for d in (0, 1, 2, 3):
        column = source.scaled(source.raw("train"))[:, d]
        there = column[~column.isnan()]
        assert float(there.mean()) == pytest.approx(0, abs=1e-9)
        assert float(there.std(correction=0)) == pytest.approx(1)
    assert source.log_volume == 0


def test_kinds_are_said_and_can_be_given(table: Path) -> None:
    said = Table(str(table), kinds="auto")
    said.prepare()
    assert said.remarks()["kinds"] == {
        "age": "whole 0 to any (whole numbers)",
        "income": "positive 0 to any (never negative)",
        "kids": "whole 0 to any (whole numbers)",
        "rain": said.remarks()["kinds"]["rain"],
        "member": "boolean (0 and 1)",
        "region": "category (3 values of text)",
        "smoker": "boolean (2 values of text)",
    }
    assert said.remarks()["kinds"]["rain"].startswith("positive 0 to any with spikes at 0 (never negative; ")
    given = Table(
        str(table), kinds={"kids": "category", "age": {"kind": "bounded", "low": 0, "high": 120}}, condition=["region"]
    )
    given.prepare()
    kinds = given.remarks()["kinds"]
    assert kinds["age"] == "bounded 0 to 120 (given)"
    assert kinds["kids"].startswith("category")
    assert kinds["region"].endswith("only read")
    laws = given.laws()
    assert laws is not None
    assert [law.get("given", False) for law in laws] == [name == "region" for name in given.columns]


def test_columns_of_kinds_are_their_recipe(table: Path) -> None:
    columns = Table(str(table), kinds="auto", condition=["age"]).table
    stored = json.loads(json.dumps(columns.plain()))
    again = Columns.of(stored)
    assert again.matches(columns)
    assert again.mixed == columns.mixed
    assert "mixed" not in Columns(("a",), {}, (0.0,), (1.0,)).plain(), "what runs without kinds store stays"


def test_other_heads_read_tables_as_ever(tmp_path: Path) -> None:
    table = people(tmp_path / "people.csv", missing=0.02)
    with pytest.raises(UserError, match=r"columns region, smoker of .* hold no numbers"):
        Table(str(table)).prepare()
    indicators = Table(str(table), one_hot=["region", "smoker"])
    with pytest.warns(UserWarning, match="rows of .* are not used"):
        assert "region=north" in indicators.columns
    assert not bool(indicators.raw("train").isnan().any())


def test_indicators_by_request_stand_beside_codes(table: Path) -> None:
    source = Table(str(table), kinds="auto", one_hot=["region"])
    with pytest.warns(UserWarning, match="rows of .* are not used: a value missing"):
        assert source.columns[-4:] == ("smoker", "region=east", "region=north", "region=south")
    laws = source.laws()
    assert laws is not None
    assert [law["kind"] for law in laws[-3:]] == ["boolean"] * 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("data.kinds=auto", "head=mixture"), "head=mixture has one law for all: use head=by_column"),
        (("data.kinds=null", "data.drop=[region,smoker]"), "these data say no kinds: use data.kinds=auto"),
        (("data.smoothing=0.1",), "data.smoothing=0.1 is noise on every column"),
        (("data.kinds=sometimes",), "data.kinds=sometimes must be auto, or kinds by column"),
        (("data.kinds={height: positive}",), "has no column height"),
        (("data.condition=[height]",), "has no column height"),
        (("data.condition=age",), "must be a list of columns"),
        (("data.kinds=null", "data.condition=[age]"), "data.condition is for columns with kinds"),
        (("data.condition=[age,income,region,kids,rain,smoker,member]",), "leaves no column to be modelled"),
        (("data.condition=[age]", "backbone=made"), "need a backbone of any order"),
        (("data.kinds={income: boolean}",), "column income is given as boolean and has other numbers than 0 and 1"),
        (("data.kinds={kids: {kind: bounded, low: 1, high: 3}}",), "beyond 1 to 3"),
    ],
)
def test_what_does_not_fit_is_one_sentence(words: tuple[str, ...], says: str, table: Path) -> None:
    with pytest.raises(UserError, match=says.replace("(", r"\(")):
        build(settled("experiment=mixed_table", f"data.path={table}", *words), 0)


def test_completion_is_of_models_of_incomplete_rows(table: Path) -> None:
    with pytest.raises(UserError, match="task=impute needs a model with a density of incomplete rows; head=mixture"):
        settled("objective=mle", "task=impute")
    words = ("experiment=mixed_table", f"data.path={table}", "backbone=made", "task=impute")
    config = settled(*words)
    with pytest.raises(UserError, match="a model of one order completes no rows: train with backbone=masked_mlp"):
        build_task({**config, "paths": {"data": None, "cache": None}}, build(config, 0), 0)


def test_an_order_of_the_data_is_found_in_spite_of_missing_cells(table: Path) -> None:
    words = ("experiment=mixed_table", f"data.path={table}", "backbone.ordering=data_driven")
    assert sorted(build(settled(*words), 0).recipe["backbone"]["ordering"]) == list(range(7))


def test_an_objective_that_fits_scores_is_refused(table: Path) -> None:
    for words in (("objective=sm", "objective.field=joint"), ("objective=esm",)):
        with pytest.raises(UserError, match="probabilities beside densities"):
            compatibility.refuse_incompatible(
                settled("experiment=mixed_table", f"data.path={table}", "backbone=made", *words)
            )


def test_a_column_of_dates_is_refused_by_name_and_stray_text_too(tmp_path: Path) -> None:
    days = tmp_path / "days.csv"
    days.write_text("day,x\n" + "".join(f"2024-01-{i % 28 + 1:02d}T{i:03d},{i}\n" for i in range(100)))
    with pytest.raises(UserError, match=r"column 'day' of .* has more than 50 values"):
        Table(str(days), kinds="auto").prepare()
    stray = tmp_path / "stray.csv"
    stray.write_text("x,y\n" + "".join(f"{'oops' if i == 7 else i},{i * i}\n" for i in range(100)))
    with pytest.raises(UserError, match=r"holds? no numbers"):
        Table(str(stray), kinds="auto").prepare()


def test_parquet_with_nullable_whole_numbers_text_and_booleans(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    n = 60
    columns = {
        "count": pa.array([None if i % 7 == 0 else i % 5 for i in range(n)], pa.int64()),
        "word": pa.array([None if i % 11 == 0 else "ab"[i % 2] for i in range(n)]),
        "flag": pa.array([i % 3 == 0 for i in range(n)]),
        "value": pa.array([math.sin(i) for i in range(n)]),
    }
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    source = Table(str(tmp_path / "t.parquet"), kinds="auto")
    assert source.columns == ("count", "flag", "value", "word")
    kinds = [kind.partition(" ")[0] for kind in source.remarks()["kinds"].values()]
    assert kinds == ["whole", "boolean", "continuous", "boolean"]
    assert sum(source.count(split) for split in ("train", "val", "test")) == n


def test_a_column_without_any_value_and_a_constant_one_are_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,empty,same\n" + "".join(f"{i * 0.37},,{'a' if i % 3 else ''}\n" for i in range(50)))
    with pytest.raises(UserError, match=r"column empty of .* has no value"):
        Table(str(path), kinds="auto").prepare()
    source = Table(str(path), kinds="auto", drop=["empty"])
    with pytest.warns(UserWarning, match="one value only in training are not used: same"):
        assert source.columns == ("x",)


def test_a_table_is_trained_tested_drawn_from_and_completed(command: Command, table: Path) -> None:
    done = command("experiment=mixed_table", f"data.path={table}", *SMALL)
    assert done.status == 0, done.err
    summary = json.loads((done.run / "summary.json").read_text())
    assert {"nll", "coverage_90"} <= set(summary["metrics"])
    assert "densities of numbers, probabilities of categories" in summary["conventions"]["nll"]
    assert summary["data"]["kinds"]["region"] == "category (3 values of text)"

    assert command(f"run={done.run}", "n=50", name="sample").status == 0
    drawn = lines_of(done.run / "samples" / "samples.csv")
    assert {row["region"] for row in drawn} <= {"north", "south", "east"}
    assert {row["smoker"] for row in drawn} <= {"yes", "no"}
    assert all(row["age"].isdigit() and row["kids"].isdigit() and row["member"] in "01" for row in drawn)
    assert min(float(row["income"]) for row in drawn) > 0
    assert any(float(row["rain"]) == 0 for row in drawn)
    assert min(float(row["rain"]) for row in drawn) >= 0

    new = table.parent / "new.csv"
    odd = "30.25,123456.789012,south,2,0,yes,"  # an age that is not whole, more digits than single precision has
    rows = [",".join(HEADER), "30,,south,2,0,yes,1", "45,2e4,west,,,no,", ",,,1,,,", odd, ",,,,,,"]
    new.write_text("\n".join(rows) + "\n")
    assert command(f"run={done.run}", f"input={new}", name="predict").status == 0
    densities = lines_of(done.run / "predictions" / "densities.csv")
    assert [row["row"] for row in densities] == ["1", "2", "3", "4"], "a row without any cell is left out"
    assert all(math.isfinite(float(row["log_density"])) for row in densities)
    assert float(densities[1]["log_density"]) < float(densities[0]["log_density"]) - 10, "a region never seen"
    assert -5 < float(densities[2]["log_density"]) < 0, "the probability of one count"

    assert command(f"run={done.run}", f"input={new}", "task=impute", "task.draws=7", name="predict").status == 0
    imputed = lines_of(done.run / "predictions" / "imputed.csv")
    assert [(row["row"], row["column"]) for row in imputed][:4] == [
        ("1", "income"),
        ("2", "kids"),
        ("2", "rain"),
        ("2", "member"),
    ]
    income = imputed[0]
    assert float(income["low"]) < float(income["mean"]) < float(income["high"])
    assert len({income[f"draw_{k}"] for k in range(1, 8)}) == 7
    kids = next(row for row in imputed if row["column"] == "kids")
    assert float(kids["mean"]) == pytest.approx(sum(int(kids[f"draw_{k}"]) for k in range(1, 8)) / 7, abs=6e-9)
    region = next(row for row in imputed if row["column"] == "region")
    assert region["mean"] == region["low"] == ""
    assert region["draw_1"] in {"north", "south", "east"}
    completed = lines_of(done.run / "predictions" / "completed.csv")
    assert {name: completed[0][name] for name in ("row", "age", "region")} == {
        "row": "1",
        "age": "30",
        "region": "south",
    }
    assert completed[0]["income"] == income["draw_1"]
    assert (completed[3]["age"], completed[3]["income"]) == ("30.25", "123456.789012"), "as it was given"
    assert completed[3]["member"] in "01"
    assert completed[1]["income"] == "20000"

    tested = command(f"run={done.run}", "task=impute", name="eval")
    assert tested.status == 0, tested.err
    hidden = json.loads((done.run / "imputation.json").read_text())["metrics"]
    assert {"nll_hidden", "coverage_hidden", "mse_hidden", "accuracy_hidden"} <= set(hidden)
    assert 0.7 < hidden["coverage_hidden"] <= 1
    assert 0.3 < hidden["accuracy_hidden"] <= 1

    model = scorewise.load(done.run)
    assert model.says()[:2] == ["probability", "density"]
    assert "and 2 more)" in repr(model), "five of seven columns, and those that are codes are among the rest"
    assert model.log_prob(torch.full((2, 7), torch.nan)).tolist() == [0.0, 0.0]


@pytest.mark.draws
def test_columns_that_are_only_read(command: Command, table: Path) -> None:
    done = command("experiment=mixed_table", f"data.path={table}", "data.condition=[age,region]", *SMALL)
    assert done.status == 0, done.err
    assert (done.run / "samples.png").is_file()
    model = scorewise.load(done.run)
    source = Table(str(table), kinds="auto", condition=["age", "region"])
    x = source.examples("test", torch.arange(source.count("test")), 0, 0)
    with torch.no_grad():
        log_p = model.log_prob(x)
    assert json.loads((done.run / "summary.json").read_text())["metrics"]["nll"] == pytest.approx(
        -float(log_p.mean()), rel=1e-4
    )
    summary = json.loads((done.run / "summary.json").read_text())
    bits = summary["metrics"]["nll"] / (5 * math.log(2))  # of seven columns two are only read
    assert summary["metrics"]["bits_per_dim"] == pytest.approx(bits, rel=1e-6)
    assert summary["conventions"]["bits_per_dim"] == "nll in bits, by the 5 columns that are not only read"
    assert "sum over 5 dimensions" in summary["conventions"]["loss"]
    card = (model.save(done.run / "mine") / "README.md").read_text()
    assert "y = model.fill(x)  # NaN in x, drawn given the rest" in card
    assert "model.sample" not in card
    assert "- examples: shape [7]" in card
    assert {"fill", "cells"} <= set(model.calls())
    refused = command(f"run={done.run}", "n=5", name="sample")
    assert refused.status == 2 or refused.status == 1
    assert "only reads some columns" in refused.err
    given = table.parent / "given.csv"
    given.write_text("age,income,region,kids,rain,smoker,member\n30,,south,,,,\n70,,north,,,,\n")
    assert command(f"run={done.run}", f"input={given}", "task=impute", "task.draws=3", name="predict").status == 0
    completed = lines_of(done.run / "predictions" / "completed.csv")
    assert [(row["age"], row["region"]) for row in completed] == [("30", "south"), ("70", "north")]
    assert all(row["income"] for row in completed)
    given.write_text("age,income,region,kids,rain,smoker,member\n30,1e4,elsewhere,1,0,yes,1\n")
    new = command(f"run={done.run}", f"input={given}", name="predict").err
    assert "training did not have, which says no more there than that it is none of those, by column: region 1." in new
    assert "impossible" not in new
    given.write_text("age,income,region,kids,rain,smoker,member\n31,,south,,,,\n70,,north,,,,\n,1e4,north,,,,\n")
    ended = command(f"run={done.run}", f"input={given}", "task=impute", "task.draws=3", name="predict")
    assert ended.status == 0, ended.err
    assert "1 of 3 rows cannot be completed: no age, which the model only reads: 1 (row 3)" in ended.err
    again = lines_of(done.run / "predictions" / "completed.csv")
    assert [row["row"] for row in again] == ["1", "2"]
    assert again[1] == completed[1], "draws are of a row, whatever stands beside it"


def test_odd_rows_have_odd_cells_and_names(command: Command, table: Path) -> None:
    lines = table.read_text().splitlines()
    named = table.parent / "named.csv"
    named.write_text("\n".join(f"{'who' if not i else f'<p{i}>'},{line}" for i, line in enumerate(lines)) + "\n")
    done = command("experiment=mixed_table", f"data.path={named}", "data.index=who", "data.condition=[member]", *SMALL)
    assert done.status == 0, done.err
    new = table.parent / "new.csv"
    new.write_text(f"who,{','.join(HEADER)}\nx,30,9e9,south,2,0,yes,1\n<b>,45,2e4,mars,,,no,0\ny,,9000,east,1,,,1\n")
    for task in ("ood", "impute"):
        ended = command(f"run={done.run}", f"input={new}", f"task={task}", name="predict")
        assert ended.status == 0
        assert "which counts as all but impossible, by column: region 1." in ended.err
    folder = done.run / "predictions"
    scores = {row["who"]: float(row["outlier_score"]) for row in lines_of(folder / "outliers.csv")}
    assert list(scores) == ["x", "<b>", "y"]
    assert min(scores, key=scores.__getitem__) == "y"
    cells = lines_of(folder / "cells.csv")
    assert len(cells) == 3 * 6, "what is only read has no law"
    of = {(row["name"], row["column"]): row for row in cells}
    assert float(of["x", "income"]["p_value"]) < 1e-3
    assert of["<b>", "region"]["found"] == "unknown"
    assert of["<b>", "region"]["expected"] in {"north", "south", "east"}
    assert of["<b>", "region"]["low"] == of["y", "rain"]["p_value"] == ""
    assert sum(float(of["x", name]["share"]) for name in HEADER[:-1]) == pytest.approx(1, abs=1e-4)
    page = (folder / "outliers.html").read_text()
    assert "&lt;b&gt;" in page
    assert "<script" not in page
    assert "nan" not in page.lower()
    assert [row["who"] for row in lines_of(folder / "completed.csv")] == ["x", "<b>", "y"]
    assert {row["who"] for row in lines_of(folder / "imputed.csv")} == {"<b>", "y"}
    assert (
        command(f"run={done.run}", f"input={new}", "task=ood", "task.cells=0", "output=none", name="predict").status
        == 0
    )
    assert not list(Path("none").glob("cells.csv"))


def test_rows_are_no_odder_for_what_they_lack(command: Command, table: Path) -> None:
    """Half of the rows lose their income, whose log-density is about -9: by their percentiles nobody could tell."""
    done = command("experiment=mixed_table", f"data.path={table}", *SMALL)
    assert done.status == 0, done.err
    new = people(table.parent / "new.csv", missing=0.0)
    header, *rows = new.read_text().splitlines()
    cut = [",".join("" if i % 2 and d == 1 else x for d, x in enumerate(r.split(","))) for i, r in enumerate(rows)]
    new.write_text("\n".join([header, *cut]) + "\n")
    for asked, file in (("task=ood", "outliers"), ("task.statistic=nll", "outliers"), ("", "densities")):
        words = [f"run={done.run}", f"input={new}", *(["task=ood", asked] if file == "outliers" else [])]
        assert command(*dict.fromkeys(words), name="predict").status == 0
        place = [float(row["percentile"]) for row in lines_of(done.run / "predictions" / f"{file}.csv")]
        whole, lacking = float(np.mean(place[::2])), float(np.mean(place[1::2]))
        assert abs(whole - lacking) < 12, (asked, whole, lacking)


def test_odd_rows_of_numbers_have_odd_cells(command: Command, tmp_path: Path) -> None:
    x = np.random.default_rng(0).multivariate_normal([5, 0], [[4, 1.9], [1.9, 1]], 500)
    np.savetxt(tmp_path / "t.csv", x, delimiter=",", header="a,b", comments="")
    small = ("backbone.hidden=[16,16]", "trainer.max_epochs=20")
    done = command("experiment=table", f"data.path={tmp_path / 't.csv'}", *small)
    assert done.status == 0, done.err
    (tmp_path / "new.csv").write_text("a,b\n5,0\n9,-2\n")
    assert command(f"run={done.run}", f"input={tmp_path / 'new.csv'}", "task=ood", name="predict").status == 0
    cells = lines_of(done.run / "predictions" / "cells.csv")
    of = {(row["name"], row["column"]): row for row in cells}
    assert float(of["2", "a"]["p_value"]) < 0.1 < 0.3 < float(of["1", "a"]["p_value"])
    assert float(of["2", "a"]["high"]) < 9
    assert (done.run / "predictions" / "outliers.html").is_file()
    images = command(f"run={done.run}", "task=ood", name="eval")
    assert images.status == 1
    assert "a table is compared with tables, 'task.out=[{data: table, path: other.csv, name: other}]'" in images.err
