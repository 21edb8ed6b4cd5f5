"""Rows with missing cells under the head of a law per column: exact parts, completion, and what is learnt from them."""

import math
from functools import cache

import pytest
import torch
from scipy import stats
from torch import Tensor

from scorewise.backbones import MADE, MaskedMLP
from scorewise.heads import ByColumn
from scorewise.heads.columns import ColumnKind
from scorewise.heads.examples import Misfit
from scorewise.noise import Draws, OfRows
from scorewise.objectives import MLE
from scorewise.outliers import as_if_whole, usual_surprise
from scorewise.sampling import Exact, InverseCDF

pytestmark = pytest.mark.usefixtures("double")

MIXED = [
    ColumnKind("continuous", mean=0.5, std=2.0),
    ColumnKind("category", levels=3),
    ColumnKind("whole", low=0.0, high=4.0, mean=2.0, std=1.0),
    ColumnKind("positive", low=0.0, offset=0.1, spikes=(0.0,), unit=3.0),
]
ROWS = torch.tensor([[0.3, 2.0, 1.0, 0.7], [-1.0, 0.0, 4.0, 0.0], [2.0, 1.0, 0.0, 3.0]], dtype=torch.float64)


def model_of(columns: list[ColumnKind], components: int = 2, hidden: int = 16, orders: int = 1) -> ByColumn:
    levels = [column.levels for column in columns]
    width = ByColumn.width_needed(columns=columns, components=components)
    assert width is not None
    backbone = MaskedMLP((len(columns),), width, (hidden, hidden), levels=levels, orders=orders, ordering="reverse")
    model = ByColumn(backbone, columns=columns, components=components)
    model.sampler = InverseCDF()
    return model.eval()


@torch.no_grad()
def by_hand(model: ByColumn, x_D: Tensor, sequence: list[int]) -> float:
    """Return the log-density of the observed cells of a row along an order, one call per cell."""
    known_D, total = torch.zeros(len(x_D), dtype=torch.bool), 0.0
    for d in [d for d in sequence if not bool(x_D[d].isnan())]:
        c = model.masked_context(torch.where(known_D, x_D, 17.0)[None], known_D[None], [d])
        total += float(model.conditional_log_prob(x_D[None, [d]], c))
        known_D[d] = True
    return total


@pytest.mark.parametrize("missing", [[], [1], [0, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2, 3]])
def test_the_density_is_that_of_the_observed_cells(missing: list[int]) -> None:
    """Also of rows with one cell, and of none, whose density is one."""
    x, model = ROWS.clone(), model_of(MIXED)
    x[:, missing] = math.nan
    expected = [by_hand(model, row, [3, 2, 1, 0]) for row in x]
    torch.testing.assert_close(model.log_prob(x).detach(), torch.tensor(expected))
    torch.testing.assert_close(torch.as_tensor(model.log_prob(x.numpy())), torch.tensor(expected))


def test_several_orders_are_an_equal_mixture() -> None:
    x, model = ROWS.clone(), model_of(MIXED, orders=3)
    x[0, 2] = math.nan
    by_order = torch.tensor([[by_hand(model, row, list(one.sequence)) for one in model.orderings] for row in x])
    torch.testing.assert_close(model.log_prob(x).detach(), by_order.logsumexp(1) - math.log(3))


def test_surprises_of_cells_add_up_to_that_of_the_row() -> None:
    x, model = ROWS.clone(), model_of(MIXED)
    x[0, 1], x[1, 3], x[1, 0] = math.nan, math.nan, math.nan
    found = model.surprise(x)
    assert torch.equal(found.isnan(), x.isnan())
    torch.testing.assert_close(found.nansum(1), -model.log_prob(x).detach())


def test_a_missing_cell_counts_as_the_usual_one_of_its_column() -> None:
    class Told:
        def surprise(self, x_BD: Tensor) -> Tensor:
            return x_BD

    nan = math.nan
    rows = torch.tensor([[1.0, 5.0, nan], [2.0, nan, nan], [900.0, 7.0, nan]])
    usual = usual_surprise(Told(), rows)
    assert usual.tolist() == [2.0, 5.0, 0.0], "a median, and 0 where nothing is known"
    judged = torch.tensor([[nan, 1.0, 1.0], [1.0, nan, 1.0], [1.0, 1.0, 1.0], [nan, nan, nan]])
    assert as_if_whole(torch.tensor([1.0, 2.0, 3.0, 0.0]), judged, usual).tolist() == [3.0, 7.0, 3.0, 7.0]


