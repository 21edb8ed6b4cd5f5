"""Models of any order: contexts of every known part, densities along any order and their mixture, draws of any part."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from scorewise.backbones import MADE, MaskedMLP, MaskedTransformer
from scorewise.backbones.any_order import AnyOrder, features_along
from scorewise.capabilities import CausalFeatures, MaskedContexts, MaskedFeatures
from scorewise.heads import ConditionalScore, Cosine, DiscretisedMixture, Gaussian, Mixture
from scorewise.heads.examples import Misfit
from scorewise.heads.streams import FullPassStream
from scorewise.likelihood import Quadrature
from scorewise.ordering import Ordering
from scorewise.sampling import Exact, InverseCDF, Langevin1d, Parallel
from scorewise.store import assemble, import_class, load

pytestmark = pytest.mark.usefixtures("double")

DIMS = 4
SUBSETS = [torch.tensor(known) for known in itertools.product([False, True], repeat=DIMS)]
ORDERS = [Ordering(order) for order in itertools.permutations(range(DIMS))]


def gaussian_law() -> MultivariateNormal:
    root_DD = torch.tensor([[1.0, 0, 0, 0], [0.8, 0.5, 0, 0], [-0.5, 0.7, 0.6, 0], [0.3, -0.9, 0.4, 0.5]])
    return MultivariateNormal(torch.tensor([0.5, -1.0, 0.0, 2.0]), scale_tril=root_DD)


class ExactGaussian(AnyOrder):
    """Mean and log standard deviation of every entry given any others, of a Gaussian: nothing is trained."""

    def __init__(self, law: MultivariateNormal, order: tuple[int, ...] = (0, 1, 2, 3), orders: int = 1) -> None:
        super().__init__((DIMS,), 2, order, 0, orders)
        self.law = law

    def masked_features(self, u_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor:
        cov_DD, k_BD = self.law.covariance_matrix, known_BD.to(u_BD.dtype)
        cov_BDD = cov_DD * k_BD[:, :, None] * k_BD[:, None, :] + torch.diag_embed(1 - k_BD)
        gain_BDD = torch.linalg.solve(cov_BDD, k_BD[:, :, None] * cov_DD)
        off_BD = torch.where(known_BD, u_BD - self.law.loc, 0)
        mean_BD = self.law.loc + torch.einsum("bkd,bk->bd", gain_BDD, off_BD)
        var_BD = cov_DD.diagonal() - torch.einsum("bkd,kd->bd", gain_BDD, cov_DD)
        h_BDF = torch.stack([mean_BD, 0.5 * var_BD.clamp(min=1e-12).log()], -1)
        return h_BDF if dims is None else h_BDF[:, list(dims)]


def marginal(law: MultivariateNormal, of: list[int]) -> MultivariateNormal:
    return MultivariateNormal(law.loc[of], law.covariance_matrix[of][:, of])


def network(orders: int = 1, width: int = 6, **settings: object) -> MaskedMLP:
    return MaskedMLP((DIMS,), width, (16, 16, 12), "tanh", orders=orders, **settings)  # type: ignore[arg-type]


def test_the_density_along_every_order_is_that_of_the_gaussian() -> None:
    law = gaussian_law()
    x = law.sample((6,))
    for order in ORDERS:
        found = Gaussian(ExactGaussian(law, order.sequence)).log_prob(x)
        torch.testing.assert_close(found, law.log_prob(x), rtol=1e-10, atol=1e-10)


def test_the_mixture_over_orders_of_an_exact_model_changes_nothing() -> None:
    law = gaussian_law()
    x = law.sample((6,))
    found = Gaussian(ExactGaussian(law, orders=7)).log_prob(x)
    torch.testing.assert_close(found, law.log_prob(x), rtol=1e-10, atol=1e-10)


def heads_of_two_kinds() -> list[Any]:
    score = ConditionalScore(network(5), hidden=(8,), noise=0.3)
    score.likelihood = Quadrature(-9, 9)
    return [Mixture(network(5), components=2), Cosine(network(5), low=-6, high=6, terms=6, noise=0.3), score]


@pytest.mark.parametrize("number", range(3))
def test_the_mixture_is_the_mean_density_and_never_below_the_mean_order(number: int) -> None:
    model = heads_of_two_kinds()[number]
    x, backbone = torch.randn(5, DIMS), model.backbone
    orders = backbone.orderings
    mixed = model.log_prob(x)
    single = []
    for order in orders:
        backbone.orderings = (order,)
        single.append(model.log_prob(x))
    single_RB = torch.stack(single)
    assert single_RB.std(0).min() > 1e-4, "the orders differ"
    torch.testing.assert_close(mixed.exp(), single_RB.exp().mean(0))
    assert bool((mixed > single_RB.mean(0)).all())


def test_the_unchecked_density_and_its_error_are_of_the_mixture_too() -> None:
    model = heads_of_two_kinds()[2]
    x = torch.randn(5, DIMS)
    torch.testing.assert_close(model.unchecked_log_prob(x), model.log_prob(x))


@pytest.mark.parametrize("known", SUBSETS)
def test_the_rest_given_any_part_is_the_joint_less_the_marginal(known: Tensor) -> None:
    law = gaussian_law()
    x, model = law.sample((5,)), Gaussian(ExactGaussian(law))
    first, rest = known.nonzero()[:, 0].tolist(), (~known).nonzero()[:, 0].tolist()
    c_BDF = model.context_along(x, Ordering((*first, *rest)))
    found = model.conditional_log_prob(x, c_BDF)[:, rest].sum(-1)
    expected = law.log_prob(x) - (marginal(law, first).log_prob(x[:, first]) if first else 0)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seen", SUBSETS[1:])
def test_missing_entries_leave_the_density_of_the_others(seen: Tensor) -> None:
    law = gaussian_law()
    x, model, there = law.sample((5,)), Gaussian(ExactGaussian(law)), seen.nonzero()[:, 0].tolist()
    gappy = x.masked_fill(~seen, torch.nan)
    for order in ORDERS[::5]:
        log_q_BD = model.conditional_log_prob(gappy, model.context_along(gappy, order))
        assert log_q_BD.isnan().any(0).tolist() == (~seen).tolist()
        torch.testing.assert_close(log_q_BD.nansum(-1), marginal(law, there).log_prob(x[:, there]))


@pytest.mark.parametrize("seen", SUBSETS)
def test_the_density_of_an_incomplete_example_is_of_its_present_entries(seen: Tensor) -> None:
    law = gaussian_law()
    x, there = law.sample((5,)), seen.nonzero()[:, 0].tolist()
    found = Gaussian(ExactGaussian(law, orders=3)).log_prob(x.masked_fill(~seen, torch.nan))
    expected = marginal(law, there).log_prob(x[:, there]) if there else torch.zeros(5)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("orders", [1, 3])
@pytest.mark.parametrize("head", ["mixture", "cosine", "score", "levels"])
def test_incomplete_examples_of_every_head(head: str, orders: int) -> None:
    """Where a model has nothing to learn from what is missing, its density is that of the rest along the same order."""
    on = network(orders)
    model: Any = {
        "mixture": lambda: Mixture(on, components=2),
        "cosine": lambda: Cosine(on, low=-6, high=6, terms=6),
        "score": lambda: ConditionalScore(on, hidden=(8,), noise=0.3),
        "levels": lambda: DiscretisedMixture(on, components=2, levels=5),
    }[head]()
    if head == "score":
        model.likelihood = Quadrature(-9, 9)
    x = torch.rand(6, DIMS) * 2 - 1
    gappy = x.masked_fill(torch.rand(6, DIMS) < 0.4, torch.nan)
    gappy[0], gappy[1, :3] = torch.nan, torch.nan
    found = model.log_prob(gappy)
    assert found[0] == 0
    given = getattr(model, "log_prob_given", None) or model.conditional_log_prob
    single = [given(x, model.context_along(gappy, one)).masked_fill(gappy.isnan(), 0).sum(-1) for one in on.orderings]
    torch.testing.assert_close(found.exp(), torch.stack(single).exp().mean(0), rtol=1e-6, atol=1e-9)
    (slope,) = torch.autograd.grad(found.sum(), on.first.weight)
    assert slope.isfinite().all()


@pytest.mark.parametrize("known", SUBSETS)
@pytest.mark.parametrize("sampler", [Exact(), InverseCDF()])
def test_any_part_is_completed_from_its_conditional(known: Tensor, sampler: object) -> None:
    law, n = gaussian_law(), 4000
    model = Gaussian(ExactGaussian(law, orders=3))
    model.sampler = sampler  # type: ignore[assignment]
    x = law.sample((1,)).expand(n, -1).masked_fill(~known, torch.nan)
    found = model.complete(x, known, torch.Generator().manual_seed(3))
    torch.testing.assert_close(found[:, known], x[:, known])
    first, rest = known.nonzero()[:, 0].tolist(), (~known).nonzero()[:, 0].tolist()
    if rest:
        cov, solved = law.covariance_matrix, torch.zeros(len(first), len(rest))
        if first:
            solved = torch.linalg.solve(cov[first][:, first], cov[first][:, rest])
        mean = law.loc[rest] + (x[0, first] - law.loc[first]) @ solved
        expected_cov = cov[rest][:, rest] - cov[rest][:, first] @ solved
        std = expected_cov.diagonal().sqrt()
        assert ((found[:, rest].mean(0) - mean).abs() < 4.5 * std / n**0.5).all()
        assert ((found[:, rest].T.cov() - expected_cov).abs() < 6 * std[:, None] * std / n**0.5).all()


def test_every_example_may_have_its_own_known_part() -> None:
    law = gaussian_law()
    model = Gaussian(ExactGaussian(law))
    model.sampler = Exact()
    known_BD, x = torch.stack(SUBSETS), law.sample((16,))
    found = model.complete(x.masked_fill(~known_BD, torch.nan), known_BD, torch.Generator().manual_seed(0))
    assert found.isfinite().all()
    assert torch.equal(found[known_BD], x[known_BD])
    assert (found != x)[~known_BD].all()
    alone = model.complete(x[5].numpy(), SUBSETS[5].numpy())
    assert alone.shape == (DIMS,)
    with pytest.raises(Misfit, match="known has shape"):
        model.complete(x, known_BD[:3])
    with pytest.raises(Misfit, match="not finite in row 2"):
        model.complete(x.index_fill(0, torch.tensor([2]), torch.nan), SUBSETS[-1])


def test_samples_of_a_mixture_are_along_all_its_orders() -> None:
    law, n = gaussian_law(), 6000
    model = Gaussian(ExactGaussian(law, orders=4))
    model.sampler = Exact()
    x = model.sample(n, torch.Generator().manual_seed(1))
    assert ((x.T.cov() - law.covariance_matrix).abs() < 6 * 1.5 / n**0.5).all()
    again = model.sample(n, torch.Generator().manual_seed(1))
    assert torch.equal(x, again)


class FirstHigh(AnyOrder):
    """What comes first is near 5 and all that follows near -5: every order is another law."""

    def masked_features(self, u_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor:
        mean_B1 = torch.where(known_BD.any(-1, keepdim=True), -5.0, 5.0)
        mean_BD = mean_B1.expand(-1, self.dims if dims is None else len(dims))
        return torch.stack([mean_BD, torch.full_like(mean_BD, -1.0)], -1)


def test_every_order_has_its_share_of_the_samples_and_of_the_density() -> None:
    n, backbone = 3000, FirstHigh((3,), 2)
    backbone.orderings = tuple(Ordering(order) for order in [(0, 1, 2), (1, 2, 0), (0, 2, 1), (2, 0, 1)])
    model = Gaussian(backbone)
    model.sampler = Exact()
    x = model.sample(n, torch.Generator().manual_seed(2))
    assert ((x > 0).sum(-1) == 1).all()
    share_D = (x > 0).double().mean(0)
    assert ((share_D - torch.tensor([0.5, 0.25, 0.25])).abs() < 4.5 * 0.5 / n**0.5).all()
    at_the_means = 3 * (1 - 0.5 * math.log(2 * math.pi))
    found = model.log_prob(torch.tensor([[5.0, -5, -5], [-5, 5, -5], [5, 5, -5]]))
    torch.testing.assert_close(found[:2], at_the_means + torch.tensor([0.5, 0.25]).log())
    assert found[2] < -100
    rest = model.complete(x, torch.tensor([False, True, False]), torch.Generator().manual_seed(0))
    assert (rest[:, [0, 2]] < 0).all()


def test_a_sampler_of_whole_examples_completes_none() -> None:
    model = Gaussian(ExactGaussian(gaussian_law()))
    model.sampler = Parallel()
    with pytest.raises(ValueError, match="draws whole examples only"):
        model.complete(torch.zeros(3, DIMS), SUBSETS[5])


@pytest.mark.parametrize("head", ["mixture", "gaussian", "cosine", "score"])
def test_examples_may_lack_entries_in_whatever_they_come(head: str) -> None:
    """Flat tensors of the model's own type went straight through; all else was refused as not finite."""
    model: Any = {
        "mixture": lambda: Mixture(network(1, 6), components=2),
        "gaussian": lambda: Gaussian(network(1, 2)),
        "cosine": lambda: Cosine(network(1, 8), low=-4, high=4, terms=8, noise=0.3),
        "score": lambda: ConditionalScore(network(1, 4), hidden=(8,), noise=0.3),
    }[head]()
    if isinstance(model, ConditionalScore):
        model.likelihood = Quadrature(-4.0, 4.0, largest_tail=1.0)
    model.eval()
    x = torch.randn(5, DIMS, generator=torch.Generator().manual_seed(0)).float().double()
    x[1, 2] = x[3, 0] = torch.nan
    with torch.no_grad():
        log_q = model.log_prob(x)
        assert bool(log_q.isfinite().all())
        for other in (x.numpy(), x.float(), x.tolist()):
            torch.testing.assert_close(model.log_prob(other), log_q)
        torch.testing.assert_close(model.log_prob(x[1]), log_q[1])
        torch.testing.assert_close(model.outlier_score(x.numpy()), -log_q)
        with pytest.raises(ValueError, match="not finite in row 0"):
            model.log_prob(torch.full((1, DIMS), torch.inf).numpy())


