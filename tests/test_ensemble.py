"""Mixtures of models with equal weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from laws import gaussian_law

import scorewise
from scorewise.backbones import MADE, MLP
from scorewise.capabilities import NormalisedDensity, Sampler, ScoreModel
from scorewise.data import Columns
from scorewise.densities.ensemble import Ensemble
from scorewise.errors import UserError
from scorewise.heads import ConditionalScore, Gaussian, Mixture, Score
from scorewise.heads.model import Model
from scorewise.sampling import Exact
from scorewise.store import assemble, import_class

pytestmark = pytest.mark.usefixtures("double")


def gaussian(sequence: Sequence[int], mean: Sequence[float], covariance: Sequence[Sequence[float]]) -> Gaussian:
    """Return a given Gaussian in two dimensions in a given order, exactly; hidden units are relu(x) and relu(-x)."""
    made = MADE((2,), 2, (2,), ordering=list(sequence))
    first, last = sequence
    slope = covariance[last][first] / covariance[first][first]
    left = covariance[last][last] - slope * covariance[last][first]
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
        made.layers[0].weight[:, first] = torch.tensor([1.0, -1.0])
        made.output.weight[2 * last] = torch.tensor([slope, -slope])
        made.output.bias[2 * first], made.output.bias[2 * last] = mean[first], mean[last] - slope * mean[first]
        made.output.bias[2 * first + 1] = 0.5 * torch.tensor(covariance[first][first]).log()
        made.output.bias[2 * last + 1] = 0.5 * torch.tensor(left).log()
    model = Gaussian(made)
    model.sampler = Exact()
    return model


MEANS = ([1.0, -0.5], [-1.0, 0.8])
COVARIANCES = ([[0.5, 0.2], [0.2, 0.3]], [[0.4, -0.1], [-0.1, 0.9]])


def two_orders() -> Ensemble:
    orders = ((0, 1), (1, 0))
    return Ensemble([gaussian(*each) for each in zip(orders, MEANS, COVARIANCES, strict=True)])


def true_log_prob(x_BD: torch.Tensor) -> torch.Tensor:
    laws = [
        torch.distributions.MultivariateNormal(torch.tensor(mean), torch.tensor(covariance))
        for mean, covariance in zip(MEANS, COVARIANCES, strict=True)
    ]
    return torch.stack([law.log_prob(x_BD) for law in laws]).exp().mean(0).log()


def test_two_gaussians_of_different_orders_are_their_mixture() -> None:
    x_BD = 2 * torch.randn(50, 2)
    torch.testing.assert_close(two_orders().log_prob(x_BD), true_log_prob(x_BD), rtol=1e-12, atol=1e-12)


def test_the_score_is_that_of_the_mixture() -> None:
    x_BD = torch.randn(20, 2, requires_grad=True)
    (true_BD,) = torch.autograd.grad(true_log_prob(x_BD).sum(), x_BD)
    ensemble = two_orders()
    torch.testing.assert_close(ensemble.score(x_BD.detach()), true_BD, rtol=1e-11, atol=1e-11)
    with torch.inference_mode():
        torch.testing.assert_close(ensemble.score(x_BD.detach()), true_BD, rtol=1e-11, atol=1e-11)


def test_an_ensemble_of_one_model_thrice_is_the_model() -> None:
    model, x_BD = gaussian((0, 1), MEANS[0], COVARIANCES[0]), torch.randn(5, 2)
    torch.testing.assert_close(Ensemble([model] * 3).log_prob(x_BD), model.log_prob(x_BD), rtol=1e-14, atol=1e-14)


def test_far_from_the_data_nothing_underflows() -> None:
    assert two_orders().log_prob(torch.full((1, 2), 1e3)).isfinite().all()


def some_orders() -> Ensemble:
    orders = ("raster", "reverse", "random", "spiral")
    return Ensemble([Mixture(MADE((2, 3), 9, (20,), ordering=order), components=3) for order in orders])


def test_it_is_nowhere_below_the_mean_of_its_members() -> None:
    ensemble, x_BD = some_orders(), 2 * torch.randn(200, 6)
    for parameter in ensemble.parameters():
        parameter.data.mul_(3.0)
    parts_MB = ensemble.member_log_prob(x_BD)
    assert parts_MB.shape == (4, 200)
    assert (ensemble.log_prob(x_BD) >= parts_MB.mean(0)).all()
    assert (ensemble.log_prob(x_BD) <= parts_MB.max(0).values).all()


def test_its_mass_is_one() -> None:
    side = torch.linspace(-8, 8, 401)
    x_BD = torch.cartesian_prod(side, side)
    with torch.no_grad():
        mass = two_orders().log_prob(x_BD).exp().sum() * (side[1] - side[0]) ** 2
    assert float(mass) == pytest.approx(1.0, abs=1e-9)


def test_samples_come_from_the_members_in_equal_parts() -> None:
    far = Ensemble([gaussian((0, 1), [place, 0.0], [[0.1, 0.0], [0.0, 0.1]]) for place in (-10.0, 0.0, 10.0)])
    x_BD = far.sample(9000, torch.Generator().manual_seed(0))
    nearest_B = (x_BD[:, :1] - torch.tensor([-10.0, 0.0, 10.0])).abs().argmin(-1)
    counts = nearest_B.bincount(minlength=3)
    # The chi-squared of three equal parts is below 13.8 in 999 of 1000 samples.
    assert float(((counts - 3000.0) ** 2 / 3000).sum()) < 13.8
    assert counts.unique().numel() > 1, "a multinomial split, not thirds"
    assert abs(float((nearest_B[1:] == nearest_B[:-1]).double().mean()) - 1 / 3) < 0.02, "not sorted by member"
    torch.testing.assert_close(x_BD, far.sample(9000, torch.Generator().manual_seed(0)), rtol=0, atol=0)
    with pytest.raises(ValueError, match="whole number of at least 1"):
        far.sample(0)
    with pytest.raises(UserError, match="generator=0 is no generator"):
        far.sample(1, 0)  # type: ignore[arg-type]
    assert far.sample(1).shape == (1, 2)


def test_samples_have_the_moments_of_the_mixture() -> None:
    x_BD = two_orders().sample(40_000, torch.Generator().manual_seed(1))
    means = torch.tensor(MEANS)
    covariance = torch.tensor(COVARIANCES).mean(0) + torch.cov(means.T, correction=0)
    torch.testing.assert_close(x_BD.mean(0), means.mean(0), rtol=0, atol=0.03)
    torch.testing.assert_close(torch.cov(x_BD.T), covariance, rtol=0, atol=0.04)


def test_capabilities() -> None:
    ensemble = some_orders()
    for capability in (NormalisedDensity, Sampler, ScoreModel):
        assert isinstance(ensemble, capability)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (lambda: [], "needs at least one member"),
        (lambda: "digits", "'d' is no model: Ensemble takes models, and Ensemble.load takes their folders"),
        (
            lambda: [Gaussian(MADE((2,), 2, (4,))), Gaussian(MADE((3,), 2, (4,)))],
            "member 0 takes examples of shape [2], member 1 of shape [3]",
        ),
        (
            lambda: [Gaussian(MADE((2,), 2, (4,)), noise=noise) for noise in (0.3, 0.3 + 1e-9, 0.5)],
            "member 0 is of data with noise 0.3, member 2 with 0.5: train them with the same data.smoothing",
        ),
        (lambda: [Score(MLP((2,), hidden=(4,)))], "Score, has no normalised density"),
        (
            lambda: (model for model in (Gaussian(MADE((2,), 2, (4,))), Gaussian(MADE((2,), 2, (4,))).float())),
            "member 0 is of torch.float64, member 1 of torch.float32: call .double() or .float() of one",
        ),
    ],
)
def test_what_is_no_ensemble_is_refused_in_one_sentence(members: Any, words: str) -> None:
    with pytest.raises(ValueError, match="nsemble") as refused:
        Ensemble(members())
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def of_table(mean: float, scale: float, name: str = "acidity") -> Gaussian:
    """Return a standard normal law of standardised rows, N(mean, scale^2) of both columns in their own units."""
    model = gaussian((0, 1), [0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    model.recipe = {"columns": Columns((name, "sugar"), {}, (mean, mean), (scale, scale)).plain()}
    return model


def test_members_of_tables_in_the_same_units_are_mixed() -> None:
    model, again = of_table(98.0, 3.0), of_table(98.0 + 1e-14, 3.0)
    x_BD = torch.randn(5, 2)
    torch.testing.assert_close(Ensemble([model, again]).log_prob(x_BD), model.log_prob(x_BD), rtol=1e-14, atol=1e-14)


def test_members_of_tables_in_other_units_are_refused() -> None:
    one, other, raw_BD = of_table(98.0, 3.0), of_table(99.5, 4.0), 98.0 + 5 * torch.randn(20, 2)
    own = []
    for model in (one, other):
        columns = Columns.of(model.recipe["columns"])
        law = torch.distributions.Normal(columns.mean_D, columns.scale_D)
        own.append(law.log_prob(raw_BD).sum(-1))
        standardised = model.log_prob(columns.standardised(raw_BD))
        torch.testing.assert_close(standardised - columns.log_volume, own[-1], rtol=1e-12, atol=1e-12)
    # A row standardised once is two rows, whose densities are in two units: no mean of them is that of the mixture.
    mixed = torch.stack(
        [model.log_prob(Columns.of(one.recipe["columns"]).standardised(raw_BD)) for model in (one, other)]
    )
    truth = torch.stack(own).exp().mean(0).log()
    wrong = mixed.exp().mean(0).log() - Columns.of(one.recipe["columns"]).log_volume - truth
    assert float(wrong.detach().abs().max()) > 0.3
    for another in (other, of_table(98.0, 3.0, "ash"), of_table(98.0, 3.001)):
        with pytest.raises(UserError, match=r"member 1 has other columns, means or scales than member 0: .*split_seed"):
            Ensemble([one, another])
    image = gaussian((0, 1), [0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]])
    image.recipe = {"shape": [2]}
    with pytest.raises(UserError, match="member 1 has other columns"):
        Ensemble([one, image])


def test_one_folder_is_no_list_of_them() -> None:
    with pytest.raises(UserError, match=r"one per member: Ensemble\.load\(\['runs/one'\]\)\."):
        Ensemble.load("runs/one")


def test_a_density_by_quadrature_has_no_joint_score() -> None:
    model: Model = ConditionalScore(MADE((2,), 8, (4,)), noise=0.3)
    with pytest.raises(ValueError, match="no density in closed form"):
        Ensemble([model]).score(torch.randn(3, 2))


def test_an_ensemble_of_folders(tmp_path: Path) -> None:
    def recipe(order: str) -> dict[str, Any]:
        return {
            "shape": [4],
            "mean": 0.1,
            "std": 1.2,
            "noise": 0.3,
            "backbone": {"_target_": "scorewise.backbones.made.MADE", "hidden": [8], "ordering": order},
            "head": {"_target_": "scorewise.heads.gaussian.Gaussian"},
            "sampler": {"_target_": "scorewise.sampling.ancestral.Exact"},
        }

    models = [assemble(recipe(order), import_class) for order in ("raster", "reverse")]
    folders = [model.save(tmp_path / str(i)) for i, model in enumerate(models)]
    again, x_BD = scorewise.Ensemble.load(folders), gaussian_law(4).sample(scorewise.noise.Draws.fresh(6))
    torch.testing.assert_close(again.log_prob(x_BD), Ensemble(models).log_prob(x_BD), rtol=0, atol=0)
    assert not again.training
    assert again.sample(5).shape == (5, 4)
