"""P-values of rows and cells: valid by count, uniform under a known law, and lists that keep their rate."""

import math

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from scorewise.estimators import GaussianRows
from scorewise.outliers import CellFindings, conformal_p_values, discoveries, false_discovery_rates, two_sided
from scorewise.outliers.ties import counts_below

COVARIANCE = torch.tensor([[1.0, 0.8, 0.2], [0.8, 1.5, -0.3], [0.2, -0.3, 0.7]], dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def rows() -> GaussianRows:
    return GaussianRows(torch.tensor([1.0, 0.0, -2.0]), COVARIANCE)


class Dice:
    """Cells of one fair die each."""

    def __init__(self, x_BD: Tensor) -> None:
        self.x_BD = x_BD

    @property
    def log_prob_BD(self) -> Tensor:
        return torch.full_like(self.x_BD, -math.log(6))

    @property
    def below_BD(self) -> Tensor:
        return (self.x_BD - 1) / 6

    @property
    def at_most_BD(self) -> Tensor:
        return self.x_BD / 6

    def quantile(self, u: float) -> Tensor:
        return torch.full_like(self.x_BD, math.ceil(6 * u))


def test_p_values_are_counts() -> None:
    held_out = torch.tensor([1.0, 2.0, 2.0, 5.0])
    found = conformal_p_values(torch.tensor([0.0, 2.0, 3.0, 5.0, 6.0, math.inf]), held_out)
    assert (5 * found).tolist() == pytest.approx([5, 4, 2, 2, 1, 1])


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_scores_that_differ_by_rounding_tie(size: float) -> None:
    held_out = size * torch.tensor([1.0, 2.0, 2.0, 3.0, math.inf], dtype=torch.float64)
    for off in (-1e-8, 0.0, 1e-8):
        below, up_to = counts_below(torch.tensor([2.0 * size * (1 + off)], dtype=torch.float64), held_out)
        assert (int(below), int(up_to)) == (1, 3)
    found = counts_below(size * torch.tensor([2.01, math.inf, -math.inf], dtype=torch.float64), held_out)
    assert [counts.tolist() for counts in found] == [[3, 4, 0], [3, 5, 0]]


def test_p_values_of_the_data_are_valid_at_every_level() -> None:
    """A bad score with ties: P(p <= a) is at most a, over repetitions of held-out rows and new ones."""
    drawn_RN = torch.randn(4000, 21, generator=generator(), dtype=torch.float64).round(decimals=1)
    p_R = torch.stack([conformal_p_values(row_N[:1], row_N[1:])[0] for row_N in drawn_RN])
    for level in (0.05, 0.1, 0.25, 0.5, 0.9):
        assert float((p_R <= level + 1e-9).double().mean()) <= level + 3 * math.sqrt(level * (1 - level) / 4000)


def test_the_list_of_benjamini_and_hochberg_by_hand() -> None:
    p_B = torch.tensor([0.6, 0.01, 0.04, 0.02])
    assert false_discovery_rates(p_B).tolist() == pytest.approx([0.6, 0.04, 0.16 / 3, 0.04])
    assert discoveries(p_B, 0.045).tolist() == [False, True, False, True]
    assert false_discovery_rates(p_B[:0]).shape == (0,)
    with pytest.raises(ValueError, match="rate=1"):
        discoveries(p_B, 1.0)


def test_the_false_discovery_rate_is_kept(rows: GaussianRows) -> None:
    """Repeatedly 200 held-out rows, 90 new ones and 10 outliers: the mean share of false ones on the list."""
    shares, found = [], 0
    for seed in range(200):
        x_ND = rows.sample(300, generator(seed))
        x_ND[290:] += 4.0 * torch.tensor([1.0, -1.0, 1.0])
        score_N = -rows.log_prob(x_ND)
        listed_B = discoveries(conformal_p_values(score_N[200:], score_N[:200]), 0.2)
        shares.append(float(listed_B[:90].sum()) / max(1, int(listed_B.sum())))
        found += int(listed_B[90:].sum())
    mean = sum(shares) / len(shares)
    error = torch.tensor(shares).std() / math.sqrt(len(shares))
    assert mean <= 0.2 + 2 * float(error)
    assert found > 0.9 * 200 * 10


@pytest.mark.parametrize("held_out", [[], [1.0, math.nan]])
def test_without_scores_there_is_no_p_value(held_out: list[float]) -> None:
    with pytest.raises(ValueError, match="held-out ones"):
        conformal_p_values(torch.ones(2), torch.tensor(held_out))


def test_p_values_of_cells_are_uniform_under_the_model(rows: GaussianRows) -> None:
    x_ND = rows.sample(3000, generator())
    x_ND[torch.rand(x_ND.shape, generator=generator(1)) < 0.3] = math.nan
    findings = CellFindings.of(rows, x_ND)
    for d in range(3):
        p_n = findings.p_BD[:, d][~x_ND[:, d].isnan()]
        assert kstest(p_n.numpy(), "uniform").pvalue > 1e-3
    assert (findings.p_BD.isnan() == x_ND.isnan()).all()
    observed_B = (~x_ND.isnan()).any(-1)
    torch.testing.assert_close(findings.share_BD.nansum(-1)[observed_B], torch.ones(int(observed_B.sum())).double())


def test_intervals_of_cells_cover(rows: GaussianRows) -> None:
    x_ND = rows.sample(5000, generator())
    findings = CellFindings.of(rows, x_ND)
    covered = ((findings.low_BD < x_ND) & (x_ND < findings.high_BD)).double().mean()
    assert float(covered) == pytest.approx(0.9, abs=0.01)
    assert float((findings.expected_BD < x_ND).double().mean()) == pytest.approx(0.5, abs=0.02)


def test_the_cell_that_was_changed_is_the_odd_one(rows: GaussianRows) -> None:
    x_ND = rows.sample(500, generator())
    x_ND[:, 0] += 5.0
    findings = CellFindings.of(rows, x_ND)
    assert float((findings.surprise_BD.argmax(-1) == 0).double().mean()) > 0.75
    assert float(findings.share_BD[:, 0].mean()) > 0.4


def test_half_of_a_mass_counts() -> None:
    dice = Dice(torch.tensor([[1.0, 2, 3, 4, 5, 6]]))
    assert (6 * two_sided(dice)).tolist() == [pytest.approx([1, 3, 5, 5, 3, 1])]
    assert two_sided(dice, unordered=[0]).tolist()[0][0] == pytest.approx(1 / 6)


def test_a_cell_far_outside_has_a_p_value_on_both_sides(rows: GaussianRows) -> None:
    far = torch.tensor([[1e9, 0, 0], [-1e9, 0, 0]], dtype=torch.float64)
    findings = CellFindings.of(rows, far)
    assert (findings.p_BD[:, 0] > 0).all()
    assert findings.share_BD.isfinite().all()
