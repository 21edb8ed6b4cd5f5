"""The tables and the page of odd rows: what they say, that names are only names, and that nothing is fetched."""

import csv
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from scorewise.estimators import GaussianRows
from scorewise.outliers import CellFindings, Explanation, conformal_p_values, false_discovery_rates, write_page

COLUMNS = ["acid", "<script>alert(1)</script>", "colour"]
NAMES = [f"row {i}" for i in range(49)] + ['"><img src=x onerror=alert(2)>']


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def explanation() -> Explanation:
    generator = torch.Generator().manual_seed(0)
    rows = GaussianRows(torch.tensor([0.0, 1.0, 1.0]), torch.eye(3) + 0.5)
    held_out, x = rows.sample(200, generator), rows.sample(50, generator)
    x[:, 2] = x[:, 2].round().clamp(0, 2)
    x[49, 0], x[3, 1] = 12.0, math.nan
    score = -rows.log_prob(x)
    p = conformal_p_values(score, -rows.log_prob(held_out))
    return Explanation(NAMES, COLUMNS, score, p, CellFindings.of(rows, x), {2: ["red", "<i>green</i>", "blue"]}, p)


def test_numbers_have_the_digits_that_their_interval_needs(tmp_path: Path) -> None:
    """Metres of a map: a column whose spread is half a unit, four million units from zero."""
    rows = GaussianRows(torch.zeros(2), torch.eye(2))
    cells = CellFindings.of(rows, torch.tensor([[0.5, 3.0], [-1.0, 0.0]]).double())
    cells = cells.in_units(torch.tensor([4523456.0, 0.0]).double(), torch.tensor([0.5, 1.0]).double())
    found = Explanation(["one", "two"], ["easting", "depth"], torch.zeros(2), torch.ones(2), cells)
    found.write_cells(tmp_path / "cells.csv")
    first, second, third, _ = csv.DictReader((tmp_path / "cells.csv").open())
    assert [first["found"], third["found"], second["found"]] == ["4523456.25", "4523455.5", "3"]
    assert float(first["high"]) == pytest.approx(4523456 + 0.5 * 1.6448536, abs=1e-5)
    assert float(first["low"]) < float(first["found"]) < float(first["high"])
    assert (found.shown(4523456.25, 0), found.shown(3.0, 1), found.shown(0.0, 0)) == ("4523456.25", "3", "0")


def test_the_tables(explanation: Explanation, tmp_path: Path) -> None:
    explanation.write_rows(tmp_path / "outliers.csv")
    explanation.write_cells(tmp_path / "cells.csv")
    rows, cells = (list(csv.DictReader((tmp_path / name).open())) for name in ("outliers.csv", "cells.csv"))
    assert [row["name"] for row in rows] == NAMES
    assert float(rows[49]["p_value"]) == pytest.approx(1 / 201, abs=1e-6)
    assert len(cells) == 150
    odd = cells[147]
    assert (odd["name"], odd["column"], odd["found"]) == (NAMES[49], "acid", "12")
    assert float(odd["share"]) > 0.5
    assert float(odd["low"]) < float(odd["expected"]) < float(odd["high"]) < 12
    assert {cell["found"] for cell in cells[2::3]} == {"red", "<i>green</i>", "blue"}
    missing = cells[10]
    assert (missing["found"], missing["p_value"]) == ("", "")
    assert missing["expected"]


def test_the_page(explanation: Explanation, tmp_path: Path) -> None:
    write_page(explanation, tmp_path / "odd.html", most=10, title="Odd <b>wines</b>")
    text = (tmp_path / "odd.html").read_text()
    tags = Tags()
    tags.feed(text)
    opened = {tag for tag, _ in tags.opened}
    assert not opened & {"script", "img", "i", "iframe", "link", "object"}
    links = [attrs.get("href") for _, attrs in tags.opened if "href" in attrs]
    assert all(link and link.startswith("#row") for link in links)
    assert not re.search(r"url\(|@import", text), "nothing from elsewhere"
    assert "default-src 'none'" in text
    for name in (COLUMNS[1], NAMES[49], "Odd <b>wines</b>", "<i>green</i>"):
        assert name in tags.text
    assert next(attrs["id"] for tag, attrs in tags.opened if tag == "section") == "row49", "the oddest comes first"
    assert sum(tag == "section" for tag, _ in tags.opened) == 10


def test_numbers_are_not_rounded_before_the_point(tmp_path: Path) -> None:
    rows = GaussianRows(torch.tensor([22000.0, 0.0]), torch.tensor([[1e8, 0.0], [0.0, 1.0]]))
    x = torch.tensor([[1166374.0, 0.5]])
    found = Explanation(["one"], ["income", "b"], -rows.log_prob(x), torch.tensor([0.01]), CellFindings.of(rows, x))
    found.write_cells(tmp_path / "cells.csv")
    write_page(found, tmp_path / "odd.html")
    cell = next(csv.DictReader((tmp_path / "cells.csv").open()))
    assert (cell["found"], cell["expected"]) == ("1166374", "22000")
    assert "<b>1166374</b><small>22000</small>" in (tmp_path / "odd.html").read_text()


def test_colours_follow_the_surprise(explanation: Explanation, tmp_path: Path) -> None:
    from scorewise.outliers.page import _colour

    greens = [int(_colour(p).split(",")[1]) for p in (1.0, 0.1, 1e-3, 1e-6, 1e-16)]
    assert greens == sorted(greens, reverse=True)
    assert greens[0] == 255
    assert greens[3] == greens[4]
    assert "rgb" not in _colour(math.nan)


def test_a_selection_has_the_rates_of_all_that_were_judged_or_none(tmp_path: Path) -> None:
    everything = torch.tensor([0.5, 0.001, 0.3, 0.9, 0.01, 0.7, 0.2, 0.8, 0.6, 0.4])
    rates = false_discovery_rates(everything)
    chosen = [1, 4, 6]
    x = torch.zeros(3, 2)
    cells = CellFindings.of(GaussianRows(torch.zeros(2), torch.eye(2)), x)
    given = (["a", "b", "c"], ["u", "v"], torch.tensor([3.0, 2.0, 1.0]), everything[chosen], cells)
    for none in (torch.zeros(0), everything[None], torch.tensor([0.1, math.nan]), torch.tensor([0.1, 1.1])):
        with pytest.raises(ValueError, match=r"one p-value of every row|1 of 2 p-values are no numbers"):
            Explanation(*given, judged_N=none)
    among = Explanation(*given, judged_N=everything)
    torch.testing.assert_close(among.rate_B, rates[chosen])
    assert among.listed(0.1) == 2
    alone = Explanation(*given)
    assert alone.listed(0.1) is None
    assert bool(alone.rate_B.isnan().all())
    alone.write_rows(tmp_path / "rows.csv")
    assert (tmp_path / "rows.csv").read_text().splitlines()[1].endswith(",")
    write_page(alone, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "no false discovery rate" in page
    assert "on the list" not in page
