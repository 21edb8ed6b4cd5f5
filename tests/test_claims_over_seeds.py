"""What figures claim from three seeds: known answers."""

import math

import pytest

from scorewise.comparison.seeds import mean_of
from scorewise.figures import fig2, fig3a, fig5_saltpepper, fig5_singlestep, table2_mnist, table_wine
from scorewise.figures.outlier_scores import ScoresBySet
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


def test_single_steps_are_compared_on_the_same_noisy_images() -> None:
    psnr = {
        "parallel": [20.0, 21.0, 22.0],
        "sequential": [20.0, 20.5, 23.0],
        "causal": [19.0, 20.1, 20.9],
        "wiener": [21.0, 22.0, 23.0],
    }
    linear, wiener, context = fig5_singlestep.claims(psnr)
    assert told(linear) == (True, "+1.00 [+0.75, +1.25]")
    assert told(wiener) == (False, "-1.00 [-1.00, -1.00]")
    assert told(context) == (False, "+0.17 [-1.73, +2.06], within noise")


def test_restored_pixels_are_compared_on_the_same_lost_ones() -> None:
    psnr = {
        "mask known": [30.0, 31.0, 32.0],
        "mask blind": [20.0, 21.0, 22.0],
        "median at lost pixels": [29.0, 30.0, 31.0],
        "median filter": [18.0, 19.0, 20.0],
        "corrupted": [14.9, 16.1, 17.0],
    }
    known, blind = fig5_saltpepper.claims("a", psnr)
    assert told(known) == (True, "+1.00 [+1.00, +1.00]")
    assert told(blind) == (False, "5.00 [4.75, 5.25], within noise")
    assert blind.facts["gap"] == "+2.00 [+2.00, +2.00]"
    _, blind = fig5_saltpepper.claims("a", psnr | {"corrupted": [10.0, 11.0, 12.0]})
    assert blind.holds


def test_figure_2_compares_by_ratios_of_a_seed() -> None:
    runs = ("CSM", "SSM", "DSM sigma=0.01", "DSM sigma=0.3")
    errors = dict(zip(runs, ([0.01, 0.02, 0.03], [0.1, 0.2, 0.3], [0.2, 0.4, 0.6], [0.8, 0.81, 0.82]), strict=True))
    biases = dict.fromkeys(runs, 0.0) | {"DSM sigma=0.3": 0.8}
    lowest, small, wide = fig2.claims(errors, errors, biases)
    assert told(lowest) == (True, "0.1 [0.1, 0.1]")
    assert lowest.facts["best"] == "SSM"
    assert told(small) == (True, "20 [20, 20]")
    assert small.facts["sigma"] == 0.01
    assert told(wide) == (True, "0.012 [-0.019, 0.044]")
    # Ratios .1, .1, 10: logarithms to base ten with mean -1 / 3 and standard deviation 2 / sqrt(3).
    lowest, _, wide = fig2.claims(errors, errors | {"SSM": [0.1, 0.2, 0.003]}, biases | {"DSM sigma=0.3": 0.7})
    assert told(lowest) == (False, "0.46 [0.00063, 3.4e+02], within noise")
    assert told(wide) == (False, "0.16 [0.12, 0.19]")


def wines(*gains: float) -> list[dict[str, dict[str, object]]]:
    """Return what two methods found: ours has so much more than the better of scikit-learn's, -11, in every seed."""
    found = []
    for gain in gains:
        ours = {
            "ours": True,
            "log_density": [gain - 11, 0.2],
            "against": [gain, 0.1],
            "gap, red": [gain / 100, 0.01, "K"],
        }
        theirs = {"GaussianMixture": -11.0, "KernelDensity": -12.0}
        found.append({"A": ours} | {name: {"ours": False, "log_density": [of, 0.2]} for name, of in theirs.items()})
    return found


def test_wines_are_compared_with_the_better_of_both_of_a_seed() -> None:
    density, outliers = table_wine.claims(wines(0.3, 0.4, 0.5), ["red"])
    assert told(density) == (True, "+0.400 [+0.152, +0.648]")
    assert density.facts["error"] == pytest.approx(0.1)
    assert told(outliers) == (True, "+0.0040 [+0.0015, +0.0065]")
    assert (outliers.facts["name"], outliers.facts["other"]) == ("A", "K")
    density, outliers = table_wine.claims(wines(0.1, 0.4, -0.2), ["red"])
    assert told(density) == (False, "+0.100 [-0.645, +0.845], within noise")
    assert told(outliers) == (False, "+0.0010 [-0.0065, +0.0085], within noise")
    assert told(table_wine.claims(wines(-0.3, -0.4, -0.5), ["red"])[0])[0] is False
    assert told(table_wine.claims(wines(0.0), ["red"])[1]) == (True, "+0.0000, one seed")


