"""Pieces know their own facts: subclasses of ours, under other names, are judged, settled and counted as ours are."""

from typing import Annotated, Any

import pytest
import torch
from test_compose import settled
from torch import Tensor

from scorewise.capabilities import ConditionalScoreModel, ScoreModel
from scorewise.config.build import build
from scorewise.config.choices import IncompatibleChoice
from scorewise.config.compatibility import refuse_incompatible
from scorewise.config.identity import identity, what_counts
from scorewise.config.settle import names
from scorewise.errors import UserError
from scorewise.gradients import Derivatives
from scorewise.heads import (
    ConditionalEnergy,
    ConditionalScore,
    Energy,
    Mixture,
    NoisyConditionalScore,
    NormalisingFlow,
    Score,
)
from scorewise.noise import Draws
from scorewise.objectives import AEM, CSM, DSM, ESM, FDSSM, MLE, SM, SSMVR, CSMAnnealed, Objective
from scorewise.ranges import AtLeast, Between, Count, Positive, fault, within_ranges
from scorewise.tasks import ImplicitVAE, SampleQuality


class Potential(Energy):
    """An energy by another name."""


class Slope(ConditionalEnergy):
    """A conditional energy by another name."""


class Map(NormalisingFlow):
    """A flow by another name."""


class Blend(Mixture):
    """A mixture by another name."""


class AnyLevel(NoisyConditionalScore):
    """Conditional scores at every level by another name."""


class Coder(ImplicitVAE):  # type: ignore[misc]  # final to type checkers, and still as good as its parent
    """A VAE by another name."""


class Judge(SampleQuality):  # type: ignore[misc]
    """Sample quality by another name."""


class Weighted(Objective):
    """An objective of the user's, with a list of levels under a name that others give to one number."""

    needs = (ConditionalScoreModel,)
    heads = ("conditional_score",)
    derivatives = 1

    @within_ranges
    def __init__(self, sigma: list[float], power: Annotated[float, Positive("it divides")] = 1.0) -> None:
        self.sigma, self.power = sigma, power

    def per_example(self, model: Any, x_BD: Tensor, draws: Draws) -> Tensor:
        return torch.zeros(len(x_BD)) + sum(self.sigma)


def here(cls: type) -> str:
    return f"_target_={__name__}.{cls.__name__}"


