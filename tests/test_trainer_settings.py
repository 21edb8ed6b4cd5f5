"""Every setting of Lightning's trainer works, or is refused with what to use instead."""

import inspect
import json
from collections.abc import Callable

import pytest
from conftest import Outcome
from lightning import Trainer
from test_compose import config_of, settled

from scorewise.catalog import settings_of
from scorewise.config.compatibility import refuse_incompatible
from scorewise.config.settle import settle
from scorewise.config.trainer import INSTEAD, TAKEN
from scorewise.errors import UserError

Command = Callable[..., Outcome]
OF_LIGHTNING = set(inspect.signature(Trainer.__init__).parameters) - {"self"}
LISTED = set(settings_of("trainer", "cpu")) - {"_target_", "compile"}
KINKED = ("objective=ssm_vr", "backbone=mlp", "head=energy", "backbone.activation=elu")
VALUES = {
    "accumulate_grad_batches": "2",
    "benchmark": "true",
    "detect_anomaly": "true",
    "deterministic": "true",
    "max_time": "00:00:10:00",
    "min_epochs": "1",
    "min_steps": "2",
    "sync_batchnorm": "false",
    "val_check_interval": "3",
}


def test_every_setting_of_lightning_has_an_answer() -> None:
    assert LISTED | set(TAKEN) | set(INSTEAD) == OF_LIGHTNING
    assert not LISTED & set(INSTEAD)
    assert set(VALUES) == set(TAKEN)


@pytest.mark.parametrize("name", sorted(INSTEAD))
def test_what_would_do_nothing_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"^trainer\.{name}=1 has no effect on a run: use .*\.$"):
        settled(f"+trainer.{name}=1")


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_runs(name: str, command: Command) -> None:
    more = ("callbacks.patience=3",) if name.startswith("min_") else ()
    ended = command("debug=tiny", "test=false", "callbacks.progress=false", f"+trainer.{name}={VALUES[name]}", *more)
    assert ended.status == 0, ended.err


def test_what_goes_by_the_number_of_steps_says_where_nothing_says_it(command: Command) -> None:
    endless = (
        "debug=tiny",
        "test=false",
        "trainer.max_steps=-1",
        "trainer.max_epochs=null",
        "callbacks.progress=false",
    )
    ended = command(*endless, "objective=csm_mle", "+trainer.max_time=00:00:00:01")
    assert ended.status == 0, ended.err
    assert "optim.schedule=cosine goes by the number of steps, which nothing says" in ended.err
    assert "objective=csm_mle goes by the share of the steps that are done" in ended.err
    constant = command(*endless, "optim.schedule=constant", "+trainer.max_time=00:00:00:01")
    assert "which nothing says" not in constant.err


def test_what_is_no_setting_at_all() -> None:
    with pytest.raises(UserError, match=r"^trainer\.max_stepz is no setting of lightning\.Trainer: leave it out\.$"):
        settled("+trainer.max_stepz=3")


def test_patience_needs_a_validation() -> None:
    settled("callbacks.patience=1")
    with pytest.raises(UserError, match=r"trainer\.limit_val_batches=0 has none: use callbacks\.patience=null"):
        settled("callbacks.patience=1", "trainer.limit_val_batches=0")


def test_what_another_setting_takes_the_effect_of() -> None:
    for words, said in (
        (
            ("trainer.overfit_batches=2", "trainer.limit_val_batches=3"),
            r"trainer\.limit_val_batches=3 has no effect be",
        ),
        (
            ("trainer.overfit_batches=2", "trainer.limit_train_batches=3"),
            r"trainer\.limit_train_batches=3 has no effec",
        ),
        (("+trainer.min_epochs=2",), r"trainer\.min_epochs=2 has no effect where nothing ends a training early"),
        (("+trainer.min_steps=2",), r"trainer\.min_steps=2 has no effect"),
        (
            ("+trainer.min_epochs=9", "data.epochs=2", "callbacks.patience=1"),
            r"is more than trainer\.max_epochs=2",
        ),
        (
            ("+trainer.min_steps=9", "trainer.max_steps=8", "callbacks.patience=1"),
            r"is more than trainer\.max_steps=8",
        ),
        (("trainer.precision=16-mixed",), r"would compute in bf16-mixed under its name"),
    ):
        with pytest.raises(UserError, match=said):
            settled(*words)
    settled("trainer.overfit_batches=2")
    settled("+trainer.min_epochs=2", "data.epochs=2", "callbacks.patience=1")
    settled("+trainer.min_steps=9", "+trainer.max_time=00:00:01:00")
    settled("trainer.precision=16-mixed", "trainer.accelerator=gpu")


def test_a_finished_run_is_not_held_to_what_its_training_would_be() -> None:
    config = settle(config_of("+trainer.gradient_clip_val=1", *KINKED))
    refuse_incompatible(config, training=False)
    with pytest.raises(UserError, match=r"optim.clip"):
        refuse_incompatible(config)
    with pytest.raises(UserError, match="no third derivative"):
        refuse_incompatible(settle(config_of(*KINKED)))


