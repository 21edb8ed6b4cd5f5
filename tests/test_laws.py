"""Known distributions against automatic differentiation and textbook formulas."""

import pytest
import torch
from laws import gaussian_law

from scorewise.data.laws import GaussianMixtureLaw
from scorewise.gradients import score_of_log_density
from scorewise.noise import Draws

pytestmark = pytest.mark.usefixtures("double")


def mixture(dims: int = 3, components: int = 4) -> GaussianMixtureLaw:
    generator = torch.Generator().manual_seed(5)
    root = torch.randn(components, dims, dims, generator=generator)
    covariance = root @ root.mT + 0.3 * torch.eye(dims)
    means = 2 * torch.randn(components, dims, generator=generator)
    return GaussianMixtureLaw(torch.rand(components, generator=generator) + 0.1, means, covariance)


def test_log_prob_is_that_of_torch() -> None:
    law, x = mixture(), torch.randn(7, 3)
    torch_law = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(law.weights_K),
        torch.distributions.MultivariateNormal(law.means_KD, law.covariances_KDD),
    )
    torch.testing.assert_close(law.log_prob(x), torch_law.log_prob(x))


def test_the_score_is_the_gradient() -> None:
    law, x = mixture(), torch.randn(7, 3)
    torch.testing.assert_close(law.score(x), score_of_log_density(law.log_prob, x))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_conditional_scores_are_derivatives_of_marginals(order: tuple[int, ...]) -> None:
    law, x = mixture(), torch.randn(7, 3)
    found = law.conditional_score(x, order)
    for position, d in enumerate(order):
        seen = torch.tensor(order[: position + 1])
        marginal = GaussianMixtureLaw(law.weights_K, law.means_KD[:, seen], law.covariances_KDD[:, seen][:, :, seen])
        torch.testing.assert_close(found[:, d], marginal.score(x[:, seen])[:, -1])


def test_conditional_score_of_a_gaussian_is_the_regression() -> None:
    law, x = gaussian_law(4, 1.5, 0.6), torch.randn(5, 4)
    found = law.conditional_score(x, range(4))
    # A first-order autoregression: x_d | x_<d ~ N(rho x_{d-1}, std^2 (1 - rho^2)).
    torch.testing.assert_close(found[:, 1:], -(x[:, 1:] - 0.6 * x[:, :-1]) / (2.25 * 0.64))
    torch.testing.assert_close(found[:, 0], -x[:, 0] / 2.25)


def test_smoothing_adds_variance_and_samples_have_the_moments() -> None:
    law = mixture().smoothed(0.5)
    torch.testing.assert_close(law.covariances_KDD - mixture().covariances_KDD, 0.25 * torch.eye(3).expand(4, 3, 3))
    x = law.sample(Draws.of(0, 0, torch.arange(100_000)))
    mean = law.weights_K @ law.means_KD
    centred = law.means_KD - mean
    covariance = torch.einsum("k,kij->ij", law.weights_K, law.covariances_KDD + centred[:, :, None] * centred[:, None])
    assert (x.mean(0) - mean).abs().max() < 0.05
    assert (torch.cov(x.T) - covariance).abs().max() < 0.2


def test_a_bad_covariance_is_refused() -> None:
    with pytest.raises(ValueError, match="positive definite"):
        GaussianMixtureLaw(torch.ones(1), torch.zeros(1, 2), torch.tensor([[[1.0, 2.0], [2.0, 1.0]]]))
    with pytest.raises(ValueError, match="needs 1 weights"):
        GaussianMixtureLaw(torch.ones(1), torch.zeros(1, 3), torch.eye(2)[None])
