"""What the pages show to be typed: every block of README and docs, and the commands in them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]
SHELL = ("bash", "sh", "console", "zsh")
PROGRAM = re.compile(r"(?:(?:\S*python|torchrun .*?) src/(\w+)\.py|^scorewise (\w+))(?= |$)(.*)$")
"""A command of ours, with the words before it left out."""


class Block(NamedTuple):
    """A block of a page.

    Args:
        page: its name, `README` or that of a file of docs/ without its end.
        language: behind its fence; `indented` where it has none.
        text: in it.
    """

    page: str
    language: str
    text: str


class Typed(NamedTuple):
    """A line that is typed into a shell.

    Args:
        page: that shows it.
        line: without its comment.
    """

    page: str
    line: str

    @property
    def program(self) -> str:
        """The name of our command in it, empty where there is none."""
        found = PROGRAM.search(self.line)
        return (found[1] or found[2]) if found else ""

    @property
    def words(self) -> list[str]:
        """What is typed behind our command."""
        found = PROGRAM.search(self.line)
        return shlex.split(found[3].removesuffix(')"')) if found else []


def name_of(page: Path) -> str:
    return page.stem if page.parent == ROOT else str(page.relative_to(DOCS).with_suffix(""))


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, and those indented ones that show a command of ours."""
    text, found = page.read_text(), []
    for indent, language, content in re.findall(r"^( *)```([^\n]*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE):
        plain = "\n".join(line.removeprefix(indent) for line in content.splitlines())
        found.append(Block(name_of(page), language.strip(), plain))
    without = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
    for content in re.findall(r"(?:^    \S.*\n(?: {4,}\S.*\n)*)", without, re.MULTILINE):
        if "src/" in content:
            found.append(Block(name_of(page), "indented", re.sub(r"^    ", "", content, flags=re.MULTILINE)))
    return found


def typed_in(block: Block) -> list[Typed]:
    """Return the lines of a block that are typed; where there are prompts, those behind them."""
    text = re.sub(r" *\\\n *", " ", block.text)
    lines = [line for line in text.splitlines() if line.strip()]
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    elif block.language not in (*SHELL, "indented"):
        return []
    found = [re.sub(r"(^|\s+)#(?!!|SBATCH).*$", "", line).strip() for line in lines]
    return [Typed(block.page, line) for line in found if line]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
TYPED = [typed for block in BLOCKS for typed in typed_in(block)]
