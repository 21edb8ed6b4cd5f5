"""The likelihood of blocks by their flows, against closed forms, quadrature and draws."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from test_block_sampling import MIXTURE, TrueBlocks
from torch import Tensor, nn

from scorewise.backbones import MADE, PatchTransformer
from scorewise.data.laws import GaussianMixtureLaw
from scorewise.heads import NoisyBlockScore, NoisyConditionalScore
from scorewise.likelihood import BlockFlowODE, FlowODE
from scorewise.noise import Draws
from scorewise.objectives import BlockMLE
from scorewise.ordering import Ordering
from scorewise.sampling import BlockFlow

pytestmark = pytest.mark.usefixtures("double")
LEVELS = (100.0, 1.0, 0.3)


class AllBlocks(nn.Module):
    """All blocks of a Gaussian law as a NoisyBlockScoreModel: linear, with what comes before as context."""

    levels = LEVELS

    def __init__(self, covariance_DD: Tensor, b: int) -> None:
        super().__init__()
        dims = len(covariance_DD)
        self.b, self.dims, self.std = b, dims, 1.0
        self.ordering = Ordering.named("raster", dims).in_blocks(b)
        self.mean, self.noise = torch.tensor(0.0), LEVELS[-1]
        self.clean_DD, self.noisy_DD = covariance_DD, covariance_DD + LEVELS[-1] ** 2 * torch.eye(dims)

    def split(self, x_BD: Tensor) -> Tensor:
        x_BKb: Tensor = x_BD.unflatten(-1, (-1, self.b))
        return x_BKb

    def join(self, x_BKb: Tensor) -> Tensor:
        return x_BKb.flatten(-2)

    def _given(self, k: int) -> tuple[Tensor, Tensor]:
        """Return the matrix of the mean given what comes before, and the clean covariance that is left."""
        here, before = slice(k * self.b, (k + 1) * self.b), slice(0, k * self.b)
        gain = torch.linalg.solve(self.noisy_DD[before, before], self.noisy_DD[before, here]).T
        return gain, self.clean_DD[here, here] - gain @ self.noisy_DD[before, here]

    def block_context(self, x_BD: Tensor) -> Tensor:
        means = [x_BD[:, : k * self.b] @ self._given(k)[0].T for k in range(self.dims // self.b)]
        return torch.stack(means, 1)

    def noisy_block_score(self, q_BKb: Tensor, c_BKF: Tensor, sigma_BK: Tensor) -> Tensor:
        eye = torch.eye(self.b)
        variance_Kbb = torch.stack([self._given(k)[1] for k in range(self.dims // self.b)])
        variance = variance_Kbb + sigma_BK[..., None, None].square() * eye
        s_BKb: Tensor = -torch.linalg.solve(variance, (q_BKb - c_BKF).unsqueeze(-1)).squeeze(-1)
        return s_BKb


def correlated(dims: int) -> Tensor:
    lag = (torch.arange(dims)[:, None] - torch.arange(dims)).abs()
    return 1.5 * torch.tensor(0.6) ** lag


@pytest.mark.parametrize("b", [1, 2, 3, 6])
@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_a_gaussian_has_its_density_in_every_block(b: int, trace: str) -> None:
    """Projections add noise, of no mean, with the standard error that is told."""
    model: Any = AllBlocks(correlated(6), b)
    law = GaussianMixtureLaw(torch.ones(1), torch.zeros(1, 6), correlated(6)[None]).smoothed(LEVELS[-1])
    x = law.sample(Draws.fresh(20, torch.Generator().manual_seed(0)))
    likelihood = BlockFlowODE(steps=100, trace=trace, projections=8)
    found, outside = likelihood.unchecked_log_prob(model, x)
    error = likelihood.standard_error(model, x)
    assert outside.eq(0).all()
    some = torch.tensor([7, 2])
    torch.testing.assert_close(likelihood.unchecked_log_prob(model, x[some])[0], found[some])
    if trace == "exact" or b == 1:  # a Rademacher projection of one dimension is exact
        assert (found - law.log_prob(x)).abs().max() < 0.01
        assert error.max() < 1e-9
    else:
        z = (found - law.log_prob(x)) / error
        assert float(z.square().mean()) < 4  # Student's t of 7 degrees: 1.4, and little data
        assert abs(float(z.mean())) < 1
        assert error.min() > 0


def test_the_error_of_steps_is_of_second_order_and_is_told() -> None:
    model: Any = AllBlocks(correlated(6), 3)
    law = GaussianMixtureLaw(torch.ones(1), torch.zeros(1, 6), correlated(6)[None]).smoothed(LEVELS[-1])
    x = law.sample(Draws.fresh(10, torch.Generator().manual_seed(0)))
    exact = BlockFlowODE(steps=200).unchecked_log_prob(model, x)[0]
    errors = [(BlockFlowODE(steps=n).unchecked_log_prob(model, x)[0] - exact).abs() for n in (20, 40)]
    assert float((errors[0] / errors[1]).median()) == pytest.approx(4, rel=0.25)
    told = BlockFlowODE(steps=20).numbers(model, x)["nll_quadrature_error"]
    torch.testing.assert_close(told, errors[0] - errors[1], rtol=0.05, atol=1e-3)


class OneByOne(nn.Module):
    """A NoisyConditionalScore as a model of blocks of one dimension."""

    def __init__(self, model: NoisyConditionalScore) -> None:
        super().__init__()
        self.model, self.levels, self.mean, self.std = model, model.levels, model.mean, model.std

    def split(self, x_BD: Tensor) -> Tensor:
        return x_BD.unsqueeze(-1)

    def join(self, x_BKb: Tensor) -> Tensor:
        return x_BKb.squeeze(-1)

    def block_context(self, x_BD: Tensor) -> Tensor:
        c_BDF: Tensor = self.model.context(x_BD)
        return c_BDF

    def noisy_block_score(self, q_BKb: Tensor, c_BKF: Tensor, sigma_BK: Tensor) -> Tensor:
        s_BD: Tensor = self.model.noisy_conditional_score(q_BKb[..., 0], c_BKF, sigma_BK)
        return s_BD.unsqueeze(-1)


def test_blocks_of_one_have_the_likelihood_by_quadrature() -> None:
    """Any scores, of no common law: the flows are the same, and start from nearly the same law at a high level."""
    made = MADE((3,), 4, (16,), "tanh")
    model = NoisyConditionalScore(made, levels=(80.0, 1.0, 0.3), hidden=(16, 16), noise=0.3, std=1.2)
    model.likelihood = FlowODE(steps=100)
    twin: Any = OneByOne(model)
    x = torch.randn(6, 3)
    found, _ = BlockFlowODE(steps=100).unchecked_log_prob(twin, x)
    torch.testing.assert_close(found, model.log_prob(x), atol=0.05, rtol=0)


def trained(b: int) -> NoisyBlockScore:
    """Return a model with scores of its own, which are no gradients."""
    model = NoisyBlockScore(MADE((4,), 6, (16,), "tanh"), block=b, levels=(20.0, 1.0, 0.3), hidden=8, noise=0.3)
    torch.manual_seed(3)
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.3)
    return model.eval()


@pytest.mark.parametrize("b", [2, 4])
def test_it_is_the_density_of_what_the_flow_draws(b: int) -> None:
    """The mean of exp(-log q) N(x) over draws is 1, and that of x log q is that of the law: by importance weights."""
    model = trained(b)
    model.sampler, model.likelihood = BlockFlow(steps=16), BlockFlowODE(steps=16)
    x = model.sample(300, torch.Generator().manual_seed(0))
    log_q = model.log_prob(x)
    mean, cov = x.mean(0), 0.5 * torch.cov(x.T)
    inside = torch.distributions.MultivariateNormal(mean, cov)
    weight = (inside.log_prob(x) - log_q).exp()
    assert float(weight.mean()) == pytest.approx(1, abs=5 * float(weight.std()) / 300**0.5)
    assert float(weight.std()) < 3
    assert float(model.quadrature_error(x[:20]).max()) < 0.1


def test_smaller_blocks_and_a_saved_model_keep_their_likelihood(tmp_path: Path) -> None:
    model = NoisyBlockScore(PatchTransformer((1, 3, 3), 4, (2, 2), 8, 2, 1), levels=LEVELS, noise=0.3, hidden=8).eval()
    x = torch.randn(5, 9)
    model.likelihood = BlockFlowODE(steps=40)
    exact = torch.distributions.Normal(0.0, math.sqrt(1.09)).log_prob(x).sum(-1)  # the Gaussian that it starts as
    torch.testing.assert_close(model.log_prob(x), exact, atol=0.05, rtol=0)
    assert torch.equal(model.outlier_score(x), -model.log_prob(x))
    with pytest.raises(ValueError, match="not finite in row 1"):
        model.log_prob(torch.tensor([[0.0] * 9, [math.nan] * 9]))
    model.likelihood = None
    with pytest.raises(ValueError, match="has no likelihood"):
        model.log_prob(x)


@pytest.mark.parametrize("b", [1, 2, 4])
def test_the_likelihood_is_trained_by_its_own_gradient(b: int) -> None:
    """The loss is what the likelihood says at as many steps, and its gradient that of differences."""
    model, x = trained(b), torch.randn(6, 4)
    objective, model.likelihood = BlockMLE(20.0, 0.3, 3, 0.3), BlockFlowODE(steps=12, in_training=0.5)
    model.train()
    loss = objective(model, x, Draws.fresh(6))
    torch.testing.assert_close(-loss.per_example, BlockFlowODE(steps=6).unchecked_log_prob(model.eval(), x)[0])
    model.train()
    weights = [model.net.of_query.weight, model.net.of_context.weight, next(model.backbone.parameters())]
    for weight, slope in zip(weights, torch.autograd.grad(loss.total, weights), strict=True):
        place = tuple(int(i) for i in (slope.abs() == slope.abs().max()).nonzero()[0])
        ends = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                weight[place] += step
            ends.append(float(objective(model, x, Draws.fresh(6)).total.detach()))
        with torch.no_grad():
            weight[place] += 1e-5
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(float(slope[place]), rel=1e-4)


def test_true_blocks_of_a_mixture_have_its_density() -> None:
    """One block: the joint flow of a mixture of Gaussians."""
    law = MIXTURE

    class Whole(TrueBlocks):
        def split(self, x_BD: Tensor) -> Tensor:
            return x_BD.unsqueeze(1)

        def join(self, x_BKb: Tensor) -> Tensor:
            return x_BKb.squeeze(-2)

        def block_context(self, x_BD: Tensor) -> Tensor:
            return x_BD.new_zeros(len(x_BD), 1, 1)

        def noisy_block_score(self, q_B1b: Tensor, c_B1F: Tensor, sigma_B1: Tensor) -> Tensor:
            level = float(sigma_B1.flatten()[0])
            means, share = self.law.means_KD, self.law.weights_K.log()
            inverse = torch.linalg.inv(self.law.covariances_KDD + level**2 * torch.eye(5))
            pull = torch.einsum("kij,...kj->...ki", inverse, means - q_B1b[:, 0, None])
            depth = 0.5 * (torch.logdet(inverse) - ((means - q_B1b[:, 0, None]) * pull).sum(-1))
            return (torch.softmax(share + depth, -1)[..., None] * pull).sum(-2)[:, None]

    model: Any = Whole(law, Ordering.named("raster", 5).in_blocks(5))
    x = law.smoothed(0.1).sample(Draws.fresh(30, torch.Generator().manual_seed(0)))
    found, _ = BlockFlowODE(steps=100).unchecked_log_prob(model, x)
    assert (found - law.smoothed(0.1).log_prob(x)).abs().max() < 0.02
