"""docs/options.md: every setting of every option, with its default, what it may be and what it is.

    python docs/options.py

Defaults and meanings are those of the files in `conf/`, ranges those that the classes are annotated with.
"""

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import yaml

from scorewise import catalog
from scorewise.config.grouped import holders
from scorewise.config.settings import BESIDE_CLASSES
from scorewise.files import put_text
from scorewise.ranges import Kind, kinds
from scorewise.store import import_class

PAGE = Path(__file__).parent / "options.md"
HEAD = """# Options

Written by `make results` from the files in `conf/` and from what the classes say of their parameters. An option is
chosen by its group, `objective=dsm`; a setting is typed behind the group, `objective.sigma=0.2`. A default such as
`${data.smoothing}` follows that other setting; `null` leaves the choice to the program, as the meaning says.
"""
COMMANDS = ("train", "eval", "predict", "sample", "reproduce", "features", "tune", "dashboard")
GROUPS = (
    *("objective", "backbone", "head", "data", "sampler", "likelihood", "task", "latent", "optim", "trainer"),
    *("callbacks", "logger", "launcher", "sweep", "debug", "experiment"),
)
LEFT_OUT = ("figure", "paths")
"""Groups that have pages of their own (docs/reproducing.md), or hold the places of this machine alone."""


class Setting(NamedTuple):
    """A setting as a file of `conf/` has it: the name that is typed, its default, and the comment beside it."""

    name: str
    default: str
    comment: str


def comment_in(line: str) -> str:
    """Return the comment of a line of YAML."""
    return line.partition(" # ")[2].strip() if " # " in line else ""


def leaves(node: Any, lines: list[str], above: str = "") -> Iterator[Setting]:
    """Give the settings of a mapping, one by one, with the names of those around them in front."""
    for key, value in node.value:
        name = f"{above}{key.value}"
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from leaves(value, lines, f"{name}.")
        elif key.value not in ("_target_", "defaults"):
            first, last = value.start_mark, value.end_mark
            written = "\n".join(lines)[first.index : last.index]
            yield Setting(name, " ".join(written.split()) or "null", comment_in(lines[key.start_mark.line]))


def settings_in(file: Path) -> list[Setting]:
    """Return the settings of a file of `conf/`."""
    text = file.read_text(encoding="utf-8")
    node = yaml.compose(text)
    return list(leaves(node, text.splitlines())) if node else []


def above_settings(file: Path) -> str:
    """Return the comment that a file of `conf/` begins with."""
    said = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        said.append(line.lstrip("# "))
    return " ".join(one for one in said if not one.startswith("@package"))


def described(owners: tuple[Any, ...]) -> dict[str, str]:
    """Return what the docstrings of classes, and of those that they extend, say of their parameters."""
    found: dict[str, str] = {}
    for one in (base for owner in owners for base in inspect.getmro(owner)):
        for part in (inspect.getdoc(one) or "").partition("Args:\n")[2:]:
            arguments = part.partition("\n\n")[0]
            for names, text in re.findall(r"^    ([\w, ]+): (.*(?:\n {6,}.*)*)", arguments, re.MULTILINE):
                for name in names.split(", "):
                    found.setdefault(name, " ".join(text.split()))
    return found


def words_of(may_be: tuple[Kind, ...]) -> str:
    """Return what a parameter may be; nothing where that is not checked."""
    checked = [kind for kind in may_be if kind.checked and kind.type is not type(None)]
    names = [str(name) for kind in may_be if get_origin(kind.type) is Literal for name in get_args(kind.type)]
    words = [*(kind.words() for kind in checked), *([f"one of {', '.join(names)}"] if names else [])]
    null = any(kind.type is type(None) for kind in may_be)
    return " or ".join([*words, "null"] if words and null else words)


def cell(text: str) -> str:
    """Return a text for a cell of a table."""
    return text.replace("|", "\\|")


def table(settings: list[Setting], ranges: Mapping[str, tuple[Kind, ...]], meanings: Mapping[str, str]) -> list[str]:
    """Return the table of some settings, in Markdown."""
    lines = ["| setting | default | may be | meaning |", "|---|---|---|---|"]
    for one in settings:
        may_be, meaning = words_of(ranges.get(one.name, ())), one.comment or meanings.get(one.name, "")
        lines.append(f"| `{one.name}` | `{cell(one.default)}` | {cell(may_be)} | {cell(meaning)} |")
    return [*lines, ""]


def owners_of(group: str, file: Path) -> tuple[Any, ...]:
    """Return the classes whose parameters the settings of an option are."""
    target = catalog.options(group)[file.stem].get("_target_", "none")
    classes = () if target in catalog.STANDS_IN or group == "trainer" else holders(import_class(target))
    return (*classes, *((BESIDE_CLASSES[group],) if group in BESIDE_CLASSES else ()))


def option(group: str, file: Path) -> list[str]:
    """Return the part of the page about one option."""
    owners = owners_of(group, file)
    said = above_settings(file) or next((inspect.getdoc(one) or "" for one in owners[:1]), "").partition("\n")[0]
    lines = [f"### `{group}={file.stem}`", "", *([said, ""] if said else [])]
    ranges = {name: kind for owner in owners for name, kind in kinds(owner).items()}
    settings = settings_in(file)
    return [*lines, *(table(settings, ranges, described(owners)) if settings else [])]


def command(name: str) -> list[str]:
    """Return the part of the page about the settings of one command; those of Hydra are not for its users."""
    settings = [one for one in settings_in(catalog.folder() / f"{name}.yaml") if not one.name.startswith("hydra.")]
    return [f"### `{name}`", "", *table(settings, {}, {})] if settings else []


def page() -> str:
    """Return the whole page."""
    lines = [HEAD]
    for group in GROUPS:
        default = catalog.default_options("train").get(group)
        lines += [f"## {group}", "", *([f"By default `{group}={default}`.", ""] if default else [])]
        for file in sorted((catalog.folder() / group).glob("*.yaml")):
            lines += option(group, file)
    lines += ["## Settings of commands", ""]
    for name in COMMANDS:
        lines += command(name)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    put_text(PAGE, page())
    print(PAGE)
