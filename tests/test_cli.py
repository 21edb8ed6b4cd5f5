"""The commands, in this process."""

import csv
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Outcome

import scorewise
from scorewise.tracking.numbers import with_error

Command = Callable[..., Outcome]
FILES = {"config.yaml", "metrics.csv", "summary.json", "curves.png", "samples.png", "weights.safetensors", "README.md"}


def test_a_run_folder_and_what_is_in_it(command: Command) -> None:
    ended = command("debug=tiny", "trainer.max_steps=-1", "trainer.limit_train_batches=6", "trainer.max_epochs=2")
    assert ended.status == 0, ended.err
    run = ended.run
    assert {path.name for path in run.iterdir()} == FILES | {"checkpoints"}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert run.parent.name == "csm-made-digits"
    assert len(run.name) == 8
    summary = json.loads((run / "summary.json").read_text())
    assert summary["finished"]
    assert summary["choices"]["head"] == "conditional_score"
    assert summary["choices"]["sampler"] == "inverse_cdf"
    assert set(summary["metrics"]) == {"loss", "loss_se", "csm", "csm_se"}
    assert summary["metrics"]["loss"] == summary["metrics"]["csm"]
    assert "N(0, 0.3^2)" in summary["conventions"]["csm"]
    rows = list(csv.DictReader((run / "metrics.csv").open()))
    assert {"step", "epoch", "train/loss", "val/loss", "train/grad_norm"} <= set(rows[0])
    assert "objective" in ended.out
    assert "held-out numbers" in ended.out
    assert str(run / "samples.png") in ended.out.replace("\n", "")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["head"]["_target_"].endswith("ConditionalScore")
    assert "paths" not in config
    model = scorewise.load(run)
    assert model.sample(3, generator=torch.Generator().manual_seed(0)).shape == (3, 1, 8, 8)
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    averaged = {name.removeprefix("model."): value for name, value in best["state_dict"].items()}
    raw = {name.removeprefix("model."): value for name, value in best["current_model_state"].items()}
    assert all(torch.equal(value, averaged[name]) for name, value in model.state_dict().items())
    assert any(not torch.equal(value, raw[name]) for name, value in model.state_dict().items())


def test_a_finished_run_that_was_not_tested_is_tested(command: Command) -> None:
    first = command("debug=tiny", "test=false")
    weights = (first.run / "weights.safetensors").read_bytes()
    assert json.loads((first.run / "summary.json").read_text())["metrics"] == {}
    tested = command("debug=tiny")
    assert tested.status == 0, tested.err
    assert "This run is finished and was not tested, which follows." in tested.out
    assert "csm" in json.loads((first.run / "summary.json").read_text())["metrics"]
    assert (first.run / "weights.safetensors").read_bytes() == weights
    assert "is finished (rerun=true" in command("debug=tiny").out


def test_a_setting_that_nothing_reads_is_refused(command: Command) -> None:
    ended = command("debug=tiny", "+sede=3")
    assert ended.status == 1
    assert ended.err == "sede is no setting of Scorewise; did you mean seed?\n"
    assert command("debug=tiny", "+colour=3").err == "colour is no setting of Scorewise: leave it out.\n"


def test_a_finished_run_is_not_run_again(command: Command) -> None:
    first = command("debug=tiny")
    assert first.status == 0, first.err
    assert "_target_" not in first.out, "of the data everything is the option's"
    before = {path: path.stat().st_mtime_ns for path in first.run.rglob("*")}
    again = command("debug=tiny")
    assert again.status == 0
    assert "is finished (rerun=true runs it again" in again.out
    assert {path: path.stat().st_mtime_ns for path in first.run.rglob("*")} == before
    assert "Not there" not in again.out
    (first.run / "samples.png").unlink()
    again = command("debug=tiny")
    assert "Not there: samples.png (train=false draws" in again.out
    assert "samples:" not in again.out
    assert command("debug=tiny", "train=false").status == 0
    assert (first.run / "samples.png").is_file()
    forced = command("debug=tiny", "rerun=true")
    assert forced.status == 0
    assert (first.run / "summary.json").stat().st_mtime_ns != before[first.run / "summary.json"]
    other = command("debug=tiny", "seed=1")
    assert len(list(other.folder.glob("debug_runs/*/*"))) == 2


