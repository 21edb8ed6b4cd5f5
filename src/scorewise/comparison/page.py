"""The page: one HTML file without anything from elsewhere; the network is forbidden to it."""

import base64
import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scorewise.comparison import curves
from scorewise.comparison.compared import Compared, caveats
from scorewise.comparison.pictures import FEW, MOST, NARROW, WIDTH, PagePicture, picture
from scorewise.comparison.record import Record
from scorewise.comparison.table import BY_EXAMPLES, BY_SEEDS, ComparisonTable, footnotes, table_of_groups, table_of_runs
from scorewise.errors import printable


class Drawn(NamedTuple):
    """A panel as the page shows it.

    Args:
        title: above it.
        svg: the drawing.
        notes: what must be known about it.
    """

    title: str
    svg: Markup
    notes: list[str]


class Key(NamedTuple):
    """An entry of the legend.

    Args:
        group: place of the group that its curves are of.
        label: of the group.
        law: its letter, empty where all runs share one.
        colour: of the curves, as hexadecimal.
        dashes: of the curves, as SVG has them.
    """

    group: int
    label: str
    law: str
    colour: str
    dashes: str


class Card(NamedTuple):
    """A run with its samples.

    Args:
        label: of the run.
        link: to its folder.
        picture: its samples, made small.
        file: link to them as they are.
        others: names of the run's other pictures and links to them.
    """

    label: str
    link: str
    picture: PagePicture
    file: str
    others: list[tuple[str, str]]


def link(path: Path, start: Path) -> str:
    """Return a relative link from a page's folder to a path; nothing in a name is taken for more than a name."""
    relative = os.path.relpath(path.resolve(), start.resolve()).replace(os.sep, "/")
    return "./" + quote(os.fsencode(relative), safe="/")  # bytes: a name need not be UTF-8


def page(compared: Compared, folder: Path, command: str) -> str:
    """Return the HTML of a comparison.

    Args:
        compared: runs.
        folder: where it will be, which its links start from.
        command: the one that makes it.
    """
    parts = Environment(
        loader=PackageLoader("scorewise.comparison", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assert parts.loader is not None
    style, script = (parts.loader.get_source(parts, name)[0] for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    panels, styles = curves.panels(compared), curves.styles(compared)
    runs = table_of_runs(compared)
    return parts.get_template("page.html").render(
        style=Markup(style),
        script=Markup(script),
        script_hash=digest,
        command=command,
        compared=compared,
        caveats=caveats(compared, most=1_000),
        troubled=[(one.label, link(one.path, folder), one.problems) for one in _troubled(compared)],
        panels=[_drawn(panel, i, styles) for i, panel in enumerate(panels[: curves.PANELS])],
        panels_left_out=[panel.title for panel in panels[curves.PANELS :]],
        legend=_legend(compared, panels[: curves.PANELS]),
        tables=_tables(compared, runs),
        links=[link(record.path, folder) for record in compared.records],
        footnotes=footnotes(runs),
        notes={"runs": BY_EXAMPLES, "seeds": BY_SEEDS},
        **_cards(compared, folder),
    )


def _troubled(compared: Compared) -> list[Record]:
    return [record for record in (*compared.unreadable, *compared.records) if record.problems]


def _tables(compared: Compared, runs: ComparisonTable) -> list[tuple[str, str, ComparisonTable]]:
    together = [("seeds", "Seeds together", table_of_groups(compared))] if compared.seeds_repeat else []
    return [*together, ("runs", "Runs", runs)] if compared.records else []


def _drawn(panel: curves.Panel, number: int, styles: dict[int, tuple[str, str]]) -> Drawn:
    svg, notes = curves.draw(panel, number, styles)
    return Drawn(panel.title, Markup(svg), notes)


def _legend(compared: Compared, panels: list[curves.Panel]) -> list[Key]:
    drawn, styles = sorted({line.group for panel in panels for line in panel.lines}), curves.styles(compared)
    keys = []
    for group in drawn:
        colour, dashes = styles[group]
        members = compared.groups[group]
        law = compared.law_of(members.members[0]).letter if len(compared.laws) > 1 else ""
        keys.append(Key(group, compared.label_of(members), law, colour, curves.STYLES[dashes]))
    return keys


def _cards(compared: Compared, folder: Path) -> dict[str, Any]:
    """Return runs with their samples: of every group the first, then the others, up to what a page can hold."""
    first = [group.members[0] for group in compared.groups]
    rest = [place for place in range(len(compared.records)) if place not in set(first)]
    having = [place for place in (*first, *rest) if (compared.records[place].path / "samples.png").is_file()]
    width = WIDTH if len(having) <= FEW else NARROW
    cards = []
    for place in sorted(having[:MOST]):
        record = compared.records[place]
        file = record.path / "samples.png"
        others = sorted(other for other in record.path.glob("*.png") if other != file)
        named = [(printable(other.name), link(other, folder)) for other in others]
        cards.append(Card(record.label, link(record.path, folder), picture(file, width), link(file, folder), named))
    return {"cards": cards, "cards_left_out": max(0, len(having) - MOST)}