def test_a_causal_model_says_which_backbone_takes_any_known_part() -> None:
    model = Mixture(MADE((DIMS,), 6, (8,)), components=2)
    assert not model.any_order
    model.sampler = Exact()
    with pytest.raises(ValueError, match="backbone=masked_mlp for any of them"):
        model.complete(torch.zeros(3, DIMS), torch.tensor([False, True, False, False]))


def transformer(orders: int = 1, width: int = 6, **settings: Any) -> MaskedTransformer:
    return MaskedTransformer((DIMS,), width, 8, 2, 2, orders=orders, **settings)


NETWORKS = pytest.mark.parametrize("make", [network, transformer])


@NETWORKS
def test_nothing_of_what_is_not_known_reaches_a_feature(make: Any) -> None:
    backbone = make()
    for known in SUBSETS:
        rows = torch.autograd.functional.jacobian(
            lambda u, k=known: backbone.masked_features(u, k[None]), torch.randn(1, 4)
        )
        assert isinstance(rows, Tensor)
        seen_D = rows.abs().amax((0, 1, 2, 3))
        assert ((seen_D > 0) == known).all()


@NETWORKS
def test_what_is_not_known_may_be_anything_and_gradients_stay(make: Any) -> None:
    backbone, known_BD = make(), torch.stack(SUBSETS)
    u_BD = torch.randn(16, DIMS)
    gradients = []
    for filler in (0.0, torch.nan, torch.inf, 1e300):
        backbone.zero_grad()
        h_BDF = backbone.masked_features(u_BD.masked_fill(~known_BD, filler), known_BD)
        h_BDF.square().sum().backward()
        gradients.append([h_BDF, *(one.grad for one in backbone.parameters())])
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], rtol=0, atol=0)


