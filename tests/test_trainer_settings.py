"""Every setting of Lightning's trainer works, or is refused with what to use instead."""

import inspect
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
    ended = command("debug=tiny", "test=false", "callbacks.progress=false", f"+trainer.{name}={VALUES[name]}")
    assert ended.status == 0, ended.err


def test_what_is_no_setting_at_all() -> None:
    with pytest.raises(UserError, match=r"^trainer\.max_stepz is no setting of lightning\.Trainer: leave it out\.$"):
        settled("+trainer.max_stepz=3")


def test_patience_needs_a_validation() -> None:
    settled("callbacks.patience=1")
    with pytest.raises(UserError, match=r"trainer\.limit_val_batches=0 has none: use callbacks\.patience=null"):
        settled("callbacks.patience=1", "trainer.limit_val_batches=0")


def test_a_finished_run_is_not_held_to_what_its_training_would_be() -> None:
    config = settle(config_of("+trainer.gradient_clip_val=1", *KINKED))
    refuse_incompatible(config, training=False)
    with pytest.raises(UserError, match=r"optim.clip"):
        refuse_incompatible(config)
    with pytest.raises(UserError, match="no third derivative"):
        refuse_incompatible(settle(config_of(*KINKED)))
