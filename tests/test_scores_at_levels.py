"""Scores of contexts that are computed once, against those that are computed again for every query."""

import pytest
import torch
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.backbones.layers import ACTIVATIONS
from scorewise.capabilities import FoldedScores, NoisyConditionalScoreModel
from scorewise.gradients import elementwise_derivative
from scorewise.heads import NoisyConditionalScore
from scorewise.likelihood import FlowODE, ScoresAtLevels
from scorewise.sampling import Annealed, AnnealedLangevin1d, ReverseDiffusion1d

pytestmark = pytest.mark.usefixtures("double")


class Doubled(NoisyConditionalScore):
    """Another score than that of the head it builds on."""

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        return 2 * super().noisy_conditional_score(q_BD, c_BDF, sigma_BD)


class Plain(NoisyConditionalScore):
    """The score of that head, said anew."""

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        return super().noisy_conditional_score(q_BD, c_BDF, sigma_BD)


def model(activation: str = "silu", kind: type[NoisyConditionalScore] = NoisyConditionalScore) -> NoisyConditionalScore:
    torch.manual_seed(0)
    backbone = MADE((3,), 7, (16,), "silu")
    found = kind(
        backbone, levels=(1.5, 0.7, 0.3), hidden=(8, 8, 8), activation=activation, mean=0.2, std=0.9, noise=0.3
    )
    return found.double()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("level", [1.5, 0.9, 0.3])
def test_folded_scores_and_their_slopes_are_those_of_the_head(activation: str, level: float) -> None:
    head, q_GBD = model(activation), torch.randn(2, 5, 3)
    c_BDF = head.context(torch.randn(5, 3)).detach()
    scores = ScoresAtLevels(head, c_BDF)
    expected, slope = elementwise_derivative(
        lambda q: head.noisy_conditional_score(q, c_BDF, torch.full_like(q, level)), q_GBD, keep_graph=False
    )
    found, found_slope = scores.with_slope(q_GBD, level)
    torch.testing.assert_close(scores(q_GBD, level), expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(found_slope, slope, rtol=1e-12, atol=1e-13)


def test_a_class_that_changes_the_score_is_asked_for_its_own() -> None:
    head = model(kind=Doubled)
    assert isinstance(model(), FoldedScores)
    assert isinstance(head, NoisyConditionalScoreModel)
    assert not isinstance(head, FoldedScores)
    c_BDF, q_BD = head.context(torch.randn(5, 3)).detach(), torch.randn(5, 3)
    scores = ScoresAtLevels(head, c_BDF)
    torch.testing.assert_close(scores(q_BD, 0.7), 2 * ScoresAtLevels(model(), c_BDF)(q_BD, 0.7))
    torch.testing.assert_close(
        scores.with_slope(q_BD, 0.7)[1], 2 * ScoresAtLevels(model(), c_BDF).with_slope(q_BD, 0.7)[1]
    )


def test_likelihood_and_draws_are_the_same_without_folding() -> None:
    folding, plain, x_BD = model(), model(kind=Plain), torch.randn(4, 3)
    for sampler in (ReverseDiffusion1d(6, 3), AnnealedLangevin1d(3), Annealed()):
        folding.sampler, plain.sampler = sampler, sampler
        drawn, same = (each.sample(4, generator=torch.Generator().manual_seed(1)) for each in (folding, plain))
        torch.testing.assert_close(drawn, same, rtol=1e-8, atol=1e-9)
    folding.likelihood, plain.likelihood = FlowODE(steps=8, largest_tail=1.0), FlowODE(steps=8, largest_tail=1.0)
    torch.testing.assert_close(folding.log_prob(x_BD), plain.log_prob(x_BD), rtol=1e-10, atol=1e-11)


def test_panels_twice_as_wide_as_the_largest_level_are_enough() -> None:
    head, x_BD = model(), torch.randn(16, 3)
    head.likelihood = FlowODE(steps=8, largest_tail=1.0)
    few = head.log_prob(x_BD)
    head.likelihood = FlowODE(steps=8, largest_tail=1.0, panels=64)
    torch.testing.assert_close(few, head.log_prob(x_BD), rtol=0, atol=1e-5)
