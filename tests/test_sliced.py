"""Sliced objectives and exact traces: expectations, legality, limits."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from fitting import draws, fit, relative_error
from laws import TrueConditionals, gaussian_law
from torch import Tensor

from scorewise.backbones import MADE, MLP, ConvNet
from scorewise.capabilities import LaplacianFeatures
from scorewise.gradients import exact_trace, score_of_log_density, sliced_trace
from scorewise.heads import ConditionalEnergy, ConditionalScore, Energy, Gaussian, Mixture, Score
from scorewise.noise import Draws
from scorewise.objectives import CSM, DSM, FDSSM, SM, SSM, SSMVR, Objective
from scorewise.objectives.objective import score_field
from scorewise.objectives.sliced import PROJECTIONS, projections

pytestmark = pytest.mark.usefixtures("double")

SMOOTH: dict[str, Any] = {
    "score": lambda dims: Score(MLP((dims,), (16, 16)), std=1.3),
    "energy": lambda dims: Energy(MLP((dims,), (16, 16)), std=1.3),
    "conditional_score": lambda dims: ConditionalScore(MADE((dims,), 4, (16,), "tanh"), noise=0.5),
    "gaussian": lambda dims: Gaussian(MADE((dims,), 2, (16,), "tanh")),
    "mixture": lambda dims: Mixture(MADE((dims,), 9, (16,), "tanh"), components=3),
    "conditional_energy": lambda dims: ConditionalEnergy(
        MADE((dims,), 10, (16,), "tanh"), context=4, components=2, hidden=(16, 16)
    ),
}


def jacobians(model: Any, x_BD: Tensor, field: str = "auto") -> Tensor:
    """Return an independent derivation of ds/dx per example."""
    s = score_field(model, field)
    return torch.stack([torch.autograd.functional.jacobian(lambda y: s(y[None])[0], x) for x in x_BD])


@pytest.mark.parametrize("head", SMOOTH)
@pytest.mark.parametrize("trace", ["passes", "stacked", "forward"])
def test_every_trace_is_that_of_the_jacobian(head: str, trace: str) -> None:
    model, x = SMOOTH[head](5), torch.randn(3, 5)
    expected = jacobians(model, x).diagonal(dim1=1, dim2=2).sum(-1)
    s, found = exact_trace(score_field(model), x, trace, chunk=2)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(s, score_field(model)(x))
    parameters = [p for p in model.parameters() if p.requires_grad]
    passes, other = (
        torch.autograd.grad(SM(way, chunk=2)(model, x, draws(3)).total, parameters, allow_unused=True)
        for way in ("passes", trace)
    )
    for one, two in zip(passes, other, strict=True):
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            torch.testing.assert_close(one, two)
    with torch.no_grad():
        torch.testing.assert_close(exact_trace(score_field(model), x, trace, chunk=2)[1], expected)


def test_energies_against_their_hessian() -> None:
    """SM of an energy is |grad E|^2 / 2 - tr Hess E, and SSM (v . grad E)^2 / 2 - v Hess E v: both signs by hand."""
    model, x = SMOOTH["energy"](4), torch.randn(3, 4)
    hessian = torch.stack([torch.autograd.functional.hessian(lambda y: model.energy(y[None])[0], row) for row in x])
    gradient = torch.stack([torch.autograd.functional.jacobian(lambda y: model.energy(y[None])[0], row) for row in x])
    sm = 0.5 * gradient.square().sum(-1) - hessian.diagonal(dim1=1, dim2=2).sum(-1)
    torch.testing.assert_close(SM()(model, x, draws(3)).per_example, sm)
    objective = SSM("gaussian")
    v = objective.directions(x, draws(3))[0]
    ssm = 0.5 * (gradient * v).sum(-1).square() - torch.einsum("bi,bij,bj->b", v, hessian, v)
    torch.testing.assert_close(objective(model, x, draws(3)).per_example, ssm)
    reduced = SSMVR("gaussian")
    v = reduced.directions(x, draws(3))[0]
    ssm_vr = 0.5 * gradient.square().sum(-1) - torch.einsum("bi,bij,bj->b", v, hessian, v)
    torch.testing.assert_close(reduced(model, x, draws(3)).per_example, ssm_vr)


@pytest.mark.parametrize("law", PROJECTIONS)
def test_projections_have_their_second_moments(law: str) -> None:
    v_BD = projections(law, draws(100_000), 1, 3, torch.float64)[0]
    expected = torch.eye(3) / (3 if law == "unit_sphere" else 1)
    assert (v_BD.mT @ v_BD / len(v_BD) - expected).abs().max() < 0.02
    many_MBD = projections(law, draws(5), 4, 3, torch.float64)
    assert many_MBD.shape == (4, 5, 3)
    assert torch.equal(many_MBD[:, :2], projections(law, draws(2), 4, 3, torch.float64)), "they belong to the example"
    assert not torch.equal(many_MBD[0], many_MBD[1])


@pytest.mark.parametrize("head", ["score", "energy", "conditional_score"])
@pytest.mark.parametrize("law", PROJECTIONS)
def test_slices_average_to_the_exact_objective(head: str, law: str) -> None:
    """SSM and SSM-VR are SM (for conditional scores: CSM) in expectation over v; unit-sphere SSM is SM / D."""
    model, x, dims = SMOOTH[head](3), torch.randn(2, 3), 3
    exact = SM()(model, x, draws(2)).per_example
    if head == "conditional_score":
        torch.testing.assert_close(exact, CSM()(model, x, draws(2)).per_example)
    n = 10_000
    many, every = x.repeat_interleave(n, 0), draws(2 * n)
    objectives: list[Objective] = [SSM(law), *([SSMVR(law)] if law in SSMVR.LEGAL else [])]
    for objective in objectives:
        found = objective(model, many, every).per_example.view(2, n)
        error = found.std(1) / n**0.5
        scale = dims if law == "unit_sphere" else 1
        assert ((scale * found.mean(1) - exact).abs() < 4 * scale * error + 1e-9).all()


def test_illegal_projections_are_refused() -> None:
    with pytest.raises(ValueError, match=r"E\[v v\^T\] = I / D"):
        SSMVR("unit_sphere")
    with pytest.raises(ValueError, match="is none of gaussian"):
        SSM("cauchy")
    with pytest.raises(ValueError, match="of at least 1"):
        SSM(projections=0)
    with pytest.raises(ValueError, match="is none of auto"):
        SSM(field="both")
    with pytest.raises(ValueError, match="must be a number above 0 and at most 1"):
        FDSSM(step=0)
    with pytest.raises(ValueError, match="is none of passes"):
        SM("backwards")


def test_the_illegal_pair_would_be_wrong() -> None:
    """With unit-sphere directions the variance-reduced form weighs its terms 1 : D, so its minimum is elsewhere."""
    x, model = torch.randn(20_000, 2), TrueConditionals(1.0, 2)
    v = projections("unit_sphere", draws(len(x)), 1, 2, torch.float64)

    def objective(slope: float) -> float:
        s, form = sliced_trace(lambda y: slope * score_field(model)(y), x, v)
        return float((form.mean(0) + 0.5 * s.square().sum(-1)).mean().detach())

    assert objective(0.5) < objective(1.0)


def test_finite_differences_converge_to_ssm() -> None:
    """The error of FD-SSM falls with the square of its step."""
    model, x = SMOOTH["energy"](4), torch.randn(6, 4)
    exact = SSM("gaussian")(model, x, draws(6)).per_example
    errors = [
        float((FDSSM(h, "gaussian")(model, x, draws(6)).per_example - exact).detach().abs().max())
        for h in (0.04, 0.02, 0.01)
    ]
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert 3.5 < errors[1] / errors[2] < 4.5
    parameters = list(model.parameters())
    for one, two in zip(
        torch.autograd.grad(FDSSM(1e-4, "gaussian")(model, x, draws(6)).total, parameters, allow_unused=True),
        torch.autograd.grad(SSM("gaussian")(model, x, draws(6)).total, parameters, allow_unused=True),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


STEPS = {"score": 100, "energy": 300, "conditional_score": 300, "gaussian": 150, "mixture": 500}
QUICK = {"score", "gaussian"}


@pytest.mark.parametrize(
    "objective",
    [SM("stacked"), SSM("gaussian", 4), SSMVR("rademacher"), SSMVR("sphere", 2), FDSSM(0.02, "gaussian", 4)],
    ids=["sm", "ssm", "ssm_vr", "ssm_vr-sphere", "fd_ssm"],
)
@pytest.mark.parametrize(
    "head", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in STEPS]
)
def test_every_cell_recovers_a_gaussian(objective: Any, head: str) -> None:
    """Sign and scale: the fitted field of a correlated Gaussian is its joint or conditional score.

    Examples are new in every step: without noise, score matching of a fixed few is at its best in spikes.
    """
    law, model = gaussian_law(2, 1.3, 0.6), SMOOTH[head](2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2 if head == "energy" else 2e-2, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS[head])
    for step in range(STEPS[head]):
        optimizer.zero_grad()
        objective(model, law.sample(draws(300, step)), draws(300, 10_000 + step)).total.backward()
        optimizer.step()
        scheduler.step()
    x = law.sample(draws(2000, -1))
    conditional = head in ("conditional_score", "gaussian", "mixture")
    true = law.conditional_score(x, range(2)) if conditional else law.score(x)
    assert relative_error(model, x, true) < 0.03
    slope = float((score_field(model)(x).detach() * true).sum() / true.square().sum())
    assert abs(slope - 1) < 0.06


@pytest.mark.parametrize("objective", [SM(field="joint"), SSMVR(field="joint"), DSM(0.3, field="joint")])
def test_the_joint_field_of_a_normalised_density(objective: Any) -> None:
    """field=joint fits grad log q(x) of a MADE; the conditional field of the same model is something else."""
    law = gaussian_law(2, 1.3, 0.6)
    x = law.sample(draws(2000))
    model = SMOOTH["gaussian"](2)
    jacobian = jacobians(model, x[:3], "joint")
    torch.testing.assert_close(jacobian, jacobian.mT)  # a gradient field, unlike the conditional one
    assert (jacobians(model, x[:3]) - jacobians(model, x[:3]).mT).abs().max() > 1e-3
    fit(model, objective, x, steps=120, lr=3e-2)
    blurred = law.smoothed(objective.noise) if objective.noise else law
    y = blurred.sample(draws(2000, 5))
    found = score_field(model, "joint")(y).detach()
    true = blurred.score(y)
    assert float((found - true).square().mean() / true.square().mean()) < 0.05


@pytest.mark.parametrize("power", [0.0, 2.0, 4.0])
def test_the_scale_of_dsm_is_a_field(power: float) -> None:
    model, x, sigma = SMOOTH["score"](3), torch.randn(5, 3), 0.3
    vincent = DSM(sigma)(model, x, draws(5))
    scaled = DSM(sigma, power)(model, x, draws(5))
    torch.testing.assert_close(scaled.per_example, sigma**power * vincent.per_example)
    torch.testing.assert_close(scaled.logs["loss_unscaled"], vincent.per_example.mean())
    assert DSM(sigma, power).gain(model) * sigma**power == pytest.approx(sigma**2)


def test_standard_deviations_at_the_optimum() -> None:
    """The closed forms behind figure 1b, at D = 100: heavy tails, so 1 % needs many draws."""
    std, dims, n = 0.1, 100, 80_000
    model = TrueConditionals(std, dims)
    x = std * torch.randn(n, dims)
    every = Draws.of(0, 0, torch.arange(n))
    expected = {
        "SSM rademacher": (SSM("rademacher"), dims / math.sqrt(2)),
        "SSM gaussian": (SSM("gaussian"), math.sqrt(0.75 * (dims**2 + 2 * dims) - dims**2 / 4)),
        "SSM-VR rademacher": (SSMVR("rademacher"), math.sqrt(dims / 2)),
        "SSM-VR gaussian": (SSMVR("gaussian"), math.sqrt(2.5 * dims)),
    }
    with torch.no_grad():
        for objective, closed_form in expected.values():
            chunks = zip(x.split(20_000), every.key_B.split(20_000), strict=True)
            found = torch.cat([objective.per_example(model, x_BD, Draws(key_B)) for x_BD, key_B in chunks])
            assert abs(float(found.mean()) / -5000 - 1) < 0.02
            assert abs(float(found.std()) * std**2 / closed_form - 1) < 0.02


@pytest.mark.parametrize("activation", ["silu", "softplus", "tanh", "elu", "relu", "leaky_relu"])
@pytest.mark.parametrize("confining", [True, False])
def test_the_forward_laplacian_of_an_energy_is_the_trace_of_its_hessian(activation: str, confining: bool) -> None:
    model = Energy(MLP((4,), (6, 5, 7), activation), confining=confining, mean=0.4, std=1.7, noise=0.3).double()
    x = torch.randn(3, 4, dtype=torch.float64)
    hessian = torch.stack([torch.autograd.functional.hessian(lambda y: model.energy(y[None])[0], row) for row in x])
    s, trace = model.traced_score(x)
    torch.testing.assert_close(s, model.score(x))
    torch.testing.assert_close(trace, -hessian.diagonal(dim1=1, dim2=2).sum(-1))
    weights = [*model.parameters()]
    by_passes = exact_trace(model.score, x)[1].sum() + model.score(x).square().sum()
    for one, two in zip(
        torch.autograd.grad(trace.sum() + s.square().sum(), weights, materialize_grads=True, allow_unused=True),
        torch.autograd.grad(by_passes, weights, materialize_grads=True, allow_unused=True),
        strict=True,
    ):
        torch.testing.assert_close(one, two)


def derivatives(value: torch.Tensor, wanted: list[torch.Tensor], create_graph: bool) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(
        value, wanted, retain_graph=True, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )


@pytest.mark.parametrize("activation", ["silu", "softplus", "tanh", "elu", "relu", "leaky_relu"])
@pytest.mark.parametrize("confining", [True, False])
def test_the_score_of_an_energy_by_hand_is_its_gradient(activation: str, confining: bool) -> None:
    """Its values, its derivatives in the example and in the weights, as automatic differentiation has them."""
    model = Energy(MLP((4,), (6, 5, 7), activation), confining=confining, mean=0.4, std=1.7, noise=0.3).double()
    x, v = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    for in_example in (False, True):
        x_BD = x.clone().requires_grad_(in_example)
        wanted = [*([x_BD] if in_example else []), *model.parameters()]
        by_hand, by_graph = model.score(x_BD), score_of_log_density(lambda y: -model.energy(y), x_BD)
        torch.testing.assert_close(by_hand, by_graph)
        once = [derivatives((s * (v + s)).sum(), wanted, create_graph=False) for s in (by_hand, by_graph)]
        torch.testing.assert_close(*once)
        again = [derivatives((s * (v + s)).sum(), wanted, create_graph=True) for s in (by_hand, by_graph)]
        torch.testing.assert_close(*again)
        squares = [torch.stack([one.square().sum() for one in ones]).sum() for ones in again]
        torch.testing.assert_close(*(derivatives(square, wanted, create_graph=False) for square in squares))
    with torch.inference_mode():
        torch.testing.assert_close(model.score(x.clone()), by_graph.detach())


class Quadratic(Energy):
    """N(0, 2 I), whatever its network is."""

    def energy(self, x_BD: torch.Tensor) -> torch.Tensor:
        return x_BD.square().sum(-1) / 4


class Bounded(MLP):
    """Features between -1 and 1."""

    def features(self, u_BD: torch.Tensor) -> torch.Tensor:
        return super().features(u_BD).tanh()


def test_derivatives_by_hand_are_not_taken_of_another_energy() -> None:
    x = torch.randn(3, 4, dtype=torch.float64)
    quadratic, bounded = (kind(Bounded((4,), (6,))).double() for kind in (Quadratic, Energy))
    torch.testing.assert_close(quadratic.score(x), -x / 2)
    torch.testing.assert_close(SM().per_example(quadratic, x, Draws.fresh(3)), x.square().sum(-1) / 8 - 2)
    torch.testing.assert_close(bounded.score(x), score_of_log_density(lambda y: -bounded.energy(y), x))
    for found, expected in zip(bounded.traced_score(x), exact_trace(bounded.score, x), strict=True):
        torch.testing.assert_close(found, expected)


def test_an_energy_whose_backbone_carries_no_laplacian_takes_passes() -> None:
    model, x = Energy(ConvNet((1, 4, 4), (3,), 5)).double(), torch.randn(2, 16, dtype=torch.float64)
    assert not isinstance(model.backbone, LaplacianFeatures)
    for found, expected in zip(model.traced_score(x), exact_trace(model.score, x), strict=True):
        torch.testing.assert_close(found, expected)


def test_a_score_is_the_gradient_through_its_argument_alone() -> None:
    """What was computed from the same numbers before is held fixed, in a graph and outside of one."""
    for x in (torch.randn(3, 2), torch.randn(3, 2, requires_grad=True)):
        before = 2 * x
        torch.testing.assert_close(score_of_log_density(partial(_product, before), x), before)


def _product(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(-1)


@pytest.mark.parametrize("objective", [SSM(), SSMVR()], ids=["ssm", "ssm_vr"])
def test_several_projections_are_averaged(objective: SSM | SSMVR) -> None:
    x_BD, v_MBD = torch.randn(4, 3), torch.randn(5, 4, 3)

    def field(x: Tensor) -> Tensor:
        return -x.square() - x.flip(-1)

    each = torch.stack([objective.along(field, x_BD, v_BD.unsqueeze(0)) for v_BD in v_MBD])
    torch.testing.assert_close(objective.along(field, x_BD, v_MBD), each.mean(0))
