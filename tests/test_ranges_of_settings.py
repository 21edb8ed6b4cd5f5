"""Every number that can be typed is refused in one sentence where it cannot be, or makes a model and a task."""

import warnings
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from test_compose import settled

from scorewise import catalog
from scorewise.config.build import build
from scorewise.config.refusals import one_sentence
from scorewise.errors import UserError
from scorewise.ranges import is_number
from scorewise.run.task import build_task

TYPED = ("-1", "0", "1e30", "nan", "inf", "abc", "[]", "null")
WITH: dict[tuple[str, str], tuple[str, ...]] = {
    ("backbone", "convnet"): ("objective=dsm", "backbone.channels=[4,4]"),
    ("backbone", "glow"): ("objective=mle",),
    ("backbone", "mlp"): ("objective=dsm",),
    ("backbone", "noisy_mlp"): ("objective=dsm_multiscale",),
    ("backbone", "unet"): ("objective=dsm_multiscale",),
    ("head", "cosine"): ("objective=mle",),
    ("head", "discretised_mixture"): ("objective=mle", "data.smoothing=0"),
    ("head", "energy"): ("objective=dsm", "backbone=mlp"),
    ("head", "flow"): ("objective=mle", "backbone=glow"),
    ("head", "gaussian"): ("objective=mle",),
    ("head", "mixture"): ("objective=mle",),
    ("head", "noisy_conditional_score"): ("objective=csm_annealed",),
    ("head", "noisy_score"): ("objective=dsm_multiscale", "backbone=noisy_mlp"),
    ("head", "score"): ("objective=dsm", "backbone=mlp"),
    ("head", "conditional_energy"): ("objective=aem",),
    ("likelihood", "flow_ode"): ("objective=csm_annealed",),
    ("latent", "conv"): ("task=implicit_vae", "data.smoothing=0"),
    ("latent", "dense"): ("task=implicit_vae", "data.smoothing=0"),
    ("task", "implicit_vae"): ("data.smoothing=0",),
    ("objective", "dsm_multiscale"): ("backbone=noisy_mlp",),
    ("objective", "pcd"): ("backbone=mlp",),
}
GROUPS = ("backbone", "head", "objective", "sampler", "likelihood", "latent", "task", "optim", "data", "callbacks")
NOT_HERE = {
    ("data", "table"),
    ("data", "images"),
    ("data", "celeba"),
    ("likelihood", "none"),
    ("task", "sample_quality"),
}
"""Options that need files of somebody's, or are nothing."""


def cells() -> list[tuple[str, str, str]]:
    found = []
    for group in GROUPS:
        for name, option in catalog.options(group).items():
            if (group, name) not in NOT_HERE:
                found += [(group, name, key) for key, value in option.items() if is_number(value) or value is None]
    return found


def answer(words: tuple[str, ...]) -> str | None:
    """Return the sentence that refuses settings, None where they make a model and a task."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = settled("debug=limit", *words)
            build_task({**config, "paths": {"data": None, "cache": None}}, build(config, 0), 0)
    except UserError as error:
        return str(error)
    except (HydraException, OmegaConfBaseException) as error:
        return one_sentence(error, "train")
    return None


@pytest.mark.slow
@pytest.mark.parametrize(("group", "name", "key"), cells(), ids="=".join)
def test_a_number_is_refused_or_makes_sense(group: str, name: str, key: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    needed = (*WITH.get((group, name), ()), f"{group}={name}")
    for typed in TYPED:
        sentence = answer((*needed, f"{group}.{key}={typed}"))
        assert sentence is None or ("\n" not in sentence and sentence)
    assert list(tmp_path.iterdir()) == []


def test_the_cells_are_those_of_conf() -> None:
    assert len(cells()) > 150
    assert {group for group, _, _ in cells()} == set(GROUPS)
