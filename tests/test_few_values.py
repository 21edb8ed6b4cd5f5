"""Tables of few distinct rows, and data frames whose columns are not called by texts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Outcome

from scorewise import ScoreDensity
from scorewise.data import Table
from scorewise.data.tabular.far import far_values
from scorewise.data.tabular.splits import Splits
from scorewise.errors import UserError

Command = Callable[..., Outcome]
QUICK: dict[str, Any] = {"steps": 30, "hidden": (16,), "random_state": 0}


def categories(path: Path, n: int, share: float, seed: int = 0) -> Path:
    """Write a table of two categories, 3 by 4, the first of which is u with this probability."""
    g = np.random.default_rng(seed)
    first, second = g.choice(["u", "v", "w"], n, p=[share, *[(1 - share) / 2] * 2]), g.choice(list("qrst"), n)
    path.write_text(
        "\n".join(["id,a,b", *(f"{i},{x},{y}" for i, (x, y) in enumerate(zip(first, second, strict=True)))])
    )
    return path


def test_few_distinct_rows_are_split_one_by_one(tmp_path: Path) -> None:
    path = categories(tmp_path / "x.csv", 1200, 0.4)
    source, together = (
        Table(str(path), index="id", kinds="auto", equal_rows=how)  # type: ignore[arg-type]
        for how in ("auto", "together")
    )
    assert (source.count("train"), source.count("val"), source.count("test")) == (960, 120, 120)
    shares = {split: (source.raw(split) == 0).double().mean(0) for split in ("train", "val", "test")}  # type: ignore[arg-type]
    for split in ("val", "test"):  # four standard errors
        assert float((shares[split] - shares["train"]).abs().max()) < 4 * (0.25 / 120) ** 0.5
    assert len(together.raw("test").unique(dim=0)) < 3
    lines = path.read_text().splitlines()
    (tmp_path / "y.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    other = Table(str(tmp_path / "y.csv"), index="id", kinds="auto", equal_rows="auto")
    assert all(torch.equal(source.raw(split), other.raw(split)) for split in ("train", "val", "test"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "apart"),
    [
        (torch.arange(100.0), False),
        (torch.arange(100.0) // 2, True),  # every row has an equal one
        (torch.cat([torch.arange(60.0), torch.arange(20.0).repeat_interleave(2) + 100]), False),  # 40 of 100
        (torch.cat([torch.arange(95.0), torch.zeros(5) - 1]), True),  # a twentieth of the table
        (torch.cat([torch.arange(96.0), torch.zeros(4) - 1]), False),
        (torch.arange(20.0), False),  # each is a twentieth, and has no equal one
        (torch.cat([torch.arange(16.0), torch.zeros(4) - 1]), False),
    ],
)
def test_equal_rows_are_apart_where_they_are_many(rows: torch.Tensor, apart: bool) -> None:
    x = rows.double()[:, None]
    found, alone, one = (Splits(0.1, 0.3, 3, how).of(x) for how in ("auto", "apart", "together"))
    for split, places in found.items():
        assert torch.equal(places, (alone if apart else one)[split])
    assert sorted(torch.cat(list(alone.values())).tolist()) == list(range(len(x)))
    assert (len(alone["val"]), len(alone["test"])) == (0.1 * len(x), 0.3 * len(x))
    values = [x[i].unique() for i in one.values()]
    assert len(torch.cat(values)) == len(x.unique()), "equal rows are in one split"


def test_zero_has_no_sign_in_a_split() -> None:
    x = torch.stack([torch.arange(50.0), torch.zeros(50)], 1).double()
    twins = torch.cat([x, x * torch.tensor([1.0, -1.0])])
    assert torch.signbit(twins[50:, 1]).all()
    for places in Splits(0.2, 0.2, 0, "together").of(twins).values():
        assert sorted((places[places < 50] + 50).tolist()) == sorted(places[places >= 50].tolist())


def test_an_unknown_way_to_split_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.equal_rows=never must be one of auto, together, apart"):
        Table(str(tmp_path / "x.csv"), equal_rows="never")
    assert [len(places) for places in Splits(0.1, 0.1, 0).of(torch.zeros(0, 2).double()).values()] == [0, 0, 0]


def test_a_changed_table_of_categories_is_refused(command: Command, tmp_path: Path) -> None:
    path = categories(tmp_path / "x.csv", 300, 0.34)
    words = (
        "experiment=mixed_table",
        f"data.path={path}",
        "data.index=id",
        "trainer.max_epochs=1",
        "backbone.hidden=[8]",
    )
    trained = command(*words)
    assert trained.status == 0, trained.err
    (run,) = (trained.folder / "runs").glob("*/*")
    assert command(f"run={run}", name="eval").status == 0
    categories(path, 900, 0.6)
    for typed, name in ((words, "train"), ((f"run={run}",), "eval"), ((f"run={run}", f"input={path}"), "predict")):
        changed = command(*typed, name=name)
        assert changed.status == 1
        assert "the table has changed since this run was trained on it (how often its columns" in changed.err


def frame(names: Any) -> Any:
    g = np.random.default_rng(0)
    columns = [g.choice(list("xyz"), 200), g.normal(10, 3, 200), g.normal(size=200)]
    return pd.DataFrame(dict(enumerate(columns))).set_axis(names, axis=1)


@pytest.mark.parametrize(
    "names", [[0, 1, 2], [1, 2, 3], [2, 1, 0], [("u", "p"), ("u", "q"), ("v", "q")], [0.5, 1.5, 7]]
)
def test_columns_may_be_called_anything(names: list[Any]) -> None:
    table, text = frame(pd.MultiIndex.from_tuples(names) if isinstance(names[0], tuple) else names), frame(list("cab"))
    model, same = ScoreDensity(**QUICK).fit(table), ScoreDensity(**QUICK).fit(text)
    np.testing.assert_array_equal(model.score_samples(table), same.score_samples(text))
    assert [kind.kind for kind in cast(Any, model.model_).kinds] == ["category", "continuous", "continuous"]
    drawn = model.sample(5, random_state=1)
    assert drawn.columns.equals(table.columns)
    assert np.isfinite(model.score_samples(drawn)).all()
    assert model.explain(table.iloc[:2]).columns == [str(name) for name in table.columns]


def test_columns_of_one_name_are_one_sentence() -> None:
    for names in (["a", "a", "b"], [1, 1, 2]):
        with pytest.raises(ValueError, match=rf"^several columns are named {names[0]}: rename all but one$"):
            ScoreDensity(**QUICK).fit(frame(names))


def test_numbers_under_names_that_are_no_texts() -> None:
    table = frame([7, 3, 5]).drop(columns=7)
    table.iloc[4, 0] = 500.0
    model = ScoreDensity(**QUICK)
    with pytest.warns(UserWarning, match="^column 3 has 500 in row 4"):
        model.fit(table)
    assert model.explain(table.iloc[:1]).columns == ["3", "5"]


def test_imputing_leaves_what_is_there_to_the_last_digit() -> None:
    g, n = np.random.default_rng(0), 120
    table = pd.DataFrame(
        {
            0: pd.array([None if i == 5 else 2**60 + i * 10**12 + 1 for i in range(n)], dtype="Int64"),
            1: np.where(g.random(n) < 0.3, np.nan, g.normal(size=n)),
            2: g.choice(list("xy"), n),
            3: pd.Categorical(g.choice(list("pq"), n)),
        }
    )
    given = table.iloc[3:9].copy()
    given[2] = ["new", None, "x", "y", "x", "y"]
    given[3] = pd.Categorical(["other", "p", None, "q", "p", "q"])
    filled = ScoreDensity(**QUICK).fit(table).impute(given, draws=2).draws[1]
    there = given.notna()
    assert filled.columns.equals(given.columns)
    assert filled.index.equals(given.index)
    assert not filled.isna().any(axis=None)
    for name in given.columns:
        kept, wanted = (one[name].astype(object)[there[name]].tolist() for one in (filled, given))
        assert kept == wanted
    assert given.fillna({name: filled[name] for name in (0, 1, 2)})[[0, 1, 2]].notna().all(axis=None)
    assert str(filled[0].dtype) == "Int64"


def test_imputing_leaves_fractions_in_a_column_of_whole_numbers() -> None:
    g = np.random.default_rng(0)
    table = pd.DataFrame({"count": g.poisson(4, 200), "kind": g.choice(list("xy"), 200)})
    given = pd.DataFrame({"count": [2.5, np.nan, 3.0], "kind": ["x", "y", None]})
    filled = ScoreDensity(**QUICK).fit(table).impute(given, draws=1).draws[0]
    assert filled["count"].tolist()[::2] == [2.5, 3.0]
    assert float(filled["count"][1]).is_integer()
    whole = given.iloc[1:]
    assert ScoreDensity(**QUICK).fit(table).impute(whole, draws=1).draws[0]["count"].dtype == table["count"].dtype


def test_a_farther_whole_number_is_never_less_odd() -> None:
    g = np.random.default_rng(0)
    table = pd.DataFrame({"count": g.poisson(4, 300), "kind": g.choice(list("xy"), 300)})
    model = ScoreDensity(**QUICK).fit(table)
    far = [20, 40, 999, 10**5, 10**6, 2**31 - 1, 10**12, 10**15]
    odd = model.outlier_score(pd.DataFrame({"count": far, "kind": "x"}))
    assert (np.diff(odd) >= 0).all()
    assert odd[-1] > odd[2] > odd[0]


def test_arrays_that_run_backwards() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    for rows in (x[::-1], x[:, ::-1]):
        model, same = ScoreDensity(**QUICK).fit(rows), ScoreDensity(**QUICK).fit(rows.copy())
        np.testing.assert_array_equal(model.score_samples(rows), same.score_samples(rows.copy()))


@pytest.mark.parametrize(
    ("values", "told"),
    [([1.0] * 20 + [1e9], 1e9), ([1.0] * 20, None), ([1.0], None), ([-999.0], -999.0), ([1.0] * 20 + [-999.0], -999.0)],
)
def test_a_far_value_is_no_yardstick_for_itself(values: list[float], told: float | None) -> None:
    x = torch.cat([torch.zeros(180), torch.tensor(values)]).double()[:, None]
    found = far_values(x, x.std(0), 0.3, [0])
    assert [one.value for one in found] == ([] if told is None else [told])