def test_a_given_folder_is_respected_and_belongs_to_one_config(command: Command) -> None:
    first = command("debug=tiny", "hydra.run.dir=here/it/is")
    assert first.status == 0, first.err
    assert {path.name for path in (first.folder / "here/it/is").iterdir()} == FILES | {"checkpoints"}
    assert not list(first.folder.glob("*runs"))
    second = command("debug=tiny", "hydra.run.dir=here/it/is", "optim.lr=0.1")
    assert second.status == 1
    assert "is a run with another optim.lr" in second.err


def test_the_users_sweep(command: Command) -> None:
    ended = command("-m", "objective=dsm", "objective.sigma=0.05,0.1,0.3", "data=digits", "debug=tiny")
    assert ended.status == 0, ended.err
    configs = [yaml.safe_load(path.read_text()) for path in ended.folder.glob("debug_runs/sweep/*/config.yaml")]
    assert sorted(config["objective"]["sigma"] for config in configs) == [0.05, 0.1, 0.3]
    assert {config["head"]["_target_"].rpartition(".")[2] for config in configs} == {"ConditionalScore"}


def test_one_failing_cell_of_a_sweep_does_not_stop_the_others(command: Command) -> None:
    ended = command("-m", "objective=dsm", "objective.sigma=0.1,-1,0.3", "debug=tiny")
    assert ended.status == 1
    assert "objective.sigma=-1" in ended.err
    assert len(list(ended.folder.glob("debug_runs/sweep/*/summary.json"))) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("objektive=csm",), "objektive is no setting of Scorewise; did you mean objective?"),
        (("data.smothing=1",), "data.smothing is no setting of data; did you mean smoothing?"),
        (
            ("objective=cms",),
            "ssm_vr; did you mean csm?",
        ),
        (
            ("objective=csm", "backbone=mlp"),
            "objective=csm needs a backbone with causal features or features of blocks; backbone=mlp has",
        ),
        (
            ("objective=mle", "head.form=raw"),
            "head.form is no setting of the chosen head: choose head=block_score or conditional_score or score",
        ),
        (("optim.lr=-1",), "optim.lr=-1"),
        (("data.batch_size=100000",), "data.batch_size=100000 does not fit 1297 training examples"),
        (("resume=https://example.org/run",), "is an address"),
        (("resume=nowhere",), "nowhere is not a folder"),
        (("trainer.max_epochs=many", "debug=tiny"), "trainer.max_epochs=many must be a whole number"),
        (("data=toy2d", "data.name=cube"), "data.name=cube is none of"),
        (("data=images",), "data=images needs a folder: data.path="),
        (("data=images", "data.path=nowhere"), "nowhere is not there: give a folder of images"),
        (("data=celeba", "data.size=48"), "data.size=48 is none of CelebA's"),
        (("trainer.limit_train_batches=0.01",), "trainer.limit_train_batches=0.01 is less than one of 20 batches"),
        (("-m", "trainer.strategy=ddp", "seed=0,1"), "use trainer.strategy=ddp_fork"),
    ],
)
def test_bad_input_is_one_sentence(command: Command, arguments: tuple[str, ...], sentence: str) -> None:
    ended = command(*arguments)
    assert ended.status != 0
    assert sentence in ended.err
    assert "Traceback" not in ended.err
    assert len(set(ended.err.strip().splitlines())) == 1, ended.err
    assert not list(ended.folder.rglob("*.ckpt"))


