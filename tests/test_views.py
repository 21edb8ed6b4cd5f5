"""The views of a table against what is known in closed form: orders, experts, cells, nearest rows, norms of scores."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.neighbors import NearestNeighbors
from torch import Generator, Tensor, nn

from scorewise.capabilities import Cells, NoisyScoreModel
from scorewise.densities.experts import Experts
from scorewise.densities.full_gaussians import FullGaussians, mixtures
from scorewise.densities.kernels import WIDTHS, kernels
from scorewise.densities.orders import MixedOrders, OneOrder
from scorewise.densities.support import central_rows
from scorewise.densities.training import Schedule, train
from scorewise.densities.views import distinct, held_out
from scorewise.estimators import GaussianRows
from scorewise.outliers import NearestRows, ScoreNorms, Surprise, combined
from scorewise.outliers.replaced import Nodes, ReplacedCells

COVARIANCE = torch.tensor([[1.0, 0.8, 0.2], [0.8, 1.5, -0.3], [0.2, -0.3, 0.7]], dtype=torch.float64)


def generator(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def rows() -> GaussianRows:
    return GaussianRows(torch.tensor([0.3, 0.0, -0.5]), COVARIANCE)


@pytest.fixture
def orders() -> MixedOrders:
    torch.manual_seed(0)
    return MixedOrders([OneOrder(2, 3, (8,), order, 0.3).double() for order in ([0, 1], [1, 0])])


def test_orders_are_normalised_and_draw_from_themselves(orders: MixedOrders) -> None:
    side = torch.linspace(-9, 9, 361, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        q = orders.log_prob(grid).exp() * float(side[1] - side[0]) ** 2
        drawn = orders.sample(20_000, generator())
    assert float(q.sum()) == pytest.approx(1, abs=1e-6)
    mean = (q[:, None] * grid).sum(0)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.05, rtol=0)
    spread = (q[:, None, None] * (grid - mean)[:, :, None] * (grid - mean)[:, None]).sum(0)
    torch.testing.assert_close(drawn.T.cov(), spread, atol=0.05, rtol=0.05)


def test_the_mixture_is_never_below_the_mean_order(orders: MixedOrders) -> None:
    x = torch.randn(100, 2, generator=generator(), dtype=torch.float64)
    with torch.no_grad():
        each = torch.stack([member.log_prob(x) for member in (orders.members[0], orders.members[1])])  # type: ignore[operator]
        assert (orders.log_prob(x) >= each.mean(0) - 1e-12).all()


def test_the_right_expert_gets_the_weight(rows: GaussianRows) -> None:
    held = rows.sample(500, generator())
    wrong = GaussianRows(torch.ones(3), torch.eye(3))
    found = Experts.weighted([rows, wrong], [], held)
    assert found.log_weight_M.exp().sum() == pytest.approx(1)
    assert float(found.log_weight_M[0].exp()) > 0.9
    x = torch.full((1, 3), 1e3, dtype=torch.float64)
    assert float(found.log_prob(x)) > float(rows.log_prob(x)), "the other still counts where the first is far off"
    assert found.sample(1000, generator()).shape == (1000, 3)


def test_an_expert_of_no_weight_is_left_out(rows: GaussianRows) -> None:
    held = rows.sample(2000, generator())
    wrong = GaussianRows(torch.full((3,), 9.0), torch.eye(3))
    assert Experts.weighted([rows], [wrong, rows], held).experts == [rows, rows]


def test_kernels_are_as_wide_as_held_out_rows_ask_for(rows: GaussianRows) -> None:
    held = rows.sample(500, generator(1))
    few, many = (kernels(rows.sample(n, generator()), 0.1) for n in (30, 5000))
    weights_few, weights_many = (Experts.weighted([], some, held).log_weight_M.exp() for some in (few, many))
    width_few, width_many = (float(w @ torch.tensor(WIDTHS).to(w)) for w in (weights_few, weights_many))
    assert width_few > width_many
    side = torch.linspace(-8, 8, 65, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side, side)
    assert float(few[-1].log_prob(grid).exp().sum() * 0.25**3) == pytest.approx(1, abs=1e-3)


def test_gaussians_are_the_law_with_the_noise_in_closed_form() -> None:
    weight, mean = torch.tensor([0.3, 0.7], dtype=torch.float64), torch.tensor([[-6.0, 0, 0], [6, 1, 2]]).double()
    covariance = torch.stack([COVARIANCE, torch.eye(3, dtype=torch.float64)])
    truth = FullGaussians(weight, mean, covariance)
    drawn = truth.sample(40_000, generator())
    parts = [multivariate_normal(m, c).pdf(drawn[:50]) for m, c in zip(mean, covariance, strict=True)]
    exact = np.log(np.array([0.3, 0.7]) @ np.array(parts))
    np.testing.assert_allclose(truth.log_prob(drawn[:50]).numpy(), exact, rtol=1e-10)
    found = FullGaussians.fitted(drawn, 2, 0.5, 0)
    of = found.mean_KD[:, 0].argsort()
    torch.testing.assert_close(found.weight_K[of], weight, atol=0.01, rtol=0)
    torch.testing.assert_close(found.mean_KD[of], mean, atol=0.05, rtol=0)
    noisy = covariance + 0.25 * torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close((found.factor_KDD @ found.factor_KDD.mT)[of], noisy, atol=0.06, rtol=0)


def test_mixtures_have_more_rows_per_gaussian_than_columns(rows: GaussianRows) -> None:
    sizes = [len(one.weight_K) for one in mixtures(rows.sample(20, generator()), 0.3, 0)]
    assert sizes == [2, 4]


def test_rows_with_usual_numbers_of_twins_are_held_out() -> None:
    common, usual = torch.zeros(60, 1), torch.arange(1.0, 41)[:, None]
    fitted, held = held_out(torch.cat([common, usual]))
    assert len(held) == round(0.15 * 41)
    assert float(held.amin()) > 0, "the row of which there are 60 is fitted"
    assert len(fitted) == 100 - len(held)


def test_central_rows_leave_out_a_far_cluster_whatever_the_units() -> None:
    inner, far = (
        torch.randn(300, 3, generator=generator()).double(),
        torch.randn(60, 3, generator=generator(1)).double(),
    )
    x = torch.cat([inner, 0.1 * far + torch.tensor([9.0, -9.0, 9.0]).double()])
    central = central_rows(x, [], 0.75, 1e-6)
    assert int(central.sum()) == 270
    assert not bool(central[300:].any())
    turned = x @ torch.tensor([[2.0, 1, 0], [0, 3, 0], [0, 0, 0.1]]).double()
    assert bool((central_rows(turned, [], 0.75, 1e-9) == central).all())


def test_central_rows_of_categories_and_missing_cells() -> None:
    codes = torch.tensor([0.0] * 90 + [1.0] * 90 + [2.0] * 5).double()
    number = torch.randn(185, generator=generator()).double().masked_fill(torch.arange(185) % 7 == 0, torch.nan)
    central = central_rows(torch.stack([number, codes], 1), [1], 0.9, 0.09)
    assert not bool(central[180:].any()), "five rows have a value of their own"


def test_cells_by_replacement_are_those_of_a_gaussian_in_closed_form(rows: GaussianRows) -> None:
    x = rows.sample(200, generator())
    nodes = Nodes.of(rows.sample(5000, generator(1)), 0.1)
    found, exact = ReplacedCells.of(rows, x, nodes), rows.given_the_rest(x)
    assert isinstance(found, Cells)
    torch.testing.assert_close(found.log_prob_BD, exact.log_prob_BD, atol=0.01, rtol=0)
    torch.testing.assert_close(found.below_BD, exact.below_BD, atol=0.01, rtol=0)
    for u in (0.05, 0.5, 0.95):
        torch.testing.assert_close(found.quantile(u), exact.quantile(u), atol=0.03, rtol=0)


def test_a_cell_beyond_all_nodes_has_all_probability_on_one_side(rows: GaussianRows) -> None:
    nodes = Nodes.of(rows.sample(500, generator()), 0.1)
    found = ReplacedCells.of(rows, torch.tensor([[40.0, 0, 0], [-40, 0, 0]], dtype=torch.float64), nodes)
    assert found.below_BD[:, 0].tolist() == pytest.approx([1, 0], abs=1e-6)
    assert found.quantile(0.5).isfinite().all()


@pytest.mark.parametrize("smoothing", [0.3, 0.01])
def test_cells_of_a_law_that_is_as_narrow_as_its_smoothing(smoothing: float) -> None:
    mean_KD = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
    weight_K, eye_DD = torch.tensor([0.1, 0.4, 0.25, 0.25]).to(mean_KD), torch.eye(2).to(mean_KD)
    law = FullGaussians(weight_K, mean_KD, smoothing**2 * eye_DD.expand(4, 2, 2))
    x = law.sample(100, generator())
    found = ReplacedCells.of(law, x, Nodes.of(mean_KD, smoothing))
    share = (weight_K.log() - 0.5 * ((x[:, :1] - mean_KD[:, 0]) / smoothing).square()).softmax(-1)
    below = (share * torch.special.ndtr((x[:, 1:] - mean_KD[:, 1]) / smoothing)).sum(-1)
    torch.testing.assert_close(found.below_BD[:, 1], below, rtol=0, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_distances_are_those_of_scikit_learn(dtype: torch.dtype) -> None:
    x, y = (torch.randn(n, 3, generator=generator(seed)).to(dtype) for n, seed in ((50, 0), (20, 1)))
    index = NearestNeighbors(n_neighbors=5).fit(x.numpy())
    nearest = NearestRows(x, 5)
    np.testing.assert_allclose(nearest.distance(y).numpy(), index.kneighbors(y.numpy())[0].mean(1), atol=1e-6)
    np.testing.assert_allclose(nearest.distance_to_others(x).numpy(), index.kneighbors()[0].mean(1), atol=1e-6)
    assert NearestRows(x[:1], 5).distance_to_others(x[:1]).tolist() == [0]


class KnownScore:
    """The score of a standard Gaussian with noise."""

    def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor:
        return -x_BD / (1 + sigma_B.square())[:, None]


def test_norms_of_a_known_score() -> None:
    model = KnownScore()
    assert isinstance(model, NoisyScoreModel)
    x = torch.randn(2000, 8, generator=generator()).double()
    norms = ScoreNorms(model, x, levels=(2.0, 0.5))
    expected = torch.stack([(x.norm(dim=1) / (1 + sigma**2)).log() for sigma in (2.0, 0.5)], -1)
    torch.testing.assert_close(norms.profile(x), expected)
    inside = norms.score(torch.randn(100, 8, generator=generator(1)).double())
    for odd in (torch.full((1, 8), 0.05).double(), torch.full((1, 8), 4.0).double()):
        assert float(norms.score(odd)) > float(inside.quantile(0.95)), "too small is as odd as too large"


def test_surprise_is_uniform_in_the_body_and_grows_beyond_everything() -> None:
    held_out = torch.distributions.Exponential(2.0).sample((100_000,))
    surprise = Surprise.of(held_out)
    score = torch.tensor([0.1, 0.3, 1.0, 3.0, 30.0]).double()
    torch.testing.assert_close(surprise(score), 2 * score, rtol=0.05, atol=0.02)
    assert (Surprise.of(torch.ones(5))(torch.tensor([0.0, 1.0, 2.0])).diff() > 0).all()


def test_a_bounded_surprise_is_what_so_many_rows_can_show() -> None:
    held_out = torch.rand(99, generator=generator())
    bounded, free = Surprise.of(held_out, bounded=True), Surprise.of(held_out)
    score = torch.tensor([0.2, 0.9, 50.0]).double()
    torch.testing.assert_close(bounded(score), free(score).clamp(max=math.log(100)))
    assert float(free(score)[2]) > math.log(100)


def test_scores_are_combined_by_their_weights() -> None:
    held_out = torch.rand(100, generator=generator())
    surprise, score = Surprise.of(held_out), torch.rand(5, generator=generator(1))
    found = combined([score, score], [surprise, surprise], [0.5, 1.0])
    torch.testing.assert_close(found, 1.5 * surprise(score))


def test_equal_rows_are_one() -> None:
    z = torch.tensor([[3.0, 1.0], [0.0, 0.0], [3.0, 1.0], [2.0, 5.0], [0.0, 0.0]])
    once, place = distinct(z)
    assert once.tolist() == [[3, 1], [0, 0], [2, 5]]
    assert place.tolist() == [0, 1, 0, 2, 1]
    assert (once[place] == z).all()


class Mean(nn.Module):
    """One number."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))


def squared(model: Mean, x_BD: Tensor, generator: Generator) -> Tensor:
    return (x_BD[:, 0] - model.value).square()


def test_training_ends_where_held_out_rows_are_best() -> None:
    fit, held_out = torch.full((50, 1), 5.0), torch.full((10, 1), 1.0)
    schedule = Schedule(2000, 64, 0.02, 0.0)
    found = train(Mean(), squared, fit, held_out, schedule, 0)
    assert found.value.item() == pytest.approx(1.0, abs=0.6)
    assert train(Mean(), squared, fit, held_out[:0], schedule, 0).value.item() == pytest.approx(5.0, abs=0.1)


def test_wide_tables_get_fewer_steps() -> None:
    schedule = Schedule(1000, 64, 0.02, 0.0)
    assert [schedule.of_columns(dims) for dims in (1, 100, 200, 10**9)] == [1000, 1000, 500, 1]


def test_surprises_of_infinite_scores_are_infinite() -> None:
    assert float(Surprise.of(torch.rand(10))(torch.tensor([math.inf]))[0]) == math.inf
