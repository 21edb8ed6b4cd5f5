"""Order-agnostic training: its expectation is the mean over all orders, and it learns every conditional."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from fitting import draws
from test_any_order import DIMS, ORDERS, SUBSETS, gaussian_law
from torch import Tensor

from scorewise.backbones import MaskedMLP, MaskedTransformer
from scorewise.heads import ConditionalEnergy, ConditionalScore, Cosine, Gaussian, Mixture, NoisyConditionalScore
from scorewise.likelihood import Quadrature
from scorewise.noise import Draws
from scorewise.objectives import AEM, CSM, CSMDSM, CSMMLE, MLE, CSMAnnealed
from scorewise.objectives.any_order import Known, known_part
from scorewise.objectives.conditional import ConditionalObjective
from scorewise.objectives.objective import Objective
from scorewise.tasks.measures import CompositeScores

pytestmark = pytest.mark.usefixtures("double")

LEVELS = (1.0, 0.5, 0.3)


def backbone(width: int) -> MaskedMLP:
    return MaskedMLP((DIMS,), width, (12, 12), "tanh")


def score(**settings: Any) -> ConditionalScore:
    model = ConditionalScore(backbone(6), hidden=(8,), noise=0.3, **settings)
    model.likelihood = Quadrature(-8, 8)
    return model


CASES: dict[str, tuple[ConditionalObjective[Any], Any]] = {
    "csm": (CSM(), score),
    "csm of a mixture": (CSM(), lambda: Mixture(backbone(6), components=2)),
    "csm of energies": (CSM(), lambda: ConditionalEnergy(backbone(9), context=3, components=2, hidden=(8,))),
    "csm_dsm": (CSMDSM(0.3), score),
    "mle of a mixture": (MLE(), lambda: Mixture(backbone(6), components=2)),
    "mle of a Gaussian": (MLE(), lambda: Gaussian(backbone(2))),
    "mle of cosines": (MLE(), lambda: Cosine(backbone(5), low=-6, high=6, terms=5)),
    "mle by quadrature": (MLE(), score),
    "mle on a transformer": (MLE(), lambda: Mixture(MaskedTransformer((DIMS,), 6, 8, 2, 1), components=2)),
    "aem": (AEM(4), lambda: ConditionalEnergy(backbone(9), context=3, components=2, hidden=(8,))),
    "csm_annealed": (
        CSMAnnealed(1.0, 0.3, 3, 0.3),
        lambda: NoisyConditionalScore(backbone(6), levels=LEVELS, hidden=(8,), noise=0.3),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[ConditionalObjective[Any], Any]:
    objective, made = CASES[request.param]
    return objective, made()


def every_part(n: int) -> Iterator[tuple[float, Known]]:
    """Every known part with its probability: the size uniform, the set uniform among those of its size."""
    for known in SUBSETS[:-1]:
        k = int(known.sum())
        weight = DIMS / (DIMS - k) * ~known
        yield 1 / DIMS / math.comb(DIMS, k), Known(known.expand(n, -1), weight.expand(n, -1))


def mean_over_orders(objective: ConditionalObjective[Any], model: Any, x: Tensor, given: Draws) -> Tensor:
    seen = objective.seen(x, given)
    contexts = [model.context_along(seen, order) for order in ORDERS]
    return torch.stack([objective.per_dimension(model, x, c_BDF, given).sum(-1) for c_BDF in contexts]).mean(0)


def gradients(loss: Tensor, model: torch.nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [*model.parameters()], materialize_grads=True))


def test_the_expectation_is_the_mean_over_all_orders_and_so_is_its_gradient(case: Any) -> None:
    objective, model = case
    x, given = torch.randn(3, DIMS), draws(3)
    parts = list(every_part(3))
    assert sum(share for share, _ in parts) == pytest.approx(1)
    found = sum(share * objective._given(one, objective.per_dimension, model, x, given) for share, one in parts)
    expected = mean_over_orders(objective, model, x, given)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradients(found.sum(), model), gradients(expected.sum(), model), rtol=1e-8, atol=1e-10)


def test_a_step_is_the_weighted_loss_of_its_known_part_in_value_and_gradient(case: Any) -> None:
    """The fused pass of composite score matching too, with weights of the examples on top."""
    objective, model = case
    x, given, weight = torch.randn(5, DIMS), draws(5), torch.rand(5)
    known = known_part(given, x)
    c_BDF = model.masked_context(objective.seen(x, given), known.known_BD)
    loss_B = (known.weight_BD * objective.per_dimension(model, x, c_BDF, given)).sum(-1)
    loss = objective(model, x, given, weight)
    torch.testing.assert_close(loss.per_example, loss_B)
    torch.testing.assert_close(loss.total, (weight * loss_B).sum())
    torch.testing.assert_close(gradients(loss.total, model), gradients((weight * loss_B).sum(), model))
    torch.testing.assert_close(objective(model, x, given).total, loss_B.mean())
    with torch.no_grad():
        torch.testing.assert_close(objective.per_example(model, x, given), loss_B)


def test_the_gradient_of_a_step_is_that_of_a_difference(case: Any) -> None:
    objective, model = case
    x, given = torch.randn(4, DIMS), draws(4)
    if isinstance(objective, AEM):
        pytest.skip("the draws of its proposal are held fixed in the gradient only")
    way = [torch.randn_like(one) for one in model.parameters()]
    slope = sum((g * w).sum() for g, w in zip(gradients(objective(model, x, given).total, model), way, strict=True))
    values = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            for one, w in zip(model.parameters(), way, strict=True):
                one += step * w
        values.append(objective(model, x, given).total.detach())
    torch.testing.assert_close(slope, (values[0] - values[1]) / 2e-5, rtol=1e-5, atol=1e-6)


def test_a_step_costs_one_pass_and_a_held_out_batch_as_many_as_it_has_parts(case: Any) -> None:
    objective, model = case
    passes = []
    model.backbone.output.register_forward_hook(lambda *_: passes.append(1))
    objective(model, torch.randn(5, DIMS), draws(5)).total.backward()
    assert len(passes) == 1
    objective.held_out(model, torch.randn(5, DIMS), draws(5))
    assert len(passes) == 1 + min(DIMS, 8)


def test_held_out_numbers_are_near_the_mean_over_orders_and_stay(case: Any) -> None:
    """With D parts every size comes once: what is left is the spread of a single order per example."""
    objective, model = case
    n = 400
    x, given = torch.randn(1, DIMS).expand(n, -1), draws(n)
    fixed = Draws(given.key_B[:1].expand(n))
    found = objective.held_out(model, x, given)
    assert torch.equal(found, objective.held_out(model, x, given))
    if isinstance(objective, CSM | MLE):
        expected = mean_over_orders(objective, model, x[:1], fixed)
        assert abs(found.mean() - expected[0]) < 4.5 * found.std() / n**0.5


def test_known_parts_have_uniform_sizes_and_uniform_sets() -> None:
    n = 48_000
    known = known_part(Draws.fresh(n, torch.Generator().manual_seed(5)), torch.zeros(n, DIMS))
    code = (known.known_BD * torch.tensor([8, 4, 2, 1])).sum(-1)
    for number, part in enumerate(SUBSETS):
        k = int(part.sum())
        expected = 0 if k == DIMS else 1 / DIMS / math.comb(DIMS, k)
        share = float((code == number).double().mean())
        assert abs(share - expected) <= 4.5 * (expected / n) ** 0.5, part
    k_B = known.known_BD.sum(-1, keepdim=True)
    assert torch.equal(known.weight_BD, (DIMS / (DIMS - k_B)) * ~known.known_BD)


def test_the_parts_of_a_held_out_example_begin_one_order() -> None:
    x = torch.zeros(50, DIMS)
    parts = [known_part(draws(50), x, part, DIMS).known_BD for part in range(DIMS)]
    for size, (fewer, more) in enumerate(itertools.pairwise(parts)):
        assert (fewer.sum(-1) == size).all()
        assert (fewer <= more).all()
    halves = [known_part(draws(50), x, part, 2).known_BD.sum(-1) for part in range(2)]
    assert halves[0].unique().tolist() == [0, 1]
    assert halves[1].unique().tolist() == [2, 3]


def test_known_parts_do_not_depend_on_the_batch_and_differ_by_epoch() -> None:
    index, x = torch.arange(9), torch.zeros(9, DIMS)
    whole = known_part(Draws.of(1, 4, index), x).known_BD
    pieces = [known_part(Draws.of(1, 4, part), x[: len(part)]).known_BD for part in index.split([2, 6, 1])]
    assert torch.equal(whole, torch.cat(pieces))
    assert not torch.equal(whole, known_part(Draws.of(1, 5, index), x).known_BD)


def test_missing_entries_are_neither_known_nor_counted() -> None:
    n = 4000
    x = torch.zeros(n, DIMS)
    x[:, 1] = torch.nan
    x[-1] = torch.nan
    known = known_part(draws(n), x)
    assert not (known.known_BD | (known.weight_BD > 0))[:, 1].any()
    assert not known.weight_BD[-1].any()
    k_B = known.known_BD[:-1].sum(-1, keepdim=True)
    assert k_B.unique().tolist() == [0, 1, 2]
    expected = (3 / (3 - k_B)) * (~known.known_BD[:-1] & torch.tensor([True, False, True, True]))
    assert torch.equal(known.weight_BD[:-1], expected)


def test_training_reads_nothing_where_an_entry_is_missing(case: Any) -> None:
    objective, model = case
    x, given = torch.randn(6, DIMS), draws(6)
    gappy = x.masked_fill(torch.rand(6, DIMS) < 0.4, torch.nan)
    gappy[0], gappy[1] = torch.nan, torch.tensor([torch.nan, torch.nan, 0.3, torch.nan])
    loss = objective(model, gappy, given)
    assert loss.per_example.isfinite().all()
    assert loss.per_example[0] == 0
    assert all(one.isfinite().all() for one in gradients(loss.total, model))
    assert objective.held_out(model, gappy, given).isfinite().all()
    if not isinstance(objective, CSMDSM | AEM):
        alone = objective.held_out(model, gappy[1:2], Draws(given.key_B[1:2]))
        torch.testing.assert_close(alone, objective.held_out(model, gappy, given)[1:2])


def test_composite_scores_of_a_validation_are_those_of_all_orders() -> None:
    model, x = score(), torch.randn(300, DIMS)
    found = CompositeScores(model).of(x)["csm"]
    assert torch.equal(found, CompositeScores(model).of(x)["csm"])
    expected = mean_over_orders(CSM(), model, x, draws(300))
    assert abs((found - expected).mean()) < 4.5 * (found - expected).std() / 300**0.5


def trained(objective: Objective[Any], model: Any, steps: int, noise: float) -> Any:
    law, generator = gaussian_law(), torch.Generator().manual_seed(0)
    root = law.scale_tril
    x_ND = law.loc + torch.randn(4096, DIMS, generator=generator) @ root.T
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, steps)
    for step in range(steps):
        objective.progress(step / steps)
        index = torch.randint(len(x_ND), (256,), generator=generator)
        given = Draws.of(0, step, index)
        x_BD = x_ND[index] + noise * given.fork("smoothing").normal(DIMS, dtype=x_ND.dtype)
        optimizer.zero_grad()
        loss = objective(model, x_BD, given)
        (loss.total * objective.gain(model)).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def smoothed_law(noise: float) -> torch.distributions.MultivariateNormal:
    law = gaussian_law()
    return torch.distributions.MultivariateNormal(law.loc, law.covariance_matrix + noise**2 * torch.eye(DIMS))


@pytest.mark.parametrize("name", ["csm", "csm_dsm", "mle", "csm_mle"])
def test_a_short_training_finds_every_conditional(name: str) -> None:
    """The score of every entry given every known part, against the Gaussian's, at examples of the law."""
    torch.manual_seed(0)
    noise, steps = 0.5, 300
    objective = {"csm": CSM(), "csm_dsm": CSMDSM(noise), "mle": MLE(), "csm_mle": CSMMLE(0.3)}[name]
    model = Gaussian(MaskedMLP((DIMS,), 2, (48, 48)), mean=0.4, std=1.4, noise=noise)
    trained(objective, model, steps, noise)
    law = smoothed_law(noise)
    x = law.sample((200,))
    errors = []
    with torch.no_grad():
        for known in SUBSETS[:-1]:
            first = known.nonzero()[:, 0].tolist()
            c_BDF = model.masked_context(x, known.expand(200, -1))
            found = model.conditional_score(x, c_BDF)
            cov = law.covariance_matrix
            for dim in (~known).nonzero()[:, 0].tolist():
                gain = torch.linalg.solve(cov[first][:, first], cov[first, dim]) if first else torch.zeros(0)
                mean = law.loc[dim] + (x[:, first] - law.loc[first]) @ gain
                var = cov[dim, dim] - cov[first, dim] @ gain
                expected = (mean - x[:, dim]) / var
                errors.append((found[:, dim] - expected).square().mean() * var)  # of 1 = E s^2 var
        errors_N = torch.stack(errors)
        assert errors_N.mean() < 0.03
        assert errors_N.max() < 0.1
        worst = (model.log_prob(x) - law.log_prob(x)).mean().abs()
        assert worst < 0.15
        model.backbone.orderings = ORDERS[::5]
        assert model.log_prob(x).mean() <= law.log_prob(x).mean() + 0.1
