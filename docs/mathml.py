"""Formulas as MathML, which browsers typeset by themselves: no script, no font and no network."""

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


def typeset(latex: str, block: bool) -> str:
    """Return a formula as MathML.

    Args:
        latex: the formula, without dollars.
        block: whether it stands on lines of its own.

    Raises:
        ExtensionError: it holds what the converter does not know.
    """
    try:
        return str(tex2mathml(latex.strip(), as_block=block))
    except MathError as fault:
        raise ExtensionError(f"the formula {latex.strip()} cannot be typeset: {fault}") from fault


def inline(translator: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    translator.body.append(typeset(node.astext(), block=False))
    raise nodes.SkipNode


def display(translator: Any, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, with a bar to scroll it in a narrow window."""
    translator.body.append(f'<div class="math">{typeset(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx write formulas by the functions above."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
