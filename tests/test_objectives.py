"""The table of all objectives: a row says what composes with one and which Gaussian it recovers.

On examples of N(CENTRE, VARIANCE I) every objective is minimised over the family N(centre, variance I), in float64, by
Broyden's method on its gradient alone. Where that ends is known in closed form, and so is the loss there: a wrong sign,
a score twice as large, or a standard deviation in place of a variance ends elsewhere.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import torch
from family import (
    Blocks,
    Conditionals,
    DenseConditionals,
    Density,
    Energies,
    Family,
    FlowingBlocks,
    Joint,
    Machine,
    NoisyBlocks,
    NoisyConditionals,
    NoisyJoint,
)
from fitting import draws
from torch import Tensor

from scorewise import catalog
from scorewise.noise import smoothing_noise
from scorewise.objectives import (
    AEM,
    CSM,
    CSMDSM,
    CSMMLE,
    DSM,
    ESM,
    FDSSM,
    MLE,
    PCD,
    SM,
    SSM,
    SSMVR,
    BlockMLE,
    CSMAnnealed,
    DSMMultiscale,
    Objective,
)

CENTRE, VARIANCE = 0.5, 2.25
DIMS = 2
SIGMA = 0.8
"""Of what an objective adds, or of the data's smoothing."""
BLURRED = VARIANCE + SIGMA**2
SCORE_MATCHING = -1 / (2 * VARIANCE)
"""The least of s^2 / 2 + ds/dx, which is - E s^2 / 2."""
DENOISING = 0.5 * VARIANCE / (SIGMA**2 * BLURRED)
"""The least of (s + z / sigma)^2 / 2."""
ENTROPY = 0.5 * math.log(2 * math.pi * math.e * VARIANCE)
PROPOSED = 0.5 * (math.log(2 * math.pi * 4) + (VARIANCE + CENTRE**2) / 4)
"""- E log r of `Machine`'s proposal."""
HIGHEST, LOWEST = 1.6, 0.4
LADDER = (1.6, 0.8, 0.4)
NOISY_ENTROPY = 0.5 * math.log(2 * math.pi * math.e * (VARIANCE + LOWEST**2))
CHAIN_STEP = 0.3
OF_CHAINS = 0.5 * (VARIANCE + math.sqrt(VARIANCE * (VARIANCE - 2 * CHAIN_STEP)))
"""The w whose Langevin chains x + a s + sqrt(2 a) z, of variance w / (1 - a / (2 w)), have the variance of the data."""


def over_ladder(share: Callable[[float], float]) -> float:
    """Return the mean over the levels of a function of sigma^2 / (variance + sigma^2)."""
    return sum(share(sigma**2 / (VARIANCE + sigma**2)) for sigma in LADDER) / len(LADDER)


LOG_UNIFORM = 0.5 * math.log((VARIANCE + HIGHEST**2) / (VARIANCE + LOWEST**2)) / math.log(HIGHEST / LOWEST)
"""The mean of sigma^2 / (variance + sigma^2) over levels between the highest and the lowest, uniform in log sigma."""


@dataclass(frozen=True)
class Recovery:
    """What an objective must find of N(CENTRE, VARIANCE I).

    Args:
        objective: with its settings.
        family: what it fits.
        variance: of the member of the family at the minimum; the centre is CENTRE.
        minimum: the expected loss there, per dimension.
        smoothing: of the data.
        tolerance: of what is found, several times its sampling error.
        examples: how many.
    """

    objective: Objective
    family: type[Family]
    variance: float
    minimum: float
    smoothing: float = 0.0
    tolerance: float = 0.03
    examples: int = 40_000


@dataclass(frozen=True)
class Row:
    """An objective.

    Args:
        needs: what a model must have, one of them, in the words of a refusal.
        heads: what head=auto tries, in order.
        recoveries: what it finds, under one setting or several.
        ladder: it has a ladder of noise levels, without which heads that want levels are refused.
        kinks: backbones on which head=auto takes a head that differentiates through their default kinks.
    """

    needs: tuple[str, ...]
    heads: tuple[str, ...]
    recoveries: tuple[Recovery, ...]
    ladder: bool = False
    kinks: tuple[str, ...] = ()


CONDITIONAL = (("conditional scores",), ("conditional_score",))
BLOCKWISE = (("conditional scores", "scores of blocks"), ("conditional_score", "block_score"))
EITHER = (
    ("a joint score", "conditional scores", "scores of blocks"),
    ("score", "conditional_score", "block_score"),
)

