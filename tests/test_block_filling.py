"""The rest of examples of which any part is known, against the exact conditional laws."""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pytest
import torch
from test_block_sampling import LOW, MIXTURE, Remembering, TrueBlocks, patches
from torch import nn

from scorewise.backbones import MADE
from scorewise.data.laws import GaussianMixtureLaw
from scorewise.heads import BlockScore
from scorewise.likelihood.block_flow_ode import log_density_of_block
from scorewise.noise import Draws
from scorewise.ordering import Ordering
from scorewise.sampling import BlockAncestral, BlockFlow, BlockLangevin

pytestmark = pytest.mark.usefixtures("double")
LAG = (torch.arange(5)[:, None] - torch.arange(5)).abs()
COVARIANCE = 0.7 ** LAG.double()
GAUSSIAN = GaussianMixtureLaw(torch.ones(1, dtype=torch.double), torch.zeros(1, 5).double(), COVARIANCE[None])
SAMPLERS: dict[str, Any] = {
    "flow": lambda particles: BlockFlow(steps=24, particles=particles),
    "stochastic": lambda particles: BlockFlow(steps=24, rho=7, churn=10.0, particles=particles),
    "ancestral": lambda particles: BlockAncestral(steps=24, particles=particles),
}


class GaussianBlocks(nn.Module):
    """The blocks of the Gaussian as a NoisyBlockScoreModel, linear, with what came before as the context."""

    levels, noise, std, dims = (20.0, LOW), LOW, 1.0, 5

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.ordering = Ordering.named("raster", 5).in_blocks(sizes)
        self.mean, self.scale = torch.tensor(0.0), torch.tensor(1.0)

    def context_stream(self) -> Remembering:
        model: Any = self
        return Remembering(model)

    def noisy_block_score(self, q_B1b: torch.Tensor, c_B1F: torch.Tensor, sigma_B1: torch.Tensor) -> torch.Tensor:
        done = c_B1F.shape[-1] - 1
        ends = [0, *accumulate(len(block) for block in self.ordering.blocks)]
        here, before = slice(done, ends[ends.index(done) + 1]), slice(0, done)
        law = COVARIANCE + LOW**2 * torch.eye(5)
        gain = torch.linalg.solve(law[before, before], law[before, here]).T
        left = COVARIANCE[here, here] - gain @ law[before, here] + sigma_B1.flatten()[0] ** 2 * torch.eye(len(gain))
        miss_B1m = q_B1b[..., : len(gain)] - c_B1F[..., :-1] @ gain.T
        return nn.functional.pad(-miss_B1m @ torch.linalg.inv(left), (0, q_B1b.shape[-1] - len(gain)))


def mask(*known: int) -> torch.Tensor:
    return torch.isin(torch.arange(5), torch.tensor(known))


