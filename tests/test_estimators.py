"""Score estimators without a network, and the objective that is made of one, against known answers."""

import math

import pytest
import torch
from torch import Tensor

from scorewise.backbones import MADE, MLP
from scorewise.capabilities import ClosedFormDensity, NormalisedDensity, ScoreModel
from scorewise.estimators import KDE, Spectral, Stein
from scorewise.gradients import score_of_log_density
from scorewise.heads import ConditionalScore, Energy, Mixture, Score
from scorewise.noise import Draws
from scorewise.objectives import DSM
from scorewise.objectives.esm import ESM
from scorewise.objectives.objective import score_field

pytestmark = pytest.mark.usefixtures("double")


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def mean_distance(estimate: Tensor, true: Tensor) -> float:
    return float((estimate - true).norm(dim=-1).mean())


# Kernel density estimation.


@pytest.mark.parametrize("dims", [1, 3])
def test_the_score_of_a_kde_is_the_gradient_of_its_log_density(dims: int) -> None:
    kde, x = KDE(normal(50, dims) + 2, 0.4), normal(7, dims, seed=1) + 2
    assert isinstance(kde, ScoreModel)
    assert isinstance(kde, NormalisedDensity)
    torch.testing.assert_close(kde.score(x), score_of_log_density(kde.log_prob, x))


@pytest.mark.parametrize("dims", [1, 2])
def test_a_kde_integrates_to_one(dims: int) -> None:
    edge = torch.linspace(-6, 6, 241)
    grid = torch.cartesian_prod(*[edge] * dims).reshape(-1, dims)
    mass = KDE(normal(30, dims), 0.3).log_prob(grid).exp().sum() * 0.05**dims
    assert abs(float(mass) - 1) < 1e-6


def test_a_kde_of_one_example_is_a_gaussian() -> None:
    kde, x = KDE(torch.full((1, 3), 5.0), 2.0), normal(4, 3)
    torch.testing.assert_close(kde.score(x), (5 - x) / 4)
    expected = torch.distributions.Normal(5.0, 2.0).log_prob(x).sum(-1)
    torch.testing.assert_close(kde.log_prob(x), expected)


def test_a_kde_does_not_depend_on_its_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    data, x = normal(40, 2), normal(9, 2, seed=1)
    whole = KDE(data, "loo")
    score, log_prob = whole.score(x), whole.log_prob(x)
    monkeypatch.setattr("scorewise.estimators.kde.TILE", 120)
    tiled = KDE(data, "loo")
    assert tiled.bandwidth == pytest.approx(whole.bandwidth)
    torch.testing.assert_close(tiled.score(x), score)
    torch.testing.assert_close(tiled.log_prob(x), log_prob)


def test_a_kde_in_single_precision_far_from_the_origin() -> None:
    data, x = (normal(200, 5) + 1e6).float(), (normal(20, 5, seed=1) + 1e6).float()
    single, double = KDE(data, 0.3), KDE(data.double(), 0.3)
    assert single.score(x).dtype == torch.float32
    assert mean_distance(single.score(x).double(), double.score(x.double())) < 1e-2  # the scores are about 10
    torch.testing.assert_close(single.log_prob(x).double(), double.log_prob(x.double()), atol=1e-2, rtol=0)


DIMS = (2, 10, 20, 40)
KDE_ERRORS = {
    "silverman": (0.26, 2.72, 3.89, 5.42),  # the poster's table 1
    "scott": (0.27, 1.96, 3.10, 4.67),  # SCIENCE.md, section 8
    "loo": (0.19, 1.28, 2.45, 3.51),  # likewise, but in 10 dimensions, where its 1.11 belongs to a wider kernel
}
POSTER = [
    pytest.param(rule, dims, error, marks=[pytest.mark.slow] if rule == "loo" else [])
    for rule, errors in KDE_ERRORS.items()
    for dims, error in zip(DIMS, errors, strict=True)
]


@pytest.mark.parametrize(("rule", "dims", "error"), POSTER)
def test_the_kde_row_of_the_poster(rule: str, dims: int, error: float) -> None:
    """10,000 examples of N(0, I), 1,000 unseen ones."""
    found = 0.0
    for seed in range(2):
        x = normal(1000, dims, seed=100 + seed, dtype=torch.float32)
        found += mean_distance(KDE(normal(10_000, dims, seed=seed, dtype=torch.float32), rule).score(x), -x) / 2
    assert found == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("rule", ["silverman", "scott", "loo"])
