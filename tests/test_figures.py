"""Every figure at budget=tiny, through the same code as the committed ones, and what a tiny run can show."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Outcome
from PIL import Image
from test_compose import CONF, options

from scorewise.figures import results_page
from scorewise.figures.cost import peak_bytes, seconds_per_step
from scorewise.figures.figure import Bench, mean_and_spread, thinned
from scorewise.figures.orders import compared
from scorewise.figures.reproduce import listed
from scorewise.figures.two_samples import maximum_mean_discrepancy, sliced_wasserstein

ROOT = Path(__file__).parents[1]
MUST_HOLD = {
    "fig1a": ("SM takes at least", "SM grows faster"),
    "fig1b": ("every standard deviation", "plain SSM has sqrt(D)", "SSM-VR with Rademacher"),
    "fig2": ("CSM has the lowest fisher_error", "DSM with a small sigma"),
    "fig3a": ("maximum likelihood is the floor",),
    "fig4_celeba": (),
    "fig4_cifar": (),
    "fig4_mnist": ("MADE: samples by CSM have a lower FID",),
    "fig3b": ("strictly fewer parameters", "better than MADE n=1"),
    "fig5_saltpepper": ("AR-CSM, mask blind",),
    "fig5_singlestep": ("best linear estimate from y_<=d", "above the Wiener filter"),
    "ncsn_mnist": ("at one scale", "better than independent Gaussian pixels"),
    "orders": ("better than the mean of its members",),
    "table_wine": (),
    "poster_fig1": (),
    "poster_fig3": (),
    "poster_table1": ("within 10 % of the poster", "SSM is better than KDE"),
    "table2_celeba": ("takes two steps at the published sizes",),
    "table2_mnist_z16": ("bracket the nll",),
    "table2_mnist_z32": ("bracket the nll",),
    "table2_mnist_z8": ("bracket the nll",),
    "table2_mnist_z8_long": ("bracket the nll",),
    "table1": ("on all-black images",),
    "table1_small": ("on all-black images",),
    "slides_example33": ("plain Langevin: weight", "annealing repairs"),
}
"""The claims of every figure that its tiny budget must show."""
LONG = (
    *("fig3a", "fig3b", "fig4_celeba", "fig4_mnist", "fig5_saltpepper", "fig5_singlestep", "ncsn_mnist", "orders"),
    *("poster_fig3", "table1", "table2_mnist_z16", "table2_mnist_z32", "table2_mnist_z8_long", "table_wine"),
)
"""Those that take longest, or whose code another one runs as well."""


@pytest.mark.parametrize(
    "figure", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in options("figure")]
)
def test_a_tiny_budget_runs_and_shows_the_direction(figure: str, command: Callable[..., Outcome]) -> None:
    ended = command(f"figure={figure}", "budget=tiny", name="reproduce")
    assert ended.status == 0, ended.err
    folder = ended.folder / f"runs/figures/{figure}-tiny"
    found = json.loads((folder / f"{figure}.json").read_text())
    assert found["command"] == f"python src/reproduce.py figure={figure} budget=tiny"
    assert not (ended.folder / "docs").exists(), "a tiny run is no result"
    for words in MUST_HOLD[figure]:
        meant = [claim for claim in found["claims"] if words in claim["sentence"]]
        assert meant, words
        assert all(claim["holds"] for claim in meant), meant
    for table in found["tables"]:
        assert table["rows"]
        assert all(len(row) == len(table["columns"]) for row in table["rows"])
    picture = np.asarray(Image.open(folder / f"{figure}.png").convert("L"))
    assert picture.std() > 5, "an empty picture"
    assert figure in results_page.page([found])
    if figure in ("fig3b", "slides_example33"):  # what is done is not done again
        trained = sorted(folder.rglob("summary.json"))
        before = [path.stat().st_mtime_ns for path in trained]
        again = command(f"figure={figure}", "budget=tiny", name="reproduce")
        assert again.status == 0, again.err
        assert "measured" not in again.out
        assert [path.stat().st_mtime_ns for path in trained] == before
        repeated = json.loads((folder / f"{figure}.json").read_text())
        assert repeated["tables"] == found["tables"]


def test_an_unknown_budget_is_one_sentence(command: Callable[..., Outcome]) -> None:
    ended = command("figure=fig1b", "budget=huge", name="reproduce")
    assert ended.status == 1
    assert ended.err.strip() == "budget=huge is no budget of figure=fig1b: use tiny or cpu or gpu."
    ended = command("figure=fig9", name="reproduce")
    assert ended.status == 1
    assert "figure=fig9 is no option of figure: use one of fig1a" in ended.err
    if not torch.cuda.is_available():
        assert "budget=gpu needs a CUDA device" in command("figure=fig1b", "budget=gpu", name="reproduce").err


def test_trainings_are_every_combination_and_seed() -> None:
    figure = {"each": {"toy": ["a", "b"]}, "shared": ["x={toy}"], "trainings": {"M/{toy}": ["y=1"], "N/{toy}": ["y=2"]}}
    budget = {"seeds": 2, "shared": ["z=3"], "trainings": {"N/{toy}": ["w=4"]}}
    asked = list(listed(figure, budget))
    assert len(asked) == 8
    assert asked[0].name == "M/a"
    assert asked[0].overrides[-4:] == ("x=a", "z=3", "y=1", "seed=0")
    assert asked[-1].overrides[-5:] == ("x=b", "z=3", "y=2", "w=4", "seed=1")


def test_a_measurement_is_made_once(tmp_path: Path) -> None:
    made: list[int] = []

    def measure() -> dict[str, int]:
        made.append(1)
        return {"value": len(made)}

    bench = Bench(tmp_path, {}, "1", lambda _: None)
    assert bench.once("a/b", {"n": 1}, measure) == {"value": 1}
    assert bench.once("a/b", {"n": 1}, measure) == {"value": 1}
    assert bench.once("a/b", {"n": 2}, measure) == {"value": 2}
    assert Bench(tmp_path, {}, "2", lambda _: None).once("a/b", {"n": 1}, measure) == {"value": 3}


def test_small_things() -> None:
    assert mean_and_spread([2.0]) == (2.0, 0.0)
    mean, spread = mean_and_spread([1.0, 3.0])
    assert mean == 2.0
    assert spread == pytest.approx(2**0.5)
    curve = [(i, float(i)) for i in range(1000)]
    assert thinned(curve, 10)[0] == (0, 0.0)
    assert thinned(curve, 10)[-1] == (999, 999.0)
    assert len(thinned(curve, 10)) == 10
    assert thinned(curve[:5], 10) == curve[:5]


def test_orders_are_compared_by_example() -> None:
    log_q_OSCN = torch.randn(3, 2, 4, 50, dtype=torch.float64) - 5
    log_q_OSCN[1] += 1
    found = compared(["a", "b", "c"], log_q_OSCN)
    assert found["best"] == "b"
    assert found["nll"]["a"] == pytest.approx((-log_q_OSCN[0].mean((1, 2))).tolist())
    mixed_SCN = log_q_OSCN.exp().mean(0).log()
    assert found["nll"][found["all"]] == pytest.approx((-mixed_SCN.mean((1, 2))).tolist())
    gain_N = (mixed_SCN - log_q_OSCN[1]).mean((0, 1))
    assert found["gains"]["best"]["gain"] == pytest.approx(float(gain_N.mean()))
    assert found["gains"]["best"]["se"] == pytest.approx(float(gain_N.std() / 50**0.5))
    assert min(found["gains"]["mean"]["by_seed"]) > 0
    pairs = [log_q_OSCN[[i, j]].exp().mean(0).log() for i, j in ((0, 1), (0, 2), (1, 2))]
    control = torch.stack(pairs).mean() - log_q_OSCN.exp().mean(1).log().mean()
    assert found["gains"]["control"]["gain"] == pytest.approx(float(control))
    assert "control" not in compared(["a", "b", "c"], log_q_OSCN[:, :1])["gains"]


def test_distances_between_samples() -> None:
    x, shifted = torch.randn(1500, 2), torch.randn(1500, 2) + torch.tensor([3.0, 0.0])
    # Along direction v a shift by m moves a sample by m . v, whose mean square is |m|^2 / 2 in two dimensions.
    assert sliced_wasserstein(x, shifted, 300) == pytest.approx(3 / 2**0.5, rel=0.06)
    assert sliced_wasserstein(x, torch.randn(1500, 2), 300) < 0.12
    # E k(x, y) of N(0, 1) and N(m, 1) with kernel width h in D = 2: (h^2 / (h^2 + 2)) exp(-m^2 / (2 (h^2 + 2)))
    h = 1.5
    same, apart = h**2 / (h**2 + 2), h**2 / (h**2 + 2) * np.exp(-9 / (2 * (h**2 + 2)))
    assert maximum_mean_discrepancy(x, shifted, h) == pytest.approx(2 * (same - apart), rel=0.08)
    assert abs(maximum_mean_discrepancy(x, torch.randn(1500, 2), h)) < 0.003


def test_peak_memory_counts_what_lives_at_one_time() -> None:
    def step() -> None:
        first = torch.ones(1000) * 2.0  # two storages of 4 kB, the first freed at once
        second = first + 1.0
        del first
        third = second + 1.0
        assert third[0] == 4.0

    peak = peak_bytes(step, torch.device("cpu"))
    assert 8000 <= peak <= 8100
    calls: list[str] = []
    steps: dict[str, Any] = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    assert set(seconds_per_step(steps, 3, torch.device("cpu"))) == {"a", "b"}
    assert calls == ["a", "b"] * 4, "interleaved, with one round of warming up"


def test_the_page_is_what_the_numbers_say() -> None:
    files = sorted((ROOT / "docs/results").glob("*.json"))
    of_cpu = {
        name
        for name in options("figure")
        if "cpu" in yaml.safe_load((CONF / f"figure/{name}.yaml").read_text())["budgets"]
    }
    names = {file.stem for file in files}
    assert of_cpu - set(results_page.NOT_MEASURED) <= names <= set(options("figure")), (
        "every figure that a CPU can make has its committed numbers"
    )
    assert set(results_page.NOT_MEASURED) == set(options("figure")) - names, "what was not measured is said"
    results = [json.loads(file.read_text()) for file in files]
    assert (ROOT / "docs/results.md").read_text() == results_page.page(results)
    for found in results:
        assert (ROOT / f"docs/figures/{found['figure']}.png").is_file()
        assert "budget=tiny" not in found["command"]


def test_what_is_not_measured_is_said() -> None:
    for name in options("figure"):
        budgets = yaml.safe_load((ROOT / f"conf/figure/{name}.yaml").read_text())["budgets"]
        assert "cpu" in budgets or name in results_page.NOT_MEASURED, name
    for name in results_page.NOT_MEASURED:
        assert f"| {name} | not measured here: " in results_page.page([])


def test_a_measured_figure_is_not_called_unmeasured_and_cells_stay_cells() -> None:
    name = next(iter(results_page.NOT_MEASURED))
    table = {"caption": "", "columns": ["mean |s - s*|"], "rows": [["p(x|z)"], [0.5]]}
    found = {"figure": name, "title": "", "command": "", "minutes_of_training": 0, "machine": "", "tables": [table]}
    page = results_page.page([found | {"claims": [], "notes": []}])
    assert f"| {name} | not measured here" not in page
    assert "| mean \\|s - s*\\| |" in page
    assert "| p(x\\|z) |" in page


def test_no_results_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results_page.main(tmp_path) == 1
    assert "holds no results" in capsys.readouterr().err
