"""Everything that README and docs show to be typed is run with a small budget, or it is said here why not.

The quick tests compose every command; the slow ones type whole pages, one line after another in one folder.
"""

import ast
import re
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from pages import BLOCKS, DOCS, PAGES, ROOT, SHELL, TYPED, Block, Typed, name_of, typed_in
from PIL import Image
from test_compose import config_of, settled

from scorewise import catalog
from scorewise.commands.commands import commands, compare
from scorewise.commands.implied import with_options
from scorewise.comparison.command import asked
from scorewise.data.images import FashionMnist, Mnist

Command = Callable[..., Outcome]
MAKEFILE = (ROOT / "Makefile").read_text()
MAKE = re.compile(r"^(?:\w+=\S+ )?make ([a-z-]+)((?: [A-Z]+=\S+)*)$")
SHOWN = {"", "text", "yaml"}
"""Languages of what is read and not typed; directives begin with a brace."""
EXPLAINED = {
    "make setup": "makes the environment that this test runs in",
    "UV_TORCH_BACKEND=cpu make setup": "the same",
    "make results": "test_docs.py and test_readme.py hold that its pages are what it writes",
    ".venv/bin/python -m hatchling build": "test_package.py builds the wheel",
    "pip install 'scorewise[all] @ file:": "needs a package index; test_package.py trains from the wheel",
    "wandb sync": "needs an account",
    "#!/bin/bash": "a file that SLURM reads, as are the lines behind it",
    "#SBATCH": "read by SLURM",
}
"""Lines that are none of our commands, by how they begin."""
ELSEWHERE = {
    "README": "test_readme.py::test_three_commands_print_what_is_shown",
    "own_objective": "test_readme.py::test_the_worked_example",
    "extending": "test_own_pieces.py::test_the_backbone_of_the_page",
}
"""Pages that another test types."""
NOT_RUN = {
    "PYTHONPATH=my": "test_readme.py::test_the_worked_example",
    "PYTHONPATH=examples/own": "test_own_pieces.py::test_every_example_is_trained_and_used",
    "trainer=ddp trainer.accelerator=cpu": "test_ddp.py::test_two_processes_end_with_the_weights_of_one",
    "launcher=local": "test_launchers.py::test_fifty_runs_side_by_side_leave_fifty_run_folders_and_nothing_else",
    "figure=fig2": "test_figures.py::test_a_tiny_budget_runs_and_shows_the_direction",
    "trainer=ddp": "needs several GPUs",
    "launcher=slurm": "needs SLURM",
    "logger.mode=online": "needs an account",
    "vae_celeba": "needs the images of CelebA",
    "-sc install=bash": "test_typed.py::test_completion_can_be_installed",
    "=...": "stands for several commands",
}
"""Our commands that are composed here, and run by another test or not at all, by what they contain."""
FIRST: dict[str, tuple[str, ...]] = {
    "compare": ("", "experiment=gaussian_digits", "-m objective=dsm objective.sigma=0.1,0.05"),
    "outliers": ("data=mnist",),
    "sample_quality": ("data=mnist",),
}
"""What is trained before a page is typed that begins with finished runs."""
TINY = ("debug=tiny", "paths.runs=runs")
WIDE = ("likelihood=quadrature", "likelihood.low=-9", "likelihood.high=9")
FEW_CHAINS = ["task.test_size=2", "task.temperatures=4", "task.chains=2", "task.simulated=0"]
FEW_STEPS = (
    "likelihood=block_flow_ode",
    "likelihood.values=1",
    "likelihood.steps=2",
    "sampler=block_flow",
    "sampler.steps=2",
)
SMALL: dict[str, tuple[str, ...]] = {
    "train": TINY,
    "train ": (*TINY, *WIDE),
    "train sweep=dsm_sigma": (*TINY, "likelihood=none"),
    "train data=mnist": (*TINY, *WIDE),
    "train task=ood": (*TINY, *WIDE, "task.images=8", "task.likelihood_images=2", "task.resamples=9"),
    "train experiment=blocks_mnist": (*TINY, *FEW_STEPS),
    "train experiment=vae_mnist": (*TINY, "latent.z=2", "latent.hidden=[8]", *FEW_CHAINS),
    "tune": (*TINY, "study.trials=1", "trainer.max_steps=-1", "trainer.max_epochs=1", "trainer.limit_train_batches=4"),
    "features": ("data.epochs=1", "extractor.channels=4"),
    "dashboard": ("save=layout.json",),
    "sample": ("n=10",),
    "eval": ("trainer.limit_test_batches=1",),
    "eval task=denoising": ("task.images=4",),
    "eval task=ood": ("task.images=8", "task.likelihood_images=2", "task.resamples=9"),
    "eval task=sample_quality": ("task.samples=20", "task.batch=20", "task.subsets=2", "task.shown=4"),
}
"""What makes a command small, by its name and a word of it, or its name and a blank where it has none."""
BEFORE = {
    "library": "import torch\nx = torch.zeros(4, 2)\n",
    "sample_quality": (
        "import scorewise\nfrom scorewise.data import Mnist\nsource, model = Mnist(), scorewise.load(RUN)\n"
    ),
    "vae": "import scorewise, torch\nimages = torch.zeros(3, 1, 28, 28)\n",
}
"""What a block of Python takes for granted."""
MADE = {
    "first_hour": (
        *("runs/comparison.html", "runs/*/*/samples/samples.png"),
        *("runs/*/*/predictions/densities.csv", "runs/*/*/samples/samples.csv"),
    ),
    "compare": ("runs/comparison.html", "reports/sweep/comparison.csv"),
    "sample_quality": ("cache/features/mnist-*", "runs/*/*/sample_quality-20-test-*.json"),
    "your_data": ("runs/*/*/predictions/densities.csv", "runs/*/*/predictions/outliers.csv", "runs/*/*/ood.json"),
}
"""What a page ends with, beside runs."""
SMALLER = {
    'objective="csm", backbone__hidden': 'debug="tiny", objective="csm", backbone__hidden',
    "draw(model, 2000, 500": "draw(model, 20, 20",
    "subsets=100, subset_size=1000": "subsets=2, subset_size=10",
}
"""What is replaced in blocks of Python."""