def test_a_rule_scales_with_the_data(rule: str) -> None:
    data = normal(300, 3)
    assert KDE(0.01 * data + 7, rule).bandwidth == pytest.approx(0.01 * KDE(data, rule).bandwidth, rel=1e-3)


def test_leave_one_out_finds_the_likeliest_bandwidth() -> None:
    data = normal(150, 2)

    def leave_one_out(h: float) -> float:
        others = [torch.cat([data[:i], data[i + 1 :]]) for i in range(len(data))]
        return sum(float(KDE(rest, h).log_prob(data[i : i + 1])) for i, rest in enumerate(others))

    h = KDE(data, "loo").bandwidth
    assert leave_one_out(h) > max(leave_one_out(0.97 * h), leave_one_out(1.03 * h))


def test_a_bandwidth_that_is_refused() -> None:
    data = normal(5, 2)
    with pytest.raises(ValueError, match="none of silverman, scott, loo"):
        KDE(data, "median")
    with pytest.raises(ValueError, match="must be positive"):
        KDE(data, 0.0)
    with pytest.raises(ValueError, match="needs data with a spread"):
        KDE(torch.ones(5, 2))
    with pytest.raises(ValueError, match="none of median"):
        Stein(bandwidth="silverman")
    with pytest.raises(ValueError, match="eta=0 must be a positive number"):
        Stein(eta=0)
    with pytest.raises(ValueError, match="must be a number above 0 and at most 1"):
        Spectral(share=1.5)
    with pytest.raises(ValueError, match="at least 1"):
        Spectral(n_eigen=0)


# Stein and spectral estimators: slow derivations of their own.


