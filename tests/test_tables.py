"""A user's own table: what is read, left out and refused, its densities row by row, and rows drawn from the model."""

import csv
import json
import math
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from hydra.core.override_parser.overrides_parser import OverridesParser
from test_compose import settled

import scorewise
from scorewise import files
from scorewise.config import compatibility
from scorewise.config.build import build
from scorewise.config.outlier_sets import outside_sources
from scorewise.data import Table
from scorewise.data.datamodule import ScoreData
from scorewise.data.tabular.columns import Columns, moments, refuse_another_table
from scorewise.data.tabular.file import Dialect
from scorewise.data.tabular.rows import read_table
from scorewise.errors import UserError, typed
from scorewise.files import harmless

Command = Callable[..., Outcome]
AB = Columns(("a", "b"), {}, (0.0, 0.0), (1.0, 1.0))


def numbers(n: int = 40, d: int = 3, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(n, d)).round(3)


def write(path: Path, x: Any, names: str = "a,b,c", delimiter: str = ",") -> Path:
    lines = [delimiter.join(str(value) for value in row) for row in x.tolist()]
    path.write_text("\n".join([names.replace(",", delimiter), *lines]) + "\n")
    return path


def reference(source: Table, split: Any) -> torch.Tensor:
    """Return a split, or another table, in the scale of a model."""
    if isinstance(split, Path):
        return source.scaled(read_table(split, source.table).raw_ND).float()
    return source.examples(split, torch.arange(source.count(split)), -1, 0)


def all_rows(source: Table) -> torch.Tensor:
    return torch.cat([source.raw(split) for split in ("train", "val", "test")])