@pytest.mark.parametrize(
    "words",
    [
        ("objective=ssm_vr", "backbone=mlp", "backbone.activation=relu", "head=energy", f"head.{here(Potential)}"),
        ("objective=fd_ssm", "backbone=mlp", "backbone.activation=relu", "head=energy", f"head.{here(Potential)}"),
        ("objective=csm_dsm", "head=conditional_energy", "head.activation=leaky_relu", f"head.{here(Slope)}"),
        ("objective=dsm", "backbone=glow", "backbone.activation=relu", "head=flow", f"head.{here(Map)}"),
        ("objective=esm", "head=mixture", "backbone.activation=relu", f"head.{here(Blend)}"),
        ("objective=ssm_vr", "backbone=mlp", "backbone.activation=elu", "head=energy", f"head.{here(Potential)}"),
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_kinks_are_refused_by_what_is_differentiated_and_by_no_name(words: tuple[str, ...]) -> None:
    ours = [word for word in words if "_target_" not in word]
    sentences = []
    for given in (ours, words):
        with pytest.raises(IncompatibleChoice, match=r"activation=\w+ has no (second|third) derivative") as refused:
            settled(*given)
        sentences.append(str(refused.value).partition(" differentiates ")[2])
    assert sentences[0] == sentences[1]


@pytest.mark.parametrize(
    "words",
    [
        ("objective=dsm", "backbone=mlp", "backbone.activation=relu"),
        ("objective=csm", "backbone.activation=relu"),
        ("objective=mle", "head=conditional_score", "head.activation=relu"),
        ("objective=aem", "head=conditional_energy", "head.activation=relu"),
        ("objective=csm_annealed", "objective.target=dsm", "head=noisy_conditional_score", "head.activation=relu"),
        ("objective=fd_ssm", "backbone=mlp", "head=energy", "backbone.activation=elu"),
    ],
    ids=" ".join,
)
def test_kinks_are_fine_where_so_many_derivatives_are_not_taken(words: tuple[str, ...]) -> None:
    settled(*words)


@pytest.mark.parametrize(
    ("objective", "head", "settings", "head_and_backbone"),
    [
        (CSM, ConditionalScore, {}, (1, 0)),
        (CSM, ConditionalEnergy, {}, (2, 0)),
        (SM, Score, {}, (1, 1)),
        (SM, Energy, {}, (2, 2)),
        (SM, Mixture, {}, (1, 0)),
        (SM, Mixture, {"field": "joint"}, (2, 2)),
        (SSMVR, NormalisingFlow, {}, (2, 2)),
        (FDSSM, Energy, {}, (1, 1)),
        (DSM, Score, {}, (0, 0)),
        (DSM, ConditionalEnergy, {"field": "conditional"}, (1, 0)),
        (ESM, Mixture, {}, (1, 1)),
        (ESM, Score, {}, (0, 0)),
        (MLE, Mixture, {}, (0, 0)),
        (AEM, ConditionalEnergy, {}, (0, 0)),
        (CSMAnnealed, NoisyConditionalScore, {}, (1, 0)),
        (CSMAnnealed, NoisyConditionalScore, {"target": "dsm"}, (0, 0)),
    ],
)
def test_how_often_a_loss_differentiates(
    objective: type[Objective], head: type, settings: dict[str, str], head_and_backbone: tuple[int, int]
) -> None:
    assert objective.differentiates(head, **settings) == Derivatives(*head_and_backbone)


def test_what_an_objective_of_release_01_says_of_its_derivatives_still_counts() -> None:
    with pytest.warns(DeprecationWarning, match="derivatives = 1 says what differentiates_query did"):

        class Old(CSM):
            differentiates_query = True
            derivatives = 0

    assert Old.derivatives == 1


def test_a_vae_by_another_name_has_latents_and_they_count() -> None:
    small = ("data=digits", "data.smoothing=0", "task=implicit_vae")
    ours, other = (settled(*small, *more) for more in ((), (f"task.{here(Coder)}",)))
    assert other["sampler"] == ours["sampler"] == {"_target_": "none"}
    assert other["latent"] == ours["latent"]
    assert names(other) == names(ours)
    assert identity(other) != identity(settled(*small, f"task.{here(Coder)}", "latent.z=3"))
    refuse_incompatible(other)


def test_a_head_by_another_name_names_its_runs_and_has_the_likelihood_of_its_kind() -> None:
    blend = settled("objective=mle", f"head.{here(Blend)}", "head=mixture")
    assert names(blend) == ["mle", "made", f"{__name__}.Blend", "digits"]
    words = ("objective=csm_annealed", "data=toy2d")
    ours, other = settled(*words), settled(*words, "head=noisy_conditional_score", f"head.{here(AnyLevel)}")
    assert ours["likelihood"] == other["likelihood"]
    assert "likelihood" not in what_counts(ours)
    assert "likelihood" not in what_counts(other)
    quadrature = settled(*words, "head=noisy_conditional_score", f"head.{here(AnyLevel)}", "likelihood=quadrature")
    assert identity(quadrature) != identity(other)


def test_samplers_count_for_every_task_that_draws_samples() -> None:
    words = ("task=sample_quality", "data=mnist", f"task.{here(Judge)}")
    one, other = (settled(*words, f"sampler={name}") for name in ("inverse_cdf", "langevin_1d"))
    assert identity(one) != identity(other)


def test_an_objective_of_the_users_has_the_ranges_that_it_says() -> None:
    own = ("objective=csm", f"objective.{here(Weighted)}", "head=conditional_score")
    config = settled(*own, "+objective.sigma=[0.1,0.2]")
    objective: Any = build(config, 0).objective
    assert objective.sigma == [0.1, 0.2]
    with pytest.raises(UserError, match=r"^objective\.power=0 must be a positive number: it divides\.$"):
        settled(*own, "+objective.sigma=[0.1]", "+objective.power=0")
    with pytest.raises(ValueError, match=r"^power=0 must be a positive number: it divides$"):
        Weighted([0.1], power=0)


def ranged(
    count: Count,
    share: Annotated[float, Between(0, 1, without=("high",))],
    least: Annotated[int, AtLeast(2, "of both sides")] | None,
    flag: bool,
    free: str | float,
    rule: Annotated[float, Positive()] | str,
) -> None: ...


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("count", 1, None),
        ("count", 0, "must be a whole number of at least 1"),
        ("count", 1.0, "must be a whole number of at least 1"),
        ("count", True, "must be a whole number of at least 1"),
        ("count", "1", "must be a whole number of at least 1"),
        ("share", 0, None),
        ("share", 1.0, "must be a number of at least 0 and below 1"),
        ("share", float("nan"), "must be a number of at least 0 and below 1"),
        ("least", None, None),
        ("least", 1, "must be a whole number of at least 2 or null: of both sides"),
        ("flag", 1, "must be true or false"),
        ("free", [], None),
        ("free", 1.5, None),
        ("rule", "silverman", None),
        ("rule", -1.0, "must be a positive number"),
        ("rule", float("inf"), "must be a positive number"),
        ("nothing", -1, None),
    ],
)
def test_what_a_parameter_may_be(name: str, value: Any, sentence: str | None) -> None:
    assert fault(ranged, name, value) == sentence


def test_a_model_is_still_what_its_capabilities_say() -> None:
    assert issubclass(Potential, ScoreModel)
