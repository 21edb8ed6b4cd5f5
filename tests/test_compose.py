"""The composition matrix: every cell is allowed or refused with its sentence."""

import itertools
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from composition import (
    BACKBONES,
    HEADS,
    SAMPLERS,
    backbones_with,
    refusal,
    refusal_of_auto,
    refusal_of_sampler,
    taken,
)
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from test_objectives import TABLE
from torch import nn

from scorewise import catalog
from scorewise.backbones import MADE
from scorewise.config import compatibility
from scorewise.config.build import build
from scorewise.config.choices import IncompatibleChoice
from scorewise.config.identity import plain
from scorewise.config.settle import settle
from scorewise.errors import UserError
from scorewise.heads import ConditionalScore

CONF = Path(__file__).parents[1] / "conf"


def options(group: str) -> list[str]:
    return sorted(catalog.options(group))


def config_of(*overrides: str, command: str = "train") -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return plain(hydra_compose(command, list(overrides)))


def settled(*overrides: str) -> dict[str, Any]:
    config = settle(config_of(*overrides))
    compatibility.refuse_incompatible(config)
    return config


def head_of(*overrides: str) -> str:
    return catalog.option_name("head", settled(*overrides)["head"]["_target_"])


@pytest.mark.parametrize(
    ("group", "table"), [("objective", TABLE), ("backbone", BACKBONES), ("head", HEADS), ("sampler", SAMPLERS)]
)
def test_every_option_has_its_row(group: str, table: Mapping[str, Any]) -> None:
    assert sorted(table) == [name for name in options(group) if name != "auto"]


def smooth(objective: str, backbone: str) -> tuple[str, ...]:
    """Return what takes the kinks out of a backbone that the objective differentiates through."""
    return ("backbone.activation=silu",) if backbone in TABLE[objective].kinks else ()


@pytest.mark.parametrize(("objective", "backbone"), itertools.product(TABLE, BACKBONES))
def test_three_choices(objective: str, backbone: str) -> None:
    config, head = cell(objective, backbone), taken(TABLE[objective], backbone)
    assert_composes_or_is_refused(config, None if head else refusal_of_auto(objective, backbone))
    if head is not None:
        assert catalog.option_name("head", settle(config)["head"]["_target_"]) == head


@cache
def composed(*overrides: str) -> dict[str, Any]:
    return config_of(*overrides)


def cell(objective: str, backbone: str, head: str = "auto", sampler: str = "auto") -> dict[str, Any]:
    """Return the config of four choices, from one composition per option: the matrix has thousands of cells."""
    overrides = ("data.smoothing=0",) if head != "auto" and HEADS[head].clean else ()
    sections = {
        "objective": composed(f"objective={objective}", *overrides)["objective"],
        "backbone": composed(f"backbone={backbone}", *smooth(objective, backbone))["backbone"],
        "head": composed(f"head={head}")["head"],
        "sampler": composed(f"sampler={sampler}")["sampler"],
    }
    return {**composed(*overrides), **sections}


def assert_composes_or_is_refused(config: dict[str, Any], sentence: str | None) -> None:
    if sentence is None:
        compatibility.refuse_incompatible(settle(config))
        return
    with pytest.raises(IncompatibleChoice) as refused:
        compatibility.refuse_incompatible(settle(config))
    assert str(refused.value) == sentence


@pytest.mark.parametrize(("objective", "backbone"), itertools.product(TABLE, BACKBONES))
def test_the_whole_matrix(objective: str, backbone: str) -> None:
    for head in HEADS:
        assert_composes_or_is_refused(cell(objective, backbone, head), refusal(objective, backbone, head))


@pytest.mark.parametrize("head", HEADS)
def test_every_sampler_on_every_head(head: str) -> None:
    backbone = backbones_with(HEADS[head].on)[0]
    objective = next(name for name in TABLE if refusal(name, backbone, head) is None)
    for sampler in SAMPLERS:
        assert_composes_or_is_refused(cell(objective, backbone, head, sampler), refusal_of_sampler(sampler, head))


