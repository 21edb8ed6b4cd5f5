"""The documentation is whole."""

import importlib
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from sphinx.errors import ExtensionError

import scorewise
from scorewise import catalog
from scorewise.extras import MissingExtra
from scorewise.version import __version__

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [page for page in DOCS.rglob("*.md") if "_build" not in page.parts]
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def test_every_page_is_in_the_table_of_contents() -> None:
    contents = (DOCS / "index.md").read_text() + (DOCS / "api.md").read_text()
    listed = re.findall(r"^([a-z_/]+)$", contents, re.MULTILINE)
    pages = [*PAGES, *DOCS.glob("notebooks/*.ipynb")]
    assert sorted(str(page.relative_to(DOCS).with_suffix("")) for page in pages) == sorted([*listed, "index"])


def test_every_picture_of_a_page_is_there() -> None:
    for page in PAGES:
        for picture in re.findall(r"(?:!\[[^\]]*\]\(|{figure} )([^)\s]+)", page.read_text()):
            assert (DOCS / picture).is_file(), f"{page.name}: {picture}"


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.stem)
def test_every_name_of_a_page_is_there(page: Path) -> None:
    text = page.read_text()
    imported = {
        f"{module}.{name}"
        for module, names in re.findall(r"^ *from (scorewise[\w.]*) import ([\w, ]+)$", text, re.MULTILINE)
        for name in names.split(", ")
    }
    for name in imported | set(re.findall(r"\bscorewise(?:\.[A-Za-z_]\w*)+(?![\w/*])", text)):
        found: Any = scorewise
        with suppress(MissingExtra):  # that names what is not installed here
            for part in name.split(".")[1:]:
                if isinstance(found, ModuleType) and not hasattr(found, part):
                    importlib.import_module(f"{found.__name__}.{part}")
                found = getattr(found, part)


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.stem)
def test_every_file_of_a_page_is_there(page: Path) -> None:
    begins = "src|conf|tests|docs|examples|benchmarks"
    for name in set(re.findall(rf"(?<![\w/])(?:{begins})/[\w/]+\.(?:py|yaml|md|json|png)\b", page.read_text())):
        assert (ROOT / name).is_file() or Path(name).stem == "x", name


def test_the_changelog_begins_with_this_release() -> None:
    coming, *released = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert __version__.removesuffix(".dev0") == coming
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == (released[0] if __version__.endswith(".dev0") else coming)


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    strictly = ["-q", "-W", "--keep-going", "-b", "html"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *strictly, str(DOCS), str(tmp_path)], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    for name in ("objectives.CSM", "heads.ConditionalScore", "capabilities.ScoreModel.score"):
        assert f'id="scorewise.{name}"' in (tmp_path / f"api/{name.partition('.')[0]}.html").read_text()
    for name in ("index", "concepts"):
        assert "<math" in (tmp_path / f"{name}.html").read_text(), "formulas are typeset without a script"
    for page in tmp_path.rglob("*.html"):
        assert not re.search(r"<(?:script|img|link)[^>]*(?:src|href)=.https?:", page.read_text()), (
            "a page needs no network"
        )


def test_the_page_of_options_is_what_conf_and_the_classes_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import options

    page = options.page()
    assert page == (DOCS / "options.md").read_text(), "make results writes it"
    for group in set(catalog.groups()) - set(options.LEFT_OUT):
        assert group in options.GROUPS
        for name in catalog.options(group):
            assert f"### `{group}={name}`" in page


def test_a_formula_that_cannot_be_typeset_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import mathml

    assert "<mfrac>" in mathml.typeset(r"\frac{1}{2}", block=True)
    with pytest.raises(ExtensionError, match="cannot be typeset"):
        mathml.typeset(r"\nothing", block=False)