@pytest.mark.parametrize("ordering", ["raster", "reverse", "random", [2, 0, 3, 1]])
@NETWORKS
def test_causal_features_are_those_of_the_prefix_and_so_is_the_stream(make: Any, ordering: str | list[int]) -> None:
    backbone = make(ordering=ordering, ordering_seed=2)
    x, order = torch.randn(5, DIMS), backbone.ordering
    full = backbone.causal_features(x)
    for position, dim in enumerate(order.sequence):
        known = torch.zeros(5, DIMS, dtype=torch.bool)
        known[:, list(order.sequence[:position])] = True
        torch.testing.assert_close(full[:, dim], backbone.masked_features(x, known)[:, dim])
    torch.testing.assert_close(full, features_along(backbone.masked_features, x, order))
    model = ConditionalScore(backbone, mean=0.3, std=2.0)
    c_BDF = model.context(x)
    for stream in (model.context_stream(), FullPassStream(model)):
        for _ in range(2):
            c, seen = stream.start(5), []
            for dim in order.sequence:
                seen.append(c)
                c = stream.push(x[:, [dim]])
            assert c.shape == (5, 0, 6)
            torch.testing.assert_close(torch.cat(seen, 1), c_BDF[:, list(order.sequence)])


@NETWORKS
def test_some_dimensions_are_a_part_of_all(make: Any) -> None:
    backbone, known_BD, u_BD = make(), torch.stack(SUBSETS), torch.randn(16, DIMS)
    all_BDF = backbone.masked_features(u_BD, known_BD)
    for dims in ([1], [3, 0], []):
        torch.testing.assert_close(backbone.masked_features(u_BD, known_BD, dims), all_BDF[:, dims])