SMALL = (
    *("data=gaussian", "data.dims=3", "data.held_out=256", "data.batch_size=64", "data.examples_per_epoch=640"),
    *("objective=mle", "head=gaussian", "backbone.hidden=[8]", "callbacks.samples=4", "callbacks.progress=false"),
)
"""Ten batches of training an epoch, and 256 examples for a test."""


def test_intervals_longer_than_an_epoch_are_refused(command: Command) -> None:
    ended = command(*SMALL, "data.epochs=2", "+trainer.val_check_interval=11")
    assert ended.status == 1
    assert ended.err.startswith(
        "trainer.val_check_interval=11 is more than the 10 training batches of an epoch: use 10 "
    )
    assert len(ended.err.splitlines()) == 1
    assert not list(ended.folder.glob("*runs/*"))
    words = ("test=false", "+trainer.val_check_interval=11")
    assert command(*SMALL, "data.epochs=2", "trainer.check_val_every_n_epoch=null", *words).status == 0
    few = command(*SMALL, "trainer.limit_train_batches=4", "+trainer.val_check_interval=5").err
    assert "more than the 4 training batches" in few


@pytest.mark.parametrize(
    ("words", "kept", "told"),
    [
        (("data.epochs=3", "trainer.max_steps=25"), 20, "the last one was after step 20 of 25"),
        (("data.epochs=3", "trainer.check_val_every_n_epoch=2"), 20, "the last one was after step 20 of 30"),
        (("data.epochs=2",), None, None),
        (("data.epochs=2", "trainer.max_steps=7"), 7, None),
        (("data.epochs=3", "trainer.max_steps=25", "trainer.limit_val_batches=0"), 25, None),
    ],
)
def test_steps_that_are_not_in_the_weights_are_told(
    words: tuple[str, ...], kept: int | None, told: str | None, command: Command
) -> None:
    ended = command(*SMALL, "test=false", *words)
    assert ended.status == 0, ended.err
    assert (told in ended.err) if told else ("validations say" not in ended.err)
    summary = json.loads((ended.run / "summary.json").read_text())
    assert kept is None or summary["weights_of_step"] == kept


def test_a_test_of_some_examples_says_so(command: Command) -> None:
    ended = command(*SMALL, "data.epochs=1", "trainer.limit_test_batches=0.5")
    assert ended.status == 0, ended.err
    assert (
        "the held-out numbers are of the first 128 of 256 test examples, by trainer.limit_test_batches=0.5" in ended.err
    )
    summary = json.loads((ended.run / "summary.json").read_text())
    assert summary["data"]["tested"] == "the first 128 of 256 test examples"
    again = command(f"run={ended.run}", "task=ood", "task.out=[gaussian]", "trainer.limit_test_batches=1", name="eval")
    assert again.status == 0, again.err
    assert "the first 64 of 256" in again.err
    assert json.loads((ended.run / "ood.json").read_text())["data"]["tested"] == "the first 64 of 256 test examples"
    whole = command(f"run={ended.run}", name="eval")
    assert "of 256 test examples" not in whole.err


def test_a_test_of_nothing_and_a_training_without_end_are_refused(command: Command) -> None:
    none = command(*SMALL, "trainer.limit_test_batches=0")
    assert none.status == 1
    assert "trainer.limit_test_batches=0 tests nothing" in none.err
    assert not list(none.folder.glob("*runs/*"))
    assert command(*SMALL, "data.epochs=1", "trainer.limit_test_batches=0", "test=false").status == 0
    with pytest.raises(UserError, match=r"^trainer\.max_epochs=null has no end"):
        settled("trainer.max_epochs=null")
    settled("trainer.max_epochs=null", "trainer.max_steps=3")
    settled("trainer.max_epochs=null", "+trainer.max_time=00:00:01:00")


def test_a_finished_run_is_not_trained_by_eval(command: Command) -> None:
    run = command(*SMALL, "data.epochs=1", "trainer.max_steps=6", "test=false").run
    for words in (("trainer.precision=64-true",), ("trainer.max_steps=5",), ("+trainer.accumulate_grad_batches=2",)):
        ended = command(f"run={run}", *words, name="eval")
        assert ended.status == 1
        assert "is a setting of training, and this run is trained: leave it out." in ended.err
    assert command(f"run={run}", "trainer.limit_test_batches=1", name="eval").status == 0
    as_trained = command(f"run={run}", "trainer.max_steps=6", "trainer.precision=32-true", name="eval")
    assert as_trained.status == 0, "an option of one's own may say it"
    noiseless = command(f"run={run}", "n=3", "denoise=true", name="sample")
    assert noiseless.status == 1
    assert "this model has none: denoise=false" in noiseless.err