def test_rows_are_found_by_the_names_of_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("\ufeffb;more;a\n2;x;1\n;y;3\nmany;x;4\n6;x;5;7\n\n1;x;inf\n1e2;x;-8\n1_0;x;1\n", encoding="utf-8")
    table = read_table(path, AB)
    assert table.number_N.tolist() == [1, 6]
    assert table.raw_ND.tolist() == [[1, 2], [-8, 100]]
    assert [tuple(one) for one in table.skipped] == [
        ("row 2", "a number missing"),
        ("row 3", "text for a number"),
        ("row 4", "4 cells instead of 3"),
        ("row 5", "a number that is not finite"),
        ("row 7", "text for a number"),
    ]
    path.write_text("name,a,b\n=x,1,2\n")
    assert (read_table(path, AB).id_column, read_table(path, AB).ids) == ("name", ["=x"])
    for content, sentence in (
        (b"", "table.csv is empty"),
        (b"A,b\n1,2\n", "has no column a, which the model was trained on (its columns are A, b)"),
        (b"alfa,b\n1,2\n", "has no column a"),
        (b"1,2\n3,4\n", "(it names no columns, so its columns are x_1, x_2): give a table that names its columns."),
        (b"a,b,a\n1,2,3\n", "has 2 columns named 'a': rename one."),
        (b"a,b\n", "names its columns and has no row"),
        (b"\xff\xfe\x00", "is no text in utf-8"),
        (b"a,b\n1,\xe9\n", "is no text in utf-8"),
        (b'a,b\n"' + b"1" * 140_000, "cannot be read as a CSV table (field larger than"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError) as refused:
            read_table(path, AB)
        assert sentence in str(refused.value)
        assert "\n" not in str(refused.value)


def bad(content: str | bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def array(x: Any) -> Callable[[Path], None]:
    return lambda path: np.save(path.open("wb"), x, allow_pickle=True)


ROWS = "".join(f"{i},{i * i}\n" for i in range(20))
ZOO: tuple[tuple[Callable[[Path], None], str], ...] = (
    (lambda _: None, "is not there: give a table"),
    (lambda path: path.mkdir(), "is a folder: give a table"),
    (bad(""), "is empty: give a table"),
    (bad("\n\n"), "is empty: give a table"),
    (bad("a,b\n"), "names its columns and has no row"),
    (bad("a,b\n1,2\n"), "has 1 row that can be used, and a density needs at least 10"),
    (bad("a,b\n" + ROWS.replace("\n", ",7\n")), "20 of 20 rows"),
    (bad("a,a\n" + ROWS), "has 2 columns named 'a': rename one"),
    (bad("a,\n" + ROWS), "column 2 of"),
    (bad("a,b,b2\n" + ROWS.replace("\n", ",red\n")), "column b2 of"),
    (bad("a,b,day\n" + ROWS.replace("\n", ",2024-01-31\n")), "holds no numbers ('2024-01-31' in row 1 of day)"),
    (bad("a,b,c\n" + ROWS.replace("\n", ",\n")), "column c of"),
    (bad("a,b,c\n" + ROWS.replace("\n", ",\n").replace("7,49,", "7,49,1")), "more than half: c lacks most numbers"),
    (bad("a;b\n" + ROWS.replace(",", ",5;")), "decimal commas, say so: 'data.decimal=\",\"'"),
    (bad("a,b\n" + "1,2\n" * 30), "equal rows are in the same split"),
    (bad("a,\xe9\n".encode("latin-1") + ROWS.encode()), "data.encoding=latin-1"),
    (bad(b"PK\x03\x04" + b"0" * 50), "is packed, damaged or of another format"),
    (bad(b"PAR1" + b"0" * 50), "is no Parquet file, or damaged"),
    (bad(b"\x93NUMPY" + b"0" * 50), "holds no whole array"),
    (bad("a,${oc.env:HOME}\n" + ROWS), "which no config may hold"),
    (bad(",,a,b\n" + "".join(f"{i},{i},{line}\n" for i, line in enumerate(ROWS.split()))), "column 1 of"),
    (bad(",a,b,\n" + ROWS.replace("\n", ",7,7\n")), "column 1 of"),
    (bad("größe,b\n" + ROWS.replace(",", "x,")), """'data.drop=["größe"]'"""),
    (array(np.array([["a", 1]] * 20, dtype=object)), "holds Python objects, which are never loaded"),
    (array(np.zeros(20)), "holds an array of shape (20,), float64"),
    (array(np.zeros((20, 2, 2))), "holds an array of shape (20, 2, 2)"),
    (array(np.zeros((20, 2), dtype=complex)), "complex128"),
)


@pytest.mark.parametrize(("make", "sentence"), ZOO)
def test_a_table_that_cannot_be_used_is_one_sentence(
    make: Callable[[Path], None], sentence: str, tmp_path: Path
) -> None:
    make(tmp_path / "t")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UserError) as refused:
            Table(str(tmp_path / "t")).prepare()
    assert sentence in str(refused.value), refused.value
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "settings", "names"),
    [
        ("a,b\r\n" + ROWS.replace("\n", "\r\n"), {}, ("a", "b")),
        ("\ufeffa,b\n" + ROWS, {}, ("a", "b")),
        (ROWS, {}, ("x_1", "x_2")),
        ("1,2\n" + ROWS, {"header": True}, ("1", "2")),
        ("a\n" + ROWS.replace(",", "\n"), {}, ("a",)),
        (",b\n" + ROWS, {}, ("b",)),
        ('"a, x";b\n' + ROWS.replace(",", ",5;"), {"decimal": ","}, ("a, x", "b")),
        ("a\tb\n" + ROWS.replace(",", "\t"), {}, ("a", "b")),
        ("a,\xe9\n" + ROWS, {"encoding": "latin-1"}, ("a", "\xe9")),
        ("a,b,c\n" + ROWS.replace("\n", ",7\n"), {}, ("a", "b")),
        ("a,b,c\n" + ROWS.replace("\n", ",red\n"), {"drop": ["c"]}, ("a", "b")),
        ("a,b,c\n" + ROWS.replace("\n", ",red\n"), {"index": "c"}, ("a", "b")),
        (",81\n" + ROWS, {}, ("x_1", "x_2")),  # a missing value, and no name
        (",0,1\n" + "".join(f"{i},{line}\n" for i, line in enumerate(ROWS.split())), {}, ("0", "1")),
        (" \n\n" + "a,b\n" + ROWS, {}, ("a", "b")),
        ("\t\t\na\tb\n" + ROWS.replace(",", "\t"), {}, ("a", "b")),
        ('"a\n(vol %)",b\n' + ROWS, {}, ("a\n(vol %)", "b")),
        ("".join(f'"{i},5","{i}"\n' for i in range(20)), {"decimal": ","}, ("x_1", "x_2")),
        ("a\n" + "".join(f"{i},5\n" for i in range(20)), {"decimal": ","}, ("a",)),
        ("".join(f"{i},5\n" for i in range(20)), {"decimal": ","}, ("x_1",)),
    ],
)
def test_ways_to_write_a_table(content: str, settings: dict[str, Any], names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode(settings.get("encoding", "utf-8")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = Table(str(tmp_path / "t.csv"), **settings)
        assert source.columns == names
    assert source.shape == (len(names),)
    half = 0.5 if "decimal" in settings else 0.0
    if names[0] in ("a", "x_1") and not content.startswith((",", "a\n0\n")):
        assert sorted(all_rows(source)[:, 0].tolist()) == [i + half for i in range(20)]


def test_what_is_left_out_is_said_and_counted(tmp_path: Path) -> None:
    x = numbers()
    path = write(tmp_path / "t.csv", np.concatenate([x, np.full((40, 1), 7.0)], 1), "a,b,c,same")
    text = path.read_text().replace(str(x[3, 1]), "", 1).replace(str(x[5, 0]), "inf", 1)
    path.write_text(f"{text}1,2,3,4,5\n")
    source = Table(str(path))
    with pytest.warns(UserWarning, match="rows of") as said:
        source.prepare()
    sentences = [str(one.message) for one in said]
    assert any("3 of 41 rows" in one and "(row 4)" in one and "(row 6)" in one for one in sentences), sentences
    assert any("one value only in training are not used: same" in one for one in sentences)
    remarks = source.remarks()
    assert remarks["rows"] == {"train": 30, "val": 4, "test": 4}
    assert remarks["constant"] == ["same"]
    assert sum(remarks["left_out"].values()) == 3
    with pytest.warns(UserWarning, match="beyond 2\\^53"):
        Table(str(write(tmp_path / "u.csv", np.arange(10**17, 10**17 + 4000, 100)[:, None], "id"))).prepare()


def test_the_splits_follow_from_the_values(tmp_path: Path) -> None:
    x = np.repeat(numbers(60), 2, axis=0)
    one = Table(str(write(tmp_path / "one.csv", x)))
    other = Table(str(write(tmp_path / "other.csv", x[np.random.default_rng(1).permutation(120)])))
    for split in ("train", "val", "test"):
        assert torch.equal(one.raw(split), other.raw(split))  # type: ignore[arg-type]
        rows = {tuple(row) for row in one.raw(split).tolist()}  # type: ignore[arg-type]
        assert len(rows) * 2 == one.count(split), "equal rows are together"  # type: ignore[arg-type]
    assert (one.count("train"), one.count("val"), one.count("test")) == (96, 12, 12)
    assert not torch.equal(Table(str(tmp_path / "one.csv"), split_seed=1).raw("test"), one.raw("test"))
    given = torch.from_numpy(x)[torch.tensor([int(name) - 1 for name in one.names("test")])]
    assert torch.equal(given, one.raw("test"))


def test_the_scale_is_that_of_the_training_rows(tmp_path: Path) -> None:
    x = numbers(100) * np.array([1e-6, 1.0, 1e9]) + np.array([5.0, 0.0, 1e12])
    np.save(tmp_path / "x.npy", x)
    source = Table(str(tmp_path / "x.npy"))
    train_ND = source.raw("train")
    torch.testing.assert_close(source.column_mean, train_ND.mean(0))
    torch.testing.assert_close(source.column_scale, train_ND.std(0, correction=0))
    assert source.log_volume == pytest.approx(float(train_ND.std(0, correction=0).log().sum()))
    torch.testing.assert_close(source.table.original(source.scaled(train_ND)), train_ND)
    assert Columns.of(json.loads(json.dumps(source.table.plain()))) == source.table
    mean_D, scale_D = moments(torch.tensor([[1e308], [-1e308]], dtype=torch.float64))
    assert (float(mean_D), float(scale_D)) == (0.0, 1e308)


def test_text_becomes_indicators_by_request(tmp_path: Path) -> None:
    x = numbers(60)
    path = write(tmp_path / "t.csv", x)
    lines = path.read_text().splitlines()
    colours = ["red", "green", "blue"]
    path.write_text("\n".join([f"{lines[0]},colour", *(f"{r},{colours[i % 3]}" for i, r in enumerate(lines[1:]))]))
    source = Table(str(path), one_hot=["colour"], drop=["b"])
    assert source.columns == ("a", "c", "colour=blue", "colour=green", "colour=red")
    raw_ND = all_rows(source)
    assert raw_ND[:, 2:].sum(0).tolist() == [20, 20, 20]
    assert torch.equal(raw_ND[:, 2:].sum(1), torch.ones(60, dtype=torch.float64))
    row = len(source.names("test")) - 1
    number = int(source.names("test")[row])
    x_BD = source.examples("test", torch.tensor([row]), -1, 0)
    *found, colour = source.table.cells(x_BD + 0.05)[0]
    assert colour == colours[(number - 1) % 3]
    assert found == pytest.approx((x[number - 1, [0, 2]] + 0.05 * np.array(source.table.scale[:2])).tolist(), abs=1e-5)
    path.write_text("colour,c,a\nblue,1,2\npink,1,2\n,1,2\n")
    rows = read_table(path, source.table)
    assert rows.raw_ND.tolist() == [[2, 1, 1, 0, 0]]
    assert [one.reason for one in rows.skipped] == ["a value of colour that training did not have", "a value missing"]
    path.write_text("a,name\n" + "".join(f"{i},n{i}\n" for i in range(80)))
    with pytest.raises(UserError, match="more than 50 values, too many for indicators"):
        Table(str(path), one_hot=["name"]).prepare()


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    x = numbers(50)
    columns = {name: pyarrow.array(x[:, i], mask=np.arange(50) == 7) for i, name in enumerate("abc")}
    colours = pyarrow.array(["red", "green"] * 25).dictionary_encode()
    table = pyarrow.table({**columns, "n": pyarrow.array(range(50)), "colour": colours, "__index_level_0__": range(50)})
    parquet.write_table(table, tmp_path / "t.parquet", row_group_size=20)
    path = write(tmp_path / "t.csv", np.concatenate([x, np.arange(50)[:, None]], 1), "a,b,c,n")
    lines = path.read_text().splitlines()
    lines = [f"{line},{'colour' if i == 0 else ('green', 'red')[i % 2]}" for i, line in enumerate(lines)]
    lines[8] = ",,,7,green"
    path.write_text("\n".join(lines))
    one, other = (Table(str(tmp_path / name), one_hot=["colour"]) for name in ("t.parquet", "t.csv"))
    for source in (one, other):
        with pytest.warns(UserWarning, match=r"1 of 50 rows .* a number missing: 1 \(row 8\)"):
            source.prepare()
    assert one.columns == other.columns
    assert torch.equal(one.raw("train"), other.raw("train"))
    with pytest.raises(UserError, match=r"column colour of .* holds no numbers \('red' in row 1 of colour\)"):
        Table(str(tmp_path / "t.parquet")).prepare()


def test_settings_of_a_table_are_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", numbers())
    for words, sentence in (
        (("data.path=null",), "data=table needs a table: data.path=<file>"),
        (("data.drop=c",), "data.drop=c must be a list of columns: 'data.drop=[c]'."),
        (("data.drop=[d]",), "has no column d, which the settings name"),
        (("data.drop=[a,b,c]",), "has no column left"),
        (("data.val=0.6", "data.test=0.6"), "must be at most 1 together"),
        (("data.val=0", "data.test=1"), "no row left for training"),
        (("data.decimal=x",), "data.decimal=x must be a point or a comma"),
        (("data.encoding=klingon",), "data.encoding=klingon is unknown"),
        (("data.header=5",), "data.header=5 must be true or false or null."),
        (("+data.headr=true",), "unexpected keyword argument 'headr'"),
    ):
        with pytest.raises(UserError) as refused:
            build(settled("data=table", f"data.path={path}", "objective=mle", *words), 0)
        assert sentence in str(refused.value)
        assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match=r"must be a whole number|split_seed"):
        compatibility.refuse_incompatible(
            settled("data=table", f"data.path={path}", "objective=mle", "data.split_seed=x")
        )


def test_the_dialect_of_a_table_of_outliers_is_a_setting_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("a;b\n" + "".join(f"{i},5;{i}\n" for i in range(20)))
    entry, columns = {"data": "table", "path": str(path), "decimal": ","}, AB.plain()
    found = outside_sources([entry], (2,), {"data": str(tmp_path), "cache": str(tmp_path)}, columns)
    assert float(found["table"].examples("test", torch.tensor([0]), -1, 0)[0, 0]) % 1 == 0.5
    with pytest.raises(UserError, match=r"batch_size is no setting of table: there are path, .*, decimal, encoding"):
        outside_sources([{**entry, "batch_size": 3}], (2,), {"data": str(tmp_path), "cache": str(tmp_path)}, columns)


@pytest.mark.parametrize(
    "name",
    [
        "label",
        "größe",
        "price_€",
        "a (b)",
        "a#",
        "true",
        "1e5",
        'say "x"',
        "it's",
        "ends\\",
        "a,b",
        "a]=b",
        " x",
        "NULL",
    ],
)
def test_settings_are_spelled_as_they_are_typed(name: str) -> None:
    parser = OverridesParser.create()
    for value, wanted in ((name, name), ([name, "b"], [name, "b"])):
        (word,) = shlex.split(typed("data.x", value))
        override = parser.parse_override(word)
        assert (override.key_or_group, override.value()) == ("data.x", wanted)
        assert not isinstance(override.value(), bool | float)
    (word,) = shlex.split(typed("data.decimal", ","))
    assert parser.parse_override(word).value() == ","


@pytest.mark.parametrize("suffix", ["md", "yaml"])
def test_documented_commands_can_be_typed(suffix: str) -> None:
    root = Path(__file__).parents[1]
    text = (root / ("docs/your_data.md" if suffix == "md" else "conf/data/table.yaml")).read_text()
    (found,) = {*re.findall(r"'data\.decimal=.*?'", text)}
    (word,) = shlex.split(found)
    assert OverridesParser.create().parse_override(word).value() == ","


def test_points_are_no_part_of_numbers_with_decimal_commas(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        Dialect(decimal=",").number("1.000")
    path = tmp_path / "t.csv"
    path.write_text("a;b\n" + "1,5;2\n" * 20 + "1.000;2\n1.234,5;2\n")
    with pytest.raises(UserError, match=r"'1.000' in row 21 of a\): with decimal commas a point is no part"):
        Table(str(path), decimal=",").prepare()


def test_numbers_far_from_zero_keep_their_digits(tmp_path: Path) -> None:
    columns = Columns(("day", "t"), {}, (2_460_000.5, 1.7e9), (0.01, 3.0))
    z_BD = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    files.write(tmp_path / "s.csv", columns.header, columns.cells(z_BD))
    with (tmp_path / "s.csv").open() as file:
        _, *cells = csv.reader(file)
    again = columns.standardised(torch.tensor([[float(cell) for cell in row] for row in cells], dtype=torch.float64))
    torch.testing.assert_close(again, z_BD.double(), atol=1e-6, rtol=0)
    assert len(max(cells[0], key=len)) < 21, "and no more than mean something"


def test_small_tables_make_steps(tmp_path: Path) -> None:
    sizes = {}
    for rows in (12, 100, 300, 800, 4000):
        np.save(tmp_path / "x.npy", numbers(rows))
        data = ScoreData(Table(str(tmp_path / "x.npy")), 128, 0)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            data.setup()
            data.setup("test")
        sizes[rows] = (data.batch_size, len(data.train_dataloader()))
        assert len(said) == (data.batch_size < 128), "once"
    assert sizes == {12: (8, 1), 100: (16, 5), 300: (32, 7), 800: (128, 5), 4000: (128, 25)}


def test_categories_are_the_same_in_every_kind_of_file(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    x = numbers(40, 1)[:, 0]
    kind = np.arange(40) % 2 + 1.0
    kind[7] = np.nan
    np.save(tmp_path / "t.npy", np.stack([x, kind], 1))
    parquet.write_table(pyarrow.table({"x_1": x, "x_2": kind}), tmp_path / "t.parquet")
    cells = ["NA" if k != k else f"{k} " for k in kind]
    (tmp_path / "t.csv").write_text("x_1,x_2\n" + "".join(f"{a},{k}\n" for a, k in zip(x, cells, strict=True)))
    sources = [Table(str(tmp_path / f"t.{end}"), one_hot=["x_2"]) for end in ("npy", "parquet", "csv")]
    for source in sources:
        with pytest.warns(UserWarning, match=r"1 of 40 rows .* a value missing: 1 \(row 8\)"):
            source.prepare()
        assert source.columns == ("x_1", "x_2=1", "x_2=2")
        assert torch.equal(source.raw("train"), sources[0].raw("train"))
    words = pyarrow.table({"x_1": [1.0, 2.0, 3.0], "x_2": ["NA", "b ", "1.0"]})
    parquet.write_table(words, tmp_path / "w.parquet")
    rows = read_table(tmp_path / "w.parquet", sources[0].table)
    assert [one.reason for one in rows.skipped] == ["a value missing", "a value of x_2 that training did not have"]
    assert rows.raw_ND.tolist() == [[3, 1, 0]]


def test_what_names_rows_is_kept_as_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.array([[1234560.0, 1.0], [1234561.0, 2.0]]))
    columns = Columns(("x_2",), {}, (0.0,), (1.0,), index="x_1")
    assert read_table(tmp_path / "t.npy", columns).ids == ["1234560", "1234561"]
    path = tmp_path / "t.csv"
    path.write_text("country,a,b\nNA,1,2\n")
    assert read_table(path, AB).ids == ["NA"]
    path.write_text("note,a,b,note\nx,1,2,y\n")
    assert (read_table(path, AB).id_column, read_table(path, AB).ids) == (None, [])
    path.write_text(",a,b\n" + "".join(f"{i},{line}\n" for i, line in enumerate(ROWS.split())))
    source = Table(str(path))
    assert source.remarks()["index"] == "column 1, which has no name"


def test_files_without_names_have_the_width_of_training(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", numbers(40, 2))
    columns = Columns.of(json.loads(json.dumps(Table(str(tmp_path / "x.npy")).table.plain())))
    assert len(read_table(tmp_path / "x.npy", columns).number_N) == 40
    np.save(tmp_path / "y.npy", numbers(40, 3))
    (tmp_path / "y.csv").write_text("1,2,3\n" * 3)
    for name in ("y.npy", "y.csv"):
        with pytest.raises(UserError, match="has 3 columns without names, and the table of training had 2"):
            read_table(tmp_path / name, columns)
    (tmp_path / "y.csv").write_text("id,x_1,x_2\n1,2,3\n")
    assert read_table(tmp_path / "y.csv", columns).raw_ND.tolist() == [[2, 3]]
    old = {key: value for key, value in columns.plain().items() if key != "width"}
    assert len(read_table(tmp_path / "y.npy", Columns.of(old)).number_N) == 40, "as before"


def test_columns_without_names_are_those_of_training_by_place(tmp_path: Path) -> None:
    x = numbers(40, 3)
    columns = Table(str(write(tmp_path / "named.csv", x, "w,x_1,u"))).table
    np.save(tmp_path / "x.npy", x)
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    for name in ("x.npy", "x.csv"):
        with pytest.warns(UserWarning, match=f"{name} names no columns, .* of training in their order: w, x_1, u."):
            assert read_table(tmp_path / name, columns).raw_ND.numpy() == pytest.approx(x)
    np.save(tmp_path / "y.npy", numbers(40, 4))
    with pytest.raises(UserError, match="had 3: give a table that names its columns, or as many columns in the same"):
        read_table(tmp_path / "y.npy", columns)
    fewer = Table(str(tmp_path / "named.csv"), drop=["u"]).table  # which of the three it was is not kept
    with pytest.raises(UserError, match=r"no column w, .* \(it names no columns, .*\): give a table that names its"):
        read_table(tmp_path / "x.npy", fewer)
    with pytest.raises(UserError, match=r"had 3: give a table that names its columns\."):
        read_table(tmp_path / "y.npy", fewer)


def test_columns_match_but_for_the_last_digits_of_sums() -> None:
    one = {"columns": replace(AB, mean=(0.1, 1e9), scale=(1.0, 2.0), width=2).plain()}
    for mean, scale, fine in (
        ((0.1 + 1e-16, 1e9 + 1e-6), (1 + 1e-15, 2 + 1e-8), True),
        ((0.1 + 1e-9, 1e9), (1.0, 2.0), False),
        ((0.1, 1e9), (1.001, 2.0), False),
    ):
        other = {"columns": replace(AB, mean=mean, scale=scale).plain()}
        with nullcontext() if fine else pytest.raises(UserError, match="the table has changed"):
            refuse_another_table(one, other)
    with pytest.raises(UserError, match="the table has changed"):
        refuse_another_table(one, {"columns": {**one["columns"], "numeric": ["a", "c"]}})


def test_a_blank_line_of_a_single_column_is_a_missing_value(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n\n3\n\n\n")
    rows = read_table(path, Columns(("a",), {}, (0.0,), (1.0,)))
    assert rows.number_N.tolist() == [1, 3]
    assert [tuple(one) for one in rows.skipped] == [("row 2", "a number missing")]


def test_held_out_rows_of_a_category_that_training_lacks_are_left_out(tmp_path: Path) -> None:
    x = numbers(60, 2)
    plain = Table(str(write(tmp_path / "t.csv", x, "a,b")))
    (tmp_path / "u.csv").write_text("a,b,k\n" + "".join(f"{a},{b},{'pq'[i % 2]}\n" for i, (a, b) in enumerate(x)))
    for seed in range(30):  # a split whose test rows have the only z
        lines = (tmp_path / "u.csv").read_text().splitlines()
        lines[1] = f"{x[0, 0]},{x[0, 1]},z"
        (tmp_path / "z.csv").write_text("\n".join(lines))
        source = Table(str(tmp_path / "z.csv"), one_hot=["k"], split_seed=seed)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            source.prepare()
        if "k=z" not in source.columns:
            break
    assert source.columns == ("a", "b", "k=p", "k=q")
    assert any("1 held-out rows" in str(one.message) for one in said)
    assert source.remarks()["left_out"] == {"a value of k that training did not have": 1}
    assert len(all_rows(source)) == 59
    assert all_rows(source)[:, 2:].sum(1).tolist() == [1.0] * 59
    assert "1" not in [name for split in ("train", "val", "test") for name in source.names(split)]  # type: ignore[arg-type]
    assert plain.remarks()["left_out"] == {}
    (tmp_path / "e.csv").write_text("a,b,k\n" + "".join(f"{a},{b},${{y}}\n" for a, b in x))
    with pytest.raises(UserError, match=r"column k of .* has a value with \$\{, which no config may hold"):
        Table(str(tmp_path / "e.csv"), one_hot=["k"]).prepare()


def test_settings_of_the_command_line_and_another_dialect_in_prediction(command: Command, tmp_path: Path) -> None:
    x = numbers(60, 2)
    lines = [f"{a};{b};{'red' if a > 0 else 'green'};{i}" for i, (a, b) in enumerate(x)]
    (tmp_path / "t.csv").write_text("\n".join(["a;b;colour;größe", *lines]).replace(".", ","))
    words = ("data.path=t.csv", *(shlex.split(typed("data.decimal", ","))), *shlex.split(typed("data.drop", ["größe"])))
    ended = command("experiment=table", *words, "data.one_hot=[colour]", "debug=tiny", "backbone.hidden=[8]")
    assert ended.status == 0, ended.err
    model = scorewise.load(ended.run)
    columns = Columns.of(model.recipe["columns"])
    assert columns.names == ("a", "b", "colour=green", "colour=red")
    (tmp_path / "new.csv").write_text("row,a,b,colour\nNA,0.5,1.5,red\n,0.5,1.5,pink\nfar,1.0e35,1,red\n")
    refused = command(f"run={ended.run}", "input=new.csv", name="predict")
    assert (refused.status, "text for a number" in refused.err) == (1, True)
    done = command(f"run={ended.run}", "input=new.csv", "decimal=.", name="predict")
    assert done.status == 0, done.err
    assert "a value of colour that training did not have: 1 (row 2)" in done.err
    with (ended.run / "predictions" / "densities.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "row_given", "log_density", "percentile"]
    assert all(math.isfinite(float(row["log_density"])) for row in rows)
    z_BD = columns.standardised(torch.tensor([[0.5, 1.5, 0.0, 1.0]], dtype=torch.float64)).float()
    wanted = float(model.log_prob(z_BD)) - columns.log_volume
    assert rows[0]["row_given"] == "NA"
    assert float(rows[0]["log_density"]) == pytest.approx(wanted, abs=1e-4)
    (tmp_path / "far.csv").write_text("a;b;colour\n-3,4e37;1;red\n0,5;1;red\n")
    far = command(f"run={ended.run}", "input=far.csv", "output=far", name="predict")
    assert far.status == 0, far.err
    assert "nan" not in (tmp_path / "far" / "densities.csv").read_text()
    assert command(f"run={ended.run}", "input=new.csv", "decimal=x", name="predict").err.startswith("decimal=x must be")


def test_the_hints_of_decimal_commas_and_encodings_in_prediction(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a;b\n1,5;2,5\n")
    with pytest.raises(UserError) as refused:
        read_table(path, AB, Dialect(prefix=""))
    assert "decimal commas, say so: 'decimal=\",\"'." in str(refused.value)
    assert read_table(path, AB, Dialect(decimal=",", prefix="")).raw_ND.tolist() == [[1.5, 2.5]]
    path.write_bytes(b"a,b\n1,\xe9\n")
    for prefix in ("", "data."):
        with pytest.raises(UserError) as refused:
            read_table(path, AB, Dialect(prefix=prefix))
        assert f"({prefix}encoding=latin-1 or utf-16)" in str(refused.value)


def test_densities_are_refused_where_eval_refuses_them(command: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", numbers(60, 2))
    words = (
        "data=table",
        "data.path=x.npy",
        "objective=csm",
        "likelihood=quadrature",
        "likelihood.low=-0.5",
        "likelihood.high=0.5",
    )
    ended = command(*words, "debug=tiny", "backbone.hidden=[8]")
    assert ended.status == 0, ended.err
    assert "nll" not in json.loads((ended.run / "summary.json").read_text())["metrics"]
    refused = command(f"run={ended.run}", "input=x.npy", name="predict")
    assert refused.status == 1
    assert "log-densities need a likelihood, which this model has none of to report" in refused.err
    assert not (ended.run / "predictions").exists()


def test_formulas_are_quoted() -> None:
    for text, expected in (("=1+1", "'=1+1"), ("@x", "'@x"), ("-x", "'-x"), ("-5", "-5"), ("a=b", "a=b"), ("", "")):
        assert harmless(text) == expected


def test_from_a_table_to_its_densities_and_to_new_rows(command: Command, tmp_path: Path) -> None:
    x = numbers(80) * np.array([100.0, 1.0, 0.01]) + 5
    path = write(tmp_path / "mine.csv", x, delimiter=";")
    trained = ("experiment=table", "data.path=mine.csv", "debug=tiny", "backbone.hidden=[16]", "seed=3")
    ended = command(*trained)
    assert ended.status == 0, ended.err
    run = ended.run
    summary = json.loads((run / "summary.json").read_text())
    assert summary["data"]["rows"] == {"train": 64, "val": 8, "test": 8}
    model = scorewise.load(run)
    columns = Columns.of(model.recipe["columns"])
    volume = sum(math.log(scale) for scale in columns.scale)
    metrics = summary["metrics"]
    assert metrics["bits_per_dim"] == pytest.approx((metrics["nll"] + volume) / (3 * math.log(2)), abs=1e-4)

    given = "".join(f"{name},{r[2]},{r[0]},x,{r[1]}\n" for name, r in (("=1+A1", x[0]), ("-7", x[1])))
    (tmp_path / "new.csv").write_text(f"id,c,a,label,b\n{given}far,5,99999,x,5\nbad,5,,x,5\n")
    predicted = command(f"run={run}", "input=new.csv", name="predict")
    assert predicted.status == 0, predicted.err
    assert "3 rows given their log-density, 1 left out" in predicted.out
    assert "a number missing: 1 (row 4)" in predicted.err
    with (run / "predictions" / "densities.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "id", "log_density", "percentile"]
    assert [(row["row"], row["id"]) for row in rows] == [("1", "'=1+A1"), ("2", "-7"), ("3", "far")]
    assert rows[2]["percentile"] == "100"
    z_BD = columns.standardised(torch.from_numpy(x[:2])).float()
    expected = (model.log_prob(z_BD).double() - volume).tolist()
    assert [float(row["log_density"]) for row in rows[:2]] == pytest.approx(expected, abs=1e-4)
    source = Table(str(path))
    reference_N = model.log_prob(source.examples("train", torch.arange(64), -1, 0))
    less_odd = float((reference_N > model.log_prob(z_BD)[0]).double().mean())
    assert float(rows[0]["percentile"]) == pytest.approx(100 * less_odd, abs=1.6)  # a training row is one of them

    (tmp_path / "less.csv").write_text("a,b\n1,2\n")
    refused = command(f"run={run}", "input=less.csv", name="predict")
    assert (refused.status, len(refused.err.strip().splitlines())) == (1, 1)
    assert "less.csv has no column c, which the model was trained on (its columns are a, b)" in refused.err

    drawn = command(f"run={run}", "n=50", "output=out", name="sample")
    assert drawn.status == 0, drawn.err
    with open("out/samples.csv") as file:
        header, *cells = list(csv.reader(file))
    assert header == ["a", "b", "c"]
    again = model.sample(50, torch.Generator().manual_seed(0)).double() * columns.scale_D + columns.mean_D
    assert np.allclose(np.array(cells, dtype=float), again.numpy(), rtol=1e-6)
    assert command(f"run={run}", "n=0", name="sample").err.strip() == "n=0 must be a whole number of at least 1."

    other = write(tmp_path / "other.csv", x[:30, ::-1] + 1, "c,b,a")
    out = f"task.out=[{{data: table, path: {other}, name: other}}]"
    tested = command(f"run={run}", "task=ood", out, "task.resamples=20", name="eval")
    assert tested.status == 0, tested.err
    metrics = json.loads((run / "ood.json").read_text())["metrics"]
    inside_N, far_N = (model.log_prob(z_ND) for z_ND in (reference(source, "test"), reference(source, other)))
    above = (far_N[:, None] < inside_N).double() + (far_N[:, None] == inside_N).double() / 2
    assert metrics["auroc/nll/other"] == pytest.approx(float(above.mean()), abs=0.15)  # of noisy rows
    scored = command(f"run={run}", "task=ood", "task.statistic=nll", "input=new.csv", name="predict")
    assert scored.status == 0, scored.err
    with (run / "predictions" / "outliers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["outlier_score"]) > 100
    assert rows[2]["percentile"] == "100"

    write(path, x + np.array([0.0, 0.0, 1.0]), delimiter=";")
    for name, words in (("eval", (f"run={run}",)), ("predict", (f"run={run}", "input=new.csv"))):
        changed = command(*words, name=name)
        assert changed.status == 1
        assert "the table has changed since this run was trained on it" in changed.err
    again = command(*trained)
    assert again.status == 1, "the finished run is one of another table"
    assert "the table has changed since this run was trained on it" in again.err
    assert command(f"run={run}", "n=2", name="sample").status == 0, "needs no data"
    write(tmp_path / "moved.csv", x, delimiter=";")
    path.unlink()
    assert command(*trained).status == 0, "the table is gone, and what was found is there"
    lost = command(f"run={run}", "input=new.csv", name="predict")
    assert lost.status == 1
    assert "the table that this run was trained on, mine.csv, is not there" in lost.err
    found = command(f"run={run}", "input=new.csv", "data.path=moved.csv", name="predict")
    assert found.status == 0, found.err


@pytest.mark.parametrize(("n", "d"), [(60, 1), (40, 200)])
def test_one_column_and_more_columns_than_rows(n: int, d: int, command: Command, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", numbers(n, d))
    ended = command("data=table", "data.path=x.npy", "objective=mle", "debug=tiny", "backbone.hidden=[8]")
    assert ended.status == 0, ended.err
    assert math.isfinite(json.loads((ended.run / "summary.json").read_text())["metrics"]["nll"])
    assert command(f"run={ended.run}", "n=3", name="sample").status == 0


def test_samples_of_images(command: Command) -> None:
    run = command("debug=tiny").run
    ended = command(f"run={run}", "n=5", "denoise=true", name="sample")
    assert ended.status == 0, ended.err
    assert np.load(run / "samples" / "samples.npz")["images"].shape == (5, 1, 8, 8)
    assert (run / "samples" / "samples.png").is_file()


@pytest.mark.slow
def test_a_million_rows_within_its_memory(tmp_path: Path) -> None:
    code = (
        "import resource, sys, numpy as np, torch\n"
        "from scorewise.data import Table\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\n"
        "source = Table(sys.argv[1])\n"
        "source.prepare()\n"
        "source.examples('train', torch.arange(1000), 0, 0)\n"
        "assert source.count('train') == 800_000, source.count('train')\n"
        "print(peak() - before)\n"
    )
    path = tmp_path / "big.csv"
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(",".join(f"c{d}" for d in range(10)) + "\n")
        for _ in range(100):
            np.savetxt(file, rng.normal(size=(10_000, 10)), fmt="%.5f", delimiter=",")
    found = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) < 450, "MiB"


def test_dialects_are_checked() -> None:
    assert Dialect(decimal=",").number("-1,5") == -1.5
    assert math.isnan(Dialect().number(" N/A "))
    with pytest.raises(ValueError):
        Dialect().number("12a")