def test_categories_enter_by_their_codes_alone() -> None:
    backbone = MaskedMLP((3,), 2, (8,), levels=[0, 3, 2])
    u = torch.tensor([[0.7, 1.0, 0.0], [0.7, 2.0, 0.0], [0.7, torch.nan, 1.0]])
    known = ~u.isnan()
    inputs = backbone.inputs(u, known)
    expected = [[0.7, 1, 0, 1, 0, 1, 0], [0.7, 1, 0, 0, 1, 1, 0], [0.7, 1, 0, 0, 0, 0, 1]]
    torch.testing.assert_close(inputs, torch.tensor(expected))
    unseen = backbone.inputs(torch.tensor([[0.7, 9.0, 1.0]]), torch.tensor([[True, True, True]]))
    torch.testing.assert_close(unseen, torch.tensor(expected[2:]))
    assert backbone.causal_features(u).isfinite().all()


def test_categories_are_vectors_to_the_transformer() -> None:
    backbone = MaskedTransformer((3,), 2, 8, 2, 1, levels=[0, 3, 2])
    known = torch.ones(1, 3, dtype=torch.bool)
    codes = [[0.7, 0, 0], [0.7, 1, 0], [0.7, 2, 0], [0.7, 0, 1], [0.7, 1, 1], [0.7, 2, 1]]
    tokens = torch.cat([backbone.tokens(torch.tensor([row]), known) for row in codes])
    assert len(tokens.flatten(1).unique(dim=0)) == 6
    torch.testing.assert_close(tokens[4, 1], backbone.of_level[1] + backbone.of_place[1])
    torch.testing.assert_close(tokens[4, 2], backbone.of_level[4] + backbone.of_place[2])
    nothing = backbone.of_nothing + backbone.of_place
    for odd in ([torch.nan, torch.nan, torch.nan], [0.7, 3.0, -1.0]):
        found = backbone.tokens(torch.tensor([odd]), known & ~torch.tensor([odd]).isnan())
        torch.testing.assert_close(found[0, 1:], nothing[1:])
    assert backbone.causal_features(torch.tensor([[0.1, torch.nan, 1.0]])).isfinite().all()