TABLE: Mapping[str, Row] = {
    "aem": Row(
        ("conditional energies and a proposal",),
        ("conditional_energy",),
        (Recovery(AEM(samples=100), Machine, VARIANCE, ENTROPY + PROPOSED, examples=3000),),
    ),
    "block_mle": Row(
        ("scores of blocks at every noise level",),
        ("noisy_block_score",),
        (
            Recovery(
                BlockMLE(100.0, None, 2, LOWEST),
                FlowingBlocks,
                VARIANCE,
                NOISY_ENTROPY,
                LOWEST,
                examples=4000,
            ),
        ),
        ladder=True,
    ),
    "csm": Row(
        *BLOCKWISE,
        (
            Recovery(CSM(), Conditionals, VARIANCE, SCORE_MATCHING),
            Recovery(CSM(), Blocks, VARIANCE, SCORE_MATCHING),
        ),
    ),
    "csm_annealed": Row(
        ("conditional scores at every noise level", "scores of blocks at every noise level"),
        ("noisy_conditional_score", "noisy_block_score"),
        (
            Recovery(CSMAnnealed(HIGHEST, None, 3, LOWEST), NoisyConditionals, VARIANCE, -0.5 * LOG_UNIFORM, LOWEST),
            Recovery(
                CSMAnnealed(HIGHEST, LOWEST, 3, 0.2, "dsm", continuous=False),
                NoisyConditionals,
                VARIANCE,
                over_ladder(lambda share: 0.5 * (1 - share)),
                smoothing=0.2,
            ),
            Recovery(
                CSMAnnealed(HIGHEST, None, 3, LOWEST, draws=2), NoisyConditionals, VARIANCE, -0.5 * LOG_UNIFORM, LOWEST
            ),
            Recovery(CSMAnnealed(HIGHEST, None, 3, LOWEST), NoisyBlocks, VARIANCE, -0.5 * LOG_UNIFORM, LOWEST),
            Recovery(
                CSMAnnealed(HIGHEST, LOWEST, 3, 0.2, "dsm", continuous=False, draws=3),
                NoisyBlocks,
                VARIANCE,
                over_ladder(lambda share: 0.5 * (1 - share)),
                smoothing=0.2,
            ),
        ),
        ladder=True,
    ),
    "csm_dsm": Row(
        *BLOCKWISE,
        tuple(
            Recovery(CSMDSM(SIGMA), family, BLURRED, DENOISING, smoothing=SIGMA) for family in (Conditionals, Blocks)
        ),
    ),
    "csm_mle": Row(
        *CONDITIONAL,
        (
            Recovery(CSMMLE(share=0.0), DenseConditionals, VARIANCE, SCORE_MATCHING),
            Recovery(CSMMLE(share=1.0), DenseConditionals, VARIANCE, ENTROPY),
        ),
    ),
    "dsm": Row(
        *EITHER,
        (
            Recovery(DSM(SIGMA), Joint, BLURRED, DENOISING),
            Recovery(DSM(SIGMA, sigma_power=2), Conditionals, BLURRED, SIGMA**2 * DENOISING),
        ),
    ),
    "dsm_multiscale": Row(
        ("a joint score at every noise level",),
        ("noisy_score",),
        (
            Recovery(
                DSMMultiscale(HIGHEST, LOWEST, 3, 0.2),
                NoisyJoint,
                VARIANCE,
                over_ladder(lambda share: 0.5 * (1 - share)),
                smoothing=0.2,
            ),
        ),
        ladder=True,
    ),
    "esm": Row(
        ("a joint score", "a density in closed form"),
        ("score", "mixture"),
        (Recovery(ESM(SIGMA, references=1500), Joint, BLURRED, 0.0, examples=1500, tolerance=0.05),),
        kinks=("made",),
    ),
    "fd_ssm": Row(*EITHER, (Recovery(FDSSM(), Joint, VARIANCE, SCORE_MATCHING),)),
    "mle": Row(("a normalised density",), ("mixture", "flow"), (Recovery(MLE(), Density, VARIANCE, ENTROPY),)),
    "pcd": Row(
        ("an energy",),
        ("energy",),
        (Recovery(PCD(25, CHAIN_STEP * 20 / 4, buffer=10, restart=1.0), Energies, OF_CHAINS, 0.0, examples=4000),),
    ),
    "sm": Row(*EITHER, (Recovery(SM(), Joint, VARIANCE, SCORE_MATCHING),)),
    "ssm": Row(*EITHER, tuple(Recovery(SSM(), family, VARIANCE, SCORE_MATCHING) for family in (Joint, Blocks))),
    "ssm_vr": Row(
        *EITHER, tuple(Recovery(SSMVR("gaussian"), family, VARIANCE, SCORE_MATCHING) for family in (Joint, Blocks))
    ),
}