def test_rows_that_differ_in_what_is_missing_do_not_meet() -> None:
    x, model = ROWS.clone(), model_of(MIXED)
    x[0, 1], x[1, 3], x[1, 0] = math.nan, math.nan, math.nan
    together = model.log_prob(x)
    torch.testing.assert_close(together, torch.cat([model.log_prob(row[None]) for row in x]))


def test_cells_given_the_rest_read_neither_themselves_nor_missing_ones() -> None:
    model = model_of(MIXED)
    x = ROWS.clone()
    x[0, 2] = math.nan
    cells = model.given_the_rest(x)
    assert cells.log_prob_BD.isnan().tolist() == x.isnan().tolist()
    for d, known in ((0, [1, 3]), (2, [0, 1, 3]), (3, [0, 1])):
        known_D = torch.tensor([i in known for i in range(4)])
        c = model.masked_context(x[:1], known_D[None], [d])
        u = torch.tensor([[0.3]])
        torch.testing.assert_close(cells.quantile(0.3)[:1, [d]], model.conditional_quantile(u, c).detach())
        if d != 2:
            log_p = model.conditional_log_prob(x[:1, [d]], c).detach()
            torch.testing.assert_close(cells.log_prob_BD[:1, [d]], log_p)
            below, at_most = model.conditional_cdf(x[:1, [d]], c)
            torch.testing.assert_close(cells.below_BD[:1, [d]], below.detach())
            torch.testing.assert_close(cells.at_most_BD[:1, [d]], at_most.detach())
    only_first = model.cells(x, torch.tensor([True, False, False, False]))
    changed = x.clone()
    changed[:, 3] = 9.0
    torch.testing.assert_close(
        model.cells(changed, torch.tensor([True, False, False, False])).quantile(0.5), only_first.quantile(0.5)
    )


@pytest.mark.parametrize("orders", [1, 3])
def test_missing_cells_are_filled_with_values_that_can_be(orders: int) -> None:
    model = model_of(MIXED, orders=orders)
    x = ROWS.repeat(100, 1)
    gaps = torch.where(torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5, math.nan, x)
    full = model.fill(gaps, torch.Generator().manual_seed(1))
    assert bool(full.isfinite().all())
    torch.testing.assert_close(torch.where(gaps.isnan(), math.nan, full), gaps, equal_nan=True)
    assert {*full[:, 1].tolist()} <= {0.0, 1.0, 2.0}
    assert {*full[:, 2].tolist()} <= {0.0, 1.0, 2.0, 3.0, 4.0}
    assert float(full[:, 3].min()) >= 0
    again = model.fill(gaps, torch.Generator().manual_seed(1))
    torch.testing.assert_close(full, again)
    assert bool((model.fill(gaps, torch.Generator().manual_seed(2)) != full).any())


@pytest.mark.parametrize("sampler", [InverseCDF(), Exact()])
def test_filled_cells_follow_their_conditional(sampler: Exact | InverseCDF) -> None:
    model = model_of(MIXED)
    model.sampler = sampler
    gaps = ROWS[:1].repeat(4000, 1)
    gaps[:, 0] = math.nan
    full = model.fill(gaps, torch.Generator().manual_seed(1))
    ranks = model.given_the_rest(full).below_BD[:, 0]
    assert stats.kstest(ranks.numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("sampler", [InverseCDF(), Exact()])
def test_numbers_by_row_fill_a_row_whatever_stands_beside_it(sampler: Exact | InverseCDF) -> None:
    model = model_of(MIXED)
    model.sampler = sampler
    gaps = ROWS.repeat(1500, 1)
    gaps[::3, 0] = math.nan
    gaps[1::2, 3] = math.nan
    draws = Draws.of(0, -1, torch.arange(len(gaps)))
    full = model.fill(gaps, OfRows(draws))
    some = torch.tensor([3, 1001, 7])
    torch.testing.assert_close(model.fill(gaps[some], OfRows(Draws(draws.key_B[some]))), full[some])
    ranks = model.given_the_rest(full).below_BD[::3, 0]
    assert stats.kstest(ranks.numpy(), "uniform").pvalue > 0.01


def test_draws_follow_the_model() -> None:
    model = model_of(MIXED)
    x = model.sample(4000, torch.Generator().manual_seed(0))
    below, at_most = (one.detach() for one in model.conditional_cdf(x, model.context(x)))
    ranks = below + torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) * (at_most - below)
    assert min(stats.kstest(column, "uniform").pvalue for column in ranks.T.numpy()) > 0.002


