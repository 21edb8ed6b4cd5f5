"""Settings of what auto chooses, typed without its name."""

from collections.abc import Callable

import pytest
from conftest import Outcome
from test_compose import settled

from scorewise.commands.implied import with_options
from scorewise.config.identity import identity

HIDDEN = "head.hidden=[8]"


@pytest.mark.parametrize(
    ("words", "implied"),
    [
        (["objective=csm", HIDDEN], "head=conditional_score"),
        (["objective=csm_annealed", HIDDEN], "head=noisy_conditional_score"),
        (["objective=mle", "head.components=3"], "head=mixture"),
        (["objective=dsm", "backbone=mlp", HIDDEN], "head=score"),
        ([HIDDEN], "head=conditional_score"),
        (["objective=csm_annealed", "sampler.settle=3"], "sampler=reverse_diffusion_1d"),
        (["objective=csm", "likelihood.low=-3"], "likelihood=quadrature"),
        (["head=mixture", "sampler.steps=3"], "sampler=exact"),
        (["experiment=mol_mnist", "head.components=3"], ""),
        (["head=conditional_score", HIDDEN], ""),
        (["objective=csm"], ""),
        (["objective=csm,mle", HIDDEN], ""),
        (["sweep=dsm_sigma", HIDDEN], ""),
        (["objective=csm_dsm", "head.hidden=[8],[4]", "data.smoothing=.1,.2"], "head=conditional_score"),
    ],
)
def test_the_option_that_auto_stands_for_goes_before_its_settings(words: list[str], implied: str) -> None:
    completed = with_options("train", words)
    assert [word for word in completed if word not in words] == ([implied] if implied else [])
    assert [word for word in completed if word in words] == words


def test_a_setting_makes_the_run_that_its_option_makes() -> None:
    """Also the same identity, so that either way finds it finished."""
    ours = settled(*with_options("train", ["objective=csm", HIDDEN]))
    named = settled("objective=csm", "head=conditional_score", HIDDEN)
    assert identity(ours) == identity(named) != identity(settled("objective=csm"))


def test_what_auto_does_not_have_is_refused_as_before(command: Callable[..., Outcome]) -> None:
    ended = command("objective=mle", HIDDEN, name="train")
    assert ended.status == 1
    assert "head.hidden is no setting of" in ended.err
