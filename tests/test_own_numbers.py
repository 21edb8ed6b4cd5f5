"""Weights come from a generator of their own: no other thread and no setting of the process changes them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
import torch
from test_compose import settled
from torch import Tensor, nn

from scorewise.config.build import build
from scorewise.densities import ScoreDensity
from scorewise.figures.reproduce import reproduce_figure
from scorewise.noise import RANDOM, OwnNumbers
from scorewise.run.evaluation import evaluate
from scorewise.run.features import train_extractor
from scorewise.run.precision import restoring_precision
from scorewise.run.prediction import predict
from scorewise.run.training import train_run
from scorewise.store import assemble, import_class

MODELS = {
    "made": ("objective=csm", "data=digits", "backbone=made"),
    "knots": ("objective=csm", "data=digits", "backbone=made", "backbone.init=knots"),
    "pixelcnnpp": ("objective=csm", "data=digits", "backbone=pixelcnnpp"),
    "transformer": ("objective=csm", "data=digits", "backbone=transformer"),
    "masked_mlp": ("objective=csm", "backbone=masked_mlp"),
    "masked_transformer": ("objective=csm", "backbone=masked_transformer"),
    "mlp": ("objective=dsm", "backbone=mlp"),
    "convnet": ("objective=dsm", "backbone=convnet", "backbone.channels=[8,8]"),
    "unet": ("objective=dsm_multiscale", "backbone=unet"),
    "levels": ("objective=csm_annealed",),
    "machine": ("objective=aem",),
    "vae": ("experiment=vae_mnist",),
}


@pytest.mark.parametrize("words", MODELS.values(), ids=MODELS)
def test_weights_are_those_of_the_seed_and_leave_the_process_alone(words: tuple[str, ...]) -> None:
    recipe = build(settled(*words), 3).recipe
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        expected = assemble(recipe, import_class).state_dict()
    before = torch.get_rng_state()
    with OwnNumbers(3):
        found = assemble(recipe, import_class).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def filled(function: Any) -> Tensor:
    weight = torch.zeros(8, 8)
    given = {nn.init.sparse_: (weight, 0.5), Tensor.random_: (weight, 0, 99), Tensor.bernoulli_: (weight, 0.5)}
    made = {
        torch.rand: (7,),
        torch.randn: (7,),
        torch.randint: (99, (7,)),
        torch.randperm: (7,),
        torch.normal: (weight, 1.0),
        torch.bernoulli: (weight + 0.5,),
        torch.multinomial: (weight + 1, 3),
    }
    result: Tensor = function(*made[function]) if function in made else function(*given.get(function, (weight,)))
    return result.clone()


@pytest.mark.parametrize("function", RANDOM, ids=lambda function: function.__name__)
def test_every_random_operation_takes_the_given_numbers(function: Any) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        expected = filled(function)
    before = torch.get_rng_state()
    with OwnNumbers(7):
        found = filled(function)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found, expected)


def test_other_threads_change_nothing() -> None:
    recipe = build(settled("objective=csm", "data=digits", "backbone.hidden=[16]"), 3).recipe
    expected = build(settled("objective=csm", "data=digits", "backbone.hidden=[16]"), 3).model.state_dict()
    done = threading.Event()

    def disturb() -> None:
        while not done.is_set():
            torch.rand(100)

    def made(_: int) -> bool:
        with OwnNumbers(3):
            found = assemble(recipe, import_class).state_dict()
        return all(torch.equal(found[name], value) for name, value in expected.items())

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    try:
        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(made, range(24)))
    finally:
        done.set()
        disturbing.join()


def double_precision(fails: bool) -> None:
    torch.set_default_dtype(torch.float64)
    if fails:
        raise ValueError("as a run may")


@pytest.mark.parametrize("fails", [False, True])
def test_what_runs_in_double_precision_leaves_the_process_as_it_was(fails: bool) -> None:
    with pytest.raises(ValueError, match="as a run may") if fails else nullcontext():
        restoring_precision(double_precision)(fails)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("function", [train_run, evaluate, predict, train_extractor, reproduce_figure])
def test_runs_restore_the_precision(function: Any) -> None:
    assert unwrap(function) is not function


ROWS = np.random.default_rng(0).normal(size=(80, 3))


def scores(_: int = 0) -> list[float]:
    found: list[float] = ScoreDensity(steps=5, random_state=0).fit(ROWS).score_samples(ROWS[:5]).tolist()
    return found


def test_an_estimator_gives_the_same_in_any_thread_and_under_any_setting_of_the_process() -> None:
    expected = scores()
    with ThreadPoolExecutor(8) as threads:
        assert all(found == expected for found in threads.map(scores, range(12)))
    torch.set_default_dtype(torch.float64)
    assert scores() == pytest.approx(expected, rel=1e-12)
    assert torch.get_default_dtype() == torch.float64
