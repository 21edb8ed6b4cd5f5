"""The head with one law per column: against heads of one kind, sums over whole tables, and draws."""

from typing import Any

import pytest
import torch
from scipy import stats

from scorewise.backbones import MADE, MaskedMLP
from scorewise.capabilities import ClosedFormDensity, ConditionalSampler, NormalisedDensity, QuantileModel
from scorewise.heads import ByColumn, Gaussian
from scorewise.heads.columns import ColumnKind
from scorewise.sampling import Exact, InverseCDF
from scorewise.tasks.measures import IntervalCoverage

pytestmark = pytest.mark.usefixtures("double")

MIXED = [
    ColumnKind("continuous", mean=0.5, std=2.0),
    ColumnKind("category", levels=3),
    ColumnKind("whole", low=0.0, high=4.0, mean=2.0, std=1.0),
    ColumnKind("positive", low=0.0, offset=0.1, spikes=(0.0,), unit=3.0),
    ColumnKind("boolean", levels=2),
]


def model_of(columns: list[ColumnKind], components: int = 2, **settings: Any) -> ByColumn:
    width = ByColumn.width_needed(columns=columns, components=components)
    assert width is not None
    return ByColumn(MADE((len(columns),), width, (16,), "tanh", **settings), columns=columns, components=components)


def test_it_has_what_its_conditionals_have() -> None:
    model = model_of(MIXED)
    assert isinstance(model, NormalisedDensity)
    assert isinstance(model, ClosedFormDensity)
    assert isinstance(model, QuantileModel)
    assert isinstance(model, ConditionalSampler)
    density, probability = "density", "probability"
    of_spikes = "probability of single values, density of the rest"
    assert model.says() == [density, probability, probability, of_spikes, probability]


def test_columns_without_an_end_and_one_component_are_the_gaussian_head() -> None:
    model = model_of([ColumnKind("continuous")] * 3, components=1)
    same, x = Gaussian(MADE((3,), 2, (16,), "tanh")), torch.randn(7, 3)
    c = model.context(x)
    as_gaussian = torch.stack([c[..., 1], c[..., 2] - 1], -1)
    torch.testing.assert_close(model.conditional_log_prob(x, c), same.conditional_log_prob(x, as_gaussian))
    u = torch.rand(7, 3)
    torch.testing.assert_close(model.conditional_quantile(u, c), same.conditional_quantile(u, as_gaussian))


def test_rows_of_a_mixed_table_have_probabilities_that_sum_to_one() -> None:
    model = model_of([MIXED[1], MIXED[0], MIXED[2]])
    line = torch.linspace(-40, 40, 1001)
    rows = torch.cartesian_prod(torch.arange(3.0), line, torch.arange(5.0))
    total = model.log_prob(rows).exp().sum() * (line[1] - line[0])
    assert float(total.detach()) == pytest.approx(1, abs=1e-3)


def test_a_density_is_in_the_units_of_its_column() -> None:
    x = torch.tensor([[0.5], [0.0]])
    seen, own = (model_of([ColumnKind("positive", low=0.0, spikes=(0.0,), unit=unit)]) for unit in (1.0, 3.0))
    own.load_state_dict(seen.state_dict())
    torch.testing.assert_close(seen.log_prob(x) - own.log_prob(x), torch.tensor([3.0, 1.0]).log())


def test_missing_cells_add_nothing_and_have_no_place() -> None:
    model, x = model_of(MIXED), torch.tensor([[0.3, 2.0, 1.0, 0.7, 1.0]])
    c, there = model.context(x), torch.tensor([True, False, True, False, True])
    gaps = torch.where(there, x, torch.nan)
    log_p = model.conditional_log_prob(x, c)
    torch.testing.assert_close(model.conditional_log_prob(gaps, c), torch.where(there, log_p, 0))
    below, at_most = model.conditional_cdf(gaps, c)
    assert below.isnan().tolist() == at_most.isnan().tolist() == (~there[None]).tolist()
    torch.testing.assert_close(below[:, there], model.conditional_cdf(x, c).below[:, there])


