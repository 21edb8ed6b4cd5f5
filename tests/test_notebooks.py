"""The notebooks: what they store is whole, and a fresh kernel finds the same."""

import ast
import re
import runpy
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

import scorewise

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "notebooks"
NAMES = sorted(file.stem for file in FOLDER.glob("*.ipynb"))
EXECUTE: dict[str, Any] = runpy.run_path(str(FOLDER / "execute.py"))
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")
CLOSE = 0.1
"""How far a number may be from the stored one, as a share of it and of one: other processors round otherwise."""
CLOSE_CALL = "close-call"
"""The tag of cells whose words may change with rounding: their facts are in the table below."""


def book_of(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_of(book: Any) -> list[Any]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def kinds_of(cell: Any) -> list[tuple[str, ...]]:
    return [(output.output_type, output.get("name", ""), *sorted(output.get("data", ()))) for output in cell.outputs]


def text_of(cell: Any) -> str:
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def numbers_of(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def differences(stored: Any, fresh: Any) -> list[str]:
    """Return where the outputs of a notebook are others than the stored ones."""
    found = []
    for before, now in zip(code_of(stored), code_of(fresh), strict=True):
        first, close_call = before.source.partition("\n")[0], CLOSE_CALL in before.metadata.get("tags", ())
        if kinds_of(before) != kinds_of(now):
            found.append(f"{first}: {kinds_of(before)} became {kinds_of(now)}")
        elif close_call:
            continue
        elif NUMBER.sub("#", text_of(before)) != NUMBER.sub("#", text_of(now)):
            found.append(f"{first}: {text_of(before)} became {text_of(now)}")
        else:
            pairs = zip(numbers_of(text_of(before)), numbers_of(text_of(now)), strict=True)
            far = [pair for pair in pairs if abs(pair[0] - pair[1]) > CLOSE * (1 + abs(pair[0]))]
            found += [f"{first}: {old} became {new}" for old, new in far]
    return found


def table(text: str, *rows: str) -> list[float]:
    """Return the number in every row that begins with a word."""
    return [numbers_of(re.findall(rf"^ *{re.escape(row)}\s+(.*)$", text, re.MULTILINE)[0])[-1] for row in rows]


def scores_are_learned(text: str) -> bool:
    divergences, likelihoods = text[text.index("no arrows") :], text[text.index("truth") :]
    nothing, *six = table(divergences, "no arrows", "sm", "ssm_vr", "dsm", "csm", "csm_dsm", "mle")
    truth, *three = table(likelihoods, "truth", "csm", "csm_dsm", "mle")
    return max(six) < nothing / 5 and all(truth - 0.02 < nll < truth + 0.1 for nll in three)


def odd_wines_are_found(text: str) -> bool:
    (share,) = re.findall(r"in (\d+)% of pairs", text)
    wines, new = (
        table(text, "from a wine to the nearest other wine:"),
        table(text, "from a new row to the nearest wine:"),
    )
    return int(share) > 85 and "wine 122: outlier score" in text and new > wines


def images_are_restored(text: str) -> bool:
    ((noisy, restored),) = re.findall(r"noisy ([\d.]+) dB, restored ([\d.]+) dB", text)
    shares = [float(share) for share in re.findall(r"in ([\d.]+)% of pairs", text)]
    return float(restored) > float(noisy) + 3 and len(shares) == 2 and min(shares) > 80


FACTS: dict[str, Callable[[str], bool]] = {
    "images": images_are_restored,
    "scores_in_one_hour": scores_are_learned,
    "your_own_table": odd_wines_are_found,
}


def facts_hold(name: str, book: Any) -> bool:
    return FACTS[name]("\n".join(map(text_of, code_of(book))))


def test_every_notebook_has_its_facts_and_its_place_in_the_documentation() -> None:
    assert sorted(FACTS) == NAMES
    contents = (FOLDER.parent / "index.md").read_text()
    assert all(f"\nnotebooks/{name}\n" in contents and f"(notebooks/{name}.ipynb)" in contents for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_notebook_is_whole(name: str) -> None:
    book = book_of(name)
    nbformat.validate(book)
    cells = code_of(book)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert {output.name for output in outputs if output.output_type == "stream"} == {"stdout"}
    assert sum("image/png" in output.get("data", ()) for output in outputs) >= 2
    assert facts_hold(name, book)


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_notebook_tells_nothing_of_a_machine_or_a_clock(name: str) -> None:
    book = book_of(name)
    said = "\n".join([*map(text_of, code_of(book)), *(cell.source for cell in book.cells)])
    assert not re.search(r"(?<![\w.])(/|~/|[A-Z]:\\)\w+/", said)
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", said), "a bar that moves, or colours of a terminal"
    assert not re.search(r"\d ?(ms|s|min|it/s)\b|\bWarning\b|\bwarning:", "\n".join(map(text_of, code_of(book))))
    assert set(book.metadata) == {"kernelspec", "language_info"}
    assert {key for cell in book.cells for key in cell.metadata} <= {"tags"}


@pytest.mark.parametrize("name", NAMES)
def test_the_code_parses_and_what_it_imports_is_there(name: str) -> None:
    nodes = [node for cell in code_of(book_of(name)) for node in ast.walk(ast.parse(cell.source))]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports
    for node in imports:
        exec(ast.unparse(node), {})


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", "\n".join(cell.source for cell in book_of(name).cells))
    assert links
    assert all((FOLDER / link).is_file() for link in links)


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        ("nll 3.65", "nll 3.66", False),
        ("nll 3.65", "nll 4.65", True),
        ("nll 3.65", "nll -3.65", True),
        ("1,000 steps", "100 steps", True),
        ("nll 3.65", "csm 3.65", True),
    ],
)
def test_another_output_is_noticed(old: str, new: str, differ: bool) -> None:
    stored = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("show()")])
    stored.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text=old)]
    fresh = deepcopy(stored)
    fresh.cells[0].outputs[0].text = new
    assert bool(differences(stored, fresh)) is differ
    fresh.cells[0].outputs[0].name = "stderr"
    assert differences(stored, fresh)


