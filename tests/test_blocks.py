"""Blocks: orders, causality, equality at b = 1, closed forms as functions of b, draws."""

import math
from typing import Any

import pytest
import torch
from family import Blocks as BlockFamily
from family import NoisyBlocks
from fitting import draws
from torch import Tensor, nn

from scorewise.backbones import MADE, MaskedMLP, PatchTransformer, PixelCNNPP, Transformer
from scorewise.backbones.blocks import Blocks
from scorewise.capabilities import BlockScoreModel, ContextStream, NoisyBlockScoreModel
from scorewise.gradients import exact_trace
from scorewise.heads import BlockScore, ConditionalScore, NoisyBlockScore, NoisyConditionalScore
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives import CSM, CSMDSM, SSM, SSMVR, CSMAnnealed, Objective
from scorewise.objectives.objective import score_field
from scorewise.ordering import Ordering

pytestmark = pytest.mark.usefixtures("double")
SIX = torch.arange(6.0)


# Orders.


def test_patches_hold_all_channels_and_get_smaller_at_the_edges() -> None:
    order = Ordering.patches((2, 3, 3), (2, 2))
    assert order.blocks[0] == (0, 1, 3, 4, 9, 10, 12, 13)
    assert order.sizes == (8, 4, 4, 2)
    assert Ordering.patches((5,), (2,)).blocks == ((0, 1), (2, 3), (4,))
    assert Ordering.patches((1, 4, 4), (2, 2), "reverse").blocks[0] == (10, 11, 14, 15)
    assert Ordering.patches((1, 4, 4), (1, 1)) == Ordering.named("raster", (1, 4, 4))
    assert len(Ordering.patches((3, 4, 4), (4, 4)).blocks) == 1


def test_orders_are_cut_into_pixels_rows_and_groups() -> None:
    assert Ordering.named("pixels", (3, 1, 2)).in_blocks(3).blocks == ((0, 2, 4), (1, 3, 5))
    assert Ordering.named("raster", (1, 2, 3)).in_blocks(3).blocks == ((0, 1, 2), (3, 4, 5))
    assert Ordering.named("raster", 5).in_blocks(2).sizes == (2, 2, 1)
    assert Ordering.grouped([[2, 0], [1]], 3).blocks == ((2, 0), (1,))
    assert Ordering.named("raster", 3).in_blocks([1, 1, 1]) == Ordering.named("raster", 3)
    assert Ordering.named("raster", 3).blocks == ((0,), (1,), (2,))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Ordering.named("raster", 5).in_blocks([2, 2]),
        lambda: Ordering.named("raster", 5).in_blocks(0),
        lambda: Ordering.patches((1, 4, 4), (5, 1)),
        lambda: Ordering.patches((1, 4, 4), (2,)),
        lambda: Ordering.patches((4,), (2, 2)),
        lambda: Ordering.grouped([[0], [0, 1]], 3),
        lambda: BlockScore(PatchTransformer((4,), 3, (2,), 8, 2, 1), block=2),
    ],
)
def test_blocks_that_do_not_cut_an_order_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"blocks|patches|sequence|head\.block"):
        wrong()


@pytest.mark.parametrize("sizes", [1, 2, 4, 7, [1, 4, 2], [3, 1, 3]])
def test_splitting_and_joining_are_inverse(sizes: Any) -> None:
    blocks, x = Blocks(Ordering.named("random", 7, 3).in_blocks(sizes)), torch.randn(2, 5, 7)
    assert torch.equal(blocks.join(blocks.split(x, math.nan)), x)


# Causality.

