"""Configuration of Sphinx: make docs."""

import sys
from pathlib import Path

from scorewise import __version__

sys.path.insert(0, str(Path(__file__).parent))  # mathml.py

project = "Scorewise"
author = "the Scorewise developers"
copyright = "the Scorewise developers"
release = version = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "mathml"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "notebooks/runs"]
nb_execution_mode = "off"  # what they show is stored: make notebooks
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "dollarmath"]
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"Scorewise {release}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["scorewise.css"]


def _plain(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Take the docstrings' formulas for what they are: |x|, *shape and a leading minus are no markup."""
    for i, line in enumerate(lines):
        text = line.lstrip()
        if text.startswith((">>>", "...")):
            continue
        indent, bullet = line[: len(line) - len(text)], "* " if text.startswith("* ") else ""
        text = text.removeprefix(bullet).replace("|", r"\|").replace("*", r"\*").replace(": - ", r": \- ")
        text = rf"\{text}" if text.startswith("- ") else text
        lines[i] = indent + bullet + text.replace("Class attributes:", "Attributes:")


def setup(app: object) -> None:
    """Let Sphinx call `_plain` for every docstring."""
    app.connect("autodoc-process-docstring", _plain, priority=400)  # type: ignore[attr-defined]
