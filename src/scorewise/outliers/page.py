"""The page of the oddest rows: cells coloured by surprise, what was expected beside what was found.

One HTML file without scripts; the network is forbidden to it, and every name is escaped.
"""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from scorewise.errors import printable
from scorewise.files import put_text
from scorewise.outliers.explanation import Explanation

STRONGEST = 6.0
"""The surprise, - log10 p, that has the full colour."""
CELLS = 8
"""Cells of a row that are drawn with their intervals, the most surprising ones."""
WIDTH, MARGIN = 220.0, 8.0
"""Of the drawing of an interval."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_page(explanation: Explanation, path: Path, most: int = 30, title: str = "The oddest rows") -> None:
    """Write one HTML file of the oddest rows, which needs nothing from elsewhere.

    Args:
        explanation: of the rows.
        path: the file, in a folder that exists.
        most: rows that it shows.
        title: its heading.
    """
    put_text(path, page(explanation, most, title))


def page(explanation: Explanation, most: int, title: str) -> str:
    """Return the HTML of the oddest rows."""
    places = explanation.oddest(most)
    count = len(explanation.rows)
    listed = explanation.listed(0.1)
    rates = (
        "They have no false discovery rate: chosen rows have none without the p-values of all that were judged."
        if listed is None
        else f"At a false discovery rate of 10 % {listed:,} of all judged rows are on the list: of these at most "
        "a tenth should belong to the data after all."
    )
    return document(
        title,
        [
            f"<p>{len(places)} of {count:,} rows, the oddest first. {rates}</p>",
            _legend(),
            _overview(explanation, places),
            "<h2>Row by row</h2>\n<p>The most surprising cells of every row. The bar is the interval of 90 % given the "
            "other cells of the row, with its median; the dot is what was found.</p>",
            *(_row(explanation, place) for place in places),
        ],
    )


def safe(text: str) -> str:
    """Return a text as it can stand in a page, with what no page can hold escaped."""
    return escape(printable(text))


def document(title: str, parts: Sequence[str], policy: str = POLICY) -> str:
    """Return a page with a heading and its parts, which are HTML already."""
    style = (Path(__file__).parent / "page.css").read_text()
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="referrer" content="no-referrer">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{safe(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>",
            f"<h1>{safe(title)}</h1>",
            *parts,
            "</main>\n</body>\n</html>\n",
        ]
    )


def _legend() -> str:
    steps = "".join(
        f'<span style="{_colour(10.0**-power)}">{"1" if not power else f"10<sup>-{power}</sup>"}</span>'
        for power in range(int(STRONGEST) + 1)
    )
    return (
        f'<p class="legend">p-value of a cell given all other cells of its row: {steps}</p>\n<p>The p-value of a row '
        "counts how many held-out rows are at least as odd, so it is never 0.</p>"
    )


def _p(p: float, digits: int) -> str:
    """Return a p-value as text; a dash where there is none."""
    return "-" if math.isnan(p) else f"{p:.{digits}g}"


def _colour(p: float) -> str:
    """Return the background of a cell with a p-value, as CSS."""
    if p != p:
        return "background: #eceff2; color: #6a7480"
    strength = min(1.0, -math.log10(max(p, 1e-300)) / STRONGEST)
    red, green, blue = (round(255 + strength * (end - 255)) for end in (232, 101, 43))
    return f"background: rgb({red}, {green}, {blue})"


def _overview(explanation: Explanation, places: list[int]) -> str:
    """Return the table of all cells of the oddest rows."""
    heads = "".join(f'<th scope="col">{safe(name)}</th>' for name in ("row", "p-value", *explanation.columns))
    lines = []
    for place in places:
        name = f'<th scope="row"><a href="#row{place}">{safe(explanation.rows[place])}</a></th>'
        cells = "".join(_cell(explanation, place, column) for column in range(len(explanation.columns)))
        lines.append(f"<tr>{name}<td>{_p(float(explanation.p_B[place]), 3)}</td>{cells}</tr>")
    body = "\n".join(lines)
    return f'<div class="scroll"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _cell(explanation: Explanation, place: int, column: int) -> str:
    cells, p = explanation.cells, float(explanation.cells.p_BD[place, column])
    found, expected = (
        explanation.shown(float(x_BD[place, column]), column) for x_BD in (cells.found_BD, cells.expected_BD)
    )
    return f'<td style="{_colour(p)}" title="p = {_p(p, 2)}"><b>{safe(found)}</b><small>{safe(expected)}</small></td>'


def _row(explanation: Explanation, place: int) -> str:
    """Return a row's most surprising cells with their intervals."""
    shares_D = explanation.cells.share_BD[place].nan_to_num(-1.0)
    columns = [int(column) for column in shares_D.argsort(descending=True)[:CELLS] if shares_D[column] >= 0]
    lines = "\n".join(_line(explanation, place, column) for column in columns)
    p, rate = float(explanation.p_B[place]), float(explanation.rate_B[place])
    listed = "" if math.isnan(rate) else f"; on the list from a false discovery rate of {rate:.3g} on"
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("column", "found", "expected", "", "p-value", "share"))
    return (
        f'<section id="row{place}"><h3>{safe(explanation.rows[place])}</h3>\n'
        f"<p>Outlier score {float(explanation.score_B[place]):.4g}, p-value {_p(p, 3)}{listed}.</p>\n"
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n'
        "</tbody></table></div></section>"
    )


def _line(explanation: Explanation, place: int, column: int) -> str:
    cells = explanation.cells
    found, expected, low, high = (
        float(x_BD[place, column]) for x_BD in (cells.found_BD, cells.expected_BD, cells.low_BD, cells.high_BD)
    )
    p, share = float(cells.p_BD[place, column]), float(cells.share_BD[place, column])
    shown = [safe(explanation.shown(value, column)) for value in (found, expected, low, high)]
    interval = "" if math.isnan(low) else f" <small>{shown[2]} to {shown[3]}</small>"
    return (
        f'<tr><th scope="row">{safe(explanation.columns[column])}</th><td style="{_colour(p)}"><b>{shown[0]}</b></td>'
        f"<td>{shown[1]}{interval}</td><td>{_drawing(found, expected, low, high)}</td>"
        f"<td>{p:.2g}</td><td>{100 * share:.0f} %</td></tr>"
    )


def _drawing(found: float, expected: float, low: float, high: float) -> str:
    """Return an interval with its median and what was found, as SVG; the scale is the drawing's own."""
    if math.isnan(low) or math.isnan(high):
        return ""
    first, last = min(low, found), max(high, found)
    if not math.isfinite(last - first) or last == first:
        return ""

    def at(value: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * (value - first) / (last - first)

    return (
        f'<svg viewBox="0 0 {WIDTH:g} 16" width="{WIDTH:g}" height="16" aria-hidden="true">'
        f'<line class="interval" x1="{at(low):.1f}" x2="{at(high):.1f}" y1="8" y2="8"/>'
        f'<line class="median" x1="{at(expected):.1f}" x2="{at(expected):.1f}" y1="3" y2="13"/>'
        f'<circle cx="{at(found):.1f}" cy="8" r="4"/></svg>'
    )