def slow_bandwidth(x: Tensor) -> float:
    distances = sorted((float((a - b).norm()) for a in x for b in x), reverse=True)
    return distances[len(distances) // 2 - 1]


def slow_kernel(x: Tensor, y: Tensor, h: float) -> Tensor:
    return torch.exp(-(x - y).square().sum() / (2 * h**2))


def slow_kernel_matrix(x: Tensor, h: float) -> Tensor:
    return torch.stack([torch.stack([slow_kernel(a, b, h) for b in x]) for a in x])


def slow_stein(x: Tensor, eta: float) -> Tensor:
    """Solve Stein's identity at every sample, its kernel gradients by autograd."""
    h = slow_bandwidth(x)
    moments = torch.zeros_like(x)
    for i, y in enumerate(x):
        for other in x:
            leaf = other.clone().requires_grad_()
            moments[i] += torch.autograd.grad(slow_kernel(y, leaf, h), leaf)[0]
    scores: Tensor = torch.linalg.inv(slow_kernel_matrix(x, h) + eta * torch.eye(len(x))) @ -moments
    return scores


def slow_spectral(q: Tensor, x: Tensor, share: float) -> Tensor:
    """Expand the score in Nystrom's eigenfunctions, their gradients by autograd."""
    h, samples = slow_bandwidth(x), len(x)
    values, vectors = torch.linalg.eigh(slow_kernel_matrix(x, h) / samples)
    score, cumulative = torch.zeros_like(q), 0.0
    for value, vector in reversed(list(zip(values, vectors.T, strict=True))):
        cumulative += float(value / values.sum())
        if cumulative >= share:
            break

        def psi(y: Tensor, value: Tensor = value, vector: Tensor = vector) -> Tensor:
            terms = [u * slow_kernel(y, centre, h) for u, centre in zip(vector, x, strict=True)]
            return torch.stack(terms).sum() / (value * math.sqrt(samples))

        leaf = x.clone().requires_grad_()
        beta = -torch.autograd.grad(torch.stack([psi(y) for y in leaf]).mean(), leaf)[0].sum(0)
        score += torch.stack([psi(y) for y in q])[:, None] * beta
    return score


def test_stein_is_its_formula() -> None:
    x = normal(12, 2) + 3
    torch.testing.assert_close(Stein(eta=0.05).score_at(x), slow_stein(x, 0.05))


def test_spectral_is_its_formula() -> None:
    x, q = normal(12, 2) + 3, normal(4, 2, seed=1) + 3
    torch.testing.assert_close(Spectral(share=0.9).score(q, x), slow_spectral(q, x, 0.9))
    torch.testing.assert_close(Spectral(share=0.9).score_at(x), slow_spectral(x, x, 0.9))


def test_sets_of_samples_do_not_see_each_other() -> None:
    x, q = normal(2, 3, 20, 4) * torch.tensor([0.1, 1.0, 20.0])[:, None, None], normal(2, 3, 5, 4, seed=1)
    for estimator in (Stein(), Spectral()):
        alone = torch.stack([torch.stack([estimator.score_at(one) for one in row]) for row in x])
        torch.testing.assert_close(estimator.score_at(x), alone)
    torch.testing.assert_close(Spectral().score(q, x)[1, 2], Spectral().score(q[1, 2], x[1, 2]))


# Accuracy on N(0, I): the mean distance to the true score, over many sets of samples.


@pytest.mark.parametrize(
    ("estimator", "dims", "below", "slope"),
    [
        (Stein(), 1, 0.97, (-1.05, -0.9)),  # the published eta is hardly better than zero, of error .80
        (Stein(eta=0.1), 1, 0.6, (-1.05, -0.9)),
        (Stein(eta=1.0), 1, 0.45, (-1.0, -0.8)),
        (Stein(eta=1.0), 8, 0.4, (-0.85, -0.65)),
        (Spectral(), 1, 0.45, (-1.05, -0.85)),
        (Spectral(), 8, 0.75, (-1.05, -0.85)),
    ],
)
def test_a_hundred_samples_of_a_gaussian(
    estimator: Stein | Spectral, dims: int, below: float, slope: tuple[float, float]
) -> None:
    x = normal(100, 100, dims)
    score = estimator.score_at(x)
    assert mean_distance(score, -x) < below * mean_distance(torch.zeros_like(x), -x)
    assert slope[0] < float((score * x).sum() / x.square().sum()) < slope[1]


def test_spectral_away_from_the_samples() -> None:
    x, q = normal(50, 100, 1), normal(50, 40, 1, seed=1)
    score = Spectral().score(q, x)
    assert mean_distance(score, -q) < 0.5 * mean_distance(torch.zeros_like(q), -q)
    torch.testing.assert_close(Spectral().score(x, x), Spectral().score_at(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_collapsed_samples_have_a_finite_score(dtype: torch.dtype) -> None:
    point = torch.full((20, 4), 3.0, dtype=dtype)
    two = torch.cat([point[:7], point[:13] + 1])
    close = point + 1e-6 * normal(20, 4).to(dtype)
    for x in (point, two, close, point[:1], torch.stack([point, two, 100 * normal(20, 4).to(dtype)])):
        for estimator in (Stein(), Spectral(), Spectral(freeze_n_eigen=True)):
            score = estimator.score_at(x)
            assert score.dtype == dtype
            assert score.abs().max() < 1e6  # the true score of `close`
        assert Spectral(n_eigen=20).score_at(x).isfinite().all()
        assert Spectral(n_eigen=20).score(x + 0.1, x).isfinite().all()


# The number of eigenfunctions.


def test_there_is_at_least_one_eigenfunction() -> None:
    x = normal(30, 2).square()  # not symmetric, so that the first eigenfunction alone gives a score that is not zero
    first, wide = Spectral(n_eigen=1, bandwidth=5.0), Spectral(share=0.5, bandwidth=5.0)
    assert wide.count(torch.tensor([0.9, 0.1, 0.0])) == 1
    torch.testing.assert_close(wide.score_at(x), first.score_at(x))
    assert first.score_at(x).abs().max() > 0
    assert mean_distance(first.score_at(x), Spectral(n_eigen=2, bandwidth=5.0).score_at(x)) > 0.1


def test_the_count_is_that_of_the_share() -> None:
    eigenvalues = torch.tensor([[5.0, 3.0, 1.5, 0.4, 0.1], [9.95, 0.05, 0.0, 0.0, 0.0]])
    assert Spectral().count(eigenvalues).tolist() == [3, 1]
    assert Spectral(share=0.6).count(eigenvalues).tolist() == [1, 1]
    assert Spectral(n_eigen=2).count(eigenvalues).tolist() == [2, 2]


def test_the_count_is_recomputed_unless_frozen() -> None:
    narrow, wide = normal(40, 2).clamp(-0.1, 0.1), normal(40, 2, seed=1)
    recomputed, frozen = Spectral(bandwidth=1.0), Spectral(bandwidth=1.0, freeze_n_eigen=True)
    torch.testing.assert_close(recomputed.score_at(narrow), frozen.score_at(narrow))
    assert frozen.n_eigen == 1
    torch.testing.assert_close(recomputed.score_at(wide), Spectral(bandwidth=1.0).score_at(wide))
    torch.testing.assert_close(frozen.score_at(wide), Spectral(bandwidth=1.0, n_eigen=1).score_at(wide))
    assert mean_distance(recomputed.score_at(wide), -wide) < 0.9 * mean_distance(frozen.score_at(wide), -wide)


# Explicit score matching.


def draws(n: int, epoch: int = 0) -> Draws:
    return Draws.of(0, epoch, torch.arange(n))


def test_esm_has_the_gradient_of_dsm() -> None:
    """Vincent 2011, section 4.2: over the same examples the losses differ by a constant."""
    h, repeats = 0.7, 20_000
    data = normal(10, 2).square()
    model = Score(MLP((2,), (6,)))
    parameters = list(model.parameters())
    esm, dsm = ESM(h), DSM(h)
    esm.refer_to(data)
    x = data.repeat(repeats, 1)
    by_esm, by_dsm = (
        torch.cat([slope.flatten() for slope in torch.autograd.grad(loss(model, x, draws(len(x))).total, parameters)])
        for loss in (esm, dsm)
    )
    assert by_esm.norm() > 0.5
    assert (by_esm - by_dsm).norm() < 0.03 * by_dsm.norm()


def test_esm_at_the_score_of_the_kde_is_zero() -> None:
    data, x = normal(60, 2), normal(20, 2, seed=1)
    esm = ESM("scott")
    esm.refer_to(data)
    assert esm.kde.bandwidth == KDE(data, "scott").bandwidth
    torch.testing.assert_close(esm(esm.kde, x, draws(20)).per_example, torch.zeros(20))
    # A density will do for a model, and a score of zero costs half of the squared score at the blurred examples.
    flat = KDE(torch.zeros(1, 2), 1e6)
    blurred = x + esm.kde.bandwidth * draws(20).fork("esm").normal(2)
    expected = 0.5 * esm.kde.score(blurred).square().sum(-1)
    torch.testing.assert_close(esm(flat, x, draws(20)).per_example, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("head", [Score, Energy])
@pytest.mark.parametrize("bandwidth", [0.5, 1.0, "silverman"])
def test_esm_recovers_the_blurred_slope(head: type[Score] | type[Energy], bandwidth: float | str) -> None:
    x = normal(300, 1)
    variance = float(x.var(correction=0))
    esm = ESM(bandwidth)
    esm.refer_to(x)
    assert esm.noise == (0.0 if isinstance(bandwidth, str) else bandwidth)
    h = esm.kde.bandwidth
    model = head(MLP((1,), (24, 24)), std=1.0, noise=esm.noise)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 200)
    for step in range(200):
        optimizer.zero_grad()
        (esm(model, x, draws(300, step)).total * esm.gain(model)).backward()
        optimizer.step()
        scheduler.step()
    y = math.hypot(math.sqrt(variance), h) * normal(4000, 1, seed=1) + x.mean()
    centred = y - x.mean()
    slope = float((model.score(y).detach() * centred).sum() / centred.square().sum())
    assert slope * (variance + h**2) == pytest.approx(-1, abs=0.07)


def test_esm_without_references_and_with_impossible_settings() -> None:
    with pytest.raises(RuntimeError, match="give it training examples"):
        ESM()(Score(MLP((2,), (4,))), normal(3, 2), draws(3))
    with pytest.raises(ValueError, match="none of silverman, scott, loo"):
        ESM("median")
    with pytest.raises(ValueError, match="must be positive"):
        ESM(-1.0)
    with pytest.raises(ValueError, match="references=1 must be a whole number of at least 2"):
        ESM(references=1)


def test_esm_fits_only_a_joint_score() -> None:
    assert ESM.needs == (ScoreModel, ClosedFormDensity)
    assert not any(isinstance(ConditionalScore(MADE((2,), 2, (4,))), need) for need in ESM.needs)
    model, x = Mixture(MADE((2,), 9, (8,)), components=3), normal(6, 2)
    with torch.no_grad():
        model.backbone.output.bias.normal_()
    esm = ESM(0.5)
    esm.refer_to(normal(30, 2))
    blurred = x + 0.5 * draws(6).fork("esm").normal(2)
    by_joint, by_conditional = (
        0.5 * (field(blurred) - esm.kde.score(blurred)).square().sum(-1).detach()
        for field in (score_field(model, "joint"), score_field(model, "conditional"))
    )
    torch.testing.assert_close(esm(model, x, draws(6)).per_example, by_joint)
    assert (by_joint - by_conditional).abs().max() > 1e-3


def test_golden_esm() -> None:
    esm = ESM(0.5)
    esm.refer_to(normal(30, 3))
    x = normal(16, 3, seed=1)
    loss = esm(KDE(normal(5, 3, seed=2), 1.0), x, draws(16)).per_example
    assert float(loss.mean()) == pytest.approx(5.7166518, rel=1e-6)