IMAGE = (2, 5, 4)
BACKBONES: dict[str, Any] = {
    **{
        f"patches-{order}-{patch}": lambda order=order, patch=patch: (
            PatchTransformer(IMAGE, 3, patch, 8, 2, 2, ordering=order),
            None,
        )
        for order in ("raster", "reverse", "random", "spiral")
        for patch in ((1, 1), (2, 2), (5, 4), (3, 4), (2, 3))
    },
    **{
        f"neighbours-{order}-{patch}": lambda order=order, patch=patch, reach=reach: (
            PatchTransformer(IMAGE, 3, patch, 8, 2, 1, ordering=order, neighbours=reach),
            None,
        )
        for order, patch, reach in (
            *(("raster", (2, 2), 1), ("spiral", (1, 1), 1), ("random", (2, 3), 2)),
            *(("reverse", (1, 2), 3), ("raster", (5, 4), 1)),
        )
    },
    **{
        f"made-{order}-{block}": lambda order=order, block=block: (MADE(IMAGE, 3, (60,), "tanh", order), block)
        for order in ("raster", "pixels", "random")
        for block in (1, 2, 8, 40, [3, 1, 30, 6])
    },
    "transformer": lambda: (Transformer(IMAGE, 3, 8, 2, 1), 4),
    "pixelcnnpp": lambda: (PixelCNNPP(IMAGE, 3, filters=4, levels=2), 2),
    "patches of made": lambda: (
        MADE(IMAGE, 3, (60,), "tanh", Ordering.patches(IMAGE, (2, 2)).sequence),
        Ordering.patches(IMAGE, (2, 2)).sizes,
    ),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_a_block_sees_the_blocks_before_it_and_nothing_of_its_own(name: str) -> None:
    backbone, block = BACKBONES[name]()
    model = BlockScore(backbone, block=block, hidden=8)
    seen = torch.zeros(model.blocks.count, model.dims)
    for point in torch.randn(3, model.dims):
        rows = torch.autograd.functional.jacobian(lambda x: model.block_context(x[None])[0], point)
        seen = torch.maximum(seen, rows.abs().amax(1))
    for k in range(model.blocks.count):
        for j, other in enumerate(model.ordering.blocks):
            sees = seen[k, list(other)]
            assert sees.eq(0).all() if j >= k else (k < model.blocks.count - 1 or (sees > 0).all()), (k, j)


@pytest.mark.parametrize("name", [*BACKBONES, "masked"])
def test_a_stream_gives_the_contexts_of_a_whole_pass(name: str) -> None:
    backbone, block = (MaskedMLP((6,), 3, (8,)), 2) if name == "masked" else BACKBONES[name]()
    model = BlockScore(backbone, block=block, mean=0.3).eval()
    x = torch.randn(3, model.dims)
    with torch.no_grad():
        whole, stream, parts = model.block_context(x), model.context_stream(), model.split(x)
        assert isinstance(stream, ContextStream)
        c = stream.start(3)
        for k in range(model.blocks.count):
            torch.testing.assert_close(c[:, 0], whole[:, k])
            c = stream.push(parts[:, k])
    assert c.shape[1] == 0


def test_parameters_do_not_grow_with_the_number_of_patches_but_for_their_places() -> None:
    def count(shape: tuple[int, ...]) -> int:
        backbone = PatchTransformer(shape, 3, (2, 2), 8, 2, 1)
        return sum(p.numel() for name, p in backbone.named_parameters() if name != "of_patch")

    assert count((1, 4, 4)) == count((1, 8, 8))


@pytest.mark.parametrize("order", ["raster", "reverse", "random", "spiral"])
@pytest.mark.parametrize(("shape", "patch", "reach"), [((2, 7, 6), (2, 2), 1), ((1, 6, 6), (1, 2), 2), ((7,), (2,), 2)])
def test_neighbours_are_the_patches_around_that_come_before(order: str, shape: Any, patch: Any, reach: int) -> None:
    """With nothing but what they say, features change with the patches within reach before them and with no other."""
    if order == "spiral" and len(shape) == 1:
        return
    backbone = PatchTransformer(shape, 3, patch, 8, 2, 1, ordering=order, neighbours=reach)
    block: Any = backbone.blocks[0]
    for part in (backbone.of_value, block.attention.output, block.perceptron[-1]):
        nn.init.zeros_(part.weight)
    x = torch.randn(math.prod(shape))
    seen = torch.autograd.functional.jacobian(lambda x: backbone.block_features(x[None])[0], x).abs().amax(1)
    corner = [
        [min(index) for index in zip(*(_place(dim, shape) for dim in block), strict=True)]
        for block in backbone.ordering.blocks
    ]
    for k, here in enumerate(corner):
        for j, there in enumerate(corner):
            gaps = [abs(a - b) / size for a, b, size in zip(here, there, patch, strict=True)]
            near = j < k and max(gaps) <= reach
            assert (seen[k, list(backbone.ordering.blocks[j])] > 0).all() == near, (k, j)


def _place(dim: int, shape: Any) -> list[int]:
    """Return the row and the column of an entry, of a vector its index."""
    sides = shape[-2:]
    pixel = dim % math.prod(sides)
    return [pixel // sides[1], pixel % sides[1]] if len(sides) == 2 else [pixel]


# Blocks of one dimension are the one-dimensional classes.


class AsBlocks(nn.Module):
    """A model of one-dimensional conditionals as one of blocks of one dimension, in the order of the data."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.noise = model, model.noise

    def split(self, x_BD: Tensor) -> Tensor:
        return x_BD.unsqueeze(-1)

    def join(self, x_BKb: Tensor) -> Tensor:
        return x_BKb.squeeze(-1)

    def block_context(self, x_BD: Tensor) -> Tensor:
        c_BDF: Tensor = self.model.context(x_BD)
        return c_BDF


class ScoresAsBlocks(AsBlocks):
    def block_score(self, q_BKb: Tensor, c_BKF: Tensor) -> Tensor:
        s_BD: Tensor = self.model.conditional_score(q_BKb[..., 0], c_BKF)
        return s_BD.unsqueeze(-1)


class NoisyScoresAsBlocks(AsBlocks):
    def noisy_block_score(self, q_BKb: Tensor, c_BKF: Tensor, sigma_BK: Tensor) -> Tensor:
        s_BD: Tensor = self.model.noisy_conditional_score(q_BKb[..., 0], c_BKF, sigma_BK)
        return s_BD.unsqueeze(-1)


LEVELS = (2.0, 0.5, 0.3)


@pytest.mark.parametrize(
    "objective",
    [
        CSM(),
        CSMDSM(0.3),
        *(CSMAnnealed(2.0, 0.4, 3, 0.3, target, draws=n) for target in ("csm", "dsm") for n in (1, 3)),
        CSMAnnealed(2.0, 0.4, 3, 0.3, "dsm", continuous=False),
        CSMAnnealed(2.0, 0.4, 3, 0.3, "dsm", log_mean=-0.5),
    ],
)
def test_objectives_on_blocks_of_one_are_those_of_dimensions(objective: Objective) -> None:
    x, made = torch.randn(7, 5), MADE((5,), 4, (16,), "tanh")
    noisy = isinstance(objective, CSMAnnealed)
    model: Any = NoisyConditionalScore(made, levels=LEVELS, noise=0.3) if noisy else ConditionalScore(made, noise=0.3)
    twin = NoisyScoresAsBlocks(model) if noisy else ScoresAsBlocks(model)
    one, other = objective(model, x, draws(7)), objective(twin, x, draws(7))
    torch.testing.assert_close(other.per_example, one.per_example, rtol=1e-12, atol=1e-12)
    weights = list(model.parameters())
    pairs = zip(*(torch.autograd.grad(loss.total, weights) for loss in (one, other)), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(objective.held_out(twin, x, draws(7)), objective.held_out(model, x, draws(7)))


# Closed forms as functions of b, on N(0, s^2 I).

DIMS, VARIANCE, MANY = 12, 2.25, 60_000
DIVISORS = (1, 2, 4, 12)


def at_truth(objective: Objective, b: int) -> Tensor:
    """Return the loss of many examples of N(0, s^2 I) at the true scores, in blocks of b."""
    family = BlockFamily(0.0, VARIANCE)
    family.size = b
    x = math.sqrt(VARIANCE) * torch.randn(MANY, DIMS, generator=torch.Generator().manual_seed(b))
    with torch.no_grad():
        return objective.per_example(family, x, draws(MANY))


@pytest.mark.parametrize("b", DIVISORS)
@pytest.mark.parametrize("objective", [CSM(), SSM(), SSM("gaussian"), SSMVR(), SSMVR("gaussian")])
def test_variances_are_known_as_functions_of_the_block(objective: Any, b: int) -> None:
    """Of D / b blocks; the mean is - D / (2 v) for all of them.

    The exact loss is sum_d (x_d^2 / v - 2) / (2 v): variance D / (2 v^2) at every b, that of CSM (b = 1) and of exact
    score matching (b = D) alike. Gaussian projections add Var(v^T v) / v^2 = 2 b / v^2 per block. The square of a
    projected score has (v^T x)^2 / (2 v^2), whose moments are those of products of chi-squares.
    """
    gaussian = objective.projection == "gaussian" if not isinstance(objective, CSM) else False
    if isinstance(objective, CSM) or (isinstance(objective, SSMVR) and not gaussian):
        block = b / (2 * VARIANCE**2)
    elif isinstance(objective, SSMVR):  # |x|^2 / (2 v^2) - |v|^2 / v, independent
        block = (b / 2 + 2 * b) / VARIANCE**2
    elif not gaussian:  # (v^T x)^2 / (2 v^2) - b / v with v^T x ~ N(0, b v): b/v * (chi^2_1 / 2 - 1)
        block = b**2 / (2 * VARIANCE**2)
    else:  # n (z^2 / 2 - 1) / v with n = |v|^2 ~ chi^2_b: E n^2 E(.)^2 - (b / 2)^2
        block = (b * (b + 2) * 0.75 - b**2 / 4) / VARIANCE**2
    loss = at_truth(objective, b)
    assert float(loss.mean()) == pytest.approx(-DIMS / (2 * VARIANCE), abs=5 * float(loss.std()) / MANY**0.5)
    assert float(loss.var()) == pytest.approx(DIMS / b * block, rel=0.04)


@pytest.mark.parametrize("b", DIVISORS)
@pytest.mark.parametrize(
    "objective",
    [CSM(), SSM(), SSMVR("gaussian"), CSMDSM(0.5), CSMAnnealed(2.0, None, 3, 0.5, "dsm", draws=2)],
)
def test_a_gaussian_is_recovered_in_sign_and_scale_in_every_block(objective: Objective, b: int) -> None:
    """A linear score - a x in every block is fitted: the minimum is at a = 1 / (v + sigma^2), of every b."""
    noise = 0.5
    x = math.sqrt(VARIANCE) * torch.randn(8_000, DIMS, generator=torch.Generator().manual_seed(1))
    smoothing = noise if isinstance(objective, CSMDSM | CSMAnnealed) else 0.0
    x = x + smoothing * smoothing_noise(draws(len(x)), x)
    family: Any = (NoisyBlocks if isinstance(objective, CSMAnnealed) else BlockFamily)(0.0, 1.0)
    family.size = b
    for _ in range(12):  # Newton in the precision, in which the losses are quadratic or nearly so
        loss = objective(family, x, draws(len(x))).total
        (slope,) = torch.autograd.grad(loss, family.variance, create_graph=True)
        (bend,) = torch.autograd.grad(slope, family.variance)
        with torch.no_grad():
            move = slope / bend.abs()
            family.variance -= move.clamp(-0.5, 0.5)
        if move.abs() < 1e-8:
            break
    truth = VARIANCE if isinstance(objective, CSMAnnealed) else VARIANCE + smoothing**2
    assert float(family.variance.detach()) == pytest.approx(truth, rel=0.03)


def test_the_joint_end_is_score_matching_and_a_field_is_whole() -> None:
    model, x = BlockScore(MADE((6,), 4, (8,), "tanh"), block=6, hidden=8, noise=0.3), torch.randn(4, 6)
    nn.init.normal_(model.net.last.weight)
    jacobian = torch.stack([torch.autograd.functional.jacobian(lambda y: score_field(model)(y[None])[0], r) for r in x])
    s = score_field(model)(x)
    expected = 0.5 * s.square().sum(-1) + jacobian.diagonal(dim1=1, dim2=2).sum(-1)
    torch.testing.assert_close(CSM()(model, x, draws(4)).per_example, expected.detach())
    assert isinstance(model, BlockScoreModel)
    assert not isinstance(model, NoisyBlockScoreModel)


def test_the_exact_trace_has_its_gradient() -> None:
    """By tangents as by backward passes, through all layers of the head."""
    model, x = BlockScore(MADE((6,), 4, (8,), "tanh"), block=3, hidden=8, noise=0.3), torch.randn(4, 6)
    nn.init.normal_(model.net.last.weight)
    weights = list(model.parameters())
    s, trace = exact_trace(lambda q: model.block_score(q, model.block_context(x)), model.split(x), "passes")
    expected = torch.autograd.grad((0.5 * s.square().sum(-1) + trace).sum(-1).mean(), weights)
    for one, other in zip(torch.autograd.grad(CSM()(model, x, draws(4)).total, weights), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_head_starts_as_the_gaussian_of_the_data() -> None:
    model = NoisyBlockScore(PatchTransformer((4,), 3, (2,), 8, 2, 1), levels=LEVELS, noise=0.3, mean=1.0, std=2.0)
    x = torch.randn(5, 4)
    s = model.noisy_block_score(model.split(x), model.block_context(x), torch.full((5, 2), 0.5))
    torch.testing.assert_close(model.join(s), -(x - 1) / (4 + 0.25))


def test_padding_of_smaller_blocks_counts_for_nothing() -> None:
    model = BlockScore(MADE((5,), 4, (8,), "tanh"), block=[2, 3], hidden=8, noise=0.3)
    nn.init.normal_(model.net.last.weight)
    x = torch.randn(4, 5)
    q, c = model.split(x), model.block_context(x)
    other = q.clone()
    other[:, 0, 2] = 7.0
    torch.testing.assert_close(model.block_score(q, c), model.block_score(other, c))
    assert model.block_score(q, c)[:, 0, 2].eq(0).all()
    with pytest.raises(ValueError, match="another radius"):
        SSM("sphere")(model, x, draws(4))


def test_levels_follow_their_law() -> None:
    objective = CSMAnnealed(1000.0, 1e-5, 3, 0.0, log_mean=-0.8, log_std=1.3)
    log_sigma = objective.sigmas(Draws.fresh(200_000), 1, torch.float64).log()
    assert float(log_sigma.mean()) == pytest.approx(-0.8, abs=0.02)
    assert float(log_sigma.std()) == pytest.approx(1.3, rel=0.02)
    with pytest.raises(ValueError, match="of their levels between"):
        CSMAnnealed(2.0, 1.0, 3, 0.0, log_mean=-8.0)
    with pytest.raises(ValueError, match="continuous=true"):
        CSMAnnealed(2.0, 1.0, 3, 0.0, log_mean=0.0, continuous=False)
