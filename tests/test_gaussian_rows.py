"""The Gaussian of incomplete rows against the formulas of one row at a time, and what it learns of missing cells."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from scorewise.capabilities import Cells, RowDensity
from scorewise.estimators import GaussianRows

MEAN = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
FACTOR = torch.tensor(
    [[1.0, 0, 0, 0], [0.8, 0.5, 0, 0], [-0.3, 0.4, 1.2, 0], [0.1, -0.9, 0.2, 0.7]], dtype=torch.float64
)
COVARIANCE = FACTOR @ FACTOR.T
SUBSETS = [[bool(number >> d & 1) for d in range(4)] for number in range(16)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def rows() -> GaussianRows:
    return GaussianRows(MEAN, COVARIANCE)


def incomplete() -> Tensor:
    """Return a row for every subset of four columns."""
    x_BD = MEAN + torch.randn(16, 4, generator=generator(), dtype=torch.float64) @ FACTOR.T
    return x_BD.masked_fill(~torch.tensor(SUBSETS), math.nan)


def conditional(d: int, row_D: Tensor, known: list[int]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of a column given some others, by solving for them."""
    if not known:
        return MEAN[d], COVARIANCE[d, d].sqrt()
    gain = torch.linalg.solve(COVARIANCE[known][:, known], COVARIANCE[known, d])
    return MEAN[d] + gain @ (row_D[known] - MEAN[known]), (COVARIANCE[d, d] - gain @ COVARIANCE[known, d]).sqrt()


def test_it_is_a_density_of_rows(rows: GaussianRows) -> None:
    assert isinstance(rows, RowDensity)
    assert isinstance(rows.given_the_rest(incomplete()), Cells)


def test_the_density_of_every_subset(rows: GaussianRows) -> None:
    x_BD = incomplete()
    found_B = rows.log_prob(x_BD)
    for row_D, found, subset in zip(x_BD, found_B, SUBSETS, strict=True):
        known = [d for d in range(4) if subset[d]]
        law = MultivariateNormal(MEAN[known], COVARIANCE[known][:, known]) if known else None
        expected = law.log_prob(row_D[known]) if law else torch.zeros((), dtype=torch.float64)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_every_cell_given_the_rest(rows: GaussianRows) -> None:
    x_BD = incomplete()
    cells = rows.given_the_rest(x_BD)
    for b, subset in enumerate(SUBSETS):
        for d in range(4):
            mean, std = conditional(d, x_BD[b], [e for e in range(4) if subset[e] and e != d])
            law = torch.distributions.Normal(mean, std)
            torch.testing.assert_close(cells.quantile(0.9)[b, d], law.icdf(torch.tensor(0.9).double()))
            if subset[d]:
                torch.testing.assert_close(cells.log_prob_BD[b, d], law.log_prob(x_BD[b, d]))
                torch.testing.assert_close(cells.below_BD[b, d], law.cdf(x_BD[b, d]))
            else:
                assert cells.log_prob_BD[b, d].isnan()
                assert cells.at_most_BD[b, d].isnan()


def test_filled_cells_have_their_conditional_law(rows: GaussianRows) -> None:
    row_D = torch.tensor([2.0, math.nan, -1.0, math.nan], dtype=torch.float64)
    filled_ND = rows.fill(row_D.expand(40_000, 4), generator())
    assert (filled_ND[:, [0, 2]] == row_D[[0, 2]]).all()
    for d in (1, 3):
        mean, std = conditional(d, row_D, [0, 2])
        assert filled_ND[:, d].mean() == pytest.approx(float(mean), abs=0.02)
        assert filled_ND[:, d].std() == pytest.approx(float(std), rel=0.02)
    known, unknown = [0, 2], [1, 3]
    block = COVARIANCE[unknown][:, unknown] - COVARIANCE[unknown][:, known] @ torch.linalg.solve(
        COVARIANCE[known][:, known], COVARIANCE[known][:, unknown]
    )
    torch.testing.assert_close(filled_ND[:, unknown].T.cov(), block, rtol=0.03, atol=0.01)


def test_moments_without_missing_cells(rows: GaussianRows) -> None:
    x_ND = rows.sample(500, generator())
    found = GaussianRows.fit(x_ND, ridge=0.0)
    torch.testing.assert_close(found.mean_D, x_ND.mean(0))
    torch.testing.assert_close(found.covariance_DD, x_ND.T.cov(correction=0))


def test_cells_missing_at_random_leave_the_same_parameters(rows: GaussianRows) -> None:
    x_ND = rows.sample(3000, generator())
    x_ND[torch.rand(x_ND.shape, generator=generator(1)) < 0.3] = math.nan
    found = GaussianRows.fit(x_ND)
    scale_D = COVARIANCE.diagonal().sqrt()
    assert ((found.mean_D - MEAN) / scale_D).abs().max() < 0.08
    assert ((found.covariance_DD - COVARIANCE) / scale_D / scale_D[:, None]).abs().max() < 0.1
    assert float(found.log_prob(x_ND).mean()) >= float(rows.log_prob(x_ND).mean()), "it has the largest likelihood"


def test_the_ridge_is_added_to_the_variances_once_whatever_is_missing() -> None:
    x_ND = torch.tensor([[0.0, 0.0], [2.0, 4.0], [0.0, 4.0], [2.0, 0.0]], dtype=torch.float64)
    rows = torch.cat([x_ND, x_ND[:, :1].expand(-1, 2)])  # the same first cells again, the second ones missing
    rows[4:, 1] = math.nan
    rows = torch.cat([rows, torch.full((8, 1), math.nan, dtype=torch.float64)], 1)  # and a column that nobody saw
    found = GaussianRows.fit(rows, ridge=0.5)
    expected_DD = torch.diag(torch.tensor([1.0, 4.0, 1.0], dtype=torch.float64) + 0.5)
    torch.testing.assert_close(found.covariance_DD, expected_DD, rtol=1e-5, atol=1e-5)


def test_imputed_intervals_cover(rows: GaussianRows) -> None:
    whole_ND = rows.sample(4000, generator())
    missing_ND = torch.rand(whole_ND.shape, generator=generator(1)) < 0.3
    cells = rows.given_the_rest(whole_ND.masked_fill(missing_ND, math.nan))
    inside_ND = (cells.quantile(0.05) < whole_ND) & (whole_ND < cells.quantile(0.95))
    assert float(inside_ND[missing_ND].double().mean()) == pytest.approx(0.9, abs=0.02)


def test_a_column_that_nobody_observed() -> None:
    x_ND = torch.randn(50, 2, generator=generator())
    x_ND[:, 1] = math.nan
    found = GaussianRows.fit(x_ND, ridge=0.0)
    assert found.mean_D[1] == 0
    assert found.covariance_DD[1].tolist() == [0, pytest.approx(1)]


def test_what_cannot_be_a_covariance_is_said() -> None:
    with pytest.raises(ValueError, match="covariance of shape"):
        GaussianRows(torch.zeros(2), torch.eye(3))
    with pytest.raises(ValueError, match="larger ridge"):
        GaussianRows(torch.zeros(2), torch.ones(2, 2))