@pytest.mark.parametrize("levels", [[0, 3], [0, -1, 2], [0, 2.0, 1]])
def test_levels_that_are_none_are_refused(levels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"backbone\.levels=.* must be one whole number"):
        MaskedMLP((3,), 2, (8,), levels=levels)


@pytest.mark.parametrize("dims", [1, 2])
def test_few_dimensions(dims: int) -> None:
    model = Mixture(MaskedMLP((dims,), 6, (8,), orders=3), components=2)
    model.sampler = Exact()
    assert model.log_prob(model.sample(5)).isfinite().all()


def test_capabilities() -> None:
    assert issubclass(MaskedMLP, MaskedFeatures)
    assert issubclass(MaskedMLP, CausalFeatures)
    assert not issubclass(MADE, MaskedFeatures)
    assert isinstance(Mixture(network(), components=2), MaskedContexts)


def test_the_joint_score_goes_through_all_passes_and_orders() -> None:
    law = gaussian_law()
    model, x = Gaussian(ExactGaussian(law, orders=2)), law.sample((3,)).requires_grad_()
    (found,) = torch.autograd.grad(model.log_prob(x).sum(), x)
    expected = -torch.linalg.solve(law.covariance_matrix, (x.detach() - law.loc).T).T
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@NETWORKS
def test_dropout_is_of_training_only_and_follows_from_the_batch(make: Any) -> None:
    backbone, u, known = make(dropout=0.5), torch.randn(8, DIMS), torch.ones(8, DIMS, dtype=torch.bool)
    first = backbone.masked_features(u, known)
    assert torch.equal(first, backbone.masked_features(u, known))
    backbone.eval()
    assert not torch.equal(first, backbone.masked_features(u, known))


