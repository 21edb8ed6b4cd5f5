"""Runs side by side, on run folders made by hand with known numbers."""

import csv
import errno
import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console

from scorewise import comparison
from scorewise.commands import commands
from scorewise.commands.commands import compare
from scorewise.comparison.columns import FACTS
from scorewise.comparison.compared import compare_records
from scorewise.comparison.curves import panels, thinned
from scorewise.comparison.finding import find_runs
from scorewise.comparison.law import other_examples, other_tests
from scorewise.comparison.metrics import Metric, meanings
from scorewise.comparison.order import in_order
from scorewise.comparison.record import Record, read_record
from scorewise.comparison.seeds import mean_of
from scorewise.comparison.settings import differing
from scorewise.comparison.spreadsheet import safe
from scorewise.comparison.table import table_of_runs
from scorewise.comparison.typed_again import retyped
from scorewise.config.identity import identity, without_plumbing
from scorewise.errors import UserError

SOURCE = Path(__file__).parents[1] / "src"
PLAIN: dict[str, Any] = {
    "train": True,
    "test": True,
    "seed": 0,
    "tags": [],
    "name": None,
    "data": {"_target_": "scorewise.data.images.Mnist", "smoothing": 0.3, "batch_size": 64, "epochs": 5},
    "backbone": {"_target_": "scorewise.backbones.made.MADE", "hidden": [8, 8]},
    "head": {"_target_": "scorewise.heads.conditional_score.ConditionalScore", "context": 12},
    "objective": {"_target_": "scorewise.objectives.csm.CSM"},
    "sampler": {"_target_": "scorewise.sampling.inverse_cdf.InverseCDF"},
    "likelihood": {"_target_": "none"},
    "task": {"_target_": "scorewise.tasks.density.DensityEstimation", "monitor": "val/loss"},
    "optim": {"_target_": "scorewise.tasks.optimisation.Optimisation", "lr": 1.5e-3},
    "trainer": {"_target_": "lightning.Trainer", "max_epochs": 5, "limit_test_batches": None},
    "callbacks": {"samples": 4},
}
MEANS = {"nll": "nats per example, of data + N(0, 0.3^2)", "loss": "objective=csm, per example"}


def make(folder: Path, metrics: dict[str, float] | None = None, curve: str = "", **changes: Any) -> Path:
    """Return a run folder; changes are settings by dotted names with __ for the dot, without metrics unfinished."""
    config: dict[str, Any] = json.loads(json.dumps(PLAIN))
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            config.setdefault(section, {})[key] = value
        else:
            config[section] = value
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    if metrics is not None:
        summary = {"finished": True, "metrics": metrics, "conventions": MEANS, "steps": 100, "parameters": 7}
        (folder / "summary.json").write_text(json.dumps(summary | {"seconds": 90.0}))
    (folder / "metrics.csv").write_text(curve or "step,epoch,train/loss,val/loss,val/nll\n9,0,-1.5,,\n19,0,-2,-1,300\n")
    return folder


def found(*folders: Path) -> list[Record]:
    return [read_record(path, path.name) for path in find_runs(folders).runs]


def test_a_trial_that_its_study_gave_up_is_not_unfinished(tmp_path: Path) -> None:
    for name in ("kept", "pruned", "killed"):
        make(tmp_path / name, {"nll": 1.0} if name == "kept" else None)
    rows = "trial,status,folder,sentence\n0,finished,kept,\n1,pruned,pruned,\n2,unfinished,killed,\n"
    (tmp_path / "trials.csv").write_text(rows)
    kept, killed, pruned = (read_record(tmp_path / name, name).problems for name in ("kept", "killed", "pruned"))
    assert not kept
    assert pruned == ("pruned by its study (last logged step 19), see trials.csv there",)
    assert "the command that began it continues it" in killed[0]
    (tmp_path / "trials.csv").write_bytes(b"folder\xff\x00")
    assert "continues it" in read_record(tmp_path / "pruned", "pruned").problems[0]