def test_every_objective_has_its_row() -> None:
    assert sorted(TABLE) == sorted(catalog.options("objective"))


@pytest.mark.parametrize("name", TABLE)
def test_a_row_recovers_by_its_own_objective(name: str) -> None:
    assert TABLE[name].recoveries
    for one in TABLE[name].recoveries:
        cls = type(one.objective)
        assert f"{cls.__module__}.{cls.__qualname__}" == catalog.targets("objective")[name]


def examples(smoothing: float, count: int) -> Tensor:
    """Return examples whose mean and covariance are exactly those of the law before it is smoothed, shape (N, D)."""
    x_ND = torch.randn(count, DIMS)
    x_ND = x_ND - x_ND.mean(0)
    x_ND = x_ND @ torch.linalg.inv(torch.linalg.cholesky(x_ND.T @ x_ND / count)).T
    x_ND = CENTRE + math.sqrt(VARIANCE) * x_ND
    noisy_ND: Tensor = x_ND + smoothing * smoothing_noise(draws(count), x_ND)
    return noisy_ND


def loss_and_gradient(recovery: Recovery, x_ND: Tensor, at: Tensor) -> tuple[float, Tensor]:
    """Return the mean loss per dimension and its gradient in (centre, variance), with the same draws every time."""
    model = recovery.family(float(at[0]), float(at[1]))
    loss = recovery.objective(model, x_ND, draws(len(x_ND))).total / DIMS
    return float(loss.detach()), torch.stack(torch.autograd.grad(loss, (model.centre, model.variance)))


def curvature(recovery: Recovery, x_ND: Tensor, at: Tensor, gradient: Tensor, step: float = 1e-4) -> Tensor:
    """Return how the gradient changes, (2, 2); by differences, for PCD's loss takes its chains for fixed."""
    moved = [loss_and_gradient(recovery, x_ND, at + step * one)[1] for one in torch.eye(2)]
    return torch.stack([(there - gradient) / step for there in moved], -1)


def minimiser(recovery: Recovery, x_ND: Tensor, steps: int = 30) -> Tensor:
    """Return where the gradient vanishes, (centre, variance), from a start that is far from it, by Broyden's method."""
    at = torch.tensor([0.2, 1.8])
    _, gradient = loss_and_gradient(recovery, x_ND, at)
    slope = curvature(recovery, x_ND, at, gradient)
    for _ in range(steps):
        if gradient.abs().max() < 1e-7:
            break
        step = -torch.linalg.solve(slope, gradient)
        at, before = at + step, gradient
        _, gradient = loss_and_gradient(recovery, x_ND, at)
        slope = slope + torch.outer(gradient - before - slope @ step, step) / step.square().sum()
    return at


RECOVERIES = {f"{name}-{i}": one for name, row in TABLE.items() for i, one in enumerate(row.recoveries)}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", RECOVERIES)
def test_it_recovers_a_gaussian_in_sign_and_scale(name: str) -> None:
    recovery = RECOVERIES[name]
    x_ND = examples(recovery.smoothing, recovery.examples)
    recovery.objective.refer_to(x_ND[: recovery.objective.references])
    found = minimiser(recovery, x_ND)
    loss, gradient = loss_and_gradient(recovery, x_ND, found)
    assert gradient.abs().max() < 1e-6, "converged"
    assert float(found[0]) == pytest.approx(CENTRE, abs=recovery.tolerance * math.sqrt(VARIANCE))
    assert float(found[1]) == pytest.approx(recovery.variance, rel=recovery.tolerance)
    assert loss == pytest.approx(recovery.minimum, rel=recovery.tolerance, abs=0.005)
    bent = curvature(recovery, x_ND, found, gradient)
    assert torch.linalg.eigvalsh(bent + bent.T).min() > 0, "the loss rises on all sides"


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", RECOVERIES)
def test_a_batch_without_examples_is_refused(name: str) -> None:
    recovery = RECOVERIES[name]
    x_ND = examples(recovery.smoothing, 50)
    recovery.objective.refer_to(x_ND[: recovery.objective.references])
    with pytest.raises(ValueError, match="this batch has none"):
        loss_and_gradient(recovery, x_ND[:0], torch.zeros(2))
