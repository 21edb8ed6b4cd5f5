"""Every number that can be typed is refused in one sentence where it cannot be, or makes a model and a task."""

import copy
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import Outcome
from hydra.core.override_parser.overrides_parser import OverridesParser
from test_compose import config_of, settled

from scorewise import catalog
from scorewise.config.build import build
from scorewise.config.compatibility import refuse_incompatible
from scorewise.config.settle import settle
from scorewise.errors import UserError
from scorewise.ranges import is_number
from scorewise.run.task import build_task

Command = Callable[..., Outcome]
TYPED: Mapping[str, Any] = {
    "-1": -1,
    "0": 0,
    "1e30": 1e30,
    "10000000000000000000000": 10**22,
    "nan": float("nan"),
    "inf": float("inf"),
    "abc": "abc",
    "[]": [],
    "null": None,
}
"""What is typed, and what Hydra makes of it."""
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
    ("latent", "conv"): ("task=implicit_vae", "data.smoothing=0", "latent.channels=[4,4]"),
    ("latent", "dense"): ("task=implicit_vae", "data.smoothing=0"),
    ("task", "implicit_vae"): ("data.smoothing=0",),
    ("objective", "dsm_multiscale"): ("backbone=noisy_mlp",),
    ("objective", "esm"): ("backbone.activation=silu",),
    ("objective", "pcd"): ("backbone=mlp",),
    ("sampler", "annealed"): ("objective=csm_annealed",),
    ("sampler", "annealed_langevin"): ("objective=dsm_multiscale", "backbone=noisy_mlp"),
    ("sampler", "annealed_langevin_1d"): ("objective=csm_annealed",),
    ("sampler", "probability_flow"): ("objective=dsm_multiscale", "backbone=noisy_mlp"),
    ("sampler", "exact"): ("objective=mle", "head=gaussian"),
    ("sampler", "flow_ode"): ("objective=csm_annealed",),
    ("sampler", "hmc"): ("objective=dsm", "backbone=mlp", "head=energy"),
    ("sampler", "langevin"): ("objective=dsm", "backbone=mlp"),
    ("sampler", "mala"): ("objective=dsm", "backbone=mlp", "head=energy"),
    ("sampler", "pushforward"): ("objective=mle", "backbone=glow", "head=flow"),
    ("sampler", "resampling"): ("objective=aem",),
    ("sampler", "reverse_diffusion_1d"): ("objective=csm_annealed",),
}
GROUPS = ("backbone", "head", "objective", "sampler", "likelihood", "latent", "task", "optim", "data", "callbacks")
NOT_HERE = {
    ("data", "table"),
    ("data", "images"),
    ("data", "celeba"),
    ("head", "by_column"),
    ("likelihood", "none"),
    ("task", "impute"),
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


@cache
def composed(words: tuple[str, ...]) -> Mapping[str, Any]:
    return config_of("debug=limit", *words)


def answer(words: tuple[str, ...], group: str, key: str, value: Any) -> str | None:
    """Return the sentence that refuses a setting, None where it makes a model and a task."""
    config = copy.deepcopy(dict(composed(words)))
    config[group][key] = value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = settle(config)
            refuse_incompatible(config)
            build_task({**config, "paths": {"data": None, "cache": None}}, build(config, 0), 0)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize("typed", TYPED)
def test_what_is_typed(typed: str) -> None:
    assert repr(OverridesParser.create().parse_override(f"a={typed}").value()) == repr(TYPED[typed])


@pytest.mark.slow
@pytest.mark.parametrize(("group", "name"), dict.fromkeys((group, name) for group, name, _ in cells()), ids="=".join)
def test_a_number_is_refused_or_makes_sense(group: str, name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    needed = (*WITH.get((group, name), ()), f"{group}={name}")
    for _, _, key in (cell for cell in cells() if cell[:2] == (group, name)):
        given = composed(needed)[group][key]
        assert answer(needed, group, key, given) is None, "other settings refuse it, so nothing is tried"
        for typed, value in TYPED.items():
            sentence = answer(needed, group, key, value)
            assert sentence is None or ("\n" not in sentence and sentence)
            assert sentence or typed not in ("nan", "10000000000000000000000") or key == "clip"  # may be infinite
    assert list(tmp_path.iterdir()) == []


def test_the_cells_are_those_of_conf() -> None:
    assert len(cells()) > 150
    assert {group for group, _, _ in cells()} == set(GROUPS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("seed=18446744073709551616",), "seed=18446744073709551616 is too large: use at most 9223372036854775807."),
        (("tags=5",), "tags=5 must be a list of words, tags=[mine] say."),
        (("trainer.profiler=-1",), "trainer.profiler=-1 must be one of simple, advanced, pytorch or null."),
        (("callbacks.samples=null",), "callbacks.samples=null must be a whole number of at least 1."),
        (("trainer.max_steps=0",), "trainer.max_steps=0 must be a whole number of at least 1, or -1 for no limit."),
        (("data.batch_size=null",), "data.batch_size=null must be a whole number of at least 1."),
        (("objective=dsm", "objective.sigma_power=1e30"), "objective.sigma_power=1e+30 must be a number of at least"),
        (("data=gaussian", "data.std=-1"), "data.std=-1 must be a positive number."),
        (("optim.weight_decay=1e30",), "optim.weight_decay=1e+30 must be a number of at least 0 and at most 100: more"),
        (("sampler=parallel", "sampler.tolerance=inf"), "sampler.tolerance=inf must be a number of at least 0 and at"),
        (("data.smoothing=1e30",), "data.smoothing=1e+30 is too large: use at most 1e+06."),
        (("data=gaussian", "data.mean=-1e30"), "data.mean=-1e+30 is too small: use at least -1e+06."),
        (("data=gaussian", "data.mean=inf"), "data.mean=inf is too large: use at most 1e+06."),
        (("name=[]",), "name=[] must be a name or null."),
        (("paths.runs=5",), "paths.runs=5 must be a path, a number in quotation marks."),
        (("resume=0",), "resume=0 must be a path, a number in quotation marks or null."),
        (("+trainer.max_time=-1",), "trainer.max_time=-1 must be a time, '\"00:12:00:00\"' (days, hours, minutes,"),
        (("+trainer.val_check_interval=0",), "trainer.val_check_interval=0 must be a whole number of at least 1 or a"),
        (("trainer.precision=abc",), "trainer.precision=abc is none of 32-true, 64-true"),
    ],
)
def test_named_settings(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        settled(*words)
    assert str(refused.value).startswith(sentence)


def test_numbers_that_stay_as_they_were() -> None:
    settled("seed=9223372036854775807", "tags=[5,a]", "name=5", "optim.clip=inf", "optim.lr=1e6", "data.smoothing=1e6")
    settled("trainer.precision=32", "trainer.devices=-1", "trainer.devices=auto", "trainer.limit_val_batches=0")
    settled("+trainer.max_time='00:00:10:00'", "+trainer.val_check_interval=0.5", "trainer.max_epochs=null")
    settled("+trainer.max_time={hours: 1}", "+trainer.deterministic=warn", "trainer.overfit_batches=0.5")


SMALL = ("debug=tiny", "data=gaussian", "head=mixture", "data.examples_per_epoch=64", "data.held_out=16")
OF_RUNS = ("callbacks", "logger", "paths", "trainer")
COMMANDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "train": ((*SMALL, "rerun=true"), OF_RUNS),
    "eval": (("run=one",), ("paths", "trainer")),
    "predict": (("run=one", "input=rows.csv"), ("paths", "trainer")),
    "sample": (("run=one", "n=3"), ()),
    "tune": ((*SMALL, "study.trials=1"), ()),
    "reproduce": (("figure=fig1b", "budget=tiny"), ("paths",)),
    "features": (("data=digits", "trainer.max_steps=2", "paths.cache=cache"), ("paths", "trainer")),
    "dashboard": (("group=mine", "save=layout.json"), ()),
}
"""What is typed with it, and the groups whose settings are its plumbing."""
OPTION = {"logger": "wandb", "callbacks": "early_stopping"}


