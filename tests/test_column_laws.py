"""Laws of single columns, each against quadrature, sums, autograd, counting and independent libraries."""

import math
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from scorewise.heads.columns import IMPOSSIBLE, ColumnKind, ColumnLaw, MappedMixture, law_of
from scorewise.heads.columns.gaussians import Gaussians, log_interval

pytestmark = pytest.mark.usefixtures("double")

COMPONENTS = 3
DENSITIES: dict[str, dict[str, Any]] = {
    "continuous": {"mean": 1.0, "std": 2.0},
    "continuous with a floor": {"floor": 0.3},
    "positive": {"kind": "positive", "low": 0.5, "mean": 0.2, "std": 0.8, "offset": 0.05},
    "positive without an offset": {"kind": "positive", "low": 0.0, "mean": 0.2, "std": 0.8},
    "bounded": {"kind": "bounded", "low": -1.0, "high": 3.0, "offset": 0.02, "mean": 0.1, "std": 1.5},
}
WHOLE: dict[str, dict[str, Any]] = {
    "whole": {"kind": "whole", "mean": 3.0, "std": 2.0},
    "counts": {"kind": "whole", "low": 0.0, "mean": 3.0, "std": 2.0},
    "few": {"kind": "whole", "low": 0.0, "high": 5.0, "mean": 3.0, "std": 2.0},
    "halves": {"kind": "whole", "first": 0.25, "step": 0.5, "low": 0.25, "mean": 1.0, "std": 0.6},
}


def law(**settings: Any) -> ColumnLaw:
    return law_of([ColumnKind.of({"kind": "continuous", **settings})], COMPONENTS)