def reason(typed: Typed) -> str:
    """Return why a command of ours is not run here, empty where it is."""
    return next((why for part, why in NOT_RUN.items() if part in typed.line), "")


def in_make(typed: Typed) -> Typed:
    """Return the command of ours that a target of make runs where it runs one, else what is typed."""
    if not (found := MAKE.match(typed.line)):
        return typed
    recipe = re.search(rf"^{found[1]}:.*\n\t@\$\(BIN\)/(python src/.*)$", MAKEFILE, re.MULTILINE)
    if not recipe:
        return typed
    values = dict(word.split("=") for word in found[2].split())
    return Typed(typed.page, re.sub(r"\$\((\w+)\)", lambda name: values[name[1]], recipe[1]))


def test_every_block_is_of_a_known_kind() -> None:
    for block in BLOCKS:
        known = block.language in {*SHOWN, *SHELL, "python", "indented"} or block.language.startswith("{")
        assert known, f"{block.page}: {block.language}"
        begins = re.search(r"^(?:\$ )?(?:\w+=\S+ )*(?:\S*python src/|scorewise [a-z]|make )", block.text, re.MULTILINE)
        assert not begins or typed_in(block), f"{block.page}: {begins}"
    assert len(TYPED) > 80
    assert {name_of(page) for page in PAGES} > {typed.page for typed in TYPED} > {"README", "sweeps", "vae"}