def _named(key: str) -> bool:
    """Return whether a setting is a name, which may look like a number."""
    return key.rpartition(".")[2] in ("name", "tags", "project", "entity", "group", "path")


def keys_of(command: str) -> list[str]:
    """Return the dotted names of the settings of a command that are no part of a model, its data or its task."""
    beside = catalog.settings_beside_groups(command)
    listed = [
        f"{key}.{inner}" if isinstance(value, dict) else key
        for key, value in beside.items()
        for inner in (value if isinstance(value, dict) else [key])
    ]
    for group in COMMANDS[command][1]:
        option = catalog.options(group)[OPTION.get(group) or catalog.default_options(command)[group]]
        listed += [f"{group}.{key}" for key in option if key != "_target_"]
    return list(dict.fromkeys(key for key in listed if not key.startswith("optim.")))


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_the_settings_of_commands(name: str, command: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("".join(",".join(f"{r + d}.5" for d in range(10)) + "\n" for r in range(4)))
    if "run=one" in COMMANDS[name][0]:
        assert command(*SMALL, "hydra.run.dir=one").status == 0
    before = sorted(tmp_path.rglob("*"))
    for key in keys_of(name):
        group = key.partition(".")[0]
        chosen = [f"{group}={OPTION[group]}"] if group in OPTION else []
        for typed in TYPED:
            ended = command(*chosen, *COMMANDS[name][0], f"{key}={typed}", name=name)
            said = [line for line in ended.err.splitlines() if not line.startswith("warning: ")]
            assert ended.status in (0, 1)
            assert len(said) == ended.status, (key, typed, ended.err)
            assert ended.status or typed not in ("nan", "10000000000000000000000") or _named(key)
            if ended.status and not said[0].startswith("none of"):  # the trials of a study, each with its sentence
                assert sorted(tmp_path.rglob("*")) == before, (key, typed, said)
            before = sorted(tmp_path.rglob("*"))