def test_what_is_only_read_adds_nothing_and_is_always_known() -> None:
    columns = [MIXED[0], ColumnKind("category", levels=3, given=True), *MIXED[2:]]
    model = model_of(columns)
    known_D = torch.tensor([False, True, False, False])
    with torch.no_grad():
        c = model.masked_context(ROWS, torch.zeros(3, 4, dtype=torch.bool))
        torch.testing.assert_close(c, model.masked_context(ROWS, known_D.expand(3, -1)))
        assert model.conditional_log_prob(ROWS, c)[:, 1].tolist() == [0.0] * 3
        # log p(y | x) along the reverse order: x, which comes third there, is known from the start.
        total, known = torch.zeros(3), known_D.expand(3, -1).clone()
        for d in (3, 2, 0):
            c = model.masked_context(ROWS, known, [d])
            total += model.conditional_log_prob(ROWS[:, [d]], c)[:, 0]
            known[:, d] = True
        torch.testing.assert_close(model.log_prob(ROWS), total)
    gaps = torch.full_like(ROWS, math.nan)
    gaps[:, 1] = ROWS[:, 1]
    torch.testing.assert_close(model.fill(gaps)[:, 1], ROWS[:, 1])
    with pytest.raises(Misfit, match="only reads"):
        model.fill(torch.full_like(ROWS, math.nan))
    with pytest.raises(ValueError, match="only reads some of its columns"):
        model.sample(3)
    with pytest.raises(Misfit, match="only reads some of its columns and cannot draw them: mark them as known"):
        model.complete(ROWS, torch.tensor([True, False, False, False]))
    completed = model.complete(ROWS, torch.tensor([False, True, False, True]))
    torch.testing.assert_close(completed[:, [1, 3]], ROWS[:, [1, 3]])


def test_a_model_of_one_order_says_what_it_cannot() -> None:
    width = ByColumn.width_needed(columns=MIXED, components=2)
    assert width is not None
    model, gaps = ByColumn(MADE((4,), width, (8,)), columns=MIXED, components=2), ROWS.clone()
    gaps[0, 0] = math.nan
    with pytest.raises(Misfit, match="a value is missing"):
        model.log_prob(gaps.numpy())
    for ask in (model.given_the_rest, model.fill):
        with pytest.raises(ValueError, match="backbone=masked_mlp"):
            ask(ROWS)
    with pytest.raises(ValueError, match="backbone=masked_mlp"):
        ByColumn(MADE((4,), width, (8,)), columns=[ColumnKind("continuous", given=True), *MIXED[1:]], components=2)
    with pytest.raises(Misfit, match="not finite"):
        model_of(MIXED).log_prob(torch.full((2, 4), math.inf))


def trained(model: ByColumn, x: Tensor, steps: int, rate: float = 5e-3) -> ByColumn:
    """Return the model after order-agnostic maximum likelihood, the rate falling to nothing."""
    optimiser = torch.optim.Adam(model.parameters(), rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(steps):
        index = torch.randint(len(x), (256,), generator=generator)
        optimiser.zero_grad()
        MLE()(model, x[index], Draws.fresh(256, generator)).total.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


MEAN = torch.tensor([1.0, -0.5, 0.0], dtype=torch.float64)
ROOT = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.5, 0.5, 0.7]], dtype=torch.float64)


def gaussian_rows(n: int, seed: int) -> Tensor:
    return MEAN + torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) @ ROOT.T