def given(x_D: torch.Tensor, known_D: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and covariance of the rest of a Gaussian example."""
    law = COVARIANCE + LOW**2 * torch.eye(5)
    gain = torch.linalg.solve(law[known_D][:, known_D], law[known_D][:, ~known_D]).T
    return gain @ x_D[known_D], law[~known_D][:, ~known_D] - gain @ law[known_D][:, ~known_D]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    ("sizes", "known", "particles"),
    [
        ([2, 3], (0, 1), 1),  # a prefix
        ([2, 3], (1,), 1),  # a part of the first block
        ([2, 3], (0, 1, 3), 1),  # a prefix, and a part of the next block
        ([5], (0, 2, 4), 1),
        ([2, 3], (2, 3, 4), 32),  # a block that comes later
        ([2, 3], (0, 4), 32),  # a part of one that comes later
    ],
    ids=str,
)
def test_the_rest_of_a_gaussian_example_has_its_law(name: str, sizes: Any, known: Any, particles: int) -> None:
    """Parts of blocks are exact on Gaussians, later blocks as the number of particles grows."""
    model: Any = GaussianBlocks(sizes)
    x, n = torch.tensor([1.2, -0.4, 0.8, 0.1, -1.0]), 1200 if particles == 1 else 300
    drawn = SAMPLERS[name](particles).fill_in(
        model, torch.where(mask(*known), x, torch.nan).expand(n, 5).nan_to_num(), mask(*known), generator()
    )
    assert torch.equal(drawn[:, mask(*known)], x[mask(*known)].expand(n, -1))
    mean, covariance = given(x, mask(*known))
    rest = drawn[:, ~mask(*known)]
    largest = float(covariance.diagonal().max())
    assert (rest.mean(0) - mean).abs().max() < 4 * math.sqrt(largest / n) + 0.03
    assert (torch.cov(rest.T).reshape(covariance.shape) - covariance).abs().max() < 4 * largest * (2 / n) ** 0.5 + 0.02


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_what_is_known_later_chooses_among_modes() -> None:
    """The first block of a mixture of two Gaussians given the second: the shares of the modes are Bayes'."""
    model: Any = TrueBlocks(MIXTURE, Ordering.named("raster", 5).in_blocks([2, 3]))
    x, n, law = torch.tensor([0.0, 0.0, 0.4, -0.1, 0.2]), 400, MIXTURE.smoothed(LOW)
    depth, below = [], []
    for m, c in zip(law.means_KD, law.covariances_KDD, strict=True):
        depth.append(torch.distributions.MultivariateNormal(m[2:], c[2:, 2:]).log_prob(x[2:]))
        gain = torch.linalg.solve(c[2:, 2:], c[2:, 0])
        centre, spread = m[0] + gain @ (x[2:] - m[2:]), (c[0, 0] - gain @ c[2:, 0]).sqrt()
        below.append(torch.distributions.Normal(centre, spread).cdf(torch.tensor(0.0)))
    share = torch.softmax(law.weights_K.log() + torch.stack(depth), 0)
    expected = float((share * torch.stack(below)).sum())
    assert abs(expected - float((law.weights_K * torch.stack(below)).sum())) > 0.15, "this test must be able to fail"
    drawn = BlockFlow(steps=16, particles=32).fill_in(model, x.expand(n, 5), mask(2, 3, 4), generator())
    assert float((drawn[:, 0] < 0).double().mean()) == pytest.approx(expected, abs=0.1)


def test_one_block_has_its_density() -> None:
    model: Any = TrueBlocks(GAUSSIAN, Ordering.named("raster", 5).in_blocks([2, 3]))
    x, law = GAUSSIAN.smoothed(LOW).sample(Draws.fresh(20, generator())), COVARIANCE + LOW**2 * torch.eye(5)
    first = torch.distributions.MultivariateNormal(torch.zeros(2), law[:2, :2]).log_prob(x[:, :2])
    whole = torch.distributions.MultivariateNormal(torch.zeros(5), law).log_prob(x)
    stream = model.context_stream()
    for dims, expected in ((slice(0, 2), first), (slice(2, 5), whole - first)):
        c = stream.start(20) if dims.start == 0 else stream.push(torch.nn.functional.pad(x[:, :2], (0, 1)))
        assert (log_density_of_block(model, c, x[:, dims], 100) - expected).abs().max() < 0.05


def test_langevin_holds_what_is_known_of_a_block() -> None:
    """One block of a correlated Gaussian at one noise level."""

    class Whole:
        ordering = Ordering.named("raster", 5).in_blocks(5)
        mean, scale, noise, dims = torch.tensor(0.0), torch.tensor(1.0), 0.3, 5
        law = COVARIANCE + 0.09 * torch.eye(5)

        def context_stream(self) -> Any:
            return TrueBlocks(GAUSSIAN, self.ordering).context_stream()

        def block_score(self, q: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            s: torch.Tensor = -torch.linalg.solve(self.law, q.unsqueeze(-1)).squeeze(-1)
            return s

    model: Any = Whole()
    x = torch.tensor([1.0, 0.0, -0.5, 0.0, 0.0]).expand(2000, 5)
    drawn = BlockLangevin(steps=200, step=0.3).fill_in(model, x, mask(0, 2), generator())
    gain = torch.linalg.solve(model.law[[0, 2]][:, [0, 2]], model.law[[0, 2]][:, [1, 3, 4]]).T
    assert torch.equal(drawn[:, [0, 2]], x[:, [0, 2]])
    assert (drawn[:, [1, 3, 4]].mean(0) - gain @ torch.tensor([1.0, -0.5])).abs().max() < 0.08


def test_what_cannot_be_heeded_is_refused() -> None:
    model: Any = patches()
    x, known = torch.zeros(2, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    known[0, 3, 3] = True
    with pytest.raises(ValueError, match=r"block 0 of it is not known.*particles to 32"):
        model.complete(x, known)
    model.sampler.particles = 3
    assert model.complete(x, known)[:, 0, 3, 3].eq(0).all()
    single = BlockScore(MADE((4,), 3, (8,)), block=2, hidden=8, noise=0.3)
    single.sampler = BlockLangevin(steps=2)
    with pytest.raises(ValueError, match="has no density"):
        single.complete(torch.zeros(3, 4), torch.tensor([False, False, True, True]))
