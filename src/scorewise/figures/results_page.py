"""docs/results.md: the numbers of all figures, built from docs/results/*.json; nothing in it is typed by hand."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scorewise import catalog
from scorewise.files import put_text

HEAD = """# Results

Built by `make results` from `docs/results/*.json`; each of those was written by the command beside its picture.
A claim that falls short stays here with what was measured. "budget" says how long a figure was allowed to train.
"""

SPEED_BEGINS, SPEED_ENDS = "<!-- benchmarks, by make results -->", "<!-- end of benchmarks -->"
"""Between them the table of benchmarks in docs/performance.md is written."""


def ordered() -> dict[str, dict[str, Any]]:
    """Return the settings of all figures by name, in the order of the page: by `place`, those without one last."""
    figures = catalog.options("figure")
    return {name: figures[name] for name in sorted(figures, key=lambda name: figures[name].get("place", math.inf))}


def not_measured() -> dict[str, dict[str, str]]:
    """Return why figures that are set up were not run, and the smallest budget that would say something, by name."""
    return {name: figure["not_measured"] for name, figure in ordered().items() if "not_measured" in figure}


def cell(value: Any) -> str:
    """Return a table cell: numbers with four significant digits."""
    return f"{value:,.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def table(found: Mapping[str, Any]) -> list[str]:
    """Return a table with its caption, in Markdown."""
    columns = " | ".join(cell(name) for name in found["columns"])
    lines = [found["caption"], "", f"| {columns} |", "|" + "---|" * len(found["columns"])]
    return [*lines, *(f"| {' | '.join(cell(value) for value in row)} |" for row in found["rows"]), ""]


def section(found: Mapping[str, Any]) -> list[str]:
    """Return one figure, in Markdown."""
    name = found["figure"]
    trained = f"{found['minutes_of_training']:g} minutes of training, " if found["minutes_of_training"] else ""
    lines = [f"## {name}: {found['title']}", "", f"`{found['command']}` ({trained}{found['machine']})", ""]
    lines += [f"![{name}](figures/{name}.png)", ""]
    for part in found["tables"]:
        lines += table(part)
    for claim in found["claims"]:
        lines.append(
            f"- **{'holds' if claim['holds'] else 'falls short'}**: {claim['sentence']} ({claim['measured']})."
        )
    lines.append("")
    for note in found["notes"]:
        lines += [note, ""]
    return lines


def page(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the whole page; figures that it does not know come last."""
    places = {name: place for place, name in enumerate(ordered())}
    known = sorted(results, key=lambda found: places.get(found["figure"], len(places)))
    lines = [HEAD, "| figure | claims that hold | command |", "|---|---|---|"]
    for found in known:
        holding = sum(claim["holds"] for claim in found["claims"])
        lines.append(
            f"| [{found['figure']}](#{_anchor(found)}) | {holding} of {len(found['claims'])} | `{found['command']}` |"
        )
    measured = {found["figure"] for found in results}
    for name, why in not_measured().items():
        if name not in measured:
            command = f"python src/reproduce.py figure={name} budget={why['budget']}"
            lines.append(f"| {name} | not measured here: {why['reason']} | `{command}` |")
    lines.append("")
    for found in known:
        lines += section(found)
    return "\n".join(lines).rstrip() + "\n"


def speed(benchmarks: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of benchmarks: one row per claim, with its goal and whether it was reached."""
    lines = ["| ratio | measured [quartiles] | goal | command |", "|---|---|---|---|"]
    for found in benchmarks:
        for row in found["rows"]:
            spread = f" [{row['low']:.3g}, {row['high']:.3g}]" if row["low"] != row["high"] else ""
            verdict = "" if row["ratio"] <= row["goal"] else ", missed"
            claim = row["claim"].replace("|", "\\|")
            goal = f"<= {row['goal']:g}{verdict}"
            lines.append(f"| {claim} | {row['ratio']:.3g}{spread} | {goal} | `{found['command']}` |")
    return "\n".join(lines) + "\n"


def with_speed(text: str, benchmarks: Sequence[Mapping[str, Any]]) -> str:
    """Return a page whose table of benchmarks is made anew."""
    before, _, rest = text.partition(SPEED_BEGINS)
    _, _, after = rest.partition(SPEED_ENDS)
    return f"{before}{SPEED_BEGINS}\n{speed(benchmarks)}{SPEED_ENDS}{after}" if rest else text


def read(folder: Path) -> list[dict[str, Any]]:
    """Return every JSON file of a folder, by name."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]


def _anchor(found: Mapping[str, Any]) -> str:
    heading = f"{found['figure']}: {found['title']}".lower()
    return "".join(letter for letter in heading.replace(" ", "-") if letter.isalnum() or letter in "-_")


def main(docs: Path) -> int:
    """Write results.md; the exit status says whether there was anything to write."""
    results = read(docs / "results")
    if not results:
        print(f"{docs / 'results'} holds no results: run python src/reproduce.py figure=fig2 first.", file=sys.stderr)
        return 1
    put_text(docs / "results.md", page(results))
    print(docs / "results.md")
    speeds, benchmarks = docs / "performance.md", read(docs / "benchmarks")
    if speeds.is_file() and benchmarks:
        put_text(speeds, with_speed(speeds.read_text(), benchmarks))
        print(speeds)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path("docs")))