@cache
def of_incomplete_gaussian() -> ByColumn:
    """Return a model of 4,000 rows of a Gaussian of which 30 % of the cells are missing completely at random."""
    torch.manual_seed(0)
    x = gaussian_rows(4000, 0)
    gaps = torch.where(torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.3, math.nan, x)
    columns = [ColumnKind("continuous", mean=float(m), std=float(s)) for m, s in zip(MEAN, x.std(0), strict=True)]
    return trained(model_of(columns, components=1, hidden=32), gaps, 500)


def test_incomplete_gaussian_rows_give_its_parameters() -> None:
    """Up to the sampling error of 4,000 rows with 30 % missing and of 20,000 draws, 3 standard errors of either."""
    x = of_incomplete_gaussian().sample(20_000, torch.Generator().manual_seed(0))
    error = 3 * (1 / math.sqrt(4000 * 0.7) + 1 / math.sqrt(20_000))
    assert float((x.mean(0) - MEAN).abs().max()) < error
    assert float((x.T.cov() - ROOT @ ROOT.T).abs().max()) < 2 * error
    law = torch.distributions.MultivariateNormal(MEAN, ROOT @ ROOT.T)
    held_out = gaussian_rows(2000, 5)
    lost = (law.log_prob(held_out) - of_incomplete_gaussian().log_prob(held_out).detach()).mean()
    assert -0.02 < float(lost) < 0.03, "nats per row"


def test_intervals_of_missing_cells_cover_what_was_there() -> None:
    x, model = gaussian_rows(3000, 7), of_incomplete_gaussian()
    missing = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) < 0.3
    gaps = torch.where(missing, math.nan, x)
    cells = model.given_the_rest(gaps)
    inside = (cells.quantile(0.05) <= x) & (x <= cells.quantile(0.95))
    assert 0.87 < float(inside[missing].double().mean()) < 0.93
    draws = torch.stack([model.fill(gaps, torch.Generator().manual_seed(seed)) for seed in range(60)])
    low, high = draws.quantile(0.05, 0), draws.quantile(0.95, 0)
    assert 0.85 < float(((low <= x) & (x <= high))[missing].double().mean()) < 0.93


def test_log_densities_of_parts_are_those_of_the_gaussian() -> None:
    x, model, covariance = gaussian_rows(500, 9), of_incomplete_gaussian(), ROOT @ ROOT.T
    for kept in ([0], [2], [0, 2], [1, 2]):
        gaps = torch.full_like(x, math.nan)
        gaps[:, kept] = x[:, kept]
        law = torch.distributions.MultivariateNormal(MEAN[kept], covariance[kept][:, kept])
        assert float((model.log_prob(gaps).detach() - law.log_prob(x[:, kept])).mean().abs()) < 0.03


def test_a_linear_posterior_is_learnt_given_a_column_that_is_only_read() -> None:
    """Y = 2 x - 1 + noise of standard deviation .5 exp(x / 2): mean, heteroscedastic noise and coverage."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)

    def rows(n: int) -> Tensor:
        x, z = (torch.randn(n, generator=generator, dtype=torch.float64) for _ in range(2))
        return torch.stack([x, 2 * x - 1 + 0.5 * (x / 2).exp() * z], -1)

    columns = [ColumnKind("continuous", given=True), ColumnKind("continuous", mean=-1.0, std=2.1)]
    model = trained(model_of(columns, components=1, hidden=32), rows(4000), 500)
    held_out = rows(2000)
    known = torch.tensor([True, False])
    cells = model.cells(held_out, known)
    median, low, high = (cells.quantile(u)[:, 1] for u in (0.5, 0.05, 0.95))
    bulk = held_out[:, 0].abs() < 1.5
    exact, std = 2 * held_out[:, 0] - 1, 0.5 * (held_out[:, 0] / 2).exp()
    assert float((median - exact)[bulk].square().mean().sqrt()) < 0.12
    assert float(((high - low) / (2 * 1.645 * std))[bulk].log().abs().mean()) < 0.1
    assert 0.87 < float(((low <= held_out[:, 1]) & (held_out[:, 1] <= high)).double().mean()) < 0.93
    log_p = torch.distributions.Normal(exact, std).log_prob(held_out[:, 1])
    assert abs(float((model.log_prob(held_out).detach() - log_p).mean())) < 0.03