@pytest.mark.parametrize("typed", TYPED, ids=lambda typed: f"{typed.page}: {typed.line}")
def test_every_line_is_run_or_explained(typed: Typed) -> None:
    make = MAKE.match(typed.line)
    if make:
        assert re.search(rf"^{make[1]}:", MAKEFILE, re.MULTILINE), "no target of the Makefile"
        assert all(f"$({word.split('=')[0]})" in MAKEFILE for word in make[2].split())
    if program := in_make(typed).program:
        assert program in (*commands(), "compare")
        assert (ROOT / "src" / f"{program}.py").is_file()
    else:
        assert any(typed.line.startswith(begins) for begins in EXPLAINED)


def test_nothing_is_explained_that_is_not_shown() -> None:
    for begins in EXPLAINED:
        assert any(typed.line.startswith(begins) for typed in TYPED), begins
    for part in NOT_RUN:
        assert any(part in typed.line for typed in TYPED), part
    for page in (*ELSEWHERE, *FIRST, *BEFORE):
        assert page in {block.page for block in BLOCKS}
    for part in SMALLER:
        assert any(part in block.text for block in BLOCKS), part
    for named in (*ELSEWHERE.values(), *(why for why in NOT_RUN.values() if "::" in why)):
        file, _, test = named.partition("::")
        assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text(), named