@pytest.mark.parametrize(
    ("choice", "sampler"),
    [
        (("objective=csm",), "inverse_cdf"),
        (("objective=mle",), "exact"),
        (("objective=dsm", "backbone=mlp"), "langevin"),
        (("objective=csm", "head=mixture", "sampler=langevin_1d"), "langevin_1d"),
        (("objective=csm_annealed",), "reverse_diffusion_1d"),
        (("objective=dsm_multiscale", "backbone=unet"), "annealed_langevin"),
        (("objective=aem",), "inverse_cdf"),
        (("objective=pcd", "backbone=mlp"), "langevin"),
        (("objective=ssm", "backbone=made", "backbone.activation=silu", "objective.field=joint"), "exact"),
        (("objective=pcd", "backbone=mlp", "sampler=mala"), "mala"),
        (("objective=dsm", "backbone=mlp", "head=energy", "sampler=hmc"), "hmc"),
    ],
)
def test_samplers_by_themselves(choice: tuple[str, ...], sampler: str) -> None:
    assert catalog.option_name("sampler", settled(*choice)["sampler"]["_target_"]) == sampler


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        (
            ("objective=sm", "backbone=mlp", "backbone.activation=relu"),
            "backbone.activation=relu has no second derivative",
        ),
        (("head=conditional_score", "head.activation=relu"), "head.activation=relu has no second derivative"),
        (
            ("objective=esm", "head=mixture", "backbone.activation=relu"),
            "backbone.activation=relu has no second derivative",
        ),
        (
            ("objective=csm_dsm", "head=conditional_energy", "head.activation=relu"),
            "head.activation=relu has no second derivative",
        ),
        (("sampler=langevin_1d", "sampler.step=-1"), "sampler.step=-1 must be a positive number"),
        (("objective=pcd", "backbone=mlp", "objective.steps=2.5"), "objective.steps=2.5 must be a whole number"),
        (
            ("objective=ssm", "objective.field=joint", "head=conditional_score"),
            "objective=ssm needs a model with a joint score or a density in closed form",
        ),
        (
            ("objective=dsm", "head=gaussian", "objective.field=joint"),
            "backbone.activation=relu has no second derivative",
        ),
        (("objective=ssm", "backbone=mlp", "objective.field=conditional"), "needs a backbone with causal features"),
        (("objective=pcd", "backbone=mlp", "trainer=ddp"), "objective=pcd keeps its chains in one process"),
        (("trainer.strategy=fsdp",), "trainer.strategy=fsdp cannot"),
        (("trainer.precision=bf16-true",), "trainer.precision=bf16-true keeps the weights in half precision"),
        (
            ("trainer.precision=16-true", "objective=mle"),
            "nll is rounded to 1/16 nat: use trainer.precision=bf16-mixed",
        ),
        (("task=implicit_vae", "data=mnist", "trainer.precision=bf16-true"), "keeps the weights in half precision"),
        (
            ("objective=mle", "head=discretised_mixture"),
            "head=discretised_mixture models the levels themselves, and data.smoothing=0.3 takes the data off them: "
            "use data.smoothing=0.",
        ),
        (
            ("objective=mle", "head=discretised_mixture", "data=toy2d", "data.smoothing=0"),
            "needs data on a grid of levels in [-1, 1]; data=toy2d has none. Use data=black,",
        ),
        (
            ("objective=fd_ssm", "backbone=pixelcnnpp", "backbone.dropout=0.2"),
            "objective=fd_ssm compares several passes over an example, and with backbone.dropout=0.2 every pass is",
        ),
        (
            ("objective=sm", "objective.trace=forward", "backbone=transformer", "backbone.dropout=0.2"),
            "use backbone.dropout=0.",
        ),
        (("backbone=pixelcnnpp", "backbone.filters=0"), "backbone.filters=0 must be a whole number of at least 1"),
        (("backbone=transformer", "backbone.heads=two"), "backbone.heads=two must be a whole number of at least 1"),
        (("head=discretised_mixture", "head.levels=1"), "head.levels=1 must be a whole number of at least 2"),
        (("objective._target_=os.system",), "_target_=os.system is not a class"),
        (("objective._target_=collections.OrderedDict",), "is not a subclass of scorewise's Objective"),
        (("objective._target_=nowhere.Nothing",), "_target_=nowhere.Nothing cannot be imported"),
    ],
)
def test_other_refusals(choice: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        settled(*choice)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


OF_LEVELS = ("objective=csm_annealed", "likelihood=flow_ode")
OF_ENERGIES = ("objective=dsm", "backbone=mlp", "head=energy")


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ((*OF_LEVELS, "likelihood.panels=abc"), "likelihood.panels=abc must be a whole number of at least 1 or null."),
        ((*OF_LEVELS, "likelihood.panels=0"), "likelihood.panels=0 must be a whole number of at least 1 or null."),
        ((*OF_LEVELS, "likelihood.order=1"), "likelihood.order=1 must be a whole number of at least 2."),
        ((*OF_LEVELS, "likelihood.steps=1.5"), "likelihood.steps=1.5 must be a whole number of at least 1."),
        (
            (*OF_LEVELS, "likelihood.values=abc"),
            "likelihood.values=abc must be a whole number of at least 1: 1 tests one example.",
        ),
        ((*OF_LEVELS, "likelihood.largest_tail=abc"), "likelihood.largest_tail=abc must be a number"),
        (("likelihood=quadrature", "likelihood.panels=2.5"), "likelihood.panels=2.5 must be a whole number of"),
        (("likelihood=quadrature", "likelihood.values=-5"), "likelihood.values=-5 must be a whole number of at least"),
        (
            ("likelihood=quadrature", "likelihood.low=abc"),
            "likelihood.low=abc must be a number of at least -1e+06 and at most 1e+06.",
        ),
        (
            ("likelihood=quadrature", "likelihood.in_training=abc"),
            "likelihood.in_training=abc must be a number above 0 and at most 1: it is a share.",
        ),
        (
            ("objective=csm_mle", "objective.share=abc"),
            "objective.share=abc must be a number of at least 0 and at most 1",
        ),
        (
            ("objective=csm_mle", "objective.share=nan"),
            "objective.share=nan must be a number of at least 0 and at most 1",
        ),
        (("head=cosine", "head.terms=0"), "head.terms=0 must be a whole number of at least 1."),
        (("head=cosine", "head.nodes=500.5"), "head.nodes=500.5 must be a whole number or null."),
        (("sampler=parallel", "sampler.block=1.5"), "sampler.block=1.5 must be a whole number of at least 1 or null."),
        (
            ("sampler=parallel", "sampler.block=true"),
            "sampler.block=true must be a whole number of at least 1 or null.",
        ),
        (
            ("sampler=parallel", "sampler.tolerance=abc"),
            "sampler.tolerance=abc must be a number of at least 0",
        ),
        (
            (OF_LEVELS[0], "sampler=annealed", "sampler.levels=2.5"),
            "sampler.levels=2.5 must be a whole number of at least 2 or null.",
        ),
        (
            (*OF_ENERGIES, "sampler=hmc", "sampler.leapfrog=1.5"),
            "sampler.leapfrog=1.5 must be a whole number of at least 1.",
        ),
        (
            (*OF_ENERGIES, "sampler=hmc", "sampler.leapfrog=null"),
            "sampler.leapfrog=null must be a whole number of at least 1.",
        ),
        (
            (*OF_ENERGIES, "sampler=hmc", "sampler.trajectories=2.5"),
            "sampler.trajectories=2.5 must be a whole number of at least 1.",
        ),
        ((*OF_ENERGIES, "sampler=hmc", "sampler.jitter=abc"), "sampler.jitter=abc must be a number."),
        (
            (*OF_ENERGIES, "sampler=mala", "sampler.warmup=2.5"),
            "sampler.warmup=2.5 must be a whole number of at least 0.",
        ),
        (
            (*OF_ENERGIES, "sampler=mala", "sampler.warmup=abc"),
            "sampler.warmup=abc must be a whole number of at least 0.",
        ),
        (("optim.lr=abc",), "optim.lr=abc must be a positive number."),
        (("optim.warmup_steps=-5",), "optim.warmup_steps=-5 must be a whole number of at least 0."),
        (("data=gaussian", "data.fresh=3"), "data.fresh=3 must be true or false."),
        (("data.smoothing=inf",), "data.smoothing=inf must be a number of at least 0"),
        (("trainer.compile=abc",), "trainer.compile=abc must be true or false."),
        (("likelihood=none",), "likelihood=none leaves head=conditional_score without the normaliser"),
    ],
)
def test_numbers_are_what_their_classes_say(choice: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        settled(*choice)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


def test_numbers_that_fit_are_let_through() -> None:
    settled("likelihood=quadrature", "likelihood.low=-3", "likelihood.high=3.5", "sampler=parallel", "sampler.block=8")
    settled("head=cosine", "objective=mle", "head.nodes=200", "optim.clip=inf", "likelihood=none")


def test_kinks_are_fine_where_nothing_is_differentiated() -> None:
    settled("objective=csm", "backbone.activation=relu")
    settled("objective=dsm", "backbone=mlp", "backbone.activation=relu")
    settled("objective=dsm", "head=conditional_score", "head.activation=relu")


def test_every_option_of_every_group_composes() -> None:
    """One option of every group in each composition, which takes its time; experiments are built below."""
    brought = catalog.companions()
    every = (*catalog.default_options("train"), "debug")
    groups = [group for group in every if options(group) and group not in {*brought, "experiment"}]
    for turn in range(max(len(options(group)) for group in groups)):
        chosen = {group: options(group)[turn % len(options(group))] for group in groups}
        config = config_of(*map("=".join, chosen.items()))
        assert config["seed"] == 0
        for group, name in chosen.items():
            if (target := catalog.options(group)[name].get("_target_")) is not None:
                assert config[group]["_target_"] == target
    for group, (bringing, _) in brought.items():
        for name in options(group):
            assert config_of(bringing, f"{group}={name}")["seed"] == 0


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_is_built(experiment: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("a,b\n" + "".join(f"{i},{i * i}\n" for i in range(20)))
    mine = [f"data.path={path}"] if experiment in ("table", "mixed_table") else []
    config = settled(f"experiment={experiment}", "data.batch_size=8", *mine)
    parts = build(config, 0)
    assert parts.model.shape == parts.source.shape


def test_every_target_is_in_the_loaders_table() -> None:
    for file in CONF.rglob("*.yaml"):
        for line in file.read_text().splitlines():
            if line.startswith("_target_:"):
                target = line.split()[1]
                drawn = target.startswith("scorewise.figures.")  # never in a stored config
                assert target in {*catalog.classes(), *catalog.names_only(), "auto"} or drawn, file


def test_raw_pixels_without_noise_warn() -> None:
    with pytest.warns(UserWarning, match="no minimum there"):
        build(settled("data.smoothing=0"), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(settled("data.smoothing=0", "objective=mle"), 0)
        build(settled("data=gaussian", "data.smoothing=0"), 0)
        build(settled(), 0)


def test_settings_out_of_range_are_one_sentence() -> None:
    for overrides in (
        ("data.smoothing=-1",),
        ("objective=dsm", "objective.sigma=0"),
        ("head=conditional_score", "head.form=edm", "data.smoothing=0"),
        ("backbone.ordering=zigzag",),
        ("backbone.ordering=[0,1,1]",),
        ("backbone.ordering=3",),
        ("data=toy2d", "backbone.ordering=spiral"),
        ("objective=pcd", "backbone=mlp", "sampler=mala", "sampler.target=2"),
        ("objective=pcd", "backbone=mlp", "sampler=hmc", "sampler.leapfrog=0"),
        ("data=toy2d", "data.name=cube"),
        ("data=images",),
        ("data=celeba", "data.size=48"),
        ("data=omniglot_small", "data.size=200"),
        ("data=uniform", "data.shape=[28,28]"),
        ("data=gaussian", "data.covariance=[[1,2],[2,1]]"),
        ("backbone=pixelcnnpp", "data=toy2d"),
        ("backbone=pixelcnnpp", "backbone.init=knots"),
        ("backbone=pixelcnnpp", "backbone.dropout=1"),
        ("backbone=transformer", "backbone.heads=3"),
        ("backbone=transformer", "backbone.ordering=zigzag"),
    ):
        with pytest.raises(UserError) as refused:
            build(settled(*overrides), 0)
        assert "\n" not in str(refused.value)


def test_illegal_settings_of_objectives_are_one_sentence() -> None:
    for overrides, words in (
        (("objective=ssm_vr", "objective.projection=unit_sphere"), "E[v v^T] = I / D"),
        (("objective=csm_annealed", "data=toy2d", "data.smoothing=0"), "give objective.sigma_min"),
        (("objective=csm_dsm", "data=toy2d", "data.smoothing=0"), "data.smoothing is 0"),
        (("objective=ssm", "objective.projections=0"), "must be a whole number of at least 1"),
    ):
        with pytest.raises(UserError) as refused:
            build(settled(*overrides), 0)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)


def test_exact_score_matching_warns_of_its_cost() -> None:
    with pytest.warns(UserWarning, match="objective=sm takes 100 backward passes per step"):
        build(settled("objective=sm", "data=gaussian", "data.dims=100"), 0)
    with pytest.warns(UserWarning, match="100 stacked tangents"):
        build(settled("objective=sm", "objective.trace=stacked", "data=gaussian", "data.dims=100"), 0)
    with pytest.warns(UserWarning, match="7 forward-mode passes of 16 tangents"):
        build(settled("objective=sm", "objective.trace=forward", "data=gaussian", "data.dims=100"), 0)


def test_ladders_reach_the_model() -> None:
    model: Any = build(settled("objective=csm_annealed", "objective.levels=5", "data=toy2d"), 0).model
    assert len(model.levels) == 5
    assert model.noise == pytest.approx(model.levels[-1])
    assert model.recipe["levels"] == list(model.levels)


def test_weights_follow_the_seed_and_nothing_else() -> None:
    config = settled("debug=tiny")
    first = build(config, 1).model.state_dict()
    torch.randn(10)
    again, other = (build(config, seed).model.state_dict() for seed in (1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_noise_of_the_model_is_that_of_its_law() -> None:
    assert build(settled("objective=dsm", "objective.sigma=0.4"), 0).model.noise == pytest.approx(0.5)
    assert build(settled(), 0).model.noise == 0.3


@pytest.mark.parametrize(
    ("choice", "sizes"),
    [
        ((), [64, 64]),
        (("data=mnist",), [64]),
        (("data=mnist", "head=conditional_score", "head.hidden=[64,64]"), [64, 64]),
        (("data=gaussian", "data.dims=255"), [64, 64]),
        (("data=gaussian", "data.dims=256"), [64]),
        (("data=images", "data.path=nowhere", "data.size=16", "data.channels=1"), [64]),
        (("experiment=table", "objective=csm", "data.path=nowhere.csv", "head=conditional_score"), [64, 64]),
        (("experiment=vae_mnist",), [64, 64]),  # of eight latents
    ],
)
def test_sizes_of_the_shared_head_follow_from_the_dimensions(choice: tuple[str, ...], sizes: list[int]) -> None:
    """They are stored, so that a later rule changes no run."""
    config = settle(config_of(*choice)) if "data.path" in str(choice) else settled(*choice)
    assert config["head"]["hidden"] == sizes
    for dims, wanted in ((255, [64, 64]), (256, [64])):
        model = ConditionalScore(MADE((dims,), 4, (8,)), noise=0.3)
        layers = [model.of_context, *(one for one in model.rest if isinstance(one, nn.Linear))]
        assert [layer.out_features for layer in layers] == wanted
