"""The words of --help. Importing this imports neither torch nor Hydra."""

import ast
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

from scorewise import catalog

COMMANDS = {
    "train": "train one model, test it, and draw samples",
    "eval": "test a finished run again, or under another task",
    "predict": "restore, encode or score your own images or rows with a finished run",
    "sample": "draw images or rows from a finished run",
    "reproduce": "reproduce one figure or table of the papers",
    "features": "train the classifier whose features FID and KID compare",
    "tune": "search settings by the validation loss",
    "dashboard": "lay out a comparison in Weights & Biases",
    "compare": "put runs side by side: a table, CSV files and a page",
}
"""Every command in one line."""
EXAMPLES = {
    "train": (
        "objective=csm backbone=made data=digits",
        "-m objective=dsm objective.sigma=0.05,0.1,0.3",
        "data=table data.path=my.csv head=mixture objective=mle",
    ),
    "eval": (
        "run=runs/csm-made-digits/8a94bdb6",
        "run=runs/csm-made-digits/8a94bdb6 task=denoising",
        "run=runs/csm-made-mnist/1f0c2ab9 task=ood 'task.out=[fashion_mnist]'",
    ),
    "predict": (
        "run=runs/csm-made-mnist/1f0c2ab9 input=photos/",
        "run=runs/csm-made-table/77aa01c2 input=more.csv",
        "run=runs/csm-made-table/77aa01c2 input=more.csv task=ood",
    ),
    "sample": (
        "run=runs/csm-made-digits/8a94bdb6 n=64",
        "run=runs/csm-made-digits/8a94bdb6 denoise=true seed=1",
        "run=runs/csm-made-table/77aa01c2 output=synthetic/",
    ),
    "reproduce": ("figure=fig1b", "figure=fig3b budget=tiny", "figure=table1 budget=gpu"),
    "features": ("data=mnist", "data=cifar10 trainer=gpu", "data=fashion_mnist seed=1"),
    "tune": (
        "objective=csm data=digits study.trials=20",
        "data=digits '+study.space.optim.clip={low: 0.1, high: 10, log: true}'",
        "data=digits study.sampler=random study.pruner=none",
    ),
    "dashboard": (
        "project=scorewise group=digits",
        "group=digits objectives=[csm,dsm]",
        "group=digits save=workspace.json",
    ),
}
"""What may be typed behind a command."""
GROUPS = {
    "data": "what is modelled",
    "backbone": "the network",
    "head": "what the network's outputs stand for: scores, an energy, a density",
    "objective": "what is minimised",
    "latent": "the latents of a VAE, with task=implicit_vae",
    "sampler": "how samples are drawn",
    "likelihood": "what normalises models without a normaliser",
    "task": "what is trained for, and tested",
    "optim": "the optimiser",
    "trainer": "the machine and how long (lightning.Trainer)",
    "logger": "a tracker beside metrics.csv",
    "callbacks": "saving, pictures, stopping",
    "launcher": "where the runs of a sweep are",
    "experiment": "several choices under one name",
    "sweep": "several runs under one name",
    "debug": "short runs that look for errors",
    "paths": "folders of this machine",
    "figure": "what is reproduced",
}
"""Every group of options in one line."""
SETTING = re.compile(r"( *)(\w+): *([^#]*?) *(?:# *(.*))?")


def overview() -> str:
    """Return what `scorewise --help` says."""
    lines = [f"  {name:10} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: scorewise COMMAND [group=option ...] [setting=value ...]",
            *lines,
            "More: scorewise COMMAND --help; the release: scorewise --version",
        ]
    )


def usage(command: str) -> str:
    """Return what a command's --help says: examples, its own settings, and one line per group and option."""
    width = max(60, shutil.get_terminal_size((100, 24)).columns)
    parts = [f"{COMMANDS[command].capitalize()}.", "", "examples:"]
    parts += [f"  python src/{command}.py {words}" for words in EXAMPLES[command]]
    if settings := [_line(f"{name}={value}", text, width) for name, value, text in _settings(command)]:
        parts += ["", "settings (??? must be given):", *settings]
    chosen = catalog.default_options(command)
    if groups := [group for group in GROUPS if group in chosen and (group != "latent" or "task" in chosen)]:
        parts += ["", "groups and their options (* is taken where none is typed):"]
        parts += [line for group in groups for line in _group(group, chosen[group], width)]
    return "\n".join([*parts, "", "All settings of what is typed: --cfg job. Hydra's own options: --hydra-help."])


def _line(name: str, text: str, width: int) -> str:
    """Return a name with what it is, in as many lines as it takes."""
    filled = textwrap.fill(text, width, initial_indent=f"  {name:24} ", subsequent_indent=" " * 27)
    return filled or f"  {name}"


def _group(group: str, default: str | None, width: int) -> Iterator[str]:
    yield f"{group}: {GROUPS[group]}"
    for name, option in catalog.options(group).items():
        text = _meaning(group, name, str(option.get("_target_", "")))
        yield f"  {name + ('*' if name == default else ''):24} {textwrap.shorten(text, width - 27, placeholder=' ...')}"


def _settings(command: str) -> Iterator[tuple[str, str, str]]:
    """Return the command's own settings: name, default, and what the comments of its file say."""
    found: list[tuple[str, str, str]] = []
    section, mine = "", False
    for line in catalog.lines_of(f"{command}.yaml"):
        if mine and found and (more := re.fullmatch(r" *# *(.*)", line)):
            found[-1] = (*found[-1][:2], f"{found[-1][2]} {more[1]}".strip())
        elif match := SETTING.fullmatch(line):
            indent, name, value, text = match.groups()
            if not indent:
                section, mine = ("" if value else name), name not in ("defaults", "hydra")
            if mine and value and len(indent) in (0, 2):
                found.append((f"{section}.{name}" if indent else name, value, text or ""))
    yield from found


def _meaning(group: str, name: str, target: str) -> str:
    """Return the first line about an option: that of its class, or the first comment of its file."""
    lines = catalog.lines_of(f"{group}/{name}.yaml")
    comments = [line[1:].strip() for line in lines if line.startswith("#") and "@package" not in line]
    return next((text for text in (*comments, _first_line(target)) if text), "")


def _first_line(target: str) -> str:
    """Return the first line of a class's docstring, without importing it."""
    module, _, name = target.rpartition(".")
    file = Path(catalog.__file__).parents[1] / f"{module.replace('.', '/')}.py"
    if not file.is_file():
        return ""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