@pytest.mark.parametrize("sampler", [Exact(), InverseCDF()])
@pytest.mark.parametrize("ordering", ["raster", [3, 1, 4, 0, 2]])
def test_draws_follow_the_model_in_any_order(sampler: Any, ordering: Any) -> None:
    model = model_of(MIXED, ordering=ordering)
    model.sampler = sampler
    x = model.sample(4000, torch.Generator().manual_seed(0))
    below, at_most = (one.detach() for one in model.conditional_cdf(x, model.context(x)))
    u = torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
    ranks = below + u * (at_most - below)  # uniform where x is drawn from the conditional
    assert min(stats.kstest(column, "uniform").pvalue for column in ranks.T.numpy()) > 0.002
    assert float(x[:, 3].eq(0).double().mean()) > 0.05


def test_coverage_is_of_numbers_and_of_nothing_else() -> None:
    columns = [MIXED[1], MIXED[1], MIXED[0]]
    width = ByColumn.width_needed(columns=columns, components=2)
    assert width is not None
    model = ByColumn(MaskedMLP((3,), width, (16,), levels=[3, 3, 0]), columns=columns, components=2)
    x = torch.tensor([[0.0, 2.0, 0.1], [1.0, 1.0, torch.nan]])
    found = IntervalCoverage(model).of(x)["coverage_90"]
    assert found[0] in (0, 1)
    assert found[1].isnan()
    words = ByColumn(MaskedMLP((2,), 3, (16,), levels=[3, 3]), columns=columns[:2], components=2)
    assert IntervalCoverage(words).of(x[:, :2]) == {}


def test_the_likeliest_category_of_every_cell() -> None:
    columns = [MIXED[1], MIXED[0]]
    width = ByColumn.width_needed(columns=columns, components=2)
    assert width is not None
    model = ByColumn(MaskedMLP((2,), width, (16,), levels=[3, 0]), columns=columns, components=2)
    x = torch.stack([torch.full((50,), torch.nan), torch.linspace(-9, 9, 50)], -1)
    likeliest = model.given_the_rest(x).likeliest_BD
    rows = [torch.stack([torch.full((50,), float(k)), x[:, 1]], -1) for k in range(3)]
    log_p = torch.stack([model.log_prob_of_rest(row, torch.tensor([False, True])) for row in rows])
    torch.testing.assert_close(likeliest[:, 0], log_p.argmax(0).to(x))
    torch.testing.assert_close(log_p.logsumexp(0), torch.zeros(50))
    assert likeliest[:, 1].isnan().all()


def test_known_columns_are_kept_and_the_others_drawn() -> None:
    model = model_of(MIXED)
    model.sampler = InverseCDF()
    x = torch.tensor([[0.3, 2.0, 0.0, 0.0, 0.0]]).expand(50, -1)
    known = torch.tensor([True, True, False, False, False])
    full = model.complete(x, known, torch.Generator().manual_seed(0))
    torch.testing.assert_close(full[:, :2], x[:, :2])
    assert {*full[:, 4].tolist()} == {0.0, 1.0}


def test_it_learns_the_shares_of_categories_and_of_spikes() -> None:
    generator = torch.Generator().manual_seed(0)
    code = torch.multinomial(torch.tensor([0.2, 0.5, 0.3]), 2000, True, generator=generator).double()
    spike = torch.rand(2000, generator=generator) < torch.tensor([0.1, 0.4, 0.7]).double()[code.long()]
    x = torch.stack([code, torch.where(spike, 0, torch.randn(2000, generator=generator).exp())], -1)
    torch.manual_seed(0)
    model = model_of([ColumnKind("category", levels=3), ColumnKind("positive", low=0.0, offset=0.01, spikes=(0.0,))])
    optimiser = torch.optim.Adam(model.parameters(), 0.02, fused=True)
    for _ in range(300):
        optimiser.zero_grad()
        (-model.log_prob(x).mean()).backward()
        optimiser.step()
    rows = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    log_p = model.conditional_log_prob(rows, model.context(rows)).detach().exp()
    share = torch.tensor([float((code == k).double().mean()) for k in range(3)])
    of_spikes = torch.tensor([float(spike[code == k].double().mean()) for k in range(3)])
    torch.testing.assert_close(log_p, torch.stack([share, of_spikes], -1), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"columns": MIXED[:2]}, "2 columns are described, and a row has 3 entries"),
        ({"columns": MIXED[:3], "components": 9}, "these columns read 27 features each"),
        ({"columns": MIXED[:3], "components": 1, "noise": 0.1}, "the law has noise 0.1"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ByColumn(MADE((3,), 6, (8,)), **settings)
