"""What errors planted in the mathematics once got past: a closed form for every kind."""

import itertools
import math
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from fitting import draws
from laws import TrueConditionals, gaussian_law
from torch import Tensor, nn

from scorewise import denoising
from scorewise.backbones import MADE, MLP
from scorewise.data import GaussianData
from scorewise.data.datamodule import Batch
from scorewise.data.source import FixedSource, Split
from scorewise.heads import ConditionalEnergy, ConditionalScore, Gaussian, NoisyConditionalScore, Score
from scorewise.heads.forms import ScoreForm
from scorewise.likelihood import FlowODE, Quadrature
from scorewise.likelihood.likelihood import Likelihood
from scorewise.noise import smoothing_noise
from scorewise.objectives import (
    CSM,
    CSMDSM,
    CSMMLE,
    DSM,
    FDSSM,
    MLE,
    SM,
    SSM,
    SSMVR,
    CSMAnnealed,
    DSMMultiscale,
    Objective,
)
from scorewise.objectives.objective import score_gain
from scorewise.outliers import Examiner, compare
from scorewise.outliers.names import INSIDE
from scorewise.run.callbacks import Averaging
from scorewise.sampling import Langevin1d, ReverseDiffusion1d
from scorewise.tasks import Bundle, DensityEstimation, Optimisation
from scorewise.tasks.outlier_survey import OutlierSurvey

pytestmark = pytest.mark.usefixtures("double")
SMOOTHING = 0.3


def task() -> DensityEstimation:
    model = Gaussian(MADE((3,), 2, (4,)), std=2.0)
    source = GaussianData(3, std=2.0, correlation=0.5)
    return DensityEstimation(Bundle(model, MLE(), Optimisation(), source, smoothing=SMOOTHING, seed=7))


# Noise that is drawn in one place and again in another.


class Knowing(nn.Module):
    """The score of examples given their clean values, which are known: its loss is 0 for the right noise alone."""

    noise = SMOOTHING

    def __init__(self, clean_BD: Tensor) -> None:
        super().__init__()
        self.clean_BD = clean_BD

    def context(self, x_BD: Tensor) -> Tensor:
        return torch.zeros(*x_BD.shape, 1)

    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        return (self.clean_BD - q_BD) / SMOOTHING**2

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        return (self.clean_BD - q_BD) / sigma_BD.square()

    def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor:
        return (self.clean_BD - x_BD) / sigma_B[:, None].square()


@pytest.mark.parametrize(
    "objective",
    [
        CSMDSM(SMOOTHING),
        DSMMultiscale(2.0, None, 4, SMOOTHING),
        DSMMultiscale(2.0, 0.5, 4, SMOOTHING),
        CSMAnnealed(2.0, None, 4, SMOOTHING, target="dsm"),
        CSMAnnealed(2.0, 0.5, 4, SMOOTHING, target="dsm", continuous=False),
    ],
    ids=lambda one: f"{one.name}-{getattr(one, 'noise', 0):g}",
)
def test_an_objective_redraws_the_noise_of_the_task(objective: Objective) -> None:
    index_B = torch.arange(5)
    clean_BD = torch.randn(5, 3)
    x_BD, of_batch = task().smoothed(Batch(clean_BD, index_B, torch.full_like(index_B, 4)))
    torch.testing.assert_close(x_BD, clean_BD + SMOOTHING * smoothing_noise(of_batch, clean_BD))
    assert (x_BD - clean_BD).abs().min() > 1e-6, "smoothed"
    loss_B = objective.per_example(Knowing(clean_BD), x_BD, of_batch)
    torch.testing.assert_close(loss_B, torch.zeros(5), rtol=0, atol=1e-20)


# The average of the weights.


@pytest.mark.parametrize("updates", [1, 2, 3, 7])
def test_the_average_of_the_weights_in_closed_form(updates: int) -> None:
    """Of weights 1, 0, 0, ... it is the product of the decays: 10 / C(m + 9, 9) in the warm-up, or decay^(m - 1)."""
    for decay, expected in ((0.9999, 10 / math.comb(updates + 9, 9)), (0.15, 0.15 ** (updates - 1))):
        layer = nn.Linear(1, 1, bias=False)
        averaged = torch.optim.swa_utils.AveragedModel(layer, use_buffers=False, **Averaging(decay)._kwargs)
        for update in range(updates):
            nn.init.constant_(layer.weight, float(update == 0))
            averaged.update_parameters(layer)
        module = averaged.module
        assert isinstance(module, nn.Linear)
        assert float(module.weight.detach()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 1 / 5), (3, 4 / 5 * 0.5 * (1 + math.cos(0.03 * math.pi))), (50, 0.5), (100, 0.0)]
)
def test_the_learning_rate_warms_up_and_falls_like_a_cosine(step: int, factor: float) -> None:
    optimisation = Optimisation(lr=2.0, warmup_steps=4)
    schedule = optimisation.scheduler(optimisation.optimizer([nn.Parameter(torch.zeros(1))]), 100)
    assert schedule.lr_lambdas[0](step) == pytest.approx(factor)


