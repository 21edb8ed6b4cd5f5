"""The documentation is whole."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = set(re.findall(r"^([a-z_]+)$", (DOCS / "index.md").read_text(), re.MULTILINE))
    assert {page.stem for page in DOCS.glob("*.md")} == listed | {"index"}


def test_every_picture_of_a_page_is_there() -> None:
    for page in DOCS.glob("*.md"):
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            assert (DOCS / picture).is_file(), f"{page.name}: {picture}"


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
