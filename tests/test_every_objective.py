"""Every objective through the whole command: fit, test, summary, load, sample, and resume where it remembers."""

import csv
import json
from collections.abc import Callable

import pytest
import torch
from composition import taken
from conftest import Outcome
from test_compose import smooth
from test_objectives import TABLE

import scorewise

OF_TWO_NUMBERS = ("made", "mlp", "noisy_mlp")
"""The backbones that take toy2d; every objective composes with one of them."""

FEWER = {"block_mle": ("likelihood=block_flow_ode", "likelihood.steps=4")}
"""Settings that cost less and leave what a test is about."""


@pytest.mark.parametrize("objective", TABLE)
def test_it_trains_tests_loads_and_samples(objective: str, command: Callable[..., Outcome]) -> None:
    backbone = next(one for one in OF_TWO_NUMBERS if taken(TABLE[objective], one))
    choice = (*smooth(objective, backbone), f"objective={objective}", f"backbone={backbone}")
    choice += FEWER.get(objective, ())
    words = ("data=toy2d", "data.held_out=64", "debug=tiny", *choice)
    ended = command(*words)
    assert ended.status == 0, ended.err
    metrics = json.loads((ended.run / "summary.json").read_text())["metrics"]
    assert all(torch.isfinite(torch.tensor(value)) for value in metrics.values())
    if objective == "dsm":
        assert metrics["loss_unscaled"] == pytest.approx(metrics["loss"])
    model = scorewise.load(ended.run)
    x = model.sample(3, torch.Generator().manual_seed(0))
    assert x.shape == (3, 2)
    assert torch.isfinite(x).all()
    assert "is finished" in command(*words).out


@pytest.mark.draws
def test_a_small_unet_trains_on_images(command: Callable[..., Outcome]) -> None:
    words = ("objective=dsm_multiscale", "backbone=unet", "backbone.channels=[8,16]", "trainer.max_steps=3")
    limits = (
        "trainer.limit_val_batches=1",
        "trainer.limit_test_batches=1",
        "callbacks.progress=false",
        "callbacks.samples=4",
    )
    ended = command("data=digits", "sampler=annealed_langevin", "sampler.steps=2", *words, *limits)
    assert ended.status == 0, ended.err
    assert (ended.run / "samples.png").is_file()


def test_a_joint_score_has_a_likelihood_by_its_flow_where_it_is_asked_for(command: Callable[..., Outcome]) -> None:
    words = ("data=toy2d", "data.held_out=40", "debug=tiny", "callbacks.progress=false", "sampler=probability_flow")
    ladder = (
        "objective=dsm_multiscale",
        "backbone=noisy_mlp",
        "objective.sigma_max=2",
        "objective.drawn=log_normal",
        "objective.log_mean=0",
    )
    asked = ("task.flow_examples=12", "task.flow_probes=null", "task.flow_steps=8")
    ended = command(*words, *ladder, *asked)
    assert ended.status == 0, ended.err
    metrics = json.loads((ended.run / "summary.json").read_text())["metrics"]
    assert 0 < metrics["nll"] < 100
    assert metrics["nll_quadrature_error"] < 1
    assert "nll_trace_error" not in metrics, "the trace was exact"
    refused = command(*words[:4], "objective=dsm", "backbone=mlp", *asked)
    assert refused.status == 1
    assert "is for joint scores at every noise level" in refused.err


def test_both_losses_of_dsm_are_logged(command: Callable[..., Outcome]) -> None:
    words = ("data=toy2d", "data.held_out=64", "debug=tiny", "objective=dsm", "objective.sigma=0.5")
    ended = command(*words, "objective.sigma_power=2", "trainer.max_steps=12")
    assert ended.status == 0, ended.err
    with (ended.run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("train/loss")]
    assert rows
    for row in rows:
        assert float(row["train/loss"]) == pytest.approx(0.25 * float(row["train/loss_unscaled"]), rel=1e-5)


def test_chains_survive_a_stop(command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    """A PCD run that is cut at a step and resumed ends with the weights of one that was not."""
    words = (
        "data=toy2d",
        "data.held_out=64",
        "debug=tiny",
        "objective=pcd",
        "backbone=mlp",
        "trainer.max_steps=8",
    )
    whole = command(*words, "name=whole")
    assert whole.status == 0, whole.err
    from scorewise.objectives import PCD

    steps = 0
    per_example = PCD.per_example

    def cut(self: PCD, *arguments: object) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == 6:
            raise KeyboardInterrupt
        return per_example(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(PCD, "per_example", cut)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            raise SystemExit(command(*words, "name=cut").status)
    resumed = command(*words, "name=cut")
    assert resumed.status == 0, resumed.err
    assert "resuming" in resumed.out
    one, two = (
        scorewise.load(next(whole.folder.glob(f"*runs/{name}/*/weights.safetensors")).parent).state_dict()
        for name in ("whole", "cut")
    )
    assert all(torch.equal(one[key], two[key]) for key in one)