def features(of: ColumnLaw, rows: int = 1, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(rows, 1, of.width, generator=torch.Generator().manual_seed(3))


AT = torch.tensor([0])


def line_of(settings: dict[str, Any], count: int = 400_001) -> Tensor:
    """Return evenly spaced values over all that have a density worth speaking of."""
    low, high = settings.get("low", -60.0), settings.get("high", 400.0)
    return torch.linspace(low, high, count)[:, None]


@pytest.mark.parametrize("name", DENSITIES)
def test_a_density_integrates_to_its_distribution_function_and_that_to_one(name: str) -> None:
    settings = DENSITIES[name]
    one = law(**settings)
    x, c = line_of(settings), features(one)
    f = one.log_prob(x, c, AT).exp()[:, 0]
    integral = torch.cumulative_trapezoid(f, x[:, 0])
    below, at_most = one.distribution(x, c, AT)
    assert float(integral[-1]) == pytest.approx(1, abs=2e-4)
    torch.testing.assert_close(integral, below[1:, 0], atol=2e-4, rtol=0)
    torch.testing.assert_close(below, at_most)


@pytest.mark.parametrize("name", DENSITIES)
def test_the_density_is_the_derivative_of_the_distribution_function(name: str) -> None:
    settings = DENSITIES[name]
    one = law(**settings)
    c = features(one)
    x = one.quantile(torch.linspace(0.01, 0.99, 50)[:, None], c, AT).requires_grad_()
    (slope,) = torch.autograd.grad(one.distribution(x, c, AT).below.sum(), x)
    torch.testing.assert_close(slope, one.log_prob(x, c, AT).exp(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", DENSITIES)
def test_a_quantile_inverts_the_distribution_function(name: str) -> None:
    one = law(**DENSITIES[name])
    c = features(one, 200, scale=2.0)
    u = torch.rand(200, 1, generator=torch.Generator().manual_seed(1)).clamp(1e-6, 1 - 1e-6)
    torch.testing.assert_close(one.distribution(one.quantile(u, c, AT), c, AT).below, u, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", DENSITIES)
def test_draws_of_a_density_follow_it(name: str) -> None:
    one = law(**DENSITIES[name])
    c = features(one)
    x = one.sample(c.expand(20_000, -1, -1), AT, torch.Generator().manual_seed(0))
    ranks = one.distribution(x, c, AT).below[:, 0].numpy()
    assert stats.kstest(ranks, "uniform").pvalue > 0.01
    assert bool(one.can_be(x, AT).all())


@pytest.mark.parametrize("name", WHOLE)
def test_probabilities_of_whole_numbers_sum_to_their_distribution_function_and_that_to_one(name: str) -> None:
    settings = WHOLE[name]
    one = law(**settings)
    first, step = settings.get("first", 0.0), settings.get("step", 1.0)
    least = settings.get("low", -300.0)
    x = torch.arange(least, settings.get("high", 300.0) + step / 2, step)[:, None]
    assert float((x[0, 0] - first) / step) == pytest.approx(round(float((x[0, 0] - first) / step)))
    c = features(one)
    p = one.log_prob(x, c, AT).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    below, at_most = one.distribution(x, c, AT)
    torch.testing.assert_close(at_most, p.cumsum(0), atol=1e-12, rtol=0)
    torch.testing.assert_close(at_most - below, p, atol=1e-12, rtol=0)
    between = one.distribution(x[:-1] + step / 2, c, AT)
    torch.testing.assert_close(between.below, at_most[:-1], atol=1e-12, rtol=0)
    torch.testing.assert_close(between.at_most, at_most[:-1], atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", WHOLE)
def test_quantiles_and_draws_of_whole_numbers(name: str) -> None:
    one = law(**WHOLE[name])
    c = features(one)
    u = torch.linspace(0.001, 0.999, 999)[:, None]
    x = one.quantile(u, c, AT)
    below, at_most = one.distribution(x, c, AT)
    assert bool((below < u).all())
    assert bool((u <= at_most).all())
    drawn = one.sample(c.expand(20_000, -1, -1), AT, torch.Generator().manual_seed(0))[:, 0]
    fits_counts(one, drawn, c)


def fits_counts(one: ColumnLaw, drawn: Tensor, c: Tensor) -> None:
    values, counts = drawn.unique(return_counts=True)
    p = one.log_prob(values[:, None], c, AT).exp()[:, 0]
    usual = p * len(drawn) > 5
    expected = torch.cat([p[usual], (1 - p[usual].sum())[None]]) * len(drawn)
    found = torch.cat([counts[usual], (len(drawn) - counts[usual].sum())[None]]).double()
    kept = expected > 1
    statistic = float(((found - expected).square() / expected)[kept].sum())
    assert stats.chi2.sf(statistic, int(kept.sum()) - 1) > 0.001


def test_categories_are_a_softmax_and_what_is_none_is_impossible() -> None:
    one = law_of([ColumnKind("category", levels=3), ColumnKind("boolean", levels=2)], COMPONENTS)
    c, at = torch.randn(1, 2, 3), torch.tensor([0, 1])
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.5, -1.0]])
    log_p = one.log_prob(x, c, at)
    torch.testing.assert_close(log_p[:3, 0], c[0, 0].log_softmax(0))
    torch.testing.assert_close(log_p[:2, 1], c[0, 1, :2].log_softmax(0))
    assert log_p[2:, 1].tolist() == [IMPOSSIBLE] * 2
    assert float(log_p[3, 0]) == IMPOSSIBLE
    below, at_most = one.distribution(x, c, at)
    torch.testing.assert_close(at_most[:3, 0], c[0, 0].softmax(0).cumsum(0))
    torch.testing.assert_close(below[1:3, 0], at_most[:2, 0])
    assert below[2:, 1].tolist() == pytest.approx([1, 0])
    drawn = one.sample(c.expand(20_000, -1, -1), at, torch.Generator().manual_seed(0))
    assert drawn[:, 1].max() == 1
    fits_counts(law_of([ColumnKind("category", levels=3)], 1), drawn[:, 0], c[:, :1])
    assert one.says == "probability"


@pytest.mark.parametrize("kind", ["continuous", "positive", "bounded"])
def test_spikes_and_the_density_of_the_rest_sum_to_one(kind: str) -> None:
    ends = {"continuous": {}, "positive": {"low": 0.0, "offset": 0.1}, "bounded": {"low": 0.0, "high": 2.0}}[kind]
    settings = {"kind": kind, **ends, "spikes": [1.5, 0.0]}
    one = law(**settings)
    x, c = line_of(settings), features(one)
    keep = (x - 1.5).abs()[:, 0] > 1e-9
    keep &= x.abs()[:, 0] > 1e-9
    f = one.log_prob(x[keep], c, AT).exp()[:, 0].nan_to_num()
    spikes = torch.tensor([[0.0], [1.5]])
    p = one.log_prob(spikes, c, AT).exp()
    assert float(torch.trapezoid(f, x[keep, 0]) + p.sum()) == pytest.approx(1, abs=5e-4)
    below, at_most = one.distribution(spikes, c, AT)
    torch.testing.assert_close(at_most - below, p)
    assert one.has_density(torch.tensor([[0.0], [1.0], [1.5]]), AT)[:, 0].tolist() == [False, True, False]
    assert "density of the rest" in one.says


@pytest.mark.parametrize("kind", ["continuous", "positive", "bounded", "whole"])
def test_quantiles_and_draws_with_spikes(kind: str) -> None:
    settings = {"kind": kind, "low": 0.0, "high": 4.0, "offset": 0.1, "spikes": [2.0, 0.0]}
    one = law(**{**settings, **({"low": None, "high": None} if kind == "continuous" else {})})
    c = features(one)
    u = torch.linspace(0.0005, 0.9995, 2001)[:, None]
    x = one.quantile(u, c, AT)
    below, at_most = one.distribution(x, c, AT)
    assert bool((below <= u + 1e-9).all())
    assert bool((u <= at_most + 1e-9).all())
    assert bool((x.diff(dim=0) >= 0).all())
    drawn = one.sample(c.expand(20_000, -1, -1), AT, torch.Generator().manual_seed(0))
    for spike in (0.0, 2.0):
        p = float(one.log_prob(torch.tensor([[spike]]), c, AT).exp())
        assert abs(float((drawn == spike).double().mean()) - p) < 4 * math.sqrt(p * (1 - p) / 20_000) + 1e-12


def test_counts_with_a_spike_sum_to_one() -> None:
    one = law(kind="whole", low=0.0, mean=3.0, std=2.0, spikes=[0.0])
    x, c = torch.arange(300.0)[:, None], features(one)
    p = one.log_prob(x, c, AT).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(one.distribution(x, c, AT).at_most, p.cumsum(0))


def test_one_component_is_a_normal_and_a_lognormal_law() -> None:
    c = torch.tensor([[[0.3, 0.7, math.log(0.4) + 1]]])
    x = torch.tensor([[0.2], [1.0], [3.0]])
    line = law_of([ColumnKind("continuous", mean=1.0, std=2.0)], 1)
    torch.testing.assert_close(line.log_prob(x, c, AT)[:, 0], torch.distributions.Normal(2.4, 0.8).log_prob(x[:, 0]))
    positive = law_of([ColumnKind("positive", mean=1.0, std=2.0, low=0.0)], 1)
    expected = torch.distributions.LogNormal(2.4, 0.8).log_prob(x[:, 0])
    torch.testing.assert_close(positive.log_prob(x, c, AT)[:, 0], expected)
    bounded = law_of([ColumnKind("bounded", low=0.0, high=4.0)], 1)
    p = x[:, 0] / 4
    logit_normal = torch.distributions.Normal(0.7, 0.4).log_prob(p.logit()) - (p * (1 - p)).log() - math.log(4)
    torch.testing.assert_close(bounded.log_prob(x, c, AT)[:, 0], logit_normal)


@pytest.mark.parametrize("kind", ["positive", "bounded"])
def test_slopes_of_the_maps_are_their_derivatives_and_they_invert(kind: str) -> None:
    one = law(kind=kind, low=-1.0, high=3.0 if kind == "bounded" else None, offset=0.1, mean=0.4, std=2.0)
    x = torch.linspace(-0.999, 2.999, 40)[:, None].requires_grad_()
    assert isinstance(one, MappedMixture)
    line = one.line
    (slope,) = torch.autograd.grad(line.to_line(x, AT).sum(), x)
    torch.testing.assert_close(slope.log(), line.log_slope(x, AT))
    torch.testing.assert_close(line.of_line(line.to_line(x, AT), AT), x)


def test_a_value_beyond_an_end_is_impossible_and_a_number() -> None:
    positive, counts = law(kind="positive", low=0.0), law(kind="whole", low=0.0)
    c = features(positive)
    for one, x in ((positive, -0.1), (counts, -1.0), (counts, 0.5)):
        assert float(one.log_prob(torch.tensor([[x]]), c, AT)) == IMPOSSIBLE
    assert [float(one) for one in positive.distribution(torch.tensor([[-0.1]]), c, AT)] == [0, 0]


def test_the_floor_is_noise_on_every_component() -> None:
    c, x = torch.tensor([[[0.0, 0.0, -40.0]]]), torch.linspace(-2, 2, 9)[:, None]
    one = law_of([ColumnKind("continuous", floor=0.5)], 1)
    torch.testing.assert_close(
        one.log_prob(x, c, AT)[:, 0], torch.distributions.Normal(0.0, 0.5).log_prob(x[:, 0]), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_probabilities_of_intervals_far_out_and_narrow(dtype: torch.dtype) -> None:
    mpmath = pytest.importorskip("mpmath")

    tolerance = 2e-5 if dtype == torch.float32 else 1e-9
    mpmath.mp.dps = 60
    for a, width in [(0.0, 1.0), (-3.0, 6.5), (30.0, 0.5), (-30.0, 0.5), (3.0, 1e-3), (-8.0, 1e-4), (0.5, 1e-7)]:
        low = torch.tensor(a, dtype=dtype)
        high = low + torch.tensor(width, dtype=dtype)
        exact = (
            mpmath.log(mpmath.ncdf(float(high)) - mpmath.ncdf(float(low)))
            if a < 5
            else (mpmath.log(mpmath.ncdf(-float(low)) - mpmath.ncdf(-float(high))))
        )
        assert float(log_interval(low, high)) == pytest.approx(float(exact), rel=tolerance, abs=tolerance), (a, width)
    ends = torch.tensor([-math.inf, 1.0, -math.inf], dtype=dtype), torch.tensor([1.0, math.inf, math.inf], dtype=dtype)
    expected = [stats.norm.logcdf(1), stats.norm.logsf(1), 0]
    assert log_interval(*ends).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("settings", [*DENSITIES.values(), *WHOLE.values()])
def test_gradients_are_finite_and_right_everywhere(settings: dict[str, Any]) -> None:
    one = law(**settings)
    low, step = settings.get("low", -4.0), settings.get("step", 1.0)
    x = low + step * torch.tensor([[0.0], [1.0], [2.0], [300.0]])
    x = x.clamp(max=settings.get("high", math.inf))
    c = features(one).expand(4, -1, -1).clone().requires_grad_()
    assert bool(torch.autograd.grad(one.log_prob(x, c, AT).sum(), c)[0].isfinite().all())
    assert torch.autograd.gradcheck(lambda c: one.log_prob(x[:3], c, AT), c[:3].detach().requires_grad_())


def test_the_quantile_of_a_mixture_far_apart() -> None:
    mixture = Gaussians(
        torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[-50.0, 50.0]]]), torch.tensor([[[-5.0, 2.0]]])
    )
    p = torch.tensor([[1e-9, 0.2, 0.4999999, 0.5000001, 0.999]]).T
    torch.testing.assert_close(mixture.below(mixture.quantile(p)), p, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": "colour"}, "kind=colour, which is none of continuous"),
        ({"mean": 1.0}, "says no kind"),
        ({"kind": "whole", "size": 3}, "a column has no size"),
        ({"kind": "positive"}, "needs the least value"),
        ({"kind": "bounded", "low": 0.0}, "needs the least and the largest"),
        ({"kind": "category"}, "needs their number"),
        ({"kind": "continuous", "std": 0.0}, "that is none"),
        ({"kind": "bounded", "low": 1.0, "high": 1.0}, "in no order"),
    ],
)
def test_columns_that_are_none_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        law_of([ColumnKind.of(wrong)], 2)


def test_a_column_is_its_recipe() -> None:
    column = ColumnKind("positive", low=0.0, mean=0.3, spikes=(0.0,), unit=2.5)
    assert ColumnKind.of(column.plain()) == column
    assert ColumnKind("category", levels=3).plain() == {"kind": "category", "levels": 3}