# Sampling.


class Blurred(nn.Module):
    """N(1, variance) with noise, as a noise-conditional model of one dimension."""

    def __init__(self, variance: float, levels: tuple[float, ...]) -> None:
        super().__init__()
        self.variance, self.std, self.levels, self.mean = variance, variance**0.5, levels, torch.tensor(1.0)

    def noisy_conditional_score(self, q_BD: Tensor, c_BDF: Tensor, sigma_BD: Tensor) -> Tensor:
        return (1 - q_BD) / (self.variance + sigma_BD.square())


@pytest.mark.parametrize("variance", [0.0, 1.0])
@pytest.mark.parametrize(("steps", "settle"), [(1, 0), (1, 3), (2, 0), (3, 1)])
def test_few_steps_of_reverse_diffusion_on_a_gaussian(variance: float, steps: int, settle: int) -> None:
    """Every step is linear, so the variance follows a recursion; that of a point is the level's own, exactly."""
    levels = (2.0, 0.5)
    expected = variance + levels[0] ** 2
    for _ in range(settle):
        a = 0.1 * levels[0] ** 2
        expected = expected * (1 - a / (variance + levels[0] ** 2)) ** 2 + 2 * a
    ladder = [levels[0] * (levels[1] / levels[0]) ** (k / steps) for k in range(steps + 1)]
    for high, low in itertools.pairwise(ladder):
        removed = high**2 - low**2
        expected = expected * (1 - removed / (variance + high**2)) ** 2 + low**2 * removed / high**2
    if not variance and not settle:
        assert expected == pytest.approx(levels[1] ** 2)
    n = 100_000
    sampler = ReverseDiffusion1d(steps, settle)
    x_BD = sampler.draw_block(Blurred(variance, levels), torch.zeros(n, 1, 1), torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert float(x_BD.var()) == pytest.approx(expected, rel=5 * (2 / n) ** 0.5)
    assert float(x_BD.mean()) == pytest.approx(1, abs=5 * (expected / n) ** 0.5)


def test_a_head_of_noise_levels_is_the_same_in_other_units() -> None:
    """Ten times the data, its moments and its levels: the same network has a tenth of the score."""
    one, other = (
        NoisyConditionalScore(
            MADE((3,), 4, (8,)),
            levels=(2.0 * unit, 0.3 * unit),
            hidden=(8, 8),
            mean=0.5 * unit,
            std=1.2 * unit,
            noise=0.3 * unit,
        )
        for unit in (1, 10)
    )
    other.load_state_dict({**one.state_dict(), "mean": other.mean, "scale": other.scale})
    x_BD, sigma_BD = torch.randn(4, 3), 0.3 + torch.rand(4, 3)
    c_BDF = one.context(x_BD)
    torch.testing.assert_close(other.context(10 * x_BD), c_BDF)
    s_BD = one.noisy_conditional_score(x_BD, c_BDF, sigma_BD)
    torch.testing.assert_close(10 * other.noisy_conditional_score(10 * x_BD, c_BDF, 10 * sigma_BD), s_BD)
    smallest_BD = one.noisy_conditional_score(x_BD, c_BDF, torch.full_like(x_BD, 0.3))
    torch.testing.assert_close(one.conditional_score(x_BD, c_BDF), smallest_BD)
    nn.init.zeros_(one.last.weight)
    nn.init.zeros_(one.last.bias)
    silent_BD = one.noisy_conditional_score(x_BD, c_BDF, sigma_BD)
    torch.testing.assert_close(silent_BD, -(x_BD - 0.5) / (1.44 + sigma_BD.square()))


# Likelihood.


def energy() -> ConditionalEnergy:
    model = ConditionalEnergy(
        MADE((1,), 4 + 6, (8,), "tanh"), hidden=(8,), context=4, components=2, mean=0.2, std=0.9, noise=0.25
    )
    nn.init.normal_(model.last.weight, std=3.0)
    return model.eval()


def test_a_narrow_range_leaves_an_energy_its_mass() -> None:
    """Outside the range the density is a normal tail from the edge: all is one, and what is outside is said."""
    model, (low, high), tau = energy(), (-0.4, 0.6), 0.25
    model.likelihood = Quadrature(low, high, panels=20)
    line_G = torch.linspace(-4, 5, 9_001)
    with torch.no_grad():
        q_G = model.unchecked_log_prob(line_G[:, None]).exp()
        mass = torch.trapezoid(q_G, line_G)
        outside = torch.where((line_G < low) | (line_G > high), q_G, 0.0)
        ends_2 = torch.tensor([[low], [high]])
        density_2 = model.unchecked_log_prob(ends_2).exp()
        energies_2 = model.conditional_energy(ends_2, model.context(ends_2))[:, 0]
    assert float(mass) == pytest.approx(1, abs=1e-4)
    tails = math.sqrt(math.pi / 2) * tau * density_2.sum()
    found = model.likelihood.numbers(model, line_G[:3, None])
    assert float(found["nll_tail"][0]) == pytest.approx(float(tails), rel=1e-9)
    assert float(found["nll_tail"][0]) == pytest.approx(float(torch.trapezoid(outside, line_G)), rel=5e-3)
    assert found["nll_outside"].tolist() == [1, 1, 1]
    assert float(tails) > 0.1, "much is outside"
    assert float((density_2[0] / density_2[1]).log()) == pytest.approx(float(energies_2[1] - energies_2[0]))


def test_what_is_beyond_the_range_is_counted_by_entry() -> None:
    x_BD = torch.tensor([[0.0, 0.5], [-1.1, 0.5], [1.2, -3.0]])
    assert Quadrature(-1, 1).beyond(x_BD).tolist() == [0, 1, 2]


def of_score() -> ConditionalScore:
    model = ConditionalScore(MADE((3,), 4, (8,)), hidden=(8,), noise=0.3)
    model.likelihood = Quadrature(-6, 6, largest_tail=1.0)
    return model


def of_energy() -> ConditionalEnergy:
    model = ConditionalEnergy(MADE((3,), 4 + 6, (8,)), hidden=(8,), context=4, components=2, noise=0.3)
    model.likelihood = Quadrature(-6, 6, largest_tail=1.0)
    return model


def of_levels() -> NoisyConditionalScore:
    model = NoisyConditionalScore(MADE((3,), 4, (8,)), levels=(2.0, 1.0, 0.3), hidden=(8,), noise=0.3)
    model.likelihood = FlowODE()
    return model


@pytest.mark.parametrize("make", [of_score, of_energy, of_levels])
def test_a_likelihood_does_not_depend_on_whether_gradients_are_wanted(make: Any) -> None:
    model, x_BD = make().eval(), torch.randn(4, 3)
    for log_prob in (model.log_prob, model.unchecked_log_prob):
        wanted_B = log_prob(x_BD).detach()
        with torch.no_grad():
            torch.testing.assert_close(log_prob(x_BD), wanted_B, rtol=1e-12, atol=1e-12)
        with torch.inference_mode():
            torch.testing.assert_close(log_prob(x_BD), wanted_B, rtol=1e-12, atol=1e-12)


# Outlier scores.


class Apart(FixedSource):
    """A data set whose splits are far from each other."""

    shape, mean, std = (2,), 0.0, 1.0

    def read(self) -> dict[Split, Tensor]:
        return {"train": torch.randn(30, 2), "val": 1 + torch.randn(20, 2), "test": 4 + torch.randn(25, 2)}


def test_typicality_refers_to_examples_that_are_not_judged() -> None:
    model, source = Gaussian(MADE((2,), 2, (4,))).eval(), Apart()
    examiner = Examiner(model, 0.0, 0, 100)
    survey = OutlierSurvey(model, source, {"out": Apart()}, None, 100, examiner)
    index_B = torch.arange(25)
    inside_BD = source.examples("test", index_B, -1, 0)
    with torch.no_grad():
        mean = -model.log_prob(source.examples("val", torch.arange(20), -1, 0)).mean()
        expected_B = (-model.log_prob(inside_BD) - mean).abs()
    judged = survey.judge(survey.look(inside_BD, index_B), 10, 0)
    torch.testing.assert_close(judged.scores["typicality"][INSIDE], expected_B)
    reference = survey.reference("typicality")
    assert reference.ordinary.mean_nll == pytest.approx(float(mean))
    assert len(reference.scores_N) == 20
    torch.testing.assert_close(survey.score(inside_BD, index_B, reference), expected_B)


@pytest.mark.parametrize(("statistic", "choose_on"), [("typicality", None), (None, None), (None, "out")])
def test_what_predictions_refer_to_is_looked_at_once(statistic: str | None, choose_on: str | None) -> None:
    class Counting(Apart):
        seen: ClassVar[list[int]] = []

        def examples(self, split: Split, index_B: Tensor, *more: Any) -> Tensor:
            self.seen.extend(index_B.tolist() if split == "val" else [])
            return super().examples(split, index_B, *more)

    model, source = Gaussian(MADE((2,), 2, (4,))).eval(), Counting()
    survey = OutlierSurvey(model, source, {"out": Apart()}, choose_on, 100, Examiner(model, 0.0, 0, 100))
    assert len(survey.reference(statistic).scores_N) == 20
    assert sorted(source.seen) == list(range(20))


@pytest.mark.parametrize(("images", "likelihoods", "expected"), [(4, 9, (4, 4)), (4, 2, (4, 2)), (9, 9, (5, 5))])
def test_a_set_is_looked_at_as_far_as_it_is_asked_for(images: int, likelihoods: int, expected: tuple[int, int]) -> None:
    model, x_BD = of_score().eval(), torch.randn(5, 3)
    found = Examiner(model, 0.0, 0, likelihoods).look(x_BD, torch.arange(5), "a", ("h", "nll"), images)
    assert (len(found["h"]), len(found["nll"])) == expected
    torch.testing.assert_close(found["nll"], -model.log_prob(x_BD[: expected[1]]))


def test_intervals_hold_95_per_cent_and_sets_are_drawn_by_themselves() -> None:
    """Of two equal sets the mean is surer than either, by half the variance; a normal interval is 3.92 s.e. wide."""
    inside, outside = {"a": torch.randn(4000)}, {"a": 1 + torch.randn(60)}
    found = compare(inside, {"x": outside, "y": outside}, "x", 2000, 0).estimates["a"]
    one, mean = found["x"]["auroc"], found["mean"]["auroc"]
    assert mean.value == pytest.approx(one.value)
    assert mean.se == pytest.approx(one.se / 2**0.5, rel=0.1)
    assert (one.high - one.low) / one.se == pytest.approx(3.92, rel=0.1)


# Scales, weights and standard errors.


def test_the_gain_of_a_score_is_the_variance_of_its_noise() -> None:
    noisy, clean = Score(MLP((3,), (4,)), std=2.0, noise=0.3), Score(MLP((3,), (4,)), std=2.0)
    for gain in (score_gain, SM().gain, SSM().gain, SSMVR().gain, FDSSM().gain, CSM().gain, CSMMLE(0.0).gain):
        assert gain(noisy) == pytest.approx(0.09)
        assert gain(clean) == pytest.approx(4)
    assert CSMDSM(0.3).gain(noisy) == pytest.approx(0.09)
    assert DSM(0.3, sigma_power=2).gain(noisy) == pytest.approx(1)
    assert DSM(0.3).gain(noisy) == pytest.approx(0.09)


def test_a_loss_is_the_weighted_sum_over_examples() -> None:
    model, x_BD = Score(MLP((3,), (4,)), noise=0.3), torch.randn(4, 3)
    objective = DSM(0.3, sigma_power=2)
    each_B = objective.per_example(model, x_BD, draws(4)).detach()
    plain = objective(model, x_BD, draws(4))
    torch.testing.assert_close(plain.total.detach(), each_B.mean())
    torch.testing.assert_close(plain.logs["loss_unscaled"], each_B.mean() / 0.09)
    weight_B = torch.tensor([1.0, 0.0, 2.0, 0.5])
    weighted = objective(model, x_BD, draws(4), weight_B)
    torch.testing.assert_close(weighted.total.detach(), (weight_B * each_B).sum())
    torch.testing.assert_close(weighted.logs["loss_unscaled"], (weight_B * each_B).sum() / 0.09)


def test_a_loss_without_its_constant_is_the_same_in_every_scale() -> None:
    model, x_BD = Score(MLP((3,), (4,)), noise=0.3), torch.randn(4, 3)
    found = []
    for power in (0, 2, 4):
        objective = DSM(0.3, sigma_power=power)
        found.append(objective.without_constant(objective.per_example(model, x_BD, draws(4)), x_BD, draws(4)))
    torch.testing.assert_close(found[1], found[0])
    torch.testing.assert_close(found[2], found[0])


def test_a_standard_error_divides_by_one_less_than_the_count() -> None:
    tested, logged = task(), {}
    tested.log = lambda name, value: logged.update({name: float(value)})  # type: ignore[method-assign, misc, assignment]
    tested.collect("nll", torch.tensor([1.0, 2.0]))
    tested.collect("nll", torch.tensor([6.0]))
    tested.on_test_epoch_end()
    assert logged["test/nll"] == pytest.approx(3)
    assert logged["test/nll_se"] == pytest.approx((7 / 3) ** 0.5)  # squares 4 + 1 + 9 over n - 1 = 2 and n = 3


def test_corruption_is_as_strong_as_it_is_called() -> None:
    x_BD = torch.zeros(2000, 25)
    y_BD = denoising.corruption.gaussian(x_BD, 0.4, draws(2000))
    assert float(y_BD.std()) == pytest.approx(0.4, rel=0.02)


def test_a_known_law_is_what_the_reverse_diffusion_test_takes() -> None:
    """The score of `Blurred` at a level is that of the law with this noise."""
    q_BD = torch.linspace(-2, 3, 7)[:, None]
    expected = gaussian_law(1).smoothed(0.5).score(q_BD - 1)
    found = Blurred(1.0, (2.0, 0.5)).noisy_conditional_score(q_BD, torch.zeros(7, 1, 1), torch.full_like(q_BD, 0.5))
    torch.testing.assert_close(found, expected)


class Zero(nn.Module):
    """A score of zero."""

    def score(self, x_BD: Tensor) -> Tensor:
        return torch.zeros_like(x_BD)


@pytest.mark.parametrize("power", [0.0, 2.0])
def test_dsm_of_a_zero_score_is_half_the_square_of_its_target(power: float) -> None:
    of_batch, objective = draws(4), DSM(0.5, sigma_power=power)
    z_BD = of_batch.fork("dsm").normal(3, dtype=torch.float64)
    half_B = (z_BD / 0.5).square().sum(-1) / 2
    loss_B = objective.per_example(Zero(), torch.randn(4, 3), of_batch)
    torch.testing.assert_close(loss_B, 0.5**power * half_B)
    torch.testing.assert_close(objective.numbers(loss_B)["loss_unscaled"], half_B)
    assert objective.gain(TrueConditionals(1.0, 3)) == pytest.approx(0.5 ** (2 - power))


def test_the_edm_form_starts_as_a_standard_normal_and_has_a_target_of_order_one() -> None:
    """The score of N(0, sd^2) data with noise is -u in standard units, and that of a point follows."""
    form, sd, sigma = ScoreForm("edm", 3.0, 0.75), 4 / 17**0.5, 1 / 17**0.5
    u = torch.linspace(-2, 2, 5)
    torch.testing.assert_close(form(torch.zeros(5), u), -u)
    clean = torch.tensor(0.7)  # of a point the score is (clean - u) / sigma^2
    net = (clean - sd**2 * u) / (sd * sigma)
    torch.testing.assert_close(form(net, u), (clean - u) / sigma**2)


def test_what_is_told_of_a_likelihood() -> None:
    """The error is against twice the nodes, the mass that of the worst dimension."""
    by_nodes = {1: torch.tensor([[1.0, 2.0], [0.0, 3.0]]), 2: torch.tensor([[1.5, 2.0], [0.25, 2.0]])}
    outside_BD = torch.tensor([[0.1, 0.3], [0.2, 0.0]])
    stub: Any = SimpleNamespace(
        conditional_log_prob=lambda *_, finer=1: (by_nodes[finer], outside_BD), beyond=lambda x_BD: x_BD.sum(-1)
    )
    model: Any = None
    told = Likelihood.numbers(stub, model, torch.ones(2, 2))
    assert {name: value.tolist() for name, value in told.items()} == {
        "nll_quadrature_error": [0.5, 0.75],
        "nll_tail": [0.3, 0.2],
        "nll_outside": [2.0, 2.0],
    }


def test_one_step_of_one_dimensional_langevin() -> None:
    """From N(0, s^2 + noise^2) a step of size a in the field -q leaves the variance (1 - a)^2 s^2 + 2 a."""
    model: Any = TrueConditionals(1.0, 1)
    model.scale, model.noise = torch.tensor(2.0), 0.5
    contexts = torch.zeros(40_000, 1, 1)
    x_BD = Langevin1d(steps=1, step=0.4).draw_block(model, contexts, torch.Generator().manual_seed(0))
    a = 0.4 * 0.5**2
    assert float(x_BD.var()) == pytest.approx((1 - a) ** 2 * 2.0**2 + 2 * a, rel=0.03)