def test_a_saved_model_has_its_orders_and_categories_again(tmp_path: object) -> None:
    recipe = {
        "shape": [3],
        "mean": 0.0,
        "std": 1.0,
        "noise": 0.0,
        "backbone": {
            "_target_": "scorewise.backbones.masked_mlp.MaskedMLP",
            "hidden": [8, 8],
            "levels": [0, 0, 4],
            "ordering": "random",
            "ordering_seed": 3,
            "orders": 4,
        },
        "head": {"_target_": "scorewise.heads.mixture.Mixture", "components": 2},
        "sampler": {"_target_": "scorewise.sampling.ancestral.Exact"},
    }
    model = assemble(recipe, import_class)
    again = load(model.save(tmp_path))
    assert again.orderings == model.orderings
    assert len({order.sequence for order in model.orderings}) > 1
    x = torch.tensor([[0.3, -1.0, 2.0]], dtype=again.like.dtype)
    torch.testing.assert_close(again.log_prob(x), model.log_prob(x.to(model.like.dtype)).to(x.dtype), check_dtype=False)


def test_langevin_completes_too() -> None:
    model = Gaussian(ExactGaussian(gaussian_law()), noise=0.1)
    model.sampler = Langevin1d(steps=3)
    found = model.complete(torch.zeros(5, DIMS), SUBSETS[6])
    assert math.isfinite(float(found.sum()))