def test_no_files_and_no_network_is_one_sentence(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_data import no_network

    no_network(monkeypatch)
    monkeypatch.setenv("SCOREWISE_CACHE", "cache")
    ended = command("data=mnist", "paths.data=elsewhere")
    assert ended.status == 1
    (sentence,) = ended.err.strip().splitlines()
    assert f"is not in {ended.folder / 'elsewhere'}" in sentence
    assert "MNIST/raw/train-images-idx3-ubyte.gz" in sentence
    assert "use data=digits" in sentence


def test_an_unexpected_error_keeps_its_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import scorewise.run.training

    def bug(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(scorewise.run.training, "train_run", bug)
    with pytest.raises(ZeroDivisionError):
        command("debug=tiny")


def test_nothing_of_the_environment_is_stored(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "very-secret")
    ended = command("debug=tiny", "tags=['${oc.env:MY_KEY}']", "name='${oc.env:MY_KEY}'", "hydra.run.dir=here")
    assert ended.status == 0, ended.err
    stored = (ended.folder / "here" / "config.yaml").read_text()
    assert "very-secret" not in stored
    assert "from the environment" in stored


@pytest.mark.parametrize(
    "choice",
    [
        ("objective=csm",),
        ("objective=csm", "head=mixture"),
        ("objective=csm", "head=gaussian"),
        ("objective=mle",),
        ("objective=dsm",),
        ("objective=dsm", "backbone=mlp"),
        ("objective=dsm", "backbone=mlp", "head=energy"),
        ("objective=sm", "backbone=mlp"),
        ("objective=sm", "backbone=mlp", "head=energy"),
        ("objective=sm", "backbone=made"),
    ],
)
@pytest.mark.parametrize("data", ["gaussian", "mixture1d"])
def test_every_family_trains_tests_and_predicts(command: Command, choice: tuple[str, ...], data: str) -> None:
    ended = command("debug=tiny", f"data={data}", *choice)
    assert ended.status == 0, ended.err
    metrics = json.loads((ended.run / "summary.json").read_text())["metrics"]
    assert {"loss", "fisher_error", "fisher_error_clean"} <= set(metrics)
    assert ("nll" in metrics) == ("bits_per_dim" in metrics)
    if "head=gaussian" in choice or "mle" in ended.run.parent.name or "head=mixture" in choice:
        assert "nll" in metrics
    elif "backbone=mlp" in choice:
        assert "nll" not in metrics
    else:  # after so few steps a score may not decay, which is said instead of a number
        assert ("nll" in metrics) != ("nll is not reported: dimension" in ended.err)
    assert ("csm" in metrics) == ("backbone=mlp" not in choice)
    assert all(torch.tensor(value).isfinite() for value in metrics.values())


def test_predict(tmp_path: Path) -> None:
    """A density predicts log-densities, a score model its field; also under the trainer."""
    from lightning import Trainer
    from test_compose import settled

    from scorewise.config.build import build
    from scorewise.data.datamodule import ScoreData
    from scorewise.run.task import build_task

    field = (300, 10)
    for choice, shape in (
        (("objective=mle",), (300,)),
        (("objective=csm", "head=gaussian"), (300,)),
        (("objective=csm", "data.smoothing=0.3"), (300,)),
        (("objective=sm", "backbone=mlp"), field),
        (("objective=dsm", "backbone=mlp", "head=energy"), field),
    ):
        config = settled("data=gaussian", "data.held_out=300", "debug=tiny", *choice)
        parts = build(config, 0)
        task = build_task(config, parts, 0)
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            inference_mode=False,
            default_root_dir=tmp_path,
        )
        predicted = torch.cat(trainer.predict(task, ScoreData(parts.source, 500, 0)))  # type: ignore[arg-type]
        assert predicted.shape == shape
        assert not predicted.requires_grad


def test_evaluation_finds_the_same_numbers(command: Command) -> None:
    trained = command("debug=tiny", "data=gaussian", "trainer.limit_test_batches=null", "data.held_out=64")
    metrics = json.loads((trained.run / "summary.json").read_text())["metrics"]
    tested = command(f"run={trained.run}", name="eval")
    assert tested.status == 0, tested.err
    assert with_error("csm", metrics) in tested.out
    assert with_error("fisher_error", metrics) in tested.out
    assert command("run=nowhere", name="eval").status == 1
    empty = command("run=", name="eval")
    assert empty.status == 1
    assert empty.err.strip() == "run= is empty: give the folder of a run, or one that holds a single run."
    assert "run must be given" in command(name="eval").err


def test_resume_and_evaluation_refuse_what_a_stranger_wrote(command: Command) -> None:
    run = command("debug=tiny").run
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["objective"]["_target_"] = "torch.optim.swa_utils.torch.hub.load"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    for ended in (command("debug=tiny", f"resume={run}", "rerun=true"), command(f"run={run}", name="eval")):
        assert ended.status == 1
        assert "torch.optim.swa_utils.torch.hub.load" in ended.err


def test_a_pickled_checkpoint_is_not_executed(command: Command) -> None:
    import pickle

    from test_store import Evil

    run = command("debug=tiny").run
    (run / "summary.json").unlink()
    for content in (pickle.dumps(Evil()), b"half"):
        (run / "checkpoints" / "last.ckpt").write_bytes(content)
        ended = command("debug=tiny")
        assert ended.status == 1
        assert "last.ckpt is damaged or holds more than plain numbers" in ended.err


def test_a_finished_run_says_that_another_sampler_has_not_drawn_its_samples(command: Command) -> None:
    assert command("debug=tiny").status == 0
    assert "by another sampler" not in command("debug=tiny").out
    assert "Its samples were drawn by another sampler" in " ".join(
        command("debug=tiny", "sampler=langevin_1d").out.split()
    )


def test_commands_that_take_some_settings_of_a_group_say_which(command: Command) -> None:
    for word in ("data=mnist", "data.root=x"):
        ended = command("run=x", word, name="eval")
        assert ended.status == 1
        assert f"{word.split('=')[0]} is no setting of eval: there is data.path" in ended.err


def test_the_settings_of_a_likelihood_make_another_run(command: Command) -> None:
    rule = "likelihood=quadrature"
    choices = ((), (rule,), (rule, "likelihood.panels=40"), (rule, "likelihood.values=6400"))
    ended = [command("debug=tiny", *choice) for choice in choices]
    assert all(one.status == 0 for one in ended)
    assert "is finished" in ended[1].out
    assert len(list(ended[0].folder.glob("debug_runs/*/*/config.yaml"))) == 3


def test_a_refused_likelihood_takes_the_loss_that_is_one_with_it(command: Command) -> None:
    tiny = ("debug=tiny", "likelihood=quadrature", "likelihood.low=-0.5", "likelihood.high=0.5")
    for objective, kept in (("csm", {"loss", "loss_se", "csm", "csm_se"}), ("csm_mle", {"csm", "csm_se"})):
        ended = command(*tiny, f"objective={objective}")
        assert ended.status == 0, ended.err
        assert "nll is not reported: dimension" in ended.err
        (summary,) = ended.folder.glob(f"debug_runs/{objective}-*/*/summary.json")
        assert set(json.loads(summary.read_text())["metrics"]) == kept


def test_train_false_tests_the_finished_weights(command: Command) -> None:
    first = command("debug=tiny")
    before = json.loads((first.run / "summary.json").read_text())["metrics"]
    again = command("debug=tiny", "train=false")
    assert again.status == 0, again.err
    assert json.loads((first.run / "summary.json").read_text())["metrics"] == pytest.approx(before)


@pytest.mark.parametrize("logger", ["tensorboard", "wandb"])
def test_loggers(command: Command, logger: str) -> None:
    extra = ("logger.mode=disabled",) if logger == "wandb" else ()
    ended = command("debug=tiny", f"logger={logger}", *extra)
    assert ended.status == 0, ended.err
    if logger == "tensorboard":
        assert list(ended.run.glob("tensorboard/**/events*"))


def test_early_stopping(command: Command) -> None:
    ended = command(
        "debug=tiny", "callbacks=early_stopping", "callbacks.patience=1", "callbacks.progress=false", "optim.lr=1e-9",
        "trainer.max_steps=-1", "trainer.limit_train_batches=1", "trainer.max_epochs=40", "optim.ema_decay=0",
        "callbacks.sample_every_n_epochs=0",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    assert json.loads((ended.run / "summary.json").read_text())["steps"] < 40


def test_help_is_quick() -> None:
    import subprocess
    import sys

    script = Path(__file__).parents[1] / "src" / "train.py"
    started = time.monotonic()
    ended = subprocess.run([sys.executable, str(script), "--help"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert "objective: what is minimised\n  aem " in ended.stdout
    assert time.monotonic() - started < 3 * (1 + os.getloadavg()[0])


def test_a_training_warns_of_nothing_that_a_user_cannot_act_on(command: Command) -> None:
    ended = command("data.epochs=1", "trainer.max_steps=2", "test=false", "callbacks.progress=false")
    assert ended.status == 0, ended.err
    assert "warning" not in ended.out + ended.err


def test_the_slides_mixture_at_its_defaults_ends(command: Command) -> None:
    ended = command("data=mixture1d", "data.epochs=1", "callbacks.progress=false")
    assert ended.status == 0, ended.err
    x = scorewise.load(ended.run).sample(500, torch.Generator().manual_seed(0))
    assert x.abs().max() < 6
    assert 0.3 < float((x > 0).float().mean()) < 0.9


def test_a_double_precision_run_is_tested_and_loaded_in_it(command: Command) -> None:
    trained = command("debug=tiny", "data=gaussian", "data.held_out=32", "trainer.precision=64-true")
    assert command(f"run={trained.run}", name="eval").status == 0
    assert scorewise.load(trained.run).sample(2).dtype == torch.float64


@pytest.mark.parametrize(
    "setting",
    [
        "seed=abc", "seed=null", "data.smoothing=abc", "data.batch_size=abc", "callbacks.save_every_n_steps=0",
        "callbacks.samples=0", "trainer.check_val_every_n_epoch=0", "backbone.hidden=[]", "backbone.hidden=[-5]",
        "task.monitor=val/foo", "logger=wandb logger.mode=foo", "trainer.precision=7",
        "trainer.compile=abc", "sampler=parallel sampler.block=1.5", "objective=csm_mle objective.share=abc",
        "head=cosine objective=mle head.terms=0", "likelihood=quadrature likelihood.panels=2.5", "likelihood=none",
        "objective=csm_annealed likelihood=flow_ode likelihood.order=1", "optim.weight_decay=-1",
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(command: Command, setting: str) -> None:
    ended = command("debug=tiny", *setting.split())
    assert ended.status == 1
    assert "Traceback" not in ended.err
    assert setting.split()[-1].split("=")[0].split(".")[-1] in ended.err
    assert len(set(ended.err.strip().splitlines())) == 1, ended.err


def test_a_config_that_names_a_logger_as_objective_is_refused(command: Command) -> None:
    run = command("debug=tiny").run
    whole = (run / "config.yaml").read_text()
    config = yaml.safe_load(whole)
    config["objective"] = {"_target_": "lightning.pytorch.loggers.WandbLogger", "save_dir": "/nowhere"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    ended = command(f"run={run}", name="eval")
    assert ended.status == 1
    assert "lightning.pytorch.loggers.WandbLogger" in ended.err
    (run / "config.yaml").write_text(yaml.safe_dump({"model": yaml.safe_load(whole)["model"]}))
    for refused in (command(f"run={run}", name="eval"), command("debug=tiny", f"hydra.run.dir={run}")):
        assert refused.status == 1
        assert "is no run" in refused.err


def test_values_of_the_environment_count_without_being_stored(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in ("1", "2"):
        monkeypatch.setenv("SEEDX", seed)
        ended = command("debug=tiny", "seed='${oc.decode:${oc.env:SEEDX}}'", "tags=['${oc.env:SEEDX}']")
        assert ended.status == 0, ended.err
        assert "is finished" not in ended.out
    runs = list(ended.folder.glob("debug_runs/*/*/summary.json"))
    assert len(runs) == 2
    assert all(json.loads(path.read_text())["tags"] == ["from the environment"] for path in runs)
