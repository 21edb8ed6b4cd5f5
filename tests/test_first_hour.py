"""Every command of the first hour runs, in its order, with budgets of seconds."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Outcome

from scorewise.comparison import compare_folders

PAGE = (Path(__file__).parents[1] / "docs/first_hour.md").read_text()
WIDE = ("likelihood=quadrature", "likelihood.low=-9", "likelihood.high=9")
TINY = {
    "": ("debug=tiny", *WIDE),
    "experiment=gaussian_digits": ("debug=tiny",),
    "experiment=table data.path=wine.csv": ("debug=tiny",),
    "run=<run> task=ood": ("task.images=8", "task.likelihood_images=4", "task.resamples=10"),
    "run=<run> n=1000": ("n=10",),
}
"""What makes a command small, by what it shows after the script; others are small as they stand."""


def steps() -> list[tuple[str, str, str]]:
    """Return language, section and text of all blocks that are run."""
    found = []
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        found += [(one, title, text) for one, text in re.findall(r"```(bash|python)\n(.*?)```", section, re.DOTALL)]
    return found


@pytest.mark.slow
def test_every_command(command: Callable[..., Outcome], tmp_path: Path) -> None:
    ran, run = [], ""
    for language, title, text in steps():
        if language == "python":
            program = tmp_path / "shown.py"
            program.write_text(text)
            runpy.run_path(str(program))
            ran.append("python")
            continue
        for name, typed in re.findall(r"^python src/(\w+)\.py ?(.*)$", text, re.MULTILINE):
            tiny = TINY.get(typed, ())
            replaced = {one.partition("=")[0] for one in tiny}
            words = [one for one in typed.replace("<run>", run).split() if one.partition("=")[0] not in replaced]
            if name == "compare":
                compare_folders(words)
            else:
                ended = command(*words, *tiny, name=name)
                assert ended.status == 0, f"{title}: {name} {typed}: {ended.err}"
            if name == "train":
                run = newest(tmp_path) if "gaussian_digits" not in typed else run
            ran.append(name)
    assert ran == [
        "train",
        "train",
        "compare",
        "sample",
        "python",
        "eval",
        "eval",
        "python",
        "train",
        "predict",
        "sample",
    ]
    for made in (
        "comparison.html",
        "*/*/samples/samples.png",
        "*/*/predictions/densities.csv",
        "*/*/samples/samples.csv",
    ):
        assert list(tmp_path.glob(f"runs/{made}")), made


def newest(folder: Path) -> str:
    """Return the run folder that was made last."""
    made = max(folder.glob("runs/*/*/config.yaml"), key=lambda path: path.stat().st_mtime_ns)
    return str(made.parent.relative_to(folder))


def test_nothing_is_left_out() -> None:
    shown = re.findall(r"^ *(?:\w+=\S+ )?python src/", PAGE, re.MULTILINE)
    own = "PYTHONPATH=my python src/train.py"  # tests/test_readme.py runs it from its own page
    assert PAGE.count(own) == 1
    assert len(shown) - 1 == sum(text.count("python src/") for language, _, text in steps() if language == "bash")
    assert all(any(typed in text for _, _, text in steps()) for typed in TINY)