def cells(words: list[str]) -> list[list[str]]:
    """Return the first and the last command of a sweep, or the one command that is none."""
    overrides = OverridesParser.create().parse_overrides([word for word in words if word not in ("-m", "--multirun")])
    (batch,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [list(batch[0]), list(batch[-1])] if len(batch) > 1 else [list(batch[0])]


def given(word: str) -> str:
    """Return a word with what stands for a folder replaced."""
    return re.sub(r"<\w+>|\.\.\.$", "it", word).replace("$PWD", str(ROOT))


INLINE = [
    Typed(name_of(page), line)
    for page in PAGES
    for line in re.findall(r"`((?:python src/|scorewise (?!\[))[^`\n]*)`", page.read_text())
    if "..." not in line and "=x " not in line
]
COMPOSED = [
    typed
    for typed in dict.fromkeys([*map(in_make, TYPED), *INLINE])
    if typed.program and not {"-sc", "--help"} & {*typed.words} and "=..." not in typed.line.partition("classes")[0]
]


@pytest.mark.parametrize("typed", COMPOSED, ids=lambda typed: f"{typed.page}: {typed.line}")
def test_every_command_composes(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings and options are there; a training's choices fit together."""
    words = [given(word) for word in typed.words]
    if "searchpath" in typed.line:
        pytest.skip(reason(typed))
    if typed.program == "compare":
        assert asked(words).folders
    elif typed.program == "train":
        for cell in cells(words):
            settled(*with_options("train", cell))
    else:
        config = config_of(*words, command=typed.program)
        if typed.program == "reproduce":
            assert config["budget"] in config["figure"]["budgets"]
        task = config.get("task") or {}
        for one in task.get("out", []):
            assert (one["data"] if isinstance(one, dict) else one) in catalog.options("data")


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=lambda one: one.page)
def test_every_block_of_python_is_python(block: Block) -> None:
    """Where it starts our command in another program, the command composes."""
    ast.parse(block.text)
    if started := re.search(r'sys\.argv = \["train\.py", (.*)\]', block.text):
        settled(*ast.literal_eval(f"[{started[1]}]"))


def test_the_trainings_that_ray_starts_compose() -> None:
    (words,) = re.findall(r'train\.remote\("(.*?)", f"seed=\{seed\}", "(.*?)"\)', (DOCS / "scale_out.md").read_text())
    settled("trainer=gpu", *words, "seed=7")


def test_completion_can_be_installed(command: Command) -> None:
    (typed,) = (one for one in TYPED if "install=bash" in one.line)
    assert typed.line.startswith('eval "$(python src/train.py ')
    ended = command(*typed.words)
    assert ended.status == 0, ended.err
    assert "complete " in ended.out


# Whole pages.


def runs_here(typed: Typed) -> bool:
    """Return whether a line is one of our commands, and runs here."""
    return bool(in_make(typed).program) and not reason(typed)


def python_runs_here(block: Block) -> bool:
    return block.language == "python" and not re.search(r"^(?:import|from) .*\bray\b", block.text, re.MULTILINE)


TO_TYPE = sorted(
    {block.page for block in BLOCKS if python_runs_here(block) or any(map(runs_here, typed_in(block)))} - {*ELSEWHERE}
)


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write bytes in the format of MNIST."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    path.write_bytes(b"\0\0\x08" + bytes([values.ndim]) + sizes + values.astype(np.uint8).tobytes())


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with everything that pages read: few made-up images in place of MNIST, photos and tables."""
    random = np.random.default_rng(0)
    for source in (Mnist, FashionMnist):
        for name in source.unpacked:
            count = source.held_out + 300 if "train" in name else 100
            shape = (count, 28, 28) if "images" in name else (count,)
            write_idx(tmp_path / "files" / name, random.integers(0, 256 if "images" in name else 10, shape))
    for folder in ("my_images", "photos", "new_photos"):
        (tmp_path / folder).mkdir()
        for i in range(60 if folder == "photos" else 3):
            pixels = random.integers(0, 256, (28, 28)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{i}.png")
    for table in ("my", "new", "other"):
        rows = random.normal(size=(200, 3)).round(3)
        lines = ["a,b,c,label", *(",".join(map(str, row)) + ",x" for row in rows)]
        (tmp_path / f"{table}.csv").write_text("\n".join(lines))
    monkeypatch.setenv("SCOREWISE_DATA", str(tmp_path / "files"))
    monkeypatch.setenv("SCOREWISE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def newest(pattern: str) -> str:
    """Return the folder made last among those of a pattern that hold a config."""
    made = max(Path().glob(f"{pattern}/config.yaml"), key=lambda path: path.stat().st_mtime_ns)
    return str(made.parent)


def real(text: str) -> str:
    """Return a text with the folders of runs in place of what stands for them."""
    text = text.replace("<cache>", "cache")
    for place in re.findall(r"[\w/.-]+<hash>", text):
        text = text.replace(place, newest(place.replace("<hash>", "*")))
    return text.replace("<run>", newest("runs/*/*")) if "<run>" in text else text


def small(program: str, words: list[str]) -> list[str]:
    """Return words with those that make the command small in place of others of the same name."""
    ways = (SMALL[way] for way in (f"{program} {word}" for word in words or [""]) if way in SMALL)
    little = next(ways, SMALL.get(program, ()))
    replaced = {word.partition("=")[0] for word in little}
    return [*(word for word in words if word.partition("=")[0] not in replaced), *little]


def type_in(typed: Typed, command: Command) -> None:
    """Run a command with a small budget."""
    typed = in_make(typed)
    words = [real(word) for word in typed.words]
    if typed.program == "compare":
        assert compare(words) == 0
        return
    ended = command(*small(typed.program, words), name=typed.program)
    assert ended.status == 0, f"{typed.line}: {ended.err}"


def run_block(block: Block, folder: Path) -> None:
    """Run a block of Python with a small budget."""
    text = real(block.text)
    for part, smaller in SMALLER.items():
        text = text.replace(part, smaller)
    program = folder / "shown.py"
    before = BEFORE.get(block.page, "") if not text.startswith("import scorewise\n") else ""
    program.write_text(before.replace("RUN", repr(newest("runs/*/*")) if "RUN" in before else "") + text)
    runpy.run_path(str(program))


@pytest.mark.slow
@pytest.mark.parametrize("page", TO_TYPE)
def test_a_page_can_be_typed_from_its_first_line_to_its_last(
    page: str, command: Command, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in FIRST.get(page, ()):
        type_in(Typed(page, f"python src/train.py {words}".strip()), command)
    for block in (block for block in BLOCKS if block.page == page):
        if python_runs_here(block):
            run_block(block, files)
        for typed in typed_in(block):
            if runs_here(typed):
                type_in(typed, command)
    for made in MADE.get(page, ()):
        assert list(files.glob(made)), made