def detected(**auroc: float) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return what one seed has by metric, statistic and set; a bootstrap was .1 either way."""
    of = {
        name: {label: [value, value - 0.1, value + 0.1] for label in ("uniform", "const_uniform")}
        for name, value in auroc.items()
    }
    return dict.fromkeys(("auroc", "aupr", "fpr95"), of)


def test_outlier_scores_of_several_seeds_have_intervals_over_them_and_those_of_one_its_bootstrap() -> None:
    ours = [detected(minus_h=value, h=1 - value) for value in (0.7, 0.8, 0.9)]
    theirs = [detected(nll=value) for value in (0.75, 0.7, 0.6)]
    by_seed = {"AR-CSM": ours, "Glow": theirs}
    three = ScoresBySet("x", ("uniform", "const_uniform"), "const_uniform", by_seed)
    # standard deviation .1: .8 -+ .248, cut to [0, 1]
    half = T * 0.1 / math.sqrt(3)
    assert three.auroc["AR-CSM"]["minus_h"]["uniform"] == pytest.approx([0.8, 0.8 - half, 1.0])
    assert three.auroc["AR-CSM"]["h"]["uniform"] == pytest.approx([0.2, 0.0, 0.2 + half])
    assert three.chosen == {"AR-CSM": "minus_h", "Glow": "nll"}
    # -.05, .1, .3: mean .1167 and standard deviation .1756
    (paper,) = (claim for claim in three.claims() if claim.name == "paper")
    assert told(paper) == (False, "+0.117 [-0.320, +0.553], within noise")
    one = ScoresBySet(
        "x", ("uniform", "const_uniform"), "const_uniform", {name: each[2:] for name, each in by_seed.items()}
    )
    assert one.auroc["AR-CSM"]["minus_h"]["uniform"] == pytest.approx([0.9, 0.8, 1.0])
    (paper,) = (claim for claim in one.claims() if claim.name == "paper")
    assert told(paper) == (True, "+0.300, one seed")
    # The mean of both seeds' choices is of neither alone: -h on the first seed, h on the second.
    ours = [detected(minus_h=value, h=1 - value) for value in (0.9, 0.2)]
    for each in ours:
        each["auroc"] |= {"chosen": {"others": [0.8, 0.7, 0.9]}}
    both = ScoresBySet("x", ("uniform", "const_uniform"), "const_uniform", {"AR-CSM": ours})
    (chosen,) = (claim for claim in both.claims() if claim.name == "chosen")
    assert (both.chosen["AR-CSM"], chosen.facts["statistic"]) == ("minus_h", "minus_h or h")
    assert "bootstrap" in one.seeds
    assert "bootstrap" not in three.seeds


def test_table_2_compares_images_of_one_seed_and_means_of_several() -> None:
    # Less than ELBO's by .5, 1.5, 1 and 1: mean 1, standard deviation sqrt(1 / 6), standard error .2041
    elbo, csm = [100.0, 90.0, 80.0, 70.0], [99.5, 88.5, 79.0, 69.0]
    one = {"ELBO": [{"nll": elbo}], "SSM": [{"nll": csm}], "CSM": [{"nll": [nll - 1 for nll in csm]}]}
    ssm, of_csm, no_worse = table2_mnist.claims(one)
    assert told(ssm) == (True, "-1.00 (0.20)")
    assert told(of_csm) == (True, "-2.00 (0.20)")
    assert told(no_worse) == (True, "-1.00 (0.00)")
    assert ssm.facts["surely"] == "by more than two standard errors"
    noisy = {"ELBO": [{"nll": elbo}], "A": [{"nll": [99.0, 91.0, 79.0, 70.5]}]}  # -1, 1, -1, .5
    assert told(table2_mnist.claims(noisy)[0]) == (False, "-0.12 (0.52)")

    def seeds(*means: float) -> list[dict[str, list[float]]]:
        return [{"nll": [nll + mean for nll in elbo]} for mean in means]

    # The seeds of ELBO differ by 10 nats, which pairing takes out: less by 1, 2, 3, interval -+ T / sqrt(3).
    ssm, of_csm, no_worse = table2_mnist.claims(
        {"ELBO": seeds(0, 10, 20), "SSM": seeds(-1, 8, 17), "CSM": seeds(-4, 6, 16)}
    )
    assert told(ssm) == (False, "-2.00 [-4.48, +0.48], within noise")
    assert told(of_csm) == (True, "-4.00 [-4.00, -4.00]")
    assert told(no_worse) == (True, "-2.00 [-4.48, +0.48]")
    worse = table2_mnist.claims({"ELBO": seeds(0, 0, 0), "SSM": seeds(0, 0, 0), "CSM": seeds(1, 1, 1.1)})[-1]
    assert told(worse) == (False, "+1.03 [+0.89, +1.18]")
