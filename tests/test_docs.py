"""The documentation is whole."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import scorewise
from scorewise.version import __version__

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TEXTS = [*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set(re.findall(r"^([a-z_]+)$", (DOCS / "index.md").read_text(), re.MULTILINE))
    assert {page.stem for page in DOCS.glob("*.md")} == listed | {"index"}


def test_every_picture_of_a_page_is_there() -> None:
    for page in DOCS.glob("*.md"):
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
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
    api = (tmp_path / "api.html").read_text()
    for name in ("scorewise.objectives.CSM", "scorewise.heads.ConditionalScore"):
        assert f'id="{name}"' in api
