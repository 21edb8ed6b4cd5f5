"""Draws block by block, against exact laws."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scorewise.backbones import MADE, PatchTransformer
from scorewise.data.laws import GaussianMixtureLaw
from scorewise.denoising import denoise
from scorewise.heads import BlockScore, NoisyBlockScore
from scorewise.noise import karras_ladder
from scorewise.ordering import Ordering
from scorewise.sampling import BlockAncestral, BlockFlow, BlockLangevin, tweedie
from scorewise.sampling.blockwise import heun
from scorewise.store import load

pytestmark = pytest.mark.usefixtures("double")
HIGH, LOW = 20.0, 0.1
MIXTURE = GaussianMixtureLaw(
    torch.tensor([0.3, 0.7]),
    torch.tensor([[-1.0, 0.5, 1.0, -0.5, 0.3], [1.0, -0.5, -1.0, 0.5, 0.0]]),
    torch.stack([0.2 * torch.eye(5) + 0.05, 0.15 * torch.eye(5)]),
)


class TrueBlocks(nn.Module):
    """The blocks of a mixture of Gaussians as a NoisyBlockScoreModel; a context is the noisy example before it."""

    levels = (HIGH, LOW)

    def __init__(self, law: GaussianMixtureLaw, ordering: Ordering) -> None:
        super().__init__()
        self.law, self.ordering, self.noise = law, ordering, LOW
        self.dims = len(ordering)
        self.mean, self.std = torch.tensor(0.0), 1.0
        self.scale = torch.tensor(1.0)

    def context_stream(self) -> "Remembering":
        return Remembering(self)

    def noisy_block_score(self, q_B1b: Tensor, c_B1F: Tensor, sigma_B1: Tensor) -> Tensor:
        """Return grad log of the law of the block with noise sigma, beside what came before with the smallest noise."""
        known = c_B1F.shape[-1] - 1
        dims = list(self.ordering.sequence[: known + len(self.ordering.blocks[self.block_of(known)])])
        sigma_D = torch.full((len(dims),), LOW)
        sigma_D[known:] = float(sigma_B1[0, 0])
        law = GaussianMixtureLaw(
            self.law.weights_K,
            self.law.means_KD[:, dims],
            self.law.covariances_KDD[:, dims][:, :, dims] + sigma_D.square().diag(),
        )
        q_Bm = q_B1b[:, 0, : len(dims) - known]
        score_Bm = law.score(torch.cat([c_B1F[:, 0, :known], q_Bm], -1))[:, known:]
        return nn.functional.pad(score_Bm, (0, q_B1b.shape[-1] - score_Bm.shape[1])).unsqueeze(1)

    def block_of(self, known: int) -> int:
        ends = [0]
        for block in self.ordering.blocks:
            ends.append(ends[-1] + len(block))
        return ends.index(known)


class Remembering:
    """What was drawn, as the context of the next block; with one number more, so that there always is one."""

    def __init__(self, model: TrueBlocks) -> None:
        self.sizes = [len(block) for block in model.ordering.blocks]

    def start(self, n: int) -> Tensor:
        self.known = torch.zeros(n, 0)
        self.block = 0
        return torch.zeros(n, 1, 1)

    def push(self, x_block: Tensor) -> Tensor:
        self.known = torch.cat([self.known, x_block[:, : self.sizes[self.block]]], -1)
        self.block += 1
        return torch.cat([self.known, torch.zeros(len(x_block), 1)], -1).unsqueeze(1)


BLOCKS = (1, 2, 5, [1, 3, 1])
SAMPLERS = {
    "flow": BlockFlow(steps=60, rho=5),
    "stochastic": BlockFlow(steps=60, rho=7, churn=10.0),
    "ancestral": BlockAncestral(steps=60),
    "multistep": BlockAncestral(steps=60, eta=0.0),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("sizes", BLOCKS, ids=str)
def test_draws_are_those_of_the_law(sampler: str, sizes: Any) -> None:
    """Two samples of a mixture along random lines (Kolmogorov and Smirnov), and their covariance."""
    model: Any = TrueBlocks(MIXTURE, Ordering.named("random", 5, 2).in_blocks(sizes))
    n = 4000
    x = SAMPLERS[sampler].draw(model, n, torch.Generator().manual_seed(0))
    from scorewise.noise import Draws

    truth = MIXTURE.smoothed(LOW).sample(Draws.fresh(n, torch.Generator().manual_seed(1)))
    for line in torch.randn(8, 5, generator=torch.Generator().manual_seed(2)):
        both = torch.cat([x @ line, truth @ line])
        steps = torch.cat([torch.full((n,), 1 / n), torch.full((n,), -1 / n)])[both.argsort()]
        assert float(steps.cumsum(0).abs().max()) < 1.95 * math.sqrt(2 / n)  # of one line in a thousand
    law, mean_D = MIXTURE.smoothed(LOW), MIXTURE.weights_K.double() @ MIXTURE.means_KD.double()
    spread_KDD = law.covariances_KDD + law.means_KD.unsqueeze(-1) * law.means_KD.unsqueeze(-2)
    exact_DD = (law.weights_K[:, None, None] * spread_KDD).sum(0) - mean_D[:, None] * mean_D
    assert (torch.cov(x.T) - exact_DD).abs().max() < 0.07


def test_a_heun_step_is_of_second_order_on_a_gaussian() -> None:
    """The flow of N(0, v) carries x to x sqrt((v + low^2) / (v + high^2))."""

    def end(steps: int) -> float:
        x = torch.tensor(1.0)
        for high, low in zip(*[karras_ladder(5.0, 0.1, steps, 5)[i:] for i in (0, 1)], strict=False):
            x = heun(lambda q, level: level * q / (2 + level**2), x, high, low)
        return float(x)

    exact = math.sqrt((2 + 0.01) / (2 + 25))
    errors = [abs(end(steps) / exact - 1) for steps in (8, 16, 32)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.2)


def test_churn_does_not_leave_the_ladder() -> None:
    asked = []

    def slope(q_Bm: Tensor, level: float) -> Tensor:
        asked.append(level)
        return q_Bm / level

    levels = karras_ladder(10.0, 0.3, 19, 7.0)
    raised: list[tuple[float, float]] = []
    BlockFlow(18, 7, 6.0).descend(levels, slope, torch.ones(2, 3), None, lambda *pair: raised.append(pair))
    assert max(asked) == 10.0
    assert max(high for _, high in raised) == 10.0
    assert len(raised) == 17
    assert all(high > low for low, high in raised)


class WithoutStream(nn.Module):
    """A causal backbone that does nothing but what it must."""

    def __init__(self) -> None:
        super().__init__()
        self.made = MADE((4,), 3, (8,))
        self.shape, self.width, self.ordering = self.made.shape, self.made.width, self.made.ordering

    def causal_features(self, u_BD: Tensor) -> Tensor:
        c_BDF: Tensor = self.made.causal_features(u_BD)
        return c_BDF


def test_a_backbone_without_a_stream_draws_in_the_type_of_its_weights() -> None:
    head = NoisyBlockScore(WithoutStream(), block=2, levels=(2.0, 0.5, 0.1), hidden=8, noise=0.1)
    head.sampler = BlockFlow(3)
    for model in (head.float(), head.double()):
        assert model.sample(2).dtype == model.mean.dtype


def test_levels_of_a_flow_are_even_in_a_root() -> None:
    ladder = torch.tensor(karras_ladder(20.0, 0.01, 7, 5.0))
    assert (float(ladder[0]), float(ladder[-1]), len(ladder)) == (20.0, 0.01, 7)
    gaps = (ladder ** (1 / 5)).diff()
    torch.testing.assert_close(gaps, gaps[:1].expand(6))


def patches(**settings: Any) -> NoisyBlockScore:
    backbone = PatchTransformer((1, 4, 4), 6, (2, 3), 8, 2, 1)
    model = NoisyBlockScore(backbone, levels=(HIGH, 1.0, LOW), hidden=8, noise=LOW, **settings)
    model.sampler = BlockFlow(steps=5)
    return model


def test_an_untrained_model_draws_the_gaussian_that_it_is() -> None:
    model = patches(mean=0.5, std=2.0)
    model.sampler = BlockFlow(steps=40)
    x = model.sample(3000, torch.Generator().manual_seed(0)).flatten(1)
    assert float(x.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(x.var()) == pytest.approx(4 + LOW**2, rel=0.03)
    single = BlockScore(MADE((4,), 3, (8,)), block=2, hidden=8, mean=0.5, std=0.4, noise=0.3)
    single.sampler = BlockLangevin(steps=300, step=0.1)
    y = single.sample(3000, torch.Generator().manual_seed(0))
    assert float(y.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(y.var()) == pytest.approx(0.25, rel=0.05)


def test_known_blocks_stay_and_the_rest_follows_from_them() -> None:
    """Of two blocks of a correlated Gaussian, the second given the first."""
    covariance = torch.tensor([[1.0, 0.0, 0.8], [0.0, 1.0, 0.0], [0.8, 0.0, 1.0]])
    law = GaussianMixtureLaw(torch.ones(1), torch.zeros(1, 3), covariance[None])
    model: Any = TrueBlocks(law, Ordering.named("raster", 3).in_blocks([2, 1]))
    x = torch.tensor([[1.5, -0.3, torch.nan]]).expand(4000, 3).nan_to_num()
    drawn = BlockFlow(steps=60).complete(model, x, 1, torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:, :2], x[:, :2])
    share = 0.8 / (1 + LOW**2)
    assert float(drawn[:, 2].mean()) == pytest.approx(1.5 * share, abs=0.03)
    assert float(drawn[:, 2].var()) == pytest.approx(1 + LOW**2 - 0.8 * share, rel=0.07)


def test_examples_are_completed_from_blocks() -> None:
    model = patches()
    x, known = torch.randn(3, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    known[0, :2, :3] = True
    x[..., 3] = torch.nan
    drawn = model.complete(x, known)
    assert torch.equal(drawn[..., :2, :3], x[..., :2, :3])
    assert drawn.isfinite().all()
    known[0, 0, 0] = False
    assert torch.equal(model.complete(x, known)[..., 0, 1:3], x[..., 0, 1:3])
    model.sampler = None
    with pytest.raises(ValueError, match="draws whole examples only"):
        model.complete(torch.zeros(1, 4, 4), ~torch.ones(1, 4, 4, dtype=torch.bool))


def test_noise_is_removed_block_by_block() -> None:
    """E[x | y] of the Gaussian that a model starts as."""
    model, y = patches(std=2.0), torch.randn(3, 16)
    torch.testing.assert_close(denoise(model, y, 1.0), y * 4 / 5)
    torch.testing.assert_close(tweedie(model, y), y * 4 / (4 + LOW**2))
    single = BlockScore(MADE((4,), 3, (8,)), block=2, hidden=8, std=0.4, noise=0.3)
    torch.testing.assert_close(denoise(single, y[:, :4]), y[:, :4] * 0.16 / 0.25)


def test_a_seed_reproduces_draws_and_a_saved_model_draws_the_same(tmp_path: Any) -> None:
    from scorewise.store import assemble, import_class

    recipe = {
        "shape": [1, 4, 4],
        "mean": 0.0,
        "std": 1.0,
        "noise": LOW,
        "levels": [HIGH, 1.0, LOW],
        "backbone": {
            "_target_": "scorewise.backbones.patch_transformer.PatchTransformer",
            "patch": [2, 2],
            "size": 8,
            "heads": 2,
            "blocks": 1,
        },
        "head": {"_target_": "scorewise.heads.noisy_block_score.NoisyBlockScore", "context": 6, "hidden": 8},
        "sampler": {"_target_": "scorewise.sampling.blockwise.BlockFlow", "steps": 3},
    }
    model = assemble(recipe, import_class).eval()
    nn.init.normal_(model.net.last.weight)
    one, two = (model.sample(4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    torch.testing.assert_close(load(model.save(tmp_path)).double().sample(4, torch.Generator().manual_seed(3)), one)
