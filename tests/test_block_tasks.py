"""Block models beside others: common numbers, denoising, outliers, predictions, tables."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from scorewise.backbones import MADE, PatchTransformer
from scorewise.config.choices import IncompatibleChoice
from scorewise.config.column_blocks import put_blocks_of_columns
from scorewise.data import GaussianData, Table
from scorewise.data.laws import GaussianMixtureLaw
from scorewise.gradients import score_of_log_density
from scorewise.heads import BlockScore, ConditionalScore, NoisyBlockScore
from scorewise.likelihood import BlockFlowODE
from scorewise.noise import Draws
from scorewise.objectives import CSMAnnealed
from scorewise.ordering import Ordering
from scorewise.outliers.statistics import quantities, statistics_of
from scorewise.sampling import BlockAncestral
from scorewise.tasks.measures import CompositeScores, fisher_error
from scorewise.tasks.restoration import Damage, Infilling, Restoration

pytestmark = pytest.mark.usefixtures("double")
LAW = GaussianMixtureLaw(
    torch.tensor([0.4, 0.6]),
    torch.tensor([[-1.0, 0.5, 1.0, -0.5], [1.0, -0.5, -1.0, 0.5]]),
    torch.stack([0.3 * torch.eye(4) + 0.2, 0.5 * torch.eye(4)]),
)


def test_scores_of_blocks_of_a_law_are_those_of_its_marginals() -> None:
    """By automatic differentiation; at the ends they are the conditional and the joint scores."""
    x, ordering = torch.randn(6, 4), Ordering.explicit([2, 0, 3, 1], 4)
    torch.testing.assert_close(LAW.block_score(x, ordering), LAW.conditional_score(x, ordering.sequence))
    torch.testing.assert_close(LAW.block_score(x, ordering.in_blocks(4)), LAW.score(x))
    order = ordering.in_blocks([1, 2, 1])
    done: list[int] = []
    for block in order.blocks:
        done += list(block)
        part = GaussianMixtureLaw(LAW.weights_K, LAW.means_KD[:, done], LAW.covariances_KDD[:, done][:, :, done])
        expected = score_of_log_density(part.log_prob, x[:, done])[:, -len(block) :]
        torch.testing.assert_close(LAW.block_score(x, order)[:, list(block)], expected)


def gaussian_start(b: int, **settings: Any) -> BlockScore:
    """Return a head that starts as N(0, std^2 + noise^2)."""
    return BlockScore(MADE((4,), 3, (8,), "silu"), block=b, hidden=8, noise=0.3, **settings)


@pytest.mark.parametrize("b", [1, 2, 4])
def test_the_distance_from_a_known_law_is_of_the_models_blocks(b: int) -> None:
    source = GaussianData(dims=4, std=1.0, correlation=0.5)
    model, x = gaussian_start(b), torch.randn(5, 4)
    measure = fisher_error(model, source, 0.3)
    assert measure is not None
    assert source.law is not None
    true = source.law.smoothed(0.3).block_score(x, model.ordering)
    torch.testing.assert_close(measure.of(x)["fisher_error"], 0.5 * (-x / 1.09 - true).square().sum(-1))


def test_composite_scores_of_blocks_go_by_a_name_of_their_own() -> None:
    x = torch.randn(5, 4)
    expected = 0.5 * (x / 1.09).square().sum(-1) - 4 / 1.09
    for model, name in ((gaussian_start(2), "block_csm"), (gaussian_start(1), "csm")):
        measure = CompositeScores.of_model(model)
        assert measure is not None
        torch.testing.assert_close(measure.of(x)[name], expected)
    one = CompositeScores.of_model(ConditionalScore(MADE((4,), 3, (8,), "silu"), noise=0.3))
    assert one is not None
    assert set(one.of(x)) == {"csm"}


def test_images_are_restored_block_by_block() -> None:
    """A head that starts as a Gaussian of variance v shrinks by v / (v + sigma^2)."""
    clean = torch.rand(3, 16) * 2 - 1
    backbone = PatchTransformer((1, 4, 4), 3, (2, 2), 8, 2, 1)
    noisy = NoisyBlockScore(backbone, levels=(2.0, 0.5, 0.1), hidden=8, noise=0.1, std=0.6)
    single = BlockScore(backbone, hidden=8, noise=0.5, std=0.6)
    for model, mode in ((noisy, "sequential"), (single, "parallel")):
        restoration = Restoration(model, (1, 4, 4), Damage(sigma=0.5), Infilling(), "auto")
        assert restoration.mode == mode
        seen = restoration.observe(clean, Draws.fresh(3)).images
        torch.testing.assert_close(seen["restored"], (seen["corrupted"] * 0.36 / 0.61).clamp(-1, 1))
    with pytest.raises(ValueError, match="mode=joint"):
        Restoration(noisy, (1, 4, 4), Damage(sigma=0.5), Infilling(), "joint")


def test_outliers_have_the_sizes_of_scores_at_every_level() -> None:
    model = NoisyBlockScore(MADE((4,), 3, (8,)), block=2, levels=(2.0, 0.5, 0.1), hidden=8, noise=0.1)
    assert {"nll", "score_norm", "multiscale_norms"} <= {*statistics_of(NoisyBlockScore)}
    x: Tensor = torch.randn(5, 4)
    profile = quantities(model, x, ("profile",))["profile"]
    torch.testing.assert_close(profile[:, 0], (x.norm(dim=-1) / (1 + 4)).log())
    torch.testing.assert_close(profile[:, -1], (x.norm(dim=-1) / 1.01).log())
    assert math.isfinite(float(quantities(model, x, ("h",))["h"].sum()))


def table(path: Any) -> Any:
    """Write rows of a correlated Gaussian, of which x0 and x2 belong together, and of a category that goes with x1."""
    path.write_text(
        "x0,x1,x2,kind\n"
        + "".join(
            f"{a},{b},{c},{'high' if b > 0 else 'low'}\n"
            for a, b, c in (GROUPED.sample(Draws.fresh(400, torch.Generator().manual_seed(0)))).tolist()
        )
    )
    return Table(str(path), one_hot=["kind"])


GROUPED = GaussianMixtureLaw(
    torch.ones(1), torch.zeros(1, 3), torch.tensor([[[1.0, 0.4, 0.9], [0.4, 1.0, 0.3], [0.9, 0.3, 1.0]]])
)


def parts(block: Any, ordering: Any = "raster") -> dict[str, Any]:
    return {"head": {"block": block}, "backbone": {"ordering": ordering}}


def test_columns_that_belong_together_are_a_block(tmp_path: Any) -> None:
    """A group comes where its first column is; indicators of a category go by its name."""
    source, made = table(tmp_path / "t.csv"), parts([["x2", "x0"], "kind"])
    put_blocks_of_columns(made, source)
    assert source.columns == ("x0", "x1", "x2", "kind=high", "kind=low")
    assert made == parts([2, 1, 2], [0, 2, 1, 3, 4])
    model = BlockScore(MADE((5,), 3, (8,), "silu", made["backbone"]["ordering"]), block=made["head"]["block"])
    assert model.ordering.blocks == ((0, 2), (1,), (3, 4))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (parts([["x0", "x9"]]), "names column x9, and this table has x0, x1"),
        (parts([["x0"], ["x0", "x1"]]), "has x0 in two groups"),
        (parts([["x0"]], [0, 1, 2, 3, 4]), "gives another: use backbone.ordering=raster"),
        ({"head": {"block": [["x0"]]}, "backbone": {}}, "use|backbone=made"),
    ],
)
def test_groups_that_cannot_be_are_refused(tmp_path: Any, given: Any, sentence: str) -> None:
    with pytest.raises(IncompatibleChoice, match=sentence):
        put_blocks_of_columns(given, table(tmp_path / "t.csv"))
    with pytest.raises(IncompatibleChoice, match="these data are no table"):
        put_blocks_of_columns(parts([["x0"]]), GaussianData(dims=3))


@pytest.mark.slow
def test_groups_of_columns_are_trained_drawn_and_have_their_likelihood() -> None:
    """A correlated Gaussian in groups: nats and covariance are those of the law, about."""
    torch.manual_seed(0)
    made = MADE((3,), 16, (32,), "silu", [0, 2, 1])
    model = NoisyBlockScore(made, block=[2, 1], levels=(8.0, 1.0, 0.3), hidden=32, noise=0.3)
    objective, law = CSMAnnealed(8.0, 0.3, 3, 0.0, "dsm", draws=4, weight="edm"), GROUPED.smoothed(0.3)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2, fused=True)
    for step in range(400):
        draws = Draws.of(0, 0, torch.arange(256 * step, 256 * (step + 1)))
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 400)
        optimizer.zero_grad()
        objective(model, GROUPED.sample(draws), draws).total.backward()
        optimizer.step()
    model.eval()
    model.likelihood, model.sampler = BlockFlowODE(steps=32), BlockAncestral(steps=24)
    x = law.sample(Draws.fresh(1000, torch.Generator().manual_seed(1)))
    with torch.no_grad():
        apart = law.log_prob(x) - model.log_prob(x)
    assert abs(float(apart.mean())) < 0.06
    drawn = model.sample(4000, torch.Generator().manual_seed(2))
    assert (torch.cov(drawn.T) - law.covariances_KDD[0]).abs().max() < 0.1