class Page(HTMLParser):
    """A page's tables, elements and ids."""

    VOID = ("meta", "img", "line", "use", "path", "rect", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.values: dict[str, list[list[str | None]]] = {}
        self.texts: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        if tag == "table":
            self.name = given["data-table"] or ""
            self.tables[self.name], self.values[self.name] = [], []
        elif tag == "tr":
            self.tables[self.name].append([])
            self.values[self.name].append([])
        elif tag in ("td", "th"):
            self.tables[self.name][-1].append("")
            self.values[self.name][-1].append(given.get("data-value"))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "td" in self.open or ("th" in self.open and "table" in self.open):
            self.tables[self.name][-1][-1] += data

    def column(self, table: str, name: str) -> list[str]:
        at = self.tables[table][0].index(name)
        return [row[at].strip() for row in self.tables[table][1:]]


def made(tmp_path: Path, *folders: Path) -> tuple[Page, str]:
    comparison.compare_folders([*map(str, folders), f"out={tmp_path / 'out'}"])
    text = (tmp_path / "out" / "comparison.html").read_text()
    return Page(text), text


def test_numbers_settings_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = make(tmp_path / "runs/a/1", {"nll": 296.138, "nll_se": 0.906, "loss": -3784.3})
    make(tmp_path / "runs/b/2", {"nll": 1e3, "loss": 298.7}, objective={"_target_": "scorewise.objectives.mle.MLE"})
    make(tmp_path / "runs/b/3", {"nll": 99.5, "loss": -12.25}, optim__lr=0.01, head__context=4)
    other = {"task": {}, "metrics": {"psnr": 20.5, "psnr_se": 0.1}, "conventions": {"psnr": "dB, data in [-1, 1]"}}
    (a / "denoising.json").write_text(json.dumps(other))
    shutil.copytree(a / ".", tmp_path / "runs/copies/inner", symlinks=True)
    (tmp_path / "runs/copies/inner/checkpoints").mkdir()
    (tmp_path / "runs/loop").symlink_to(tmp_path / "runs", target_is_directory=True)
    assert compare([str(tmp_path / "runs"), str(tmp_path / "runs/a"), f"out={tmp_path / 'out'}"]) == 0
    said = capsys.readouterr().out
    assert "copies/inner repeats a/1" in said
    rows = list(csv.DictReader((tmp_path / "out/comparison.csv").open()))
    assert [row["run"] for row in rows] == ["a/1", "copies/inner", "b/3", "b/2"]
    assert [float(row["nll"]) for row in rows] == [296.138, 296.138, 99.5, 1e3]
    assert (rows[0]["nll_se"], rows[3]["nll_se"]) == ("0.906", "")
    assert [row["objective"] for row in rows] == ["csm", "csm", "csm", "mle"]
    assert [row["group"] for row in rows] == ["1", "1", "2", "3"]
    page = Page((tmp_path / "out/comparison.html").read_text())
    assert page.tables["runs"][0] == [
        *("objective", "lr", "nll", "loss (csm)", "loss (mle)", "denoising: psnr"),
        *("context", "steps", "minutes", "parameters", "run"),
    ]
    assert page.column("runs", "nll") == ["296.14 (0.91)", "296.14 (0.91)", "99.5", "1000"]
    assert page.column("runs", "loss (mle)") == ["", "", "", "298.7"]
    assert page.column("runs", "denoising: psnr") == ["20.50 (0.10)", "20.50 (0.10)", "", ""]
    assert "dB, data in [-1, 1]" in page.texts
    assert page.column("runs", "run") == ["a/1", "copies/inner", "b/3", "b/2"]
    assert page.column("runs", "lr") == ["0.0015", "0.0015", "0.01", "0.0015"]
    at = page.tables["runs"][0].index("nll")
    assert page.values["runs"][1][at] == "296.138"
    assert page.column("runs", "minutes")[0] == "1.5"
    assert {fact.name for fact in FACTS} <= set(rows[0])
    assert {fact.column.name for fact in FACTS if fact.column} <= set(page.tables["runs"][0])
    assert "../runs/a/1" in {(given.get("href") or "")[2:] for tag, given in page.elements if tag == "a"}
    assert "nats per example, of data + N(0, 0.3^2)" in page.texts


def test_runs_stand_in_the_order_of_what_differs(tmp_path: Path) -> None:
    """Folders of a sweep are called by hashes, which order nothing; as texts 10 < 2."""
    dsm = {"_target_": "scorewise.objectives.dsm.DSM"}
    for folder, sigma in (("3f", 0.1), ("a0", 1e-5), ("1c", 10), ("b7", 0.05), ("92", 2.0)):
        make(tmp_path / "sweep" / folder, {"nll": 1.0}, objective={**dsm, "sigma": sigma})
    page, _ = made(tmp_path, tmp_path / "sweep")
    assert page.column("runs", "sigma") == ["1e-05", "0.05", "0.1", "2", "10"]
    hidden, seeds = ([128, 128], [64], [1024], [64, 512], [64, 64]), (10, 2)
    places = [(width, seed) for width in hidden for seed in seeds]
    for place, (width, seed) in enumerate(places):
        make(tmp_path / f"wide/{place}", {"nll": 1.0}, backbone__hidden=width, seed=seed)
    make(tmp_path / "wide/none", {"nll": 1.0}, backbone__hidden=None, seed=0)
    none, *ordered = (record.path.name for record in in_order(found(tmp_path / "wide")))
    assert none == "none"
    assert [places[int(name)] for name in ordered] == [(width, seed) for width in sorted(hidden) for seed in (2, 10)]
    for place, name in enumerate(("mle.MLE", "csm.CSM", "sm.SM")):
        for rate in (0.01, 0.002):
            objective = {"_target_": f"scorewise.objectives.{name}"}
            make(tmp_path / f"kinds/{place}/{rate}", {"nll": 1.0}, objective=objective, optim__lr=rate)
    page, _ = made(tmp_path, tmp_path / "kinds")
    assert page.column("runs", "objective") == ["csm", "csm", "mle", "mle", "sm", "sm"]
    assert page.column("runs", "lr") == ["0.002", "0.01"] * 3


def test_seeds_are_taken_together_with_a_known_interval(tmp_path: Path) -> None:
    for seed, nll in enumerate((1.0, 2.0, 3.0)):
        make(tmp_path / f"csm/{seed}", {"nll": nll, "nll_se": 0.5}, seed=seed)
    make(tmp_path / "csm/3", seed=3)  # unfinished
    make(tmp_path / "other/x", {"nll": 7.0, "nll_se": 0.5}, optim__lr=1.0)
    page, text = made(tmp_path, tmp_path)
    t = math.sqrt(2 / (0.05 * 1.95) - 2)  # the .975 quantile with 2 degrees of freedom, in closed form
    half = t / math.sqrt(3)  # t s / sqrt(n), s = 1
    low, high = f"{2 - half:.1f}", f"{2 + half:.1f}"
    assert page.column("seeds", "nll") == [f"2.0 [{low}, {high}], n=3", "7.00 (0.50)"]
    assert page.column("seeds", "n") == ["4", "1"]
    assert page.column("seeds", "seeds") == ["0, 1, 2, 3", "0"]
    assert page.column("seeds", "lr") == ["0.0015", "1"]
    assert page.column("seeds", "runs") == ["csm/0 csm/1 csm/2 csm/3", "other/x"]
    legend = [given for tag, given in page.elements if tag == "button" and "data-group" in given]
    assert len(legend) == 2
    assert {"lr=0.0015 (4 seeds)", "lr=1"} <= {text.strip() for text in page.texts}
    (row, _) = csv.DictReader((tmp_path / "out/comparison_seeds.csv").open())
    values = [float(row[f"nll {end}"]) for end in ("mean", "low", "high", "n")]
    assert values == pytest.approx([2, 2 - half, 2 + half, 3], abs=1e-12)
    assert "Student-t interval" in " ".join(page.texts)
    notes = dict(re.findall(r'<h2 id="(runs|seeds)">.*</h2>\n<p>(.*?)\. A column', text))
    assert notes["runs"] == "in ( ) the standard error, in [ ] the 95 % interval, both over test examples"
    assert notes["seeds"].startswith(
        "in [ ] the 95 % Student-t interval of the mean over seeds; in rows with one value"
    )
    assert mean_of([5.0])[0] == 5
    assert math.isnan(mean_of([5.0]).low)
    assert math.isnan(mean_of([1.0, math.inf]).mean)


def test_the_earlier_name_of_the_command_is_found_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match=r"comparison\.run is scorewise\.comparison\.compare_folders now"):
        assert comparison.run is comparison.compare_folders


