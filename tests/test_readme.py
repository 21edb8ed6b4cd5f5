"""What the README shows works as it stands, and so does what moved from it to other pages."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Outcome
from test_imports import files_of, imports_of, rooms

import scorewise
from scorewise import catalog

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
TREE = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where things are")[2].partition("\n## ")[0]


def block(text: str, language: str, contains: str) -> str:
    found = [one for one in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) if contains in one]
    assert len(found) == 1, f"{len(found)} {language} blocks contain {contains}"
    one: str = found[0]
    return one


def test_three_commands_print_what_is_shown(command: Callable[..., Outcome], tmp_path: Path) -> None:
    """The run is tiny, so that the numbers are others; the names and places are those of the page."""
    shown = block(README, "text", "$ python src/train.py")
    commands = re.findall(r"^\$ python src/(\w+)\.py(.*)\n((?:[^$\n].*\n)+)", shown, re.MULTILINE)
    assert [name for name, _, _ in commands] == ["train", "eval", "sample"]
    run = ""
    for name, typed, lines in commands:
        tiny = () if run else ("debug=tiny", "likelihood=quadrature", "likelihood.low=-9", "likelihood.high=9")
        ended = command(*typed.replace("runs/csm-made-digits/<hash>", run).split(), *tiny, name=name)
        run = str(ended.run.relative_to(tmp_path))
        assert ended.status == 0, ended.err
        for line in lines.splitlines():
            word, *_ = line.split()
            assert word in ended.out, f"{word} is not in what {name} prints"
            if line.startswith("wrote"):
                assert (tmp_path / line.split()[1].replace("runs/csm-made-digits/<hash>", run)).is_file()
    program = tmp_path / "lines.py"
    program.write_text("import scorewise\n" + block(README, "python", "scorewise.load").replace("runs/", "debug_runs/"))
    assert runpy.run_path(str(program))["x"].shape == (16, 1, 8, 8)


FITS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "conditional scores": (("head=conditional_score",), "quadrature", "inverse_cdf"),
    "the same": (("objective.sigma_max=4",), "flow_ode", "reverse_diffusion_1d"),
    "a normalised density": (("head=mixture", "backbone.activation=silu"), "none", "exact"),
    "conditional energies": (("head=conditional_energy", "backbone.activation=silu"), "quadrature", "inverse_cdf"),
    "scores of blocks of": (("backbone=patch_transformer", "backbone.patch=[2,2]"), "none", "block_langevin"),
    "scores of blocks at": (
        ("backbone=patch_transformer", "backbone.patch=[2,2]", "objective.sigma_max=4"),
        "block_flow_ode",
        "block_flow",
    ),
    "a joint score or": (("backbone=mlp", "backbone.activation=silu"), "none", "langevin"),
    "a joint score at": (("backbone=noisy_mlp",), "none", "annealed_langevin"),
}
"""By the first words of a row: what is typed beside the objective, and the likelihood and sampler that follow."""
CALLED = {
    "none": ("closed form", "no", "estimated, `task.flow_examples`"),
    "quadrature": ("quadrature",),
    "flow_ode": ("probability flow",),
    "block_flow_ode": ("probability flow",),
}


def table_of_fits() -> dict[str, list[str]]:
    lines = README.partition("| you fit |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


@pytest.mark.parametrize("begins", FITS)
def test_the_table_of_what_can_be_fitted(begins: str) -> None:
    from test_compose import settled

    typed, likelihood, sampler = FITS[begins]
    (row,) = (rest for first, rest in table_of_fits().items() if first.startswith(begins))
    assert row[1] in CALLED[likelihood]
    assert ("flow_examples" in row[1]) == (begins == "a joint score at")  # run in test_every_objective.py
    objectives = re.findall(r"`(\w+)`", row[0])
    assert objectives
    for objective in objectives:
        changed = typed if objective == "csm_annealed" else [one for one in typed if "sigma_max" not in one]
        found = settled(f"objective={objective}", "data=digits", *changed)
        assert catalog.option_name("sampler", found["sampler"]["_target_"]) == sampler, objective
        assert catalog.option_name("likelihood", found["likelihood"]["_target_"]) == likelihood, objective
        for task, cell in zip(("denoising", "ood"), row[3:], strict=True):
            assert cell == "yes"
            settled(f"objective={objective}", "data=digits", *changed, f"task={task}")


def test_the_table_has_every_objective() -> None:
    named = {one for row in table_of_fits().values() for one in re.findall(r"`(\w+)`", row[0])}
    assert named == set(catalog.options("objective"))


def test_claims_are_counted_as_they_are() -> None:
    from scorewise.figures import results_page

    results = results_page.read(DOCS / "results")
    holds = [claim["holds"] for found in results for claim in found["claims"]]
    counted = f"Each of {len(results)} figures and tables has its claims, measured: of {len(holds)},"
    assert f"{counted} {sum(holds)} hold and {len(holds) - sum(holds)} fall short" in README
    assert all(f"`{name}`" in README for name in ("table1_small", "table2_mnist_z8", "table_wine"))


def test_speeds_are_those_of_the_page_of_performance() -> None:
    speeds = README.partition("## How fast")[2].partition("## How sure")[0]
    measured = (DOCS / "performance.md").read_text()
    found = re.findall(r"\d+\.\d+", speeds)
    assert len(found) == 7
    for number in found:
        assert re.search(rf"\| {re.escape(number)} \[|<= {re.escape(number)}", measured), number


def test_the_picture_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from scorewise.backbones import MADE
    from scorewise.heads import ConditionalScore

    monkeypatch.syspath_prepend(str(DOCS))
    import draw_ar_csm

    model = ConditionalScore(MADE((64,), 4, (8,), "silu"), hidden=(8,), std=1.0, noise=0.3)
    x_D = torch.zeros(64)
    query, score, density = draw_ar_csm.curves(model, x_D, 9)
    uphill = score.sum() > 0
    assert (density[-1] > density[0]) == uphill
    assert abs((density[1:] + density[:-1]) @ (query[1:] - query[:-1]) / 2 - 1) < 1e-3
    assert len(draw_ar_csm.draw(model, x_D, 9).axes) == 3


def test_the_worked_example(command: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "own_objective.md").read_text()
    (tmp_path / "my/conf/objective").mkdir(parents=True)
    (tmp_path / "my/rcsm.py").write_text(block(page, "python", "class RegularisedCSM"))
    (tmp_path / "my/conf/objective/rcsm.yaml").write_text(block(page, "yaml", "rcsm.RegularisedCSM"))
    shown = block(page, "bash", "PYTHONPATH=my python src/train.py")
    arguments = shown.split("src/train.py ")[1].replace("$PWD", str(tmp_path)).replace('"', "").split()
    monkeypatch.syspath_prepend(str(tmp_path / "my"))
    ended = command(*arguments, "debug=tiny")
    assert ended.status == 0, ended.err
    assert yaml.safe_load((ended.run / "config.yaml").read_text())["objective"]["strength"] == 0.01
    assert "is finished" in command(*arguments, "debug=tiny").out
    assert ended.run.parent.name == "rcsm-made-digits"
    assert scorewise.load(ended.run).sample(2).shape == (2, 1, 8, 8), "an objective is of training alone"
    assert "classes=[rcsm.RegularisedCSM]" in command(f"run={ended.run}", name="eval").err
    assert command(f"run={ended.run}", "classes=[rcsm.RegularisedCSM]", name="eval").status == 0
    refused = command(*arguments, "backbone=mlp")
    assert "needs a backbone with causal features; backbone=mlp has none" in refused.err


def test_the_table_of_benchmarks_is_what_was_measured() -> None:
    from scorewise.figures import results_page

    found, text = results_page.read(DOCS / "benchmarks"), (DOCS / "performance.md").read_text()
    assert {one["name"] for one in found} >= {"memory", "train_step"}
    assert results_page.SPEED_BEGINS in text
    assert results_page.with_speed(text, found) == text


def test_it_names_every_room_above_those_that_it_imports() -> None:
    tree = TREE.partition("\nsrc/scorewise/\n")[2].partition("\ndocs/")[0].splitlines()
    lines = [[Path(one).stem for one in line.strip().partition("  ")[0].split()] for line in tree]
    assert sorted(room for line in lines for room in line) == rooms()
    for i, line in enumerate(lines):
        below = {room for lower in lines[i:] for room in lower}
        for room in line:
            ours = {
                name.split(".")[1] for file in files_of(room) for name in imports_of(file) if name[:10] == "scorewise."
            }
            assert ours <= below, room


def test_every_script_is_named() -> None:
    named = TREE.partition("\nsrc/train.py ")[2].partition("   ")[0].split()
    assert {"train.py", *named} == {file.name for file in (ROOT / "src").glob("*.py")}


def test_every_file_that_it_names_is_there() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    links = re.findall(r"(?<!!)\[[^\]]*\]\((?!http)([^)]+)\)", README)
    assert pictures
    assert len(links) > 8
    for name in (*pictures, *links):
        assert (ROOT / name).is_file(), name
    tree = TREE.partition("\nsrc/scorewise/\n")[2].partition("\ndocs/")[0]
    named = {one for line in tree.splitlines() for one in line.strip().split("  ")[0].split()}
    assert len(named) > 20
    for name in named:
        assert (ROOT / "src/scorewise" / name).exists(), name
    assert len(README.splitlines()) < 120
    for line in README.splitlines():
        assert not re.search(r"[A-Z]+_(TABLE|SENTENCE)", line), line