@pytest.mark.parametrize("name", NAMES)
def test_facts_that_do_not_hold_are_noticed(name: str) -> None:
    text = "\n".join(map(text_of, code_of(book_of(name))))
    wrong = {
        "images": (r"restored \d", "restored 1"),
        "scores_in_one_hour": (r"no arrows  \d", "no arrows  0"),
        "your_own_table": (r"nearest wine:    \d", "nearest wine:    1"),
    }
    changed = re.sub(*wrong[name], text)
    assert changed != text
    assert not FACTS[name](changed)


def test_a_training_in_a_notebook_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[list[str]] = []

    class Shown:
        def update(self, bundle: dict[str, str], raw: bool) -> None:
            assert raw
            lines[-1].append(bundle["text/plain"])

    def display(bundle: dict[str, str], raw: bool, display_id: bool) -> Shown:
        assert raw
        assert display_id
        lines.append([bundle["text/plain"]])
        return Shown()

    page = ModuleType("IPython.display")
    page.display = display  # type: ignore[attr-defined]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython.display", page)
    settings: dict[str, Any] = {"backbone__hidden": [8], "data__held_out": 100, "trainer__max_steps": 12}
    settings |= {"data__examples_per_epoch": 2048, "data__batch_size": 512}
    for objective in ("dsm", "mle"):
        scorewise.fit("toy2d", objective=objective, name=objective, quiet=True, **settings)
    assert len(lines) == 2
    for name, told in zip(("dsm", "mle"), lines, strict=True):
        assert told[0] == f"{name}: step 0 of 12"
        assert re.fullmatch(rf"{name}: step 3 of 12, train/loss -?[\d.]+", told[3])
        assert re.fullmatch(rf"{name}: 12 steps, train/loss -?[\d.]+, val/loss -?[\d.]+", told[-1])
        assert len(told) == 14


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_kernel_finds_the_same(name: str, tmp_path: Path) -> None:
    stored, before = book_of(name), EXECUTE["processor_seconds"]()
    fresh = EXECUTE["executed"](FOLDER / f"{name}.ipynb", tmp_path)
    assert not differences(stored, fresh)
    assert facts_hold(name, fresh)
    assert EXECUTE["processor_seconds"]() - before < 120
