"""Tables as people have them: any delimiter, Excel's lines, numbers for names, a single stray text, no file at all."""

import os
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from scorewise import catalog
from scorewise.config.refusals import one_sentence
from scorewise.data import Table
from scorewise.data.folder import ImageFolder
from scorewise.data.tabular.columns import Columns
from scorewise.data.tabular.rows import read_table
from scorewise.errors import UserError, typed

X = np.round(np.random.default_rng(0).normal(size=(40, 3)), 3)


def lines(delimiter: str, header: str | None = "a,b,c", end: str = "", decimal: str = ".", x: Any = X) -> str:
    rows = [[str(number).replace(".", decimal) for number in row] for row in x.tolist()]
    if header is not None:
        rows = [header.split(","), *rows]
    return "".join(delimiter.join(row) + end + "\n" for row in rows)


def read(path: Path, **settings: Any) -> tuple[Table, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        source = Table(str(path), **settings)
        source.prepare()
    return source, [str(one.message) for one in said if "takes steps" not in str(one.message)]


def rows_of(source: Table) -> Any:
    return torch.cat([source.raw(split) for split in ("train", "val", "test")]).numpy()


BLANK = "is separated by blanks."
END = "at the end of its lines: an empty last column is dropped."
WAYS: dict[str, tuple[str | bytes, dict[str, Any], str | tuple[str, ...] | None]] = {
    "comma": (lines(","), {}, None),
    "semicolon": (lines(";"), {}, None),
    "tabulator": (lines("\t"), {}, None),
    "bar": (lines("|"), {}, "is separated by '|'."),
    "bar with blanks": (lines(" | "), {}, "is separated by '|'."),
    "one blank": (lines(" "), {}, BLANK),
    "many blanks": (lines("    "), {}, BLANK),
    "aligned": (
        "".join("".join(f"{cell:>9}" for cell in row) + "\n" for row in [["a", "b", "c"], *X.tolist()]),
        {},
        BLANK,
    ),
    "blanks at the end": (lines(" ", end="  "), {}, BLANK),
    "blanks, no names": (lines(" ", header=None), {}, BLANK),
    "blanks and tabulators": (lines(" \t "), {}, None),
    "blanks, quoted names": (lines(" ", header='"a","b","c"'), {}, BLANK),
    "blanks, decimal commas": (lines(" ", decimal=","), {"decimal": ","}, BLANK),
    "bar, decimal commas": (lines("|", decimal=","), {"decimal": ","}, "is separated by '|'."),
    "semicolon, decimal commas": (lines(";", decimal=","), {"decimal": ","}, None),
    "quoted, decimal commas": (
        lines('","', decimal=",").replace("\n", '"\n"').join(['"', ""]).removesuffix('"'),
        {"decimal": ","},
        None,
    ),
    "sep=;": ("sep=;\n" + lines(";"), {}, "its first line that cells are separated by ';'."),
    "sep=, in Windows": (("sep=,\n" + lines(",")).replace("\n", "\r\n"), {}, "separated by ','."),
    "sep with a byte-order mark": (("\ufeffSEP=|\n" + lines("|")).encode(), {}, "separated by '|'."),
    "sep, quoted": ('"sep=;"\n' + lines(";"), {}, "separated by ';'."),
    "sep, a tabulator": ("sep=\t\n" + lines("\t"), {}, r"separated by '\t'."),
    "sep, decimal commas": ("sep=;\n" + lines(";", decimal=","), {"decimal": ","}, "separated by ';'."),
    "sep against what makes most": ("sep=;\n" + lines(";", header="a,b,c,d".replace(",c,d", ",c")), {}, "';'."),
    "blank lines before sep": ("\n \nsep=;\n" + lines(";"), {}, "separated by ';'."),
    "a comma at the end": (lines(",", end=","), {}, END),
    "a semicolon at the end": (lines(";", end=";"), {}, END),
    "a tabulator at the end": (lines("\t", end="\t"), {}, END),
    "a bar at both ends": (
        "".join(f"|{line}|\n" for line in lines("|").split()),
        {},
        ("is separated by '|'.", "has '|' " + END),
    ),
    "a comma at the end of rows": (lines(",", end=",").replace("c,\n", "c\n"), {}, END),
    "a comma at the end of the names": (lines(",").replace("c\n", "c,\n", 1), {}, END),
    "a comma at the end, no names": (lines(",", header=None, end=","), {}, END),
    "a comma and a blank at the end": (lines(",", end=", "), {}, END),
    "a comma at the end of one row": (lines(",").replace("\n", ",\n", 9).replace(",\n", "\n", 8), {}, END),
    "a byte-order mark": (lines(",").encode("utf-8-sig"), {}, None),
    "UTF-16": (lines(",").encode("utf-16"), {"encoding": "utf-16"}, None),
    "UTF-16, no mark": (lines(";").encode("utf-16-le"), {"encoding": "utf-16-le"}, None),
    "old Macintosh": (lines(",").replace("\n", "\r"), {}, None),
    "quotes": ('"' + lines('","').replace("\n", '"\n"')[:-1], {}, None),
}


@pytest.mark.parametrize(("content", "settings", "told"), WAYS.values(), ids=WAYS)
def test_it_is_read_and_what_is_not_plain_is_said(
    content: str | bytes, settings: dict[str, Any], told: str | tuple[str, ...] | None, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    source, said = read(path, **settings)
    named = source.columns
    assert named in (("a", "b", "c"), ("x_1", "x_2", "x_3"))
    found = rows_of(source)
    np.testing.assert_array_equal(found[np.lexsort(found.T)], X[np.lexsort(X.T)])
    expected = (told,) if isinstance(told, str) else told or ()
    assert len(said) == len(expected), said
    assert all(part in one for part, one in zip(expected, said, strict=True)), said
    assert all(one.startswith(str(path)) for one in said)
    assert source.remarks()["left_out"] == {}
    with warnings.catch_warnings(record=True) as again:
        warnings.simplefilter("always")
        rows = read_table(path, source.table, source.dialect)
    assert len(rows.number_N) == 40
    assert [str(one.message) for one in again] == said, "prediction says the same"


def test_a_last_column_with_a_value_further_down_is_not_lost_silently(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(lines(",", end=",", x=np.tile(X, (10, 1)) + np.arange(400)[:, None]) + "1,2,3,4\n")
    source, said = read(path)
    assert source.columns == ("a", "b", "c")
    assert any("4 cells instead of 3: 1 (row 401)" in one for one in said)


LINES = {
    "years": ("2019,2020,2021", None, "header=true"),
    "years backwards": ("2021,2020,2019", None, "header=true"),
    "numbered from 1": ("1,2,3", None, "header=true"),
    "numbered from 0": ("0,1,2", None, "header=true"),
    "years, said": ("2019,2020,2021", True, None),
    "years, said otherwise": ("2019,2020,2021", False, None),
    "equal numbers": ("7,7,7", None, None),
    "numbers": ("7,12,3", None, None),
    "fractions": ("1.0,2.0,3.0", None, None),
    "years and a name": ("2019,2020,total", None, "header=false"),
    "a damaged row": ("1.5,2.5,x", None, "header=false"),
    "names and a year": ("a,b,2020", None, None),
    "names": ("a,b,c", None, None),
    "numbered names": ("a1,a2,a3", None, None),
}


@pytest.mark.parametrize(("first", "header", "told"), LINES.values(), ids=LINES)
def test_a_first_line_that_may_be_either_is_said(
    first: str, header: bool | None, told: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(lines(",", header=first))
    source, said = read(path, header=header)
    assert [f"data.{told} says so." in one for one in said] == ([True] if told else []), said
    named = header if header is not None else told == "header=false" or first in ("a,b,2020", "a,b,c", "a1,a2,a3")
    assert source.count("train") + source.count("val") + source.count("test") == (40 if named else 41)
    if told == "header=false":
        with pytest.raises(UserError, match=r"in 1 of 41 rows, the first \('.*' in row 1 of x_3\)"):
            read(path, header=False)
    elif told:
        other, silent = read(path, header=True)
        assert not silent
        assert len(rows_of(other)) != len(rows_of(source))


def test_whole_numbers_below_whole_numbers_are_rows(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1,2,3\n2,3,4\n" + lines(",", header=None))
    assert read(tmp_path / "t.csv")[1] == []
    (tmp_path / "p.csv").write_text(
        ",0,1,2\n" + "".join(f"{i},{line}\n" for i, line in enumerate(lines(",", None).split()))
    )
    assert read(tmp_path / "p.csv")[1] == []
    assert read(tmp_path / "p.csv")[0].columns == ("0", "1", "2")


@pytest.mark.parametrize("rows", [1, 2, 19])
def test_stray_text_is_counted(rows: int, tmp_path: Path) -> None:
    path, text = tmp_path / "t.csv", lines(",").split()
    for row in range(20, 20 + rows):
        text[row] = "oops," + text[row].partition(",")[2]
    path.write_text("\n".join(text))
    with pytest.raises(UserError) as refused:
        read(path)
    assert f"column a of {path} holds no numbers in {rows} of 40 rows, the first ('oops' in row 20 of a)" in str(
        refused.value
    )
    assert "leave such cells blank" in str(refused.value)


def test_one_text_in_very_many_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    count = 100_501
    x = np.arange(count)
    path.write_text("a,b\n" + "".join(f"{i},{i % 7}\n" if i != 60_000 else "1,n.d.\n" for i in x.tolist()))
    with pytest.raises(UserError, match=r"in 1 of 100,501 rows, the first \('n\.d\.' in row 60001 of b\)"):
        read(path)


def test_stray_text_in_parquet_and_in_two_columns(tmp_path: Path) -> None:
    path, text = tmp_path / "t.csv", lines(",").split()
    text[5], text[9] = "1,x,2", "y,1,2"
    path.write_text("\n".join(text))
    with pytest.raises(
        UserError, match=r"columns b, a of .* hold no numbers in 2 of 40 rows, the first \('x' in row 5"
    ):
        read(path)
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": X[:, 0], "b": ["x"] * 40}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"column b of .* holds no numbers \('x' in row 1 of b\)"):
        read(tmp_path / "t.parquet")


AB = Columns(("a", "b"), {}, (0.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize(
    "address", ["https://example.org/t.csv", "http://x/t.csv?raw=1", "s3://b/t.csv", "file:///t.csv"]
)
def test_addresses_are_refused(address: str) -> None:
    for refuse in (
        lambda: read(Path(address)),
        lambda: read_table(Path(address), AB),
        lambda: Table(address).prepare(),
    ):
        with pytest.raises(UserError) as refused:
            refuse()
        told = str(refused.value)
        assert told.endswith("is an address, and tables are read from files: download it first.")
        assert "://" in told
    with pytest.raises(UserError, match="is an address, and images are read from folders: download it first"):
        ImageFolder(address)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        with pytest.raises(UserError, match=r"is a pipe or a device, .*: write it to a file first\.$"):
            read(path)
    here, there = os.pipe()
    try:
        with pytest.raises(UserError, match=r"is a pipe or a device"):
            read(Path(f"/dev/fd/{here}"))
        with pytest.raises(UserError, match=r"is a pipe or a device"):
            read_table(Path(f"/dev/fd/{here}"), AB)
    finally:
        os.close(here)
        os.close(there)


HOSTILE = {
    "only a statement": "sep=;\n",
    "only blanks": "   \n \n",
    "names only": "a b c\n",
    "one word a line": "".join(f"word{i}\n" for i in range(20)),
    "prose": "Dear Sir or Madam,\nplease find enclosed\nmy data.\n" * 8,
    "a page": "<!DOCTYPE html>\n<html><body>Not found</body></html>\n" * 6,
    "a document": '{"a": [1, 2, 3],\n "b": [4, 5, 6]}\n' * 6,
    "a ruled table": "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 20,
    "blanks and another width": lines(" ").replace("a b c", "a b") + "1 2\n",
    "decimal commas unsaid": lines(";", decimal=","),
    "decimal commas and blanks, unsaid": lines(" ", decimal=","),
    "two separators": lines(",").replace("\n", ";\n", 5),
    "a statement without a separator": "sep=\n" + lines(";"),
    "zeros": "\x00" * 50,
    "UTF-16 unsaid": lines(",").encode("utf-16"),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_table_is_one_sentence_or_read(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        source, _ = read(path)
    except UserError as error:
        told = str(error)
        assert "\n" not in told
        assert "t.csv" in told
        return
    assert len(rows_of(source)) >= 10


NAMES = (
    *("run=1 [x] (y).csv", "a=b.csv", "a,b.csv", "a, b.csv", "{x}.csv", "(x).csv", "[x].csv", "it's.csv", "a&b.csv"),
    *("x;y.csv", '"q".csv', "#1.csv", "ä ö.csv", "!x.csv", "=x.csv", 'x\\"y.csv', "~/x y.csv", "[a,b", "{a", "a}", '"'),
)


@pytest.mark.parametrize("name", NAMES)
def test_names_that_hydra_cannot_read_are_quoted_for_it(name: str) -> None:
    with (
        initialize_config_dir(str(catalog.folder()), version_base=None),
        pytest.raises(Exception, match=r".") as refused,
    ):
        compose("train", ["experiment=table", f"data.path={name}"])
    told = one_sentence(refused.value, "train")
    assert told is not None
    assert "\n" not in told
    assert told.startswith(f"data.path={name} has ")
    spelled = typed("data.path", name)
    assert spelled in told
    override = OverridesParser.create().parse_override(shlex.split(spelled)[0])
    assert (override.key_or_group, override.value()) == ("data.path", name)


@pytest.mark.parametrize("word", ["no setting", "a b=[", "[1,2"])
def test_words_that_are_no_setting(word: str) -> None:
    with (
        initialize_config_dir(str(catalog.folder()), version_base=None),
        pytest.raises(Exception, match=r".") as refused,
    ):
        compose("train", [word])
    told = one_sentence(refused.value, "train")
    assert told == f"{word} is no setting: write name=value."