EVIL = (
    '"><img src=x onerror=alert(1)>',
    "<script>alert(1)<",
    "=cmd|' ' A0",
    "[red]x[" + chr(92) + "b",
    "$\\frac",
    "javascript:alert(1)",
)


def test_names_are_only_names(tmp_path: Path) -> None:
    for i, name in enumerate(EVIL):
        evil = {"_target_": "none", "hidden": [1], name: f"+{name}\x1b[31m"}
        data = {**PLAIN["data"], "path": f"</script>{name}", "name": name}
        make(tmp_path / "r" / name, {"nll": i, name: 1.0, f"@{name}": 2.0}, backbone=evil, data=data)
        (tmp_path / "r" / name / "summary.json").write_text(
            json.dumps({"finished": True, "metrics": {"nll": i, name: 1.0}, "conventions": {"nll": f"<b>{name}"}})
        )
        curve = f'step,"val/{name.replace(chr(34), "")}",val/loss\n1,2,3\n'
        (tmp_path / "r" / name / "metrics.csv").write_text(curve)
        (tmp_path / "r" / name / "config.yaml").chmod(0o600)
    make(tmp_path / "r/zz/<script>alert(2)</script>", {"nll": 3.0}, seed="<img src=x onerror=alert(3)>", tags=["<b>"])
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    ended = comparison.compare_folders([str(tmp_path / "r"), f"out={tmp_path / 'out'}"])
    comparison.show(ended.compared, console)
    said = console.export_text()
    assert "[red]x[" in said
    assert "\x1b" not in said
    text = (tmp_path / "out/comparison.html").read_text()
    page = Page(text)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 1
    entries = sum("data-group" in given for _, given in page.elements)
    assert tags.count("b") == entries == len(EVIL) + 1, "only a law's letter in every entry of the legend"
    assert not [given for tag, given in page.elements for name in given if name.startswith("on")]
    assert not [given for tag, given in page.elements if tag == "img" and not (given["src"] or "").startswith("data:")]
    links = [given["href"] or "" for tag, given in page.elements if tag == "a"]
    assert all(link.startswith(("./", "#")) for link in links)
    assert not re.search(r"[\x00-\x08\x0e-\x1f\x7f]", text)
    assert re.search(r"content=\"default-src 'none'; img-src data:;", text)
    assert not re.search(r"(src|href|url\()[=\"' ]*(https?:)?//", text)
    for file in ("comparison.csv", "comparison_seeds.csv"):
        cells = [cell for row in csv.reader((tmp_path / "out" / file).open()) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@")) and not _is_number(cell)]
        assert any(cell.startswith("'=") for cell in cells)
    assert (safe("-x"), safe(-1.5), safe("\tx"), safe("x")) == ("'-x", "-1.5", "\\tx", "x")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_what_is_damaged_is_told_and_breaks_nothing(tmp_path: Path) -> None:
    good = make(tmp_path / "r/good", {"nll": 1.0, "odd": float("nan"), "huge": math.inf})
    for name in (
        "no summary",
        "half summary",
        "list",
        "yaml",
        "bomb",
        "binary",
        "saved",
        "rows",
        "nan",
        "nothing",
        "big",
    ):
        shutil.copytree(good, tmp_path / "r" / name)
    r = tmp_path / "r"
    (r / "no summary/summary.json").unlink()
    (r / "half summary/summary.json").write_text('{"finished": true, "metr')
    (r / "list/summary.json").write_text(
        '{"finished": true, "metrics": [1], "conventions": 3, "seconds": "x", "versions": 1}'
    )
    (r / "yaml/config.yaml").write_text("a: [1\nb: !!python/object/apply:os.system [true]\n")
    (r / "bomb/config.yaml").write_text(
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    )
    (r / "binary/config.yaml").write_bytes(bytes(range(256)))
    (r / "saved/config.yaml").write_text("model: {}\n")
    (r / "rows/metrics.csv").write_text("step,train/loss,val/loss\n1,2\n2,x,\n3,1,0.5\n")
    (r / "nan/metrics.csv").write_text("step,train/loss,val/loss\n1,2,\n2,nan,inf\n")
    (r / "nothing/metrics.csv").write_text("")
    (r / "nothing/summary.json").write_text("[" * 100_000)
    (r / "big/summary.json").write_text("x" * 5_000_000)
    (r / "good/samples.png").write_bytes(b"no picture")
    (r / "only a table").mkdir()
    (r / "only a table/metrics.csv").write_text("step\n")
    page, _ = made(tmp_path, r)
    told = " ".join(page.texts)
    for words in (
        *(
            "no summary.json (last logged step 19)",
            "summary.json is damaged",
            "config.yaml is damaged",
            "no UTF-8 text",
        ),
        *("more than 5,000 settings", "no run: its config.yaml has no data", "2 rows cannot be read", "no column step"),
        *("train/loss is nan at step 2", "no config.yaml", "5,000,000 bytes", "samples.png: it is damaged"),
    ):
        assert words in told, words
    assert len(page.tables["runs"]) == 1 + 8
    rows = list(csv.DictReader((tmp_path / "out/comparison.csv").open()))
    assert len(rows) == 13
    assert sum(row["status"] == "damaged" for row in rows) == 5
    shutil.rmtree(r)
    (r / "only").mkdir(parents=True)
    (r / "only/config.yaml").write_text("model: {}\n")
    assert not made(tmp_path, r)[0].tables


def test_numbers_of_different_laws_are_marked_and_not_on_one_axis(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "r/a", {"nll": 1.0})
    make(tmp_path / "r/b", {"nll": 1.0}, data__smoothing=0.1)
    make(tmp_path / "r/c", {"nll": 1.0}, data__batch_size=8)
    digits = "scorewise.data.images.Digits"
    make(tmp_path / "r/d", {"nll": 1.0}, data__smoothing=0.1, data___target_=digits, trainer__limit_test_batches=2)
    dsm = "scorewise.objectives.dsm.DSM"
    make(tmp_path / "r/e", {"nll": 1.0}, objective={"_target_": dsm, "sigma": 0.1})
    make(tmp_path / "r/f", {"nll": 1.0}, objective={"_target_": dsm, "sigma": 0.5})
    assert compare([str(tmp_path / "r"), f"out={tmp_path / 'out'}"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    page = Page((tmp_path / "out/comparison.html").read_text())
    told = " ".join(page.texts)
    for words in (
        *(
            "3 different laws",
            "A: digits + N(0, 0.1^2): objective=csm data=digits smoothing=0.1 batch_size=64",
            "B: mnist + N(0, 0.1^2): objective=csm data=mnist smoothing=0.1 batch_size=64",
            "C: mnist + N(0, 0.3^2): objective=csm data=mnist smoothing=0.3 batch_size=8, ",
        ),
        *(
            "objective=dsm differ in objective.sigma",
            "trainer.limit_test_batches: they were tested on different examples",
        ),
    ):
        assert words in told, words
        assert words in said, words
    assert page.column("runs", "law") == ["A", "B", "C", "C", "C", "C"]
    drawn = panels(compare_records(found(tmp_path / "r")))
    assert [(panel.metric.title, panel.law[:1], len(panel.lines)) for panel in drawn] == [
        *(("nll", "A", 4), ("nll", "B", 1), ("nll", "C", 1)),
        *(("loss (csm)", "A", 4), ("loss (csm)", "B", 2), ("loss (csm)", "C", 2), ("loss (dsm)", "A", 4)),
    ]
    curves = [given["id"] or "" for _, given in page.elements if (given.get("id") or "").startswith("curve-")]
    assert len(curves) == len(set(curves)) == 18
    assert "different laws" not in " ".join(made(tmp_path, tmp_path / "r/a", tmp_path / "r/c")[0].texts)


def test_vaes_and_other_curves(tmp_path: Path) -> None:
    none = {"_target_": "none"}
    task = {"_target_": "scorewise.tasks.implicit_vae.ImplicitVAE", "monitor": None}
    latent = {"_target_": "scorewise.latent.vae.DenseVAE", "method": "elbo", "likelihood": "bernoulli"}
    curve = "step,epoch,train/neg_elbo,train/grad_norm,val/ais,val/neg_elbo\n9,0,200,1,,\n19,0,150,1,90,120\n"
    vae = {"task": task, "backbone": none, "head": none, "objective": none, "sampler": none}
    make(tmp_path / "r/elbo", {"ais": 88.0}, curve, latent=latent, **vae)
    make(tmp_path / "r/stein", {"ais": 89.0}, curve, latent={**latent, "method": "stein"}, **vae)
    pcd = {"_target_": "scorewise.objectives.pcd.PCD", "chains": 4}
    make(tmp_path / "r/pcd", {"loss": 1.0}, "step,epoch,train/acceptance,val/loss\n1,0,0.5,2\n", objective=pcd)
    page, _ = made(tmp_path, tmp_path / "r")
    titles = [panel.title for panel in panels(compare_records(found(tmp_path / "r")))]
    assert [title.partition(",")[0] for title in titles] == ["ais", "neg_elbo", "loss (pcd)", "acceptance"]
    assert page.column("runs", "ais") == ["88", "89", ""]
    assert page.column("runs", "method") == ["elbo", "stein", ""]


def test_runs_are_called_by_what_differs(tmp_path: Path) -> None:
    dsm = {"_target_": "scorewise.objectives.dsm.DSM", "sigma_power": 0}
    for i, sigma in enumerate((0.1, 0.3)):
        numbers = {"csm": -2.0 - i, "loss": 9.0 + i, "loss_unscaled": 9.0 + i, "nll": 1.0 + i}
        make(tmp_path / f"sweep/{i}", numbers, objective=dsm | {"sigma": sigma}, sampler={"_target_": f"own.S{i}"})
    mle = {"_target_": "scorewise.objectives.mle.MLE"}
    make(tmp_path / "sweep/2", {"nll": 3.0, "loss": 3.0 + 1e-7}, objective=mle, sampler={"_target_": "own.S2"})
    compared = compare_records(found(tmp_path / "sweep"))
    assert [one.label for one in compared.records] == [
        "objective=dsm sigma=0.1",
        "objective=dsm sigma=0.3",
        "objective=mle",
    ]
    assert [one.where for one in compared.records] == ["0", "1", "2"]
    table = table_of_runs(compared)
    assert [one.name for one in table.columns] == [
        *("objective", "sigma", "nll", "csm", "loss (dsm)"),
        *("sampler", "steps", "minutes", "parameters", "run"),
    ]
    assert table.columns[2].note.endswith("; the same: loss (mle)")
    assert table.columns[4].note.endswith("; the same: loss_unscaled (dsm)")
    alone = compare_records(found(tmp_path / "sweep/2"))
    assert [one.label for one in alone.records] == ["2"]
    twins = [make(tmp_path / f"twins/{i}", {"nll": 1.0}, seed=4) for i in range(2)]
    assert [one.label for one in compare_records(found(*twins)).records] == ["0", "1"]
    seeds = [make(tmp_path / f"seeds/{i}", {"nll": 1.0}, seed=i) for i in range(2)]
    of_seeds = compare_records(found(*seeds))
    assert [one.label for one in of_seeds.records] == ["seed=0", "seed=1"]
    assert of_seeds.label_of(of_seeds.groups[0]) == "(2 seeds)"


def test_what_a_number_means_is_said_once_as_far_as_runs_agree(tmp_path: Path) -> None:
    for i in range(2):
        folder = make(tmp_path / str(i), {"nll": 1.0}, optim__lr=0.1 + i)
        said = {"finished": True, "metrics": {"nll": 1.0}, "conventions": {"nll": f"nats, of the data, on {i} nodes"}}
        (folder / "summary.json").write_text(json.dumps(said))
    (note,) = [one.note for one in table_of_runs(compare_records(found(tmp_path))).columns if one.name == "nll"]
    assert note == "nats, of the data, on 0 nodes [lr=0.1]; or: on 1 nodes [lr=1.1]"


def test_one_finished_seed_of_three_says_so(tmp_path: Path) -> None:
    make(tmp_path / "csm/0", {"nll": 7.0, "nll_se": 0.5}, seed=0)
    make(tmp_path / "csm/1", seed=1)
    make(tmp_path / "csm/2", seed=2)
    make(tmp_path / "other/x", {"nll": 6.0, "nll_se": 0.5}, optim__lr=1.0)
    page, _ = made(tmp_path, tmp_path)
    assert page.column("seeds", "nll") == ["7.00 (0.50), n=1", "6.00 (0.50)"]


def test_of_two_copies_of_a_seed_the_tested_one_counts(tmp_path: Path) -> None:
    make(tmp_path / "a/0", {}, seed=0)
    make(tmp_path / "b/0", {"nll": 4.0}, seed=0)
    make(tmp_path / "b/1", {"nll": 5.0}, seed=1)
    (tmp_path / "a/0/summary.json").write_text(json.dumps({"finished": True, "metrics": {}}))
    page, _ = made(tmp_path, tmp_path)
    (cell,) = page.column("seeds", "nll")
    assert "4.5" in cell, cell
    assert "n=1" not in cell


def test_numbers_of_later_tests_are_told_apart_like_those_of_the_run(tmp_path: Path) -> None:
    later = {
        "density": {"nll": 3.0, "loss": -1.0, "nll_tail": 0.0},
        "ood": {"auroc/joint/black": 0.9, "auroc/joint/black_low": 0.8, "auroc/joint/black_high": 0.95},
    }
    texts = {"auroc": "area under the curve", "joint": "h, larger odder", "black": "all pixels -1"}
    mle = {"_target_": "scorewise.objectives.mle.MLE"}
    for folder in (
        make(tmp_path / "r/a", {"nll": 1.0, "loss": 2.0, "own": 3.0}),
        make(tmp_path / "r/b", {"nll": 1.0, "loss": 2.0}, objective=mle),
    ):
        for test, metrics in later.items():
            content = {"task": {}, "metrics": metrics, "conventions": texts}
            (folder / f"{test}.json").write_text(json.dumps(content))
    compared = compare_records(found(tmp_path / "r"))
    assert [metric.title for metric in compared.metrics] == [
        *("nll", "density: nll", "loss (csm)", "loss (mle)", "density: loss (csm)", "density: loss (mle)"),
        *("own", "ood: auroc/joint/black", "density: nll_tail"),
    ]
    (meaning,) = meanings(Metric("ood: auroc/joint/black"), compared.records)
    assert meaning == "area under the curve; h, larger odder; all pixels -1"
    console = Console(width=300, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    comparison.show(compared, console)
    assert "nll_tail" not in console.export_text(), "how exact a number is stands on the page"


def test_what_no_run_writes_leaves_the_page_whole(tmp_path: Path) -> None:
    r = tmp_path / "r"
    make(r / "a/0", {"nll": 7.0}, seed=0)
    make(r / "a/1", {"nll": 1e200}, seed=1)
    make(r / "a/2", {"huge": 1.7e308}, seed=2)
    make(r / "a/3", {"huge": 1.7e308}, seed=3)
    make(r / "limits", {"nll": 1.0}, "step,val/loss\n1,1.7e308\n2,-1.7e308\n3,1.7e308\n", optim__lr=1.0)
    long = "".join(f"{step},1.0\n" for step in range(400))
    make(r / "step", {"nll": 1.0}, f"step,val/loss\n{long}{10**400},1.0\n{10**300},1.0\n", optim__lr=2.0)
    make(r / "nan/1", {"nll": 1.0}, seed=math.nan, optim__lr=3.0)
    make(r / "nan/2", {"nll": 1.0}, seed=math.nan, optim__lr=3.0)
    for section in ("experiment", "sweep", "launcher", ".", "../.."):
        strange: Any = {"_target_": "x", "setting": 1}
        make(r / f"section-{section.replace('/', '-')}", {"nll": 1.0}, **{section: strange}, optim__lr=4.0)
    os.rename(make(r / "name", {"nll": 1.0}, optim__lr=5.0), os.fsencode(r) + b"/\xff\xfe")
    page, _ = made(tmp_path, r)
    assert len(page.tables["runs"]) == 1 + 14
    told = " ".join(page.texts)
    assert "metrics.csv: 2 rows cannot be read" in told
    assert "nan/2 repeats nan/1" in told
    assert "./../r/%FF%FE" in {given.get("href") for tag, given in page.elements if tag == "a"}
    assert page.column("seeds", "nll")[0] == "5e+199 [nan, nan], n=2"
    assert page.column("seeds", "huge")[0] == "nan [nan, nan], n=2"
    assert mean_of([7.0, 1e200])[0] == 5e199
    assert math.isnan(mean_of([7.0, 1e200]).low)


def test_other_examples_through_the_batch_size_and_the_number_held_out(tmp_path: Path) -> None:
    def said(**changes: list[Any]) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        pairs = [dict(zip(changes, values, strict=True)) for values in zip(*changes.values(), strict=True)]
        for i, pair in enumerate(pairs):
            make(folder / str(i), {"nll": 1.0}, **pair)
        return other_examples(found(folder))

    limit = "trainer__limit_test_batches"
    (sentence,) = said(data__batch_size=[8, 64], **{limit: [2, 2]})
    assert sentence == (
        "Runs differ in trainer.limit_test_batches x data.batch_size: they were tested on different examples."
    )
    assert not said(data__batch_size=[8, 64], **{limit: [16, 2]}), "the same 128 examples"
    assert not said(data__batch_size=[8, 64], **{limit: [0.5, 0.5]})
    assert len(said(**{limit: [1, 1.0]})) == 1, "one batch, and all of them"
    (sentence,) = said(data__held_out=[100, 200])
    assert sentence.startswith("Runs differ in data.held_out: they were tested")
    assert not said(data__held_out=[100, 200], data__dims=[1, 2]), "another law says more"


def test_later_tests_of_other_settings_are_told(tmp_path: Path) -> None:
    def said(*tests: dict[str, Any]) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for i, content in enumerate(tests):
            run = make(folder / str(i), {"nll": 1.0}, seed=i)
            (run / "denoising.json").write_text(json.dumps(content | {"metrics": {"psnr_restored": 20.0 + i}}))
        return other_tests(found(folder))

    usual = {"task": {"_target_": "a", "images": 500, "share": 0.1, "shown": 16}}
    assert not said(usual, usual, usual)
    assert not said(usual, {"task": usual["task"] | {"shown": 4}}), "pictures alone"
    assert not said(usual, {"task": {"images": 500}}), "of a version that had no more settings"
    assert said(usual, {"task": usual["task"] | {"images": 20}}) == [
        "Runs differ in task.images of denoising: its numbers are not of one test."
    ]
    (sentence,) = said(usual, usual | {"data": {"tested": "the first 64 of 300 test examples"}})
    assert "differ in the examples tested of denoising" in sentence


def test_the_facts_of_a_run_have_one_column_each(tmp_path: Path) -> None:
    make(tmp_path / "r/a", {"nll": 1.0})
    make(tmp_path / "r/b", {"nll": 1.0}, objective={"_target_": "scorewise.objectives.mle.MLE"})
    assert compare([str(tmp_path / "r"), f"out={tmp_path / 'out'}"]) == 0
    with (tmp_path / "out/comparison.csv").open() as file:
        header, *rows = csv.reader(file)
    assert len(set(header)) == len(header)
    assert {row[header.index("objective")] for row in rows} == {"csm", "mle"}


def test_a_setting_that_follows_another_or_came_later_does_not_differ(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", data__epochs=7, trainer__max_epochs=7, backbone__init="default", trainer__devices=2)
    make(tmp_path / "c", trainer__max_epochs=6, head={"_target_": "scorewise.heads.gaussian.Gaussian"})
    assert differing(found(tmp_path)) == ["data.epochs", "head", "trainer.max_epochs"]


@pytest.mark.parametrize(
    ("typed", "changes"),
    [
        (
            "objective=dsm backbone=mlp data=toy2d data.name=two_moons objective.sigma=0.05 trainer.max_steps=5 seed=3",
            {},
        ),
        ("objective=csm head=mixture data=images tags=[a,b-c]", {"path": "my $(touch x) \"and\" 'photos\\'"}),
        ("objective=csm +trainer.accumulate_grad_batches=3 +trainer.val_check_interval=7 trainer.max_steps=5", {}),
        ("task=implicit_vae latent.method=elbo latent.z=4 data=mnist data.smoothing=0 optim=rmsprop", {"epochs": 7}),
    ],
)
def test_a_run_can_be_typed_again(typed: str, changes: dict[str, Any]) -> None:
    from test_compose import settled

    config = settled(*typed.split())
    stored = {**config, "data": without_plumbing("data", config["data"]) | changes}
    stored["task"] = without_plumbing("task", config["task"])
    if "epochs" in changes:
        stored["trainer"] = {**config["trainer"], "max_epochs": changes["epochs"]}
    words = shlex.split(retyped(stored))
    assert words[:2] == ["python", "src/train.py"]
    assert len(words) <= 2 + len(typed.split()) + len(changes) + 3, words  # and what auto came to
    again = settled(*words[2:])
    assert identity(again) == identity(stored)
    assert again["tags"] == config["tags"]


def test_devices_loggers_and_pictures_are_not_typed_again() -> None:
    from test_compose import settled

    words = ("trainer=gpu", "trainer.devices=4", "callbacks.progress=false", "callbacks.save_every_n_steps=7")
    assert retyped(settled(*words, "logger=wandb", "data=gaussian", "seed=3")) == retyped(
        settled("data=gaussian", "seed=3")
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no folder was given"),
        (["nowhere"], "nowhere is not a folder"),
        (["."], "holds no run"),
        ([".", "sort=nll"], "sort=nll is neither a folder nor a setting"),
        ([".", "--out", "x"], "--out is neither"),
        ([".", "out="], "names no folder"),
        ([".", "out=file"], "out=file is a file"),
        ([".", "out=run"], "is the folder of a run"),
        ([".", "out=run/pages/today"], "is the folder of a run or below it"),
        (["run", "out=file/x"], "cannot be written"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    if "run" in " ".join(arguments):
        make(tmp_path / "run", {"nll": 1.0})
    assert compare(arguments) == 1
    assert words in capsys.readouterr().err


def test_where_the_files_go_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/a/1", "runs/a/DSM sigma=0.1", "elsewhere/3"):
        make(tmp_path / name, {"nll": 1.0})
    for arguments, out in (
        (["runs"], "runs"),
        (["runs/a/1"], "runs/a"),
        (["runs/a/1", "runs/a/DSM sigma=0.1"], "runs/a"),
        (["runs", "elsewhere"], "comparison"),
        (["."], "comparison"),
    ):
        assert (tmp_path / comparison.compare_folders(arguments).files["page"]).parent == tmp_path / out
    with pytest.raises(UserError, match="neither a folder nor a setting"):
        comparison.compare_folders(["runs", "sigma=0.1"])


@pytest.mark.parametrize("width", [40, 80, 300])
def test_the_terminal_folds(width: int, tmp_path: Path) -> None:
    for i in range(3):
        name = f"a-rather-long-setting-of-a-run-that-does-not-fit-beside-its-numbers-in-eighty-columns-{i}"
        make(tmp_path / str(i), {"nll": 1.1 + i, "csm": -2.0}, optim__note=name)
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    comparison.show(compare_records(found(tmp_path)), console)
    said = console.export_text()
    assert max(map(len, said.splitlines())) <= width
    assert ("┃" in said) == (width == 300)
    for value in ("1.1", "2.1", "nll"):
        assert value in said


def test_a_terminal_shows_the_columns_that_have_room(tmp_path: Path) -> None:
    for i in range(2):
        numbers = {f"number_{place}": 1.0 + i for place in range(9)}
        make(tmp_path / f"{i}", {"nll": 1.5 + i, **numbers}, optim__lr=0.1 + i)
    console = Console(width=60, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    comparison.show(compare_records(found(tmp_path)), console)
    said = console.export_text()
    head = next(line for line in said.splitlines() if line.startswith("┃"))
    assert head.replace("┃", " ").split() == ["lr", "nll", "number_0", "number_1", "number_2", "number_3"]
    assert "too wide for this window, in the files: number_4, number_5" in said


def test_two_hundred_runs_are_fast_and_the_page_stays_small(tmp_path: Path) -> None:
    steps = np.arange(0, 20_000, 10)
    noise = np.random.default_rng(0).normal(size=len(steps))
    losses = 300 + 100 * np.exp(-steps / 3000) + noise
    lines = [
        f"{step},0,{loss:.6f},{loss if i % 20 == 0 else ''}"
        for i, (step, loss) in enumerate(zip(steps, losses, strict=True))
    ]
    curve = "\n".join(["step,epoch,train/loss,val/loss", *lines, ""])
    for i in range(200):
        folder = make(tmp_path / f"r/{i}", {"nll": 1.0 + i}, curve, optim__lr=1e-3 * (1 + i // 4), seed=i % 4)
        if i < 3:
            Image.fromarray(np.random.default_rng(i).integers(0, 255, (300, 700), np.uint8)).save(
                folder / "samples.png"
            )
    began = time.process_time()
    page, text = made(tmp_path, tmp_path / "r")
    took = time.process_time() - began
    assert took < 20, took  # about 3 s of one core
    assert len(text) < 1_500_000, len(text)
    assert len(page.tables["seeds"]) == 51
    assert sum((given.get("id") or "").startswith("curve-") for _, given in page.elements) == 200
    assert sum(tag == "img" for tag, _ in page.elements) == 3
    points = [(int(step), float(loss)) for step, loss in zip(steps, losses, strict=True)]
    thin = thinned(points, 40)
    assert len(thin) == 40
    assert thin[0][0] == 245  # the mean of 50 steps, and that of their values:
    assert thin[0][1] == pytest.approx(losses[:50].mean())
    assert thinned(points[:10], 40) == points[:10]
    assert math.isnan(thinned([*points[:99], (990, math.inf)], 10)[-1][1])


def test_comparing_needs_no_torch(tmp_path: Path) -> None:
    make(tmp_path / "r/a", {"nll": 1.0})
    code = (
        "import sys, compare;"
        f"assert compare.compare([{str(tmp_path / 'r')!r}, 'out={tmp_path / 'out'}']) == 0;"
        "assert not {'torch', 'lightning', 'torchvision'} & set(sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len((SOURCE / "compare.py").read_text().splitlines()) <= 10


@pytest.fixture
def browser() -> Iterator[Any]:
    """A headless Chromium: Playwright's own, or the system's; `make browser` installs one."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        own = started.chromium.executable_path
        names = ("chromium", "chromium-browser", "google-chrome")
        path = own if Path(own).is_file() else next(filter(None, map(shutil.which, names)), None)
        if path is None:
            pytest.skip("there is no Chromium on this machine: make browser installs one")
        sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        chromium = started.chromium.launch(executable_path=path, args=sandbox)
        yield chromium
        chromium.close()


@pytest.mark.slow
def test_the_page_in_a_browser(browser: Any, tmp_path: Path) -> None:
    values: list[float | None] = [10.0, 9.5, None, -100.0, 1e-3, math.nan]
    for i, value in enumerate(values):
        metrics = {"loss": 1.0} | ({} if value is None else {"nll": value})
        folder = make(tmp_path / "r" / f"{i} {EVIL[i].replace('/', ' ')}", metrics, optim__lr=0.1 + i)
        Image.fromarray(np.full((40, 70), 40 * i, np.uint8)).save(folder / "samples.png")
    made(tmp_path, tmp_path / "r")
    address = (tmp_path / "out/comparison.html").as_uri()
    for width in (1400, 380):
        page = browser.new_page(viewport={"width": width, "height": 900})
        asked: list[str] = []
        trouble: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, trouble=trouble: trouble.append(message.text))
        page.on("pageerror", lambda error, trouble=trouble: trouble.append(str(error)))
        page.on("dialog", lambda dialog, trouble=trouble: (trouble.append("dialog"), dialog.dismiss()))
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        head = page.locator("table[data-table=runs] th", has=page.get_by_role("button", name="nll", exact=True))
        order = "[...document.querySelectorAll('#runs ~ .scroll tbody th')].map(one => Number(one.innerText.trim()[0]))"
        head.get_by_role("button").click()
        assert page.evaluate(order) == [3, 4, 1, 0, 5, 2]
        assert head.get_attribute("aria-sort") == "ascending"
        head.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert page.evaluate(order) == [0, 1, 4, 3, 5, 2]
        assert head.get_attribute("aria-sort") == "descending"
        page.get_by_role("button", name="lr", exact=True).click()
        assert page.evaluate(order) == [0, 1, 2, 3, 4, 5]
        page.locator(".legend button").first.click()
        assert page.locator(".panels g.away").count() == page.locator(".panels g[id^=curve-]").count() * 5 // 6
        assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
        assert page.evaluate("fetch('https://example.org').then(() => 'went', () => 'forbidden')") == "forbidden"
        assert [one for one in asked if not one.startswith("data:")] == [address]
        assert all("example.org" in one for one in trouble), trouble  # only what was forbidden just now
        page.screenshot(path=tmp_path / f"page-{width}.png", full_page=True)
        assert Image.open(tmp_path / f"page-{width}.png").width == width
        page.close()


def test_a_comparison_that_nobody_can_take_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("scorewise.comparison.show", full)
    make(tmp_path / "runs/a", {"nll": 1.0})
    assert compare([str(tmp_path / "runs"), f"out={tmp_path / 'out'}"]) == 1
    said = capsys.readouterr().err.strip()
    assert "No space left on device" in said
    assert "\n" not in said


def test_warnings_of_several_processes_are_those_of_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands._show_warning("rows are left out")
    monkeypatch.setenv("LOCAL_RANK", "1")
    commands._show_warning("rows are left out")
    assert capsys.readouterr().err == "warning: rows are left out\n"
