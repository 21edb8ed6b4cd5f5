"""Every figure at budget=tiny, through the same code as the committed ones, and what a tiny run can show."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Outcome
from PIL import Image
from test_compose import config_of, options

from scorewise import catalog
from scorewise.errors import UserError
from scorewise.figures import fig4, results_page
from scorewise.figures.bench import Bench
from scorewise.figures.cost import peak_bytes, seconds_per_step
from scorewise.figures.orders import compared
from scorewise.figures.reproduce import listed
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import Paired, mean_and_spread, thinned
from scorewise.figures.two_samples import maximum_mean_discrepancy, sliced_wasserstein
from scorewise.run import pictures, training

pytestmark = pytest.mark.pictures

ROOT = Path(__file__).parents[1]
LONG = (
    *("blocks_mnist", "fig3a", "fig3b", "fig4_celeba", "fig4_mnist", "fig5_saltpepper", "fig5_singlestep"),
    *("ncsn_mnist", "orders"),
    *("poster_fig3", "table1", "table2_mnist_z16", "table2_mnist_z32", "table2_mnist_z8_long", "table_wine"),
)
"""Those that take longest, or whose code another one runs as well."""


@pytest.mark.parametrize(
    "figure", [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in options("figure")]
)
def test_a_tiny_budget_runs_and_shows_the_direction(
    figure: str, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (pictures, training):  # of its runs: its own picture is what is looked at
        monkeypatch.setattr(module, "attempt", lambda *_: None)
    typed = ["kept=true"] if figure in ("fig3b", "fig4_cifar") else []
    ended = command(f"figure={figure}", "budget=tiny", *typed, name="reproduce")
    assert ended.status == 0, ended.err
    folder = ended.folder / f"runs/figures/{figure}-tiny"
    found = json.loads((folder / f"{figure}.json").read_text())
    assert found["command"] == " ".join([f"python src/reproduce.py figure={figure} budget=tiny", *typed])
    assert not (ended.folder / "docs").exists(), "a tiny run is no result"
    for words in catalog.options("figure")[figure].get("tiny_must_show", []):
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
    if typed:
        nothing_is_trained_of_what_was_kept(folder, found, partial(command, name="reproduce"))


def nothing_is_trained_of_what_was_kept(folder: Path, found: dict[str, Any], reproduce: Callable[..., Outcome]) -> None:
    """Hold that a figure is the same once the folders of its runs are gone, and what was not kept is trained again."""
    name, lines = found["figure"], folder / f"seeds/{found['figure']}.jsonl"
    for path in folder.iterdir():
        if path.is_dir() and path != lines.parent:
            shutil.rmtree(path)
    again = reproduce(f"figure={name}", "budget=tiny", "kept=true")
    assert again.status == 0, again.err
    assert not list(folder.rglob("summary.json")), "a training was made"
    repeated = json.loads((folder / f"{name}.json").read_text())
    assert {**repeated, "machine": "", "minutes_of_training": 0} == {**found, "machine": "", "minutes_of_training": 0}
    kept = [json.loads(line) for line in lines.read_text().splitlines()]
    lines.write_text("".join(json.dumps({**line, "measured": {}}) + "\n" for line in kept))
    trained = reproduce(f"figure={name}", "budget=tiny", "kept=true")
    assert trained.status == 0, trained.err
    assert trained.out.count("what is asked of it was not kept, so it is trained again") == len(kept)
    assert len(list(folder.rglob("summary.json"))) == len(kept)
    again = json.loads((folder / f"{name}.json").read_text())["tables"][0]["columns"]
    assert again == repeated["tables"][0]["columns"]
    assert all(json.loads(line)["measured"] for line in lines.read_text().splitlines())


def test_an_unknown_budget_is_one_sentence(command: Callable[..., Outcome]) -> None:
    ended = command("figure=fig1b", "budget=huge", name="reproduce")
    assert ended.status == 1
    assert ended.err.strip() == "budget=huge is no budget of figure=fig1b: use tiny or cpu or gpu."
    ended = command("figure=fig9", name="reproduce")
    assert ended.status == 1
    assert "figure=fig9 is no option of figure: use one of blocks_cifar, blocks_cost" in ended.err
    ended = command("figure=fig1b", "seeds=3", name="reproduce")
    assert ended.err.strip() == "figure=fig1b budget=cpu has one training each: leave out seeds=3."
    if not torch.cuda.is_available():
        assert "budget=gpu needs a CUDA device" in command("figure=fig1b", "budget=gpu", name="reproduce").err


def test_a_part_of_a_figure_names_its_trainings(command: Callable[..., Outcome]) -> None:
    ended = command("figure=table_wine", "budget=tiny", "figure.budgets.tiny.only=[MADE]", name="reproduce")
    assert ended.status == 1
    assert ended.err.strip().startswith(
        "figure.budgets.tiny.only has 'MADE', which figure=table_wine does not train: use "
    )
    little = 'figure.budgets.tiny.shared=["data=digits","backbone.hidden=[8]","data.epochs=1","test=false"]'
    words = ("figure=fig5_singlestep", "+figure.budgets.tiny.only=[joint noise]")
    ended = command(*words, little, "budget=tiny", name="reproduce")
    assert ended.status == 1
    assert ended.err.strip() == (
        "figure=fig5_singlestep cannot do without 'noise per dimension', which figure.budgets.tiny.only leaves out: "
        "name it too. What was trained and measured is kept."
    )


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
    assert Paired.of([1.0, 2.0, 4.0], [0.0, 0.0, 0.0]) == pytest.approx((7 / 3, (7 / 9) ** 0.5))
    assert str(Paired(-1.0, 0.5)) == "-1.00 (0.50)"
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
    against = (log_q_OSCN[1] - log_q_OSCN[0]).mean((1, 2))
    assert found["against"]["b"]["by_seed"] == pytest.approx(against.tolist())
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
    names, not_measured = {file.stem for file in files}, set(results_page.not_measured())
    assert names.isdisjoint(not_measured)
    assert names | not_measured == set(options("figure")), (
        "every figure has its committed numbers, or it is said why not"
    )
    results = [json.loads(file.read_text()) for file in files]
    assert (ROOT / "docs/results.md").read_text() == results_page.page(results)
    for found in results:
        assert (ROOT / f"docs/figures/{found['figure']}.png").is_file()
        assert "budget=tiny" not in found["command"]


def test_what_is_not_measured_is_said() -> None:
    assert set(results_page.not_measured()) >= {"fig4_celeba", "table1"}
    for name in results_page.not_measured():
        assert composed(name)["not_measured"]["budget"] in composed(name)["budgets"], name
        assert f"| {name} | not measured here: " in results_page.page([])


def test_the_page_has_the_figures_in_their_places() -> None:
    places = [figure["place"] for figure in results_page.ordered().values()]
    assert places == sorted(places)
    assert len(set(places)) == len(places)
    unknown = {"figure": "mine", "title": "", "command": "", "minutes_of_training": 0, "machine": ""}
    found = [
        {**unknown, "figure": name, "tables": [], "claims": [], "notes": []} for name in ("mine", "table1", "fig2")
    ]
    page = results_page.page(found)
    assert page.index("## fig2") < page.index("## table1") < page.index("## mine")


def composed(name: str) -> dict[str, Any]:
    figure: dict[str, Any] = config_of(f"figure={name}", command="reproduce")["figure"]
    return figure


@pytest.mark.parametrize("name", options("figure"))
def test_every_text_has_its_title_and_every_claim_what_was_measured(name: str) -> None:
    text = Text.of(composed(name))
    assert text.title
    assert all({"sentence", "measured"} == set(claim) for claim in text.claims.values())
    assert all(table["caption"] for table in text.tables.values())


def test_fields_are_filled_by_what_was_found_and_by_the_settings() -> None:
    tables = {"sizes": {"caption": "{n} rows of {kind}", "columns": ["D", "{n} times"]}}
    claims = {"less": {"sentence": "{name} has less than {most:g}", "measured": "{size[a]:.1f}"}}
    notes = {"each": "{name}.", "always": "{n} rows", "seldom": "{kind}"}
    text = Text("title", tables, claims, notes, {})
    found = Results(
        [ResultTable("sizes", [[1, 2.0]]), ResultTable("sizes", [[3, 4.0]], ("x", "y"), kind="b")],
        [Claim("less", True, name="one"), Claim("less", False, name="two")],
        {"n": 2, "kind": "a", "size": {"a": 0.25}},
        {"each": [{"name": "p"}, {"name": "q"}], "seldom": []},
    )
    said = text.said(found, {"most": 5.0, "n": 1})
    assert said["tables"] == [
        {"caption": "2 rows of a", "columns": ["D", "2 times"], "rows": [[1, 2.0]]},
        {"caption": "2 rows of b", "columns": ["x", "y"], "rows": [[3, 4.0]]},
    ]
    assert said["claims"] == [
        {"sentence": "one has less than 5", "holds": True, "measured": "0.2"},
        {"sentence": "two has less than 5", "holds": False, "measured": "0.2"},
    ]
    assert said["notes"] == ["p.", "q.", "2 rows"]
    text = Text("title", tables, claims, {}, {})
    with pytest.raises(UserError, match="no more under claims: add it there, beside less"):
        text.said(Results([], [Claim("more", True)]), {})
    bare = Text("title", {"sizes": {"caption": ""}}, claims, {}, {})
    with pytest.raises(UserError, match="no columns under sizes: add it there, beside caption"):
        bare.said(Results([ResultTable("sizes", [])], []), {})
    with pytest.raises(UserError, match="the field 'name', which was not found"):
        text.said(Results([], [Claim("less", True)], {"most": 1}), {})


def test_a_measured_figure_is_not_called_unmeasured_and_cells_stay_cells() -> None:
    name = next(iter(results_page.not_measured()))
    table = {"caption": "", "columns": ["mean |s - s*|"], "rows": [["p(x|z)"], [0.5]]}
    found = {"figure": name, "title": "", "command": "", "minutes_of_training": 0, "machine": "", "tables": [table]}
    page = results_page.page([found | {"claims": [], "notes": []}])
    assert f"| {name} | not measured here" not in page
    assert "| mean \\|s - s*\\| |" in page
    assert "| p(x\\|z) |" in page


def test_no_results_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert results_page.main(tmp_path) == 1
    assert "holds no results" in capsys.readouterr().err


def test_the_claims_of_figure_4_follow_the_numbers() -> None:
    network = {"num_features": 64, "extractor": "classifier-mnist", "hash": "1a2b3c4d"}

    def found(value: float, colour: float) -> dict[str, Any]:
        return {
            "fid": {"value": value, "samples": 9, "references": 8, "split": "test", **network},
            "kid": {"value": value / 100, "spread": 0.1},
            "mean_colour": {"value": colour, "error": 0.1},
        }

    bounds = {"floor": found(1, 1), "pixels": found(50, 1)}
    measured = {
        "MADE, CSM": [found(20, 5), found(22, 6), found(21, 3)],
        "MADE, MLE": [found(30, 2), found(31, 3), found(32, 0.5)],
        "PixelCNN++, CSM": [found(60, 1), found(10, 1), found(60, 1)],
    }
    of_first = measured["MADE, CSM"][0]["fid"]
    text = Text.of(composed("fig4_cifar"))
    claims = text.said(Results([], fig4.claims(measured, bounds), {"counts": fig4.counts(of_first)}), {})["claims"]
    facts = "9 samples against 8 clean images of the test split, 64 features of classifier-mnist, hash 1a2b3c4d"
    assert all(claim["measured"].endswith(facts) for claim in claims if "FID" in claim["sentence"])
    # -10, -9, -11: mean -10 and standard deviation 1, half the interval t / sqrt(3) = 2.48; deep: 40, -12, 39; the
    # worst of a seed less pixels: 10, -19, 10.
    assert {claim["sentence"]: (claim["holds"], claim["measured"].partition(";")[0]) for claim in claims} == {
        "MADE: samples by CSM have a lower FID than samples by MLE": (
            True,
            "21.00 against 31.00, difference -10.00 [-12.48, -7.52]",
        ),
        "MADE: mean colours of samples by CSM are less shifted than those of samples by MLE": (
            False,
            "4.67 against 1.83 of 255 levels, difference +2.83 [+2.12, +3.55]",
        ),
        "CSM: PixelCNN++ has a lower FID than MADE": (
            False,
            "43.33 against 21.00, difference +22.33 [-51.54, +96.21], within noise",
        ),
        "every model has a lower FID than independent Gaussian pixels": (
            False,
            "10.00 to 60.00, pixels 50.00, the worst less pixels +0.33 [-41.26, +41.93], within noise",
        ),
    }
