"""What debug= is for: quick answers that leave nothing among real runs."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from composition import BACKBONES, MAP, NOISY, WHOLE
from conftest import Outcome
from test_compose import settled

from scorewise import catalog
from scorewise.config.build import build

Command = Callable[..., Outcome]
OBJECTIVES = {WHOLE: "dsm", NOISY: "dsm_multiscale", MAP: "mle"}
"""An objective that fits what a backbone has, csm where it has causal features."""


def test_overfitting_is_judged_on_the_batches_that_are_trained_on(command: Command) -> None:
    still = (
        "optim.lr=1e-20",
        "trainer.overfit_batches=1",
        "trainer.max_epochs=10",
        "callbacks.progress=false",
        "callbacks.samples=1",
        "test=false",
    )
    ended = command("debug=overfit", "data=gaussian", "backbone.hidden=[8]", "data.batch_size=16", *still)
    assert ended.status == 0, ended.err
    rows = list(csv.DictReader((ended.run / "metrics.csv").open()))
    (trained,), judged = ({float(row[name]) for row in rows if row.get(name)} for name in ("train/loss", "val/loss"))
    assert list(judged) == pytest.approx([trained] * len(judged), rel=1e-5)
    assert "shuffling" not in ended.err


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_has_a_tiny_one(backbone: str) -> None:
    words = ("data=digits", f"backbone={backbone}", f"objective={OBJECTIVES.get(BACKBONES[backbone], 'csm')}")
    if BACKBONES[backbone] == MAP:
        pytest.importorskip("normflows")
    sizes = []
    for debug in ((), ("debug=tiny",)):
        config = settled(*words, *debug)
        sizes.append(sum(weight.numel() for weight in build(config, 0).model.parameters()))
    assert sizes[1] < sizes[0] / 2
    assert sizes[1] < 30_000


def test_a_backbone_without_a_tiny_one_stays_as_it_is(command: Command, tmp_path: Path) -> None:
    (tmp_path / "my/backbone").mkdir(parents=True)
    mine = "_target_: scorewise.backbones.mlp.MLP\nhidden: [24, 8]\n"
    (tmp_path / "my/backbone/mine.yaml").write_text(mine)
    ended = command(f"hydra.searchpath=[file://{tmp_path / 'my'}]", "debug=tiny", "backbone=mine", "objective=dsm")
    assert ended.status == 0, ended.err
    assert "hidden:\n  - 24\n  - 8\n" in (ended.run / "config.yaml").read_text()


@pytest.mark.parametrize("debug", sorted(catalog.options("debug")))
def test_debugging_leaves_nothing_among_the_runs(debug: str) -> None:
    assert settled(f"debug={debug}")["paths"]["runs"] == "debug_runs"
    assert settled(f"debug={debug}", "paths.runs=elsewhere")["paths"]["runs"] == "elsewhere"
