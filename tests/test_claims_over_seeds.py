"""What figures claim from three seeds: known answers."""

import math

import pytest

from scorewise.comparison.seeds import mean_of
from scorewise.figures import fig3a
from scorewise.figures.results import Claim
from scorewise.figures.spread import judged, ratio_of, said, seeds_said

T = 4.302653
"""The .975 quantile of Student's t with two degrees of freedom."""


def told(claim: Claim) -> tuple[bool, str]:
    return claim.holds, claim.facts["measured"]


def test_a_claim_holds_where_its_whole_interval_does() -> None:
    # 1, 2, 3: standard deviation 1, so the interval is 2 -+ T / sqrt(3) = [-.484, 4.484]
    mean = mean_of([1.0, 2.0, 3.0])
    assert mean.high - mean.mean == pytest.approx(T / math.sqrt(3), rel=1e-6)
    assert told(judged("x", mean, "+.1f", lambda gain: gain > 0)) == (False, "+2.0 [-0.5, +4.5], within noise")
    assert told(judged("x", mean, "+.1f", lambda gain: gain > -1)) == (True, "+2.0 [-0.5, +4.5]")
    assert told(judged("x", mean, "+.1f", lambda gain: gain > 5)) == (False, "+2.0 [-0.5, +4.5]")
    assert told(judged("x", mean, "+.1f", lambda less: less < 5)) == (True, "+2.0 [-0.5, +4.5]")
    assert told(judged("x", mean, "+.1f", lambda less: less < 1)) == (False, "+2.0 [-0.5, +4.5], within noise")


def test_one_seed_is_judged_by_its_value_and_says_so() -> None:
    assert told(judged("x", mean_of([2.0]), ".1f", lambda gain: gain > 0)) == (True, "2.0, one seed")
    assert told(judged("x", mean_of([2.0]), ".1f", lambda gain: gain > 3)) == (False, "2.0, one seed")
    assert (seeds_said(1), seeds_said(3)) == ("one seed", "mean over 3 seeds with its 95 % Student-t interval")


def test_what_is_not_finite_proves_nothing() -> None:
    assert told(judged("x", mean_of([2.0, math.nan]), ".1f", lambda gain: gain > 0)) == (False, "nan [nan, nan]")


def test_ratios_are_averaged_by_their_logarithms() -> None:
    # logarithms to base ten -1, 0, 1: mean 0 and standard deviation 1
    mean = ratio_of([0.1, 1.0, 10.0])
    assert mean.mean == pytest.approx(1.0)
    assert mean.high == pytest.approx(10 ** (T / math.sqrt(3)), rel=1e-5)
    assert mean.low == pytest.approx(1 / mean.high)
    assert said(mean, ".2g") == "1 [0.0033, 3e+02]"


def found(**nll: list[float]) -> dict[str, dict[str, list[float]]]:
    return {name: {"nll": values} for name, values in nll.items()}


def test_figure_3a_compares_every_seed_with_the_best_other_one_of_it() -> None:
    # The seeds differ by 10 nats, which pairing takes out; the best other one is B, then A, then B.
    lowest, floor = fig3a.claims(
        found(MLE=[0.0, 10.0, 20.0], CSM=[1.0, 11.0, 21.0], A=[4.0, 12.0, 25.0], B=[2.0, 13.0, 22.0])
    )
    assert told(lowest) == (True, "-1.0 [-1.0, -1.0]")
    assert lowest.facts["best"] == "B"
    assert told(floor) == (True, "-1.0 [-1.0, -1.0]")
    lowest, floor = fig3a.claims(found(MLE=[0.0, 0.0, 0.0], CSM=[1.0, 1.0, 4.0], A=[3.0, 3.0, 3.0]))
    assert told(lowest) == (False, "-1.0 [-5.3, 3.3], within noise")
    assert told(floor) == (False, "-1.7 [-4.5, 1.2], within noise")
    lowest, _ = fig3a.claims(found(MLE=[0.0, 0.0, 0.0], CSM=[4.0, 5.0, 4.5], A=[3.0, 3.0, 3.0]))
    assert told(lowest) == (False, "1.5 [0.3, 2.7]")
